/*
 * locks.h: which lock a thread waits for, what it belongs to (an Event, a queue, a thread that is joined), and who has it.
 */
#ifndef PYSTUCK_PYTHON_LOCKS_H
#define PYSTUCK_PYTHON_LOCKS_H

#include "objects.h"
#include "wait.h"

/* An analysis over all threads of a dump. */
struct locks {
	struct objects o;
	const struct frames *f;
	struct wait_list *l;
	const struct waits_view *views;
	uintptr_t *wanted;   /* for each thread the very lock that its futex belongs to; 0: none, or not known */
	struct hold *holds;  /* all locks that threads are inside a `with` of */
	uint32_t hold_count, hold_capacity;
	uint32_t with_count;    /* further ones are of plain calls of acquire() */
	uint32_t acquire_count; /* further ones are of suspended generators */
	int holds_done, acquires_done, suspended_done;
	struct work *works;  /* all that threads of pools are at */
	uint32_t work_count;
	int works_done;
	struct frames_idents *idents;
};

/* A thread of a pool that runs what a future is for. */
struct work {
	uintptr_t future;
	uint32_t thread;
};

/* A thread that is inside a `with` on a lock. */
struct hold {
	uintptr_t lock;
	uint32_t thread, frame; /* innermost first */
	uint32_t line;
};

/*
 * No GIL; the code objects of the frames are held, and the frames' offsets are still those of instructions. What cannot be found
 * out stays as it is.
 */
void locks_find(struct wait_list *l, const struct frames *f, const struct waits_view *views, struct raw_pages *pages,
	const struct raw_layout *layout);

/* --- for the files that share the work --- */

struct blocks_frame;
/* Frame n of a thread, innermost first. 0: there is none, or nothing can be read of it. */
int locks_frame(const struct locks *k, uint32_t thread, uint32_t n, struct blocks_frame *out);
/* 1 when it is in this function of this file of the standard library ("threading.py", "wait"). */
int locks_is(const struct locks *k, uint32_t thread, uint32_t n, const char *file, const char *function);
/* `self` of that frame; 0: none. */
uintptr_t locks_self(struct locks *k, uint32_t thread, uint32_t n);
/* Index of the thread; UINT32_MAX: no thread of the dump. */
uint32_t locks_thread(const struct locks *k, uint64_t ident);

/* lock_chains.c: what the standard library's functions around the lock are about. */
void locks_classify(struct locks *k, uint32_t thread, uintptr_t lock, uintptr_t key);
/* lock_holders.c: who has what thread i waits for. After all have been classified. */
void locks_hold(struct locks *k, uint32_t thread);

#endif
