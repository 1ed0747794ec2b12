/*
 * ownfd.h: is an fd still ours? We are guests in a process that may close every fd it has, as daemons do, and open files of its
 * own that get the same numbers. Nothing of ours may then be read from them, written to them or closed: before each of these
 * the file is compared with the one that we opened. Also closes all of ours in a child that nobody told us of.
 *
 * The file must have an inode of its own: sockets and pipes have, an eventfd has not.
 */
#ifndef PYSTUCK_OWNFD_H
#define PYSTUCK_OWNFD_H

#include <sys/types.h>

/* An fd and the file that it was; copied freely by those who do not close it. */
struct ownfd {
	int fd;			/* -1: none */
	dev_t device;
	ino_t inode;
	void *slot;		/* ownfd.c's */
};

/*
 * Gives the file a number that programs do not get for what they open, where it can, and returns that; the old one is closed then. Between a
 * look at the file and its use the program may still act, and it gets the lowest numbers that are free. CLOEXEC.
 */
int ownfd_raise(int fd);
/* Notes what file fd is. 0; PYSTUCK_ESYS (errno), PYSTUCK_ENOMEM: fd is still the caller's. Any thread. */
int ownfd_take(struct ownfd *o, int fd);
/* 1 while the fd is that file. Any thread, leaves errno alone. */
int ownfd_is(const struct ownfd *o);
/* Forgets it and closes nothing. Returns ownfd_is. */
int ownfd_drop(struct ownfd *o);
/* Forgets it and closes it if it is still ours. o->fd is -1 afterwards. */
void ownfd_close(struct ownfd *o);

/*
 * In the child of a fork, where no other thread is: closes all that are ours, and they are none's any more. May be called from
 * where only async-signal-safe functions may be (pthread_atfork).
 */
void ownfd_close_all(void);

#endif
