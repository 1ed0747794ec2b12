/*
 * ours.h: which native threads are pystuck's own, so that dumps leave them out. Any thread, no GIL, no lock: a small array of
 * atomics. Full: further threads are simply shown.
 */
#ifndef PYSTUCK_PYTHON_OURS_H
#define PYSTUCK_PYTHON_OURS_H

#include <stddef.h>
#include <sys/types.h>

#define OURS_MAX 256

void ours_add(pid_t tid);
void ours_remove(pid_t tid);
int ours_has(pid_t tid);
/* The net thread, which is never in Python; 0: there is none. It is one of ours, and not in the list. */
void ours_set_net(pid_t tid);
/* Copies at most `most` of them to tids, returns how many. */
size_t ours_list(pid_t *tids, size_t most);
void ours_forget(void);		/* in a forked child: nobody */

#endif
