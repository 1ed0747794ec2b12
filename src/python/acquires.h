/*
 * acquires.h: which locks a frame has taken by a plain `X.acquire()`, and not given back by `X.release()`, as far as its code and its
 * variables tell. By raw memory; no code of the program is run.
 */
#ifndef PYSTUCK_PYTHON_ACQUIRES_H
#define PYSTUCK_PYTHON_ACQUIRES_H

#include <Python.h>
#include <stdint.h>

#include "blocks.h"

#define ACQUIRES_MAX 8u /* of a frame, at a time */

struct acquire {
	uintptr_t lock;
	uint32_t line; /* of the call */
};

/* 1 when the code names acquire at all: for a first look, which reads no raw memory. */
int acquires_in(const PyCodeObject *code);
/*
 * In the order of the calls; how many. Only calls without arguments count, since they return only with the lock, and only those that
 * no jump can have passed over. Where a release may or may not have been passed over, it counts as done, and where the name by which the
 * lock was called has been given another value since, the call does not count. `awaited`: only calls that have been awaited
 * (asyncio's), and not those that still are.
 */
size_t acquires_of(struct objects *o, const struct blocks_frame *f, int awaited, struct acquire out[static ACQUIRES_MAX]);

#endif
