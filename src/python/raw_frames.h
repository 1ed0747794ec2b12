/*
 * raw_frames.h: one pass over thread states and their frames in raw memory: which code, at which instruction. Nothing that is
 * read is believed: the world may be running. What two passes together prove is raw_stacks.c's part; what the code is called,
 * raw_code.c's.
 */
#ifndef PYSTUCK_PYTHON_RAW_FRAMES_H
#define PYSTUCK_PYTHON_RAW_FRAMES_H

#include <stdint.h>

#include "raw_layout.h"
#include "raw_mem.h"

#define RAW_THREADS_MAX 65536u  /* in a pass; further ones are counted */
#define RAW_FRAMES_MAX 16384u   /* of a thread, innermost kept; further ones are counted */
#define RAW_TOTAL_MAX 4000000u  /* frames in a pass */
#define RAW_WALK_MAX 1000000u   /* of a thread, that are even counted: a longer chain is not believed */

/* A frame as it was seen. */
struct raw_step {
	uintptr_t code;
	uintptr_t at; /* 3.11+: address of the instruction, | 1 in a generator; 3.10: offset in bytes, may be negative */
	uintptr_t frame; /* its address */
};

/* A thread state as it was seen. */
struct raw_seen {
	uintptr_t state; /* its address */
	uintptr_t prev, next;
	uintptr_t frame, chunk, top, base; /* where its frames are */
	uint64_t ident;
	uint64_t chain;  /* a hash of the addresses of its frames */
	uint32_t tid;    /* 0: not known */
	uint32_t first, count; /* steps, innermost first */
	uint32_t omitted;      /* outermost frames beyond those */
	int whole; /* the chain was read to its end, and ends as a chain of this version does */
};

struct raw_pass {
	struct raw_array threads, steps; /* of raw_seen, raw_step */
	uint32_t thread_count, step_count;
	uint32_t omitted_threads;
	struct raw_array cursors, windows, stacks; /* the walk's own */
};

static inline struct raw_seen *raw_pass_thread(const struct raw_pass *p, uint32_t i)
{
	return (struct raw_seen *)p->threads.at + i;
}

static inline struct raw_step *raw_pass_steps(const struct raw_pass *p, const struct raw_seen *t)
{
	return (struct raw_step *)p->steps.at + t->first;
}

/* {0} is an empty pass; it may be used again and again. */
void raw_pass_free(struct raw_pass *p);

/*
 * Follows the list of thread states. 0; PYSTUCK_EAGAIN when it changed under our eyes or makes no sense; PYSTUCK_ENOMEM.
 */
int raw_pass_list(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l);
/* The thread whose state is at this address, whether it is in the list or not. */
int raw_pass_one(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, uintptr_t state);
/*
 * The same threads as in `old`, looked at again where they were: 0, or PYSTUCK_EAGAIN when one of them is gone, or the list is
 * another one. `only`: that one thread, whatever the list does.
 */
#define RAW_ALL UINT32_MAX
int raw_pass_again(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, const struct raw_pass *old,
	uint32_t only);
/* Walks the frames of all threads in p, at most `most` (0: RAW_FRAMES_MAX) of each. 0 or PYSTUCK_ENOMEM. */
int raw_pass_walk(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, uint32_t most);

/*
 * Whether thread i of a and thread j of b were seen with the same stack. The innermost frame may have gone on in the same code:
 * then *still (may be NULL) is 0.
 */
int raw_pass_same(const struct raw_pass *a, uint32_t i, const struct raw_pass *b, uint32_t j, int *still);

#endif
