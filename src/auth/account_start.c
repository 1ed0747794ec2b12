/*
 * account_start.c: starts the helper so that the program that we are a guest of never sees a child:
 * no SIGCHLD, nothing for its wait() to find, no zombie. What is said to it is account.c's.
 *
 * How: the process between us and the helper has no exit signal. Linux counts it among the "clone
 * children", of which nobody is told when they end and which only a wait with __WCLONE finds, and
 * we wait for it by its pid. It starts the helper and ends, so that the helper is init's. It could
 * not be the helper itself: exec sets the exit signal back to SIGCHLD.
 *
 * Both are made with CLONE_VM and CLONE_VFORK: nothing is copied, however large the program is, and
 * the calling thread stands still until the helper has its own memory. All its signals are blocked,
 * so no handler of the program runs in between.
 */
#include "account_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* Linux 5.9; the same number everywhere */
#endif

#define STACK_HALF (64u << 10) /* bytes for each of the two; they run one after the other */
#define FDS_MAX 65536          /* closed one by one on older kernels; the helper closes the rest */

struct start {
	const char *path;
	int fd;          /* the helper's end of the socket, at least 3 */
	uint8_t *stack;  /* of the helper until it has its own */
	pid_t helper;    /* -1: could not be made */
	int failed_with; /* errno of the helper's way to exec */
};

/* The helper before exec: memory is shared with the program, so nothing but system calls. */
static int become_helper(void *arg)
{
	static char name[] = "pystuck-pam";
	char *const argv[] = {name, NULL};
	char *const envp[] = {NULL};
	struct start *s = arg;

	/* No terminal's signals, and no kill of the program's group. */
	(void)setsid();
	if (dup2(s->fd, 0) == 0) {
		if (syscall(SYS_close_range, 1u, ~0u, 0u) != 0)
			for (int fd = 1; fd < FDS_MAX; fd++)
				(void)close(fd);
		(void)execve(s->path, argv, envp);
	}
	s->failed_with = errno;
	return 127;
}

static int between(void *arg)
{
	struct start *s = arg;

	s->helper = clone(become_helper, s->stack, CLONE_VM | CLONE_VFORK | SIGCHLD, s);
	if (s->helper < 0)
		s->failed_with = errno;
	return 0;
}

/* Runs `between` to its end. 0 or an errno. */
static int run_between(struct start *s)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK;
	/* cppcheck-suppress invalidFunctionArg ; -1 is what belongs to MAP_ANONYMOUS */
	uint8_t *stack = mmap(NULL, 2 * (size_t)STACK_HALF, PROT_READ | PROT_WRITE, flags, -1, 0);
	sigset_t all, before;
	pid_t pid;
	int sys = 0;

	if (stack == MAP_FAILED)
		return errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->stack = stack + STACK_HALF;
	pid = clone(between, stack + 2 * (size_t)STACK_HALF, CLONE_VM | CLONE_VFORK, s);
	if (pid < 0)
		sys = errno;
	else
		while (waitpid(pid, NULL, (int)__WCLONE) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)munmap(stack, 2 * (size_t)STACK_HALF);
	return sys != 0 ? sys : s->failed_with;
}

/* 0, 1 and 2 are the program's, also where it has closed them: what it prints must not get here. */
static int above_standard(int fd)
{
	int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	(void)close(fd);
	return higher;
}

/* As close(), of what may not be there. */
static void drop(int fd)
{
	if (fd >= 0)
		(void)close(fd);
}

int account_start_adopts(void)
{
	int subreaper = 0;

	(void)prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0);
	return subreaper || getpid() == 1;
}

int account_start_program(const char *path, int *fd, struct diag *d)
{
	struct start s = {.path = path, .fd = -1};
	int ends[2];
	int sys = 0;

	if (account_start_adopts())
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"PAM helper: this process adopts orphans now, so that it must not start one");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "PAM helper: no socket: %m");
	ends[0] = above_standard(ends[0]);
	s.fd = above_standard(ends[1]);
	if (ends[0] < 0 || s.fd < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
		sys = errno;
	else
		sys = run_between(&s);
	drop(s.fd);
	if (sys != 0) {
		drop(ends[0]);
		errno = sys;
		return diag_set(d, PYSTUCK_ESYS, sys, "PAM helper %s: cannot be started: %m", path);
	}
	*fd = ends[0];
	return 0;
}
