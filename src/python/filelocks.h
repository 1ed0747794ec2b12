/*
 * filelocks.h: who holds the lock on a file that somebody waits for, from /proc/locks.
 */
#ifndef PYSTUCK_PYTHON_FILELOCKS_H
#define PYSTUCK_PYTHON_FILELOCKS_H

#include <stdint.h>
#include <sys/types.h>

/*
 * The process that holds what `waiter` waits for on the file with this inode; 0: not known (also a lock that belongs to an open
 * file, which any process may have by now). `flock`: by flock(2), else by fcntl(2).
 */
uint32_t filelocks_holder(pid_t waiter, uint64_t inode, int flock);

/* The same in text that looks like /proc/locks, one string. */
uint32_t filelocks_parse(const char *text, pid_t waiter, uint64_t inode, int flock);

#endif
