/*
 * syscalls.h: the system calls in which threads are found waiting, for the table in waits.c that includes this: number, state,
 * and the name by which Python people know them. Not every architecture has all of them.
 */
#ifdef SYS_semop
	{ SYS_semop, STATE_LOCK, "semop" },
#endif
#ifdef SYS_semtimedop
	{ SYS_semtimedop, STATE_LOCK, "semtimedop" },
#endif
#ifdef SYS_futex_waitv
	{ SYS_futex_waitv, STATE_LOCK, "futex" },
#endif
#ifdef SYS_futex_wait
	{ SYS_futex_wait, STATE_LOCK, "futex" },
#endif
#ifdef SYS_nanosleep
	{ SYS_nanosleep, STATE_SLEEP, "nanosleep" },
#endif
#ifdef SYS_clock_nanosleep
	{ SYS_clock_nanosleep, STATE_SLEEP, "nanosleep" },
#endif
#ifdef SYS_pause
	{ SYS_pause, STATE_C, "pause" },
#endif
#ifdef SYS_read
	{ SYS_read, STATE_IO, "read" },
#endif
#ifdef SYS_readv
	{ SYS_readv, STATE_IO, "read" },
#endif
#ifdef SYS_pread64
	{ SYS_pread64, STATE_IO, "read" },
#endif
#ifdef SYS_preadv
	{ SYS_preadv, STATE_IO, "read" },
#endif
#ifdef SYS_preadv2
	{ SYS_preadv2, STATE_IO, "read" },
#endif
#ifdef SYS_write
	{ SYS_write, STATE_IO, "write" },
#endif
#ifdef SYS_writev
	{ SYS_writev, STATE_IO, "write" },
#endif
#ifdef SYS_pwrite64
	{ SYS_pwrite64, STATE_IO, "write" },
#endif
#ifdef SYS_pwritev
	{ SYS_pwritev, STATE_IO, "write" },
#endif
#ifdef SYS_pwritev2
	{ SYS_pwritev2, STATE_IO, "write" },
#endif
#ifdef SYS_recvfrom
	{ SYS_recvfrom, STATE_IO, "recv" },
#endif
#ifdef SYS_recvmsg
	{ SYS_recvmsg, STATE_IO, "recvmsg" },
#endif
#ifdef SYS_recvmmsg
	{ SYS_recvmmsg, STATE_IO, "recvmmsg" },
#endif
#ifdef SYS_sendto
	{ SYS_sendto, STATE_IO, "send" },
#endif
#ifdef SYS_sendmsg
	{ SYS_sendmsg, STATE_IO, "sendmsg" },
#endif
#ifdef SYS_sendmmsg
	{ SYS_sendmmsg, STATE_IO, "sendmmsg" },
#endif
#ifdef SYS_accept
	{ SYS_accept, STATE_IO, "accept" },
#endif
#ifdef SYS_accept4
	{ SYS_accept4, STATE_IO, "accept" },
#endif
#ifdef SYS_connect
	{ SYS_connect, STATE_IO, "connect" },
#endif
#ifdef SYS_poll
	{ SYS_poll, STATE_IO, "poll" },
#endif
#ifdef SYS_ppoll
	{ SYS_ppoll, STATE_IO, "poll" },
#endif
#ifdef SYS_select
	{ SYS_select, STATE_IO, "select" },
#endif
#ifdef SYS_pselect6
	{ SYS_pselect6, STATE_IO, "select" },
#endif
#ifdef SYS_epoll_wait
	{ SYS_epoll_wait, STATE_IO, "epoll_wait" },
#endif
#ifdef SYS_epoll_pwait
	{ SYS_epoll_pwait, STATE_IO, "epoll_wait" },
#endif
#ifdef SYS_epoll_pwait2
	{ SYS_epoll_pwait2, STATE_IO, "epoll_wait" },
#endif
#ifdef SYS_open
	{ SYS_open, STATE_IO, "open" },
#endif
#ifdef SYS_openat
	{ SYS_openat, STATE_IO, "open" },
#endif
#ifdef SYS_openat2
	{ SYS_openat2, STATE_IO, "open" },
#endif
#ifdef SYS_close
	{ SYS_close, STATE_IO, "close" },
#endif
#ifdef SYS_fsync
	{ SYS_fsync, STATE_IO, "fsync" },
#endif
#ifdef SYS_fdatasync
	{ SYS_fdatasync, STATE_IO, "fdatasync" },
#endif
#ifdef SYS_sync
	{ SYS_sync, STATE_IO, "sync" },
#endif
#ifdef SYS_syncfs
	{ SYS_syncfs, STATE_IO, "syncfs" },
#endif
#ifdef SYS_sync_file_range
	{ SYS_sync_file_range, STATE_IO, "sync_file_range" },
#endif
#ifdef SYS_msync
	{ SYS_msync, STATE_IO, "msync" },
#endif
#ifdef SYS_flock
	{ SYS_flock, STATE_IO, "flock" },
#endif
#ifdef SYS_fcntl
	{ SYS_fcntl, STATE_IO, "fcntl" },
#endif
#ifdef SYS_ioctl
	{ SYS_ioctl, STATE_IO, "ioctl" },
#endif
#ifdef SYS_sendfile
	{ SYS_sendfile, STATE_IO, "sendfile" },
#endif
#ifdef SYS_splice
	{ SYS_splice, STATE_IO, "splice" },
#endif
#ifdef SYS_tee
	{ SYS_tee, STATE_IO, "tee" },
#endif
#ifdef SYS_vmsplice
	{ SYS_vmsplice, STATE_IO, "vmsplice" },
#endif
#ifdef SYS_copy_file_range
	{ SYS_copy_file_range, STATE_IO, "copy_file_range" },
#endif
#ifdef SYS_io_getevents
	{ SYS_io_getevents, STATE_IO, "io_getevents" },
#endif
#ifdef SYS_io_pgetevents
	{ SYS_io_pgetevents, STATE_IO, "io_getevents" },
#endif
#ifdef SYS_io_submit
	{ SYS_io_submit, STATE_IO, "io_submit" },
#endif
#ifdef SYS_io_uring_enter
	{ SYS_io_uring_enter, STATE_IO, "io_uring_enter" },
#endif
#ifdef SYS_stat
	{ SYS_stat, STATE_IO, "stat" },
#endif
#ifdef SYS_lstat
	{ SYS_lstat, STATE_IO, "stat" },
#endif
#ifdef SYS_fstat
	{ SYS_fstat, STATE_IO, "stat" },
#endif
#ifdef SYS_newfstatat
	{ SYS_newfstatat, STATE_IO, "stat" },
#endif
#ifdef SYS_statx
	{ SYS_statx, STATE_IO, "stat" },
#endif
#ifdef SYS_statfs
	{ SYS_statfs, STATE_IO, "statfs" },
#endif
#ifdef SYS_access
	{ SYS_access, STATE_IO, "access" },
#endif
#ifdef SYS_faccessat
	{ SYS_faccessat, STATE_IO, "access" },
#endif
#ifdef SYS_getdents64
	{ SYS_getdents64, STATE_IO, "getdents" },
#endif
#ifdef SYS_ftruncate
	{ SYS_ftruncate, STATE_IO, "ftruncate" },
#endif
#ifdef SYS_fallocate
	{ SYS_fallocate, STATE_IO, "fallocate" },
#endif
#ifdef SYS_rename
	{ SYS_rename, STATE_IO, "rename" },
#endif
#ifdef SYS_renameat
	{ SYS_renameat, STATE_IO, "rename" },
#endif
#ifdef SYS_renameat2
	{ SYS_renameat2, STATE_IO, "rename" },
#endif
#ifdef SYS_unlink
	{ SYS_unlink, STATE_IO, "unlink" },
#endif
#ifdef SYS_unlinkat
	{ SYS_unlinkat, STATE_IO, "unlink" },
#endif
#ifdef SYS_mkdir
	{ SYS_mkdir, STATE_IO, "mkdir" },
#endif
#ifdef SYS_mkdirat
	{ SYS_mkdirat, STATE_IO, "mkdir" },
#endif
#ifdef SYS_readlink
	{ SYS_readlink, STATE_IO, "readlink" },
#endif
#ifdef SYS_readlinkat
	{ SYS_readlinkat, STATE_IO, "readlink" },
#endif
#ifdef SYS_mq_timedreceive
	{ SYS_mq_timedreceive, STATE_IO, "mq_receive" },
#endif
#ifdef SYS_mq_timedsend
	{ SYS_mq_timedsend, STATE_IO, "mq_send" },
#endif
#ifdef SYS_msgrcv
	{ SYS_msgrcv, STATE_IO, "msgrcv" },
#endif
#ifdef SYS_msgsnd
	{ SYS_msgsnd, STATE_IO, "msgsnd" },
#endif
#ifdef SYS_getrandom
	{ SYS_getrandom, STATE_IO, "getrandom" },
#endif
#ifdef SYS_wait4
	{ SYS_wait4, STATE_CHILD, "wait4" },
#endif
#ifdef SYS_waitid
	{ SYS_waitid, STATE_CHILD, "waitid" },
#endif
#ifdef SYS_rt_sigtimedwait
	{ SYS_rt_sigtimedwait, STATE_C, "sigtimedwait" },
#endif
#ifdef SYS_rt_sigsuspend
	{ SYS_rt_sigsuspend, STATE_C, "sigsuspend" },
#endif
#ifdef SYS_restart_syscall
	{ SYS_restart_syscall, STATE_C, "restart_syscall" },
#endif
#ifdef SYS_execve
	{ SYS_execve, STATE_C, "execve" },
#endif
#ifdef SYS_vfork
	{ SYS_vfork, STATE_C, "vfork" },
#endif
#ifdef SYS_clone
	{ SYS_clone, STATE_C, "clone" },
#endif
#ifdef SYS_clone3
	{ SYS_clone3, STATE_C, "clone" },
#endif
#ifdef SYS_fork
	{ SYS_fork, STATE_C, "fork" },
#endif
#ifdef SYS_mmap
	{ SYS_mmap, STATE_C, "mmap" },
#endif
#ifdef SYS_munmap
	{ SYS_munmap, STATE_C, "munmap" },
#endif
#ifdef SYS_madvise
	{ SYS_madvise, STATE_C, "madvise" },
#endif
#ifdef SYS_mprotect
	{ SYS_mprotect, STATE_C, "mprotect" },
#endif
#ifdef SYS_sched_yield
	{ SYS_sched_yield, STATE_C, "sched_yield" },
#endif
#ifdef SYS_exit
	{ SYS_exit, STATE_C, "exit" },
#endif
#ifdef SYS_exit_group
	{ SYS_exit_group, STATE_C, "exit" },
#endif
#ifdef SYS_userfaultfd
	{ SYS_userfaultfd, STATE_C, "userfaultfd" },
#endif
#ifdef SYS_ptrace
	{ SYS_ptrace, STATE_C, "ptrace" },
#endif
#ifdef SYS_shutdown
	{ SYS_shutdown, STATE_C, "shutdown" },
#endif
#ifdef SYS_setuid
	{ SYS_setuid, STATE_C, "setuid" },
#endif
#ifdef SYS_unshare
	{ SYS_unshare, STATE_C, "unshare" },
#endif
#ifdef SYS_mount
	{ SYS_mount, STATE_C, "mount" },
#endif
#ifdef SYS_umount2
	{ SYS_umount2, STATE_C, "umount" },
#endif
