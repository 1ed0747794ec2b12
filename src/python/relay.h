/*
 * relay.h: an evaluation whose code runs on a thread of the program. The evaluation thread waits for it here, without the GIL, and is
 * woken by its end, by an interrupt or by time. Knows nothing of
 * Python's objects, but is used with the GIL held.
 */
#ifndef PYSTUCK_PYTHON_RELAY_H
#define PYSTUCK_PYTHON_RELAY_H

#include <Python.h>
#include <pthread.h>
#include <stdint.h>

enum relay_state {
	RELAY_WAITING,  /* -> RUNNING, GIVEN_UP */
	RELAY_RUNNING,  /* -> DONE */
	RELAY_DONE,
	RELAY_GIVEN_UP, /* it is not to begin any more */
};

/* Both sides hold a part: who has it in memory of theirs frees it after the last of them. */
struct relay {
	enum relay_state state; /* GIL */
	const char *place;      /* what is waited for, in words; static */
	PyThreadState *runs_on; /* GIL: the thread that the code is on now, or NULL */
	pthread_mutex_t lock;   /* held for moments, also with the GIL */
	pthread_cond_t changed;
	unsigned interrupts, seen;
	int woken;
};

void relay_init(struct relay *r);
void relay_destroy(struct relay *r);
/* GIL held, any thread. */
void relay_interrupt(struct relay *r);
/* GIL held, on the other thread: 1 when it may begin. relay_end when it is over. */
int relay_begin(struct relay *r);
void relay_end(struct relay *r);

/* GIL held, on the evaluation thread; it is let go of while it waits. UINT64_MAX: without a deadline. */
enum relay_event { RELAY_ENDED, RELAY_INTERRUPTED, RELAY_LATE };
enum relay_event relay_wait(struct relay *r, uint64_t deadline_ns);

#endif
