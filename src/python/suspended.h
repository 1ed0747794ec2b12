/*
 * suspended.h: generators and coroutines that are suspended: their frames lie in themselves and on no thread's stack, and nobody
 * holds their code for us. So both are read from memory that may be gone.
 */
#ifndef PYSTUCK_PYTHON_SUSPENDED_H
#define PYSTUCK_PYTHON_SUSPENDED_H

#include "blocks.h"
#include "code_copy.h"

struct suspended {
	struct blocks_frame frame; /* with the copy of the code in it */
	struct code_copy copy;
};

/* 1 when the object is a generator, coroutine or asynchronous generator that is suspended. suspended_free in any case. */
int suspended_read(struct suspended *s, struct objects *o, uintptr_t object);
void suspended_free(struct suspended *s);

#if PY_VERSION_HEX >= 0x030B0000
/* 1 when that is what gi_frame_state says. */
int suspended_is(int8_t state);
#endif

/*
 * Looks for them among the variables of many frames, some hundreds at a time: `take` is called for each. NULL: no memory. Ended in any
 * case, which calls it for those that are left.
 */
struct suspended_batch;
struct suspended_batch *suspended_batch_new(
	struct objects *o, void (*take)(void *to, uintptr_t object, uint32_t thread, uint32_t frame), void *to);
void suspended_batch_add(struct suspended_batch *b, const struct blocks_frame *f, uint32_t thread, uint32_t frame);
void suspended_batch_end(struct suspended_batch *b);

#endif
