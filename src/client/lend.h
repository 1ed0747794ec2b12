/*
 * lend.h: the terminal is another program's for a while, a pager's or an editor's. What the server sends meanwhile is read all
 * the same: who does not read is cut off.
 */
#ifndef PYSTUCK_CLIENT_LEND_H
#define PYSTUCK_CLIENT_LEND_H

#include <sys/types.h>

#include "buf.h"

/* What goes on beside it. */
struct lend {
	int fd;                       /* -1: nothing */
	int (*read)(void *context);   /* something may have come; 0: there is no more */
	void *context;
};

/*
 * Waits until the child has ended and answers its status as of waitpid(2). Meanwhile the text is written to the pipe `to`, which is
 * closed (-1: there is none). Ctrl-Z stops this program with the child; other signals are the child's, but for those that
 * are fatal, which come back to the caller at the end. beside may be NULL.
 */
int lend_until_ended(pid_t pid, int to, struct span text, const struct lend *beside);

#endif
