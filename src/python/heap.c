/*
 * heap.c: walks the collector's lists. What is looked for there is the caller's matter.
 *
 * The lists change between two slices in known ways. New objects come in at the end of the youngest list, which is walked first: they
 * are not of our time. A collection moves what survives to the end of the next older list, which is still to come, but mixes the lists
 * that it collects; it asks each object in them for what it refers to, ours too, and then the walk begins again.
 */
#include <Python.h>

#include "heap.h"

#include <stdlib.h>

#include "compat.h"
#include "error.h"
#include "gil.h"

#define LISTS 4		   /* three generations, and what gc.freeze() has put away */
#define CLOCK_EVERY 64u	   /* objects */
#define LINK (~(uintptr_t)3) /* of a word with flags of the collector's in it (3.14: in both) */

struct heap_marker {
	PyGC_Head gc;
	PyObject base;
	int moved; /* behind the object: the collector does not look there */
};

static struct heap_marker *marker_of(PyObject *o)
{
	return (struct heap_marker *)(void *)((char *)o - offsetof(struct heap_marker, base));
}

/* Called for each object of the lists that are being collected. */
static int traverse(PyObject *self, visitproc visit, void *arg)
{
	(void)visit;
	(void)arg;
	marker_of(self)->moved = 1;
	return 0;
}

static void never(PyObject *self)
{
	(void)self;
}

static PyTypeObject marker_type = {
	PyVarObject_HEAD_INIT(NULL, 0)
	.tp_name = "pystuck.place",
	.tp_basicsize = sizeof(PyObject),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.tp_dealloc = never,
	.tp_traverse = traverse,
	.tp_free = PyObject_GC_Del,
};

int heap_init(void)
{
	return PyType_Ready(&marker_type);
}

/* --- the collector's lists --- */

static PyGC_Head *list_head(int i)
{
	struct _gc_runtime_state *gc = &PyInterpreterState_Main()->gc;

	if (i == LISTS - 1)
		return &gc->permanent_generation.head;
#if PY_VERSION_HEX >= 0x030E0000
	/* 3.14: some of its releases call the three otherwise; they lie in the same place, before the permanent one. */
	return &(&gc->permanent_generation)[i - (LISTS - 1)].head;
#else
	return &gc->generations[i].head;
#endif
}

static PyGC_Head *next_of(const PyGC_Head *at)
{
	return (PyGC_Head *)(at->_gc_next & LINK);
}

static PyGC_Head *prev_of(const PyGC_Head *at)
{
	return (PyGC_Head *)(at->_gc_prev & LINK);
}

static void set_link(uintptr_t *word, const PyGC_Head *to)
{
	*word = (*word & ~LINK) | (uintptr_t)to;
}

/* Before `at`, with the flags of its neighbour. */
static void place(struct heap *h, PyGC_Head *at)
{
	PyGC_Head *gc = &h->marker->gc, *before = prev_of(at);

	gc->_gc_next = (before->_gc_next & ~LINK) | (uintptr_t)at;
	gc->_gc_prev = (uintptr_t)before;
	set_link(&before->_gc_next, gc);
	set_link(&at->_gc_prev, gc);
	h->marker->moved = 0;
	h->begun = 1;
}

static PyGC_Head *take_out(struct heap *h)
{
	PyGC_Head *gc = &h->marker->gc, *before = prev_of(gc), *at = next_of(gc);

	set_link(&before->_gc_next, at);
	set_link(&at->_gc_prev, before);
	gc->_gc_next = gc->_gc_prev = 0;
	h->begun = 0;
	return at;
}

/* --- the walk --- */

int heap_open(struct heap *h)
{
	*h = (struct heap){.marker = aligned_alloc(16, (sizeof *h->marker + 15) / 16 * 16)};
	if (h->marker == NULL)
		return PYSTUCK_ENOMEM;
	*h->marker = (struct heap_marker){.moved = 0};
	Py_SET_TYPE(&h->marker->base, &marker_type);
	Py_SET_REFCNT(&h->marker->base, 1);
	return 0;
}

/* Where it goes on. */
static PyGC_Head *resume(struct heap *h)
{
	int moved = h->marker->moved;
	PyGC_Head *at = h->begun ? take_out(h) : next_of(list_head(h->list));

	if (!moved)
		return at;
	h->marker->moved = 0;
	h->list = 0;
	h->rounds++;
	return next_of(list_head(0));
}

/* One list, from `at` to its end. Where it stopped, or NULL. */
static PyGC_Head *walk_list(
	PyGC_Head *at, const PyGC_Head *end, void (*visit)(void *to, PyObject *object), void *to, uint64_t until_ns)
{
	for (uint32_t n = 0; at != end; n++) {
		PyObject *o = (PyObject *)(void *)(at + 1);
		PyGC_Head *next = next_of(at);

		if (n % CLOCK_EVERY == CLOCK_EVERY - 1 && gil_now_ns() > until_ns)
			return at;
		__builtin_prefetch(next);
		if (Py_TYPE(o) != &marker_type && Py_REFCNT(o) > 0)
			visit(to, o);
		at = next;
	}
	return NULL;
}

int heap_walk(struct heap *h, void (*visit)(void *to, PyObject *object), void *to, uint64_t until_ns)
{
	/* Up to 3.11 any object that is made may begin a collection. */
	int enabled = PyGC_Disable();
	PyGC_Head *at = resume(h);

	while (h->list < LISTS) {
		at = walk_list(at, list_head(h->list), visit, to, until_ns);
		if (at != NULL)
			break;
		if (++h->list < LISTS)
			at = next_of(list_head(h->list));
	}
	if (at != NULL)
		place(h, at);
	if (enabled)
		PyGC_Enable();
	return at != NULL;
}

void heap_close(struct heap *h)
{
	if (h->begun)
		(void)take_out(h);
	/* gc.get_objects() may have given it to somebody. */
	if (Py_REFCNT(&h->marker->base) == 1)
		free(h->marker);
	h->marker = NULL;
}

void heap_drop(struct heap *h)
{
	free(h->marker);
	h->marker = NULL;
}
