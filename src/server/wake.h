/*
 * wake.h: how other threads call the net thread. A socket pair, not an eventfd: all eventfds are the same file to fstat, and what
 * is sent to a socket can land in no file of the program's.
 */
#ifndef PYSTUCK_SERVER_WAKE_H
#define PYSTUCK_SERVER_WAKE_H

#include "ownfd.h"

struct wake {
	struct ownfd in;	/* polled by the net thread */
	struct ownfd out;	/* given, by value, to those who call */
};

/* 0 or PYSTUCK_ESYS (errno), PYSTUCK_ENOMEM. */
int wake_open(struct wake *w);
/* Makes `in` readable. 0, or -1 when the program has closed it. Any thread, never blocks. */
int wake_call(const struct ownfd *out);
/* Makes `in` unreadable again. How many calls there were (at least that many more: it stops at WAKE_MOST), or -1: closed. */
#define WAKE_MOST 256
int wake_drain(const struct wake *w);
void wake_close(struct wake *w);

#endif
