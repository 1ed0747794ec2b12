/*
 * generators.h: generators and coroutines that are suspended, found among all objects, with what each waits for in turn. Those that stand
 * in the same place are counted, not listed; what a task of asyncio's runs is left out. None is kept alive.
 */
#ifndef PYSTUCK_PYTHON_GENERATORS_H
#define PYSTUCK_PYTHON_GENERATORS_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"

#define GENERATORS_MAX 500000u /* further ones are not noted */

struct generator {
	uintptr_t at, next; /* its address, and that of what it waits for; 0: none */
	uint32_t frame;	    /* index into frames.frames */
	uint32_t slice;	    /* in which it was seen */
	uint8_t kind;	    /* enum generator_kind of msg.h */
	uint8_t inner;	    /* another one, or a task, waits for it */
};

/* Some that stand in the same place. */
struct generator_group {
	uint32_t stack; /* index into frames.threads */
	uint32_t count, omitted;
	uint8_t kind;
};

struct generators {
	struct frames *frames; /* the caller's */
	struct generator *list;
	uint32_t count, capacity;
	uintptr_t *of_tasks;
	uint32_t task_count, task_capacity;
	struct generator_group *groups; /* the most numerous first */
	uint32_t group_count, group_capacity;
	uint32_t slice, max_frames;
	uint32_t first;	 /* of the list, of this slice */
	uint32_t *slots; /* hash table over those: index + 1, 0 for none */
	uint32_t slot_count; /* a power of two */
	int cut; /* no memory, or a limit */
};

void generators_open(struct generators *g, struct frames *frames, uint32_t max_frames);
/* GIL held: as those of greenlets.h. */
void generators_slice(struct generators *g);
void generators_visit(void *to, PyObject *object);
/* No GIL, after the last slice: fills in `groups`. */
void generators_finish(struct generators *g);
void generators_free(struct generators *g);

#endif
