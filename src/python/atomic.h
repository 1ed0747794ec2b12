/*
 * atomic.h: a stretch of code during which no other Python thread runs: the interval after which threads that wait for the GIL ask
 * for it is raised for its time. The GIL is held in all of these, but for atomic_restore.
 */
#ifndef PYSTUCK_PYTHON_ATOMIC_H
#define PYSTUCK_PYTHON_ATOMIC_H

#include <Python.h>
#include <stdint.h>

struct atomic {
	unsigned long switches; /* of the GIL, when it began */
	uint64_t began_ns;
};

/* 0, or -1 with an exception: another one is under way. Other threads run first, so that none is waiting already. */
int atomic_begin(struct atomic *a, unsigned ms);
/* 1 when no other Python thread has run since; *ns is how long it took. The interval is as before. */
int atomic_end(const struct atomic *a, uint64_t *ns);
/*
 * Any thread, also without the GIL: the interval is as before, unless the program has set another one meanwhile. The stretch goes
 * on, but others may run.
 */
void atomic_restore(void);
/* In a forked child: the same, and nothing is under way. */
void atomic_forget(void);

#endif
