/*
 * raw_stacks.h: the stacks of all threads from raw memory, with what makes them believable: passes over them until two agree. One
 * that never agrees with itself is marked. Any thread, no GIL, no lock, no malloc; what it takes of the clock is bounded.
 */
#ifndef PYSTUCK_PYTHON_RAW_STACKS_H
#define PYSTUCK_PYTHON_RAW_STACKS_H

#include <stdint.h>

#include "raw_code.h"
#include "raw_frames.h"
#include "raw_layout.h"
#include "raw_mem.h"

#define RAW_STACKS_MS 100u /* so long it is tried again, before what moves is shown as it is */

struct raw_frame {
	uint32_t code;  /* index into codes.items */
	int32_t offset; /* of the instruction, in bytes; negative: not begun */
	uintptr_t at;   /* the frame's address */
};

struct raw_thread {
	uintptr_t state; /* address of the thread state */
	uint64_t ident;
	uint32_t tid;             /* 0: not known */
	uint32_t first, count;    /* frames, innermost first */
	uint32_t omitted;
	int moving; /* it was never seen twice the same: it may be wrong */
	int still;  /* not even the innermost frame went on */
};

struct raw_stacks {
	struct raw_array threads, frames; /* of raw_thread, in the order of CPython's list: newest first; of raw_frame */
	uint32_t thread_count, frame_count;
	uint32_t omitted_threads;
	struct raw_codes codes;
	uintptr_t holder;  /* the thread state that had the GIL all the while; 0: none had, or not the same */
	int collecting;    /* the garbage collector was running all the while */
	int settled;       /* all of it was seen twice the same: it is of one moment */
	struct raw_pass passes[2];
};

/* {0} is empty. */
void raw_stacks_free(struct raw_stacks *s);

/*
 * At most `most` frames of each thread (0: RAW_FRAMES_MAX). 0; PYSTUCK_EAGAIN when the list of threads could not be read; PYSTUCK_ENOMEM.
 * raw_stacks_free in any case.
 */
int raw_stacks_take(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uint32_t most);

/* The same of one thread, whose state is at this address. */
int raw_stacks_one(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uintptr_t state, uint32_t most);

static inline struct raw_thread *raw_stacks_thread(const struct raw_stacks *s, uint32_t i)
{
	return (struct raw_thread *)s->threads.at + i;
}

static inline struct raw_frame *raw_stacks_frames(const struct raw_stacks *s, const struct raw_thread *t)
{
	return (struct raw_frame *)s->frames.at + t->first;
}

#endif
