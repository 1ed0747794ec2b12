/*
 * collector.h: which thread is inside the cyclic garbage collector. CPython keeps no note of that (only that some thread is), so it
 * is told by the collector's own lists, whose heads lie on its thread's C stack.
 */
#ifndef PYSTUCK_PYTHON_COLLECTOR_H
#define PYSTUCK_PYTHON_COLLECTOR_H

#include "frames.h"
#include "raw_layout.h"
#include "raw_mem.h"
#include "waits.h"

/* Module init, GIL held: tries out that the collector's record lies where the headers say. Sets no exception. */
void collector_init(void);
/* 1 when the interpreter says that a collection is under way, and what is needed to find its thread is known. Any thread. */
int collector_runs(void);
/*
 * No GIL. Index of the thread that collects; UINT32_MAX: none does any more, or it is not certain which. `views` says in which system
 * call each thread was.
 */
uint32_t collector_find(
	const struct frames *f, const struct waits *w, const struct waits_view *views, struct raw_mem *mem, const struct raw_layout *l);

#endif
