/*
 * pools.c: reads the queues of thread pools. A pool starts a thread only when something is handed in, and only up to its number: one
 * that has them all, and all of them wait for what is in its queue, goes on no more by itself.
 */
#include <Python.h>

#include "pools.h"

#include <stdlib.h>

#include "blocks.h"
#include "compat.h"
#include "msg.h"

#define ITEMS_MAX 65536u /* of a queue that are looked at */

/* SimpleQueue, which is in no header. What is no queue of work has no items with a future. */
#if PY_VERSION_HEX >= 0x030D0000
struct queue_fields {
	PyObject base;
	char has_threads_waiting;
	Py_ssize_t put, get; /* indexes into a ring */
	uintptr_t items;
	Py_ssize_t room, count;
};
#else
struct queue_fields {
	PyObject base;
	void *lock;
	int locked;
	uintptr_t list;
	Py_ssize_t get;
};
#endif

/* A ring, or the part of a list that has not been taken yet. */
struct items {
	uintptr_t at;
	size_t first, count, room;
};

/* A pool that a thread of the dump works for. */
struct pool {
	uintptr_t queue;
	uint32_t threads; /* of the dump */
	uint32_t waiting; /* of these, for a future in the queue */
	uint32_t first;   /* of them */
	int full;         /* it will start no further ones */
};

struct search {
	struct locks *k;
	struct pool *pools;
	uint32_t *of; /* for each thread the pool it works for, + 1 */
	uint32_t *in; /* for each the pool in whose queue is what it waits for, + 1 */
	uint32_t count;
};

/* --- queues --- */

static int read_items(struct objects *o, uintptr_t queue, struct items *out)
{
	struct queue_fields f;
#if PY_VERSION_HEX < 0x030D0000
	PyListObject list;
#endif

	if (objects_kind(o, queue) != OBJECT_SIMPLE_QUEUE || !raw_mem_read(o->mem, queue, &f, sizeof f))
		return 0;
#if PY_VERSION_HEX >= 0x030D0000
	if (f.get < 0 || f.count < 0 || f.room < f.count || f.get > f.room)
		return 0;
	*out = (struct items){f.items, (size_t)f.get, (size_t)f.count, (size_t)f.room};
#else
	if (!raw_mem_read(o->mem, f.list, &list, sizeof list) || ((PyObject *)&list)->ob_type != &PyList_Type || f.get < 0 ||
		((PyVarObject *)&list)->ob_size < f.get)
		return 0;
	out->at = (uintptr_t)list.ob_item;
	out->first = (size_t)f.get;
	out->room = (size_t)((PyVarObject *)&list)->ob_size;
	out->count = out->room - out->first;
#endif
	return out->count <= ITEMS_MAX;
}

static int has_future(struct objects *o, uintptr_t queue, uintptr_t future)
{
	struct items items;
	uintptr_t item = 0;

	if (!read_items(o, queue, &items))
		return 0;
	for (size_t i = 0; i < items.count; i++)
		if (raw_mem_word(o->mem, items.at + (items.first + i) % items.room * sizeof item, &item) &&
			objects_attribute(o, item, WORD_FUTURE) == future)
			return 1;
	return 0;
}

/* --- pools --- */

/* The frame of a pool's thread that takes work; 0: it is none's. It is an outer one. */
static int find_worker_frame(struct locks *k, uint32_t thread, struct blocks_frame *out)
{
	for (uint32_t n = k->f->threads[thread].count; n-- > 0;)
		if (locks_is(k, thread, n, "/concurrent/futures/thread.py", "_worker"))
			return locks_frame(k, thread, n, out);
	return 0;
}

/* How many threads the pool starts at most; UINT64_MAX: it is gone, or not known. */
static uint64_t most_threads(struct objects *o, uintptr_t reference)
{
	uintptr_t executor = 0;

	if (reference == 0 || !raw_mem_word(o->mem, reference + offsetof(PyWeakReference, wr_object), &executor))
		return UINT64_MAX;
	return objects_number(o, executor, WORD_MAX_WORKERS);
}

static uint32_t pool_of(struct search *s, uint32_t thread)
{
	struct blocks_frame f;
	uintptr_t queue;
	uint32_t i = 0;

	if (!find_worker_frame(s->k, thread, &f))
		return 0;
	queue = blocks_named(&s->k->o, &f, "work_queue");
	if (queue == 0)
		return 0;
	while (i < s->count && s->pools[i].queue != queue)
		i++;
	if (i == s->count)
		s->pools[s->count++] = (struct pool){.queue = queue, .first = thread};
	s->pools[i].threads++;
	/* Only when the last of its threads has been counted can it be full. */
	s->pools[i].full = most_threads(&s->k->o, blocks_variable(&s->k->o, &f, 0)) == s->pools[i].threads;
	return i + 1;
}

static int wants_future(const struct wait *w)
{
	return w->kind == WAIT_FOR_FUTURE && w->holder == 0 && w->address != 0 && (w->flags & WAIT_PROVED);
}

static void find_queue(struct search *s, uint32_t thread)
{
	struct wait *w = &s->k->l->items[thread];

	for (uint32_t p = 0; p < s->count && s->in[thread] == 0; p++)
		if (has_future(&s->k->o, s->pools[p].queue, w->address))
			s->in[thread] = p + 1;
	if (s->in[thread] == 0)
		return;
	w->count = s->pools[s->in[thread] - 1].threads;
	w->flags |= WAIT_COUNT;
	s->pools[s->in[thread] - 1].waiting += s->of[thread] == s->in[thread];
}

/* The thread of the pool that comes after this one, around. */
static uint32_t next_of(const struct search *s, uint32_t thread, uint32_t pool)
{
	for (uint32_t i = thread + 1; i < s->k->f->thread_count; i++)
		if (s->of[i] == pool)
			return i;
	return s->pools[pool - 1].first;
}

static void set_holder(struct search *s, uint32_t thread)
{
	const struct pool *p = &s->pools[s->in[thread] - 1];
	struct wait *w = &s->k->l->items[thread];

	if (!p->full || p->waiting != p->threads)
		return;
	w->holder = s->k->f->threads[s->of[thread] == s->in[thread] ? next_of(s, thread, s->of[thread]) : p->first].tid;
	w->confidence = w->holder != 0 ? WAIT_KNOWN : WAIT_UNKNOWN;
}

void pools_find(struct locks *k)
{
	uint32_t n = k->f->thread_count, wanted = 0;
	struct search s = {.k = k};

	for (uint32_t i = 0; i < n; i++)
		wanted += wants_future(&k->l->items[i]) != 0;
	if (wanted == 0 || k->f->omitted_threads > 0)
		return;
	s.pools = calloc(n, sizeof *s.pools);
	s.of = calloc(n, sizeof *s.of);
	s.in = calloc(n, sizeof *s.in);
	if (s.pools != NULL && s.of != NULL && s.in != NULL) {
		for (uint32_t i = 0; i < n; i++)
			s.of[i] = pool_of(&s, i);
		for (uint32_t i = 0; i < n; i++)
			if (wants_future(&k->l->items[i]))
				find_queue(&s, i);
		for (uint32_t i = 0; i < n; i++)
			if (s.in[i] != 0)
				set_holder(&s, i);
	}
	free(s.pools);
	free(s.of);
	free(s.in);
}
