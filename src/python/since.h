/*
 * since.h: for how long a thread has not run. The kernel tells at which moment it ran last, by a
 * clock that each processor has of its own, which differ by seconds: so each is read on its own
 * processor. They stand still while the machine is somebody else's (stolen time, interrupts): what
 * comes out is a little less than the truth, never more.
 *
 * Any thread of ours, no GIL. The calling thread visits other processors meanwhile, and remembers what it saw there.
 */
#ifndef PYSTUCK_PYTHON_SINCE_H
#define PYSTUCK_PYTHON_SINCE_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "waits.h"

struct since {
	const struct waits *proc;
	pid_t self;
	int moved;        /* we have left our processors */
	cpu_set_t allowed;
	uint64_t began_ns; /* gil_now_ns: what was seen before may have to be seen again */
	size_t visits;
};

void since_open(struct since *s, const struct waits *proc); /* proc must outlive it */
void since_close(struct since *s);
/*
 * 1 with the microseconds since it ran last; 0 when that is not known. The view is of this thread;
 * 0 too when it has run since.
 */
int since_ran(struct since *s, pid_t tid, const struct waits_view *view, uint64_t *us);

#endif
