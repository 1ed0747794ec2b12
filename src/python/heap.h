/*
 * heap.h: every object that the garbage collector knows, in slices: between two of them the program goes on. Nothing is kept alive: the
 * place where a slice ended is marked by an object of ours in the collector's list.
 */
#ifndef PYSTUCK_PYTHON_HEAP_H
#define PYSTUCK_PYTHON_HEAP_H

#include <Python.h>
#include <stdint.h>

struct heap_marker;

struct heap {
	struct heap_marker *marker;
	int list;	/* which of the collector's lists comes next, from the youngest on */
	int begun;	/* the marker stands in that list */
	uint32_t rounds; /* how often it had to begin again, because objects were moved by a collection */
};

/* Module init, GIL held. 0, or -1 with an exception. */
int heap_init(void);
/* Any thread. 0 or PYSTUCK_ENOMEM; heap_close if it was 0. */
int heap_open(struct heap *h);
/*
 * GIL held. Goes on until all objects have been visited (0) or until that time, of gil_now_ns (1). An object may be visited more than
 * once; one that is there all the time is visited. `visit` makes no containers and runs no code of Python's: the lists stand still.
 */
int heap_walk(struct heap *h, void (*visit)(void *to, PyObject *object), void *to, uint64_t until_ns);
/* GIL held. */
void heap_close(struct heap *h);
/* Any thread: instead, where it was never walked. */
void heap_drop(struct heap *h);

#endif
