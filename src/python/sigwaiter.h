/*
 * sigwaiter.h: a signal that asks for a server: its handler, and a thread that waits for it. What is done when it has come is
 * host.c's. Python need not run for it: the handler only counts and posts, and the thread is a native one, so that it works
 * while the program is stuck in C code with the GIL.
 *
 * A handler of ours is put only where nobody else has one, so what is given back is the default.
 */
#ifndef PYSTUCK_PYTHON_SIGWAITER_H
#define PYSTUCK_PYTHON_SIGWAITER_H

#include "error.h"

#define SIGWAITER_NAME_MAX 16

/* 1: a signal that means nothing to the system: SIGUSR1, SIGUSR2, SIGRTMIN to SIGRTMAX. */
int sigwaiter_is_free(long signo);
/* "SIGUSR2", "SIGRTMIN+3". Returns out. */
char *sigwaiter_name(int signo, char out[static SIGWAITER_NAME_MAX]);

/*
 * GIL held, which keeps signal.signal() out. From now on signo is counted; taken once for each sigwaiter_give. PYSTUCK_EINVAL
 * with a sentence when the program has a handler for it, ignores it, or has it blocked in the calling thread.
 */
int sigwaiter_take(int signo, struct diag *d);
/* GIL held. The last one: the default again, if the handler is still ours. */
void sigwaiter_give(int signo);
/* GIL held. All of them, at exit. */
void sigwaiter_give_all(void);

/* Any thread. 1 while the handler of signo is ours. */
int sigwaiter_holds(int signo);
/* Any thread. How often signo has come to this process. */
unsigned sigwaiter_count(int signo);

/*
 * No GIL, and none of the locks that `wanted` and `came` take. Starts or ends the thread, so that it runs if `wanted` says so.
 * `came` is called on the thread, at its start and after signals. 0 or PYSTUCK_ESYS.
 */
int sigwaiter_sync(int (*wanted)(void), void (*came)(void));
/* In `came`, under the lock that `wanted` takes: nobody waits any more; the thread ends by itself. */
void sigwaiter_leave(void);

/* In a forked child: the thread does not exist there. The handlers stay, and count what comes to the child. */
void sigwaiter_forget(void);

#endif
