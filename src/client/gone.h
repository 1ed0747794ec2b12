/*
 * gone.h: the process at the other end of a Unix socket: is it still there, and how did it end?
 */
#ifndef PYSTUCK_CLIENT_GONE_H
#define PYSTUCK_CLIENT_GONE_H

#include <sys/types.h>

#define GONE_TEXT 160
#define GONE_WAIT_MS 500 /* from the end of its socket to its own */

struct gone {
	pid_t pid; /* here; 0: not known which it is */
	int pidfd; /* -1: not watched */
};

/* The server on the other side of `fd` says that it is process `told`. */
void gone_watch(struct gone *g, int fd, pid_t told);
void gone_unwatch(struct gone *g);
/*
 * Its socket has ended: has it? Waits for that, GONE_WAIT_MS at most. 1: `text` is "process 4242 has gone (exit in
 * mid-evaluation)"; 0: it lives, or it is not known. `told`: it said that it was going away. `doing` may be NULL.
 */
int gone_words(const struct gone *g, int told, const char *doing, char text[static GONE_TEXT]);

#endif
