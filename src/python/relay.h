/*
 * relay.h: an evaluation whose code runs on a thread of the program. The evaluation thread waits for it here, without the GIL, and is
 * woken by its end, by an interrupt or by time, and passes an interrupt on while the code is on that thread. Knows nothing of what is run,
 * but is used with the GIL held.
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
	int hit;                /* GIL: that one has been sent an interrupt */
	int wanted;             /* GIL: it is to be sent one as soon as nothing else runs within the code */
	struct relay *next;     /* GIL: of all whose code is on a thread, the last one that began first */
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

/*
 * GIL held, on the other thread: the code is on it from now on; and not any more. 1: an interrupt was sent meanwhile, which may have been
 * raised where it is lost, in a finalizer or a weak reference's callback, or not at all. A thread may come by for one evaluation in the
 * middle of another one's code: an interrupt is for the one that it was meant for.
 */
void relay_enter(struct relay *r);
int relay_leave(struct relay *r);
/*
 * GIL held, any thread: sends an interrupt to the thread that the code is on, or has it sent later. 1, or 0: it is on none. The GIL is
 * let go of for moments where another thread stands in the way (compat_send_async_exc).
 */
int relay_hit(struct relay *r);
/* In a forked child, on its only thread: of the others nothing is there any more. */
void relay_forget(void);

/* GIL held, on the evaluation thread; it is let go of while it waits. UINT64_MAX: without a deadline. */
enum relay_event { RELAY_ENDED, RELAY_INTERRUPTED, RELAY_LATE };
enum relay_event relay_wait(struct relay *r, uint64_t deadline_ns);

#endif
