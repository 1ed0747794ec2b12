/*
 * greenlet_waits.c: asks objects of gevent's, by the collector's own traverse function, what they refer to. Most of them are of C code
 * that hides its fields. Who waits is in a list or a queue there, or is a watcher's callback: as the method `switch` of the greenlet, or
 * by way of a Waiter. What fds are: greenlets.c.
 */
#include <Python.h>

#include "greenlet_waits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "gil.h"

#define REFERENTS_MAX 20000u /* of one object: a queue may be full of the program's things */
#define LINKS_MAX (4 * GREENLETS_MAX)
#define AT_MAX 1e9 /* s */

struct search {
	struct greenlets *g;
	struct greenlet_link link;
	uint32_t left;
	int inside; /* a list or a queue of the owner's */
};

/* Room for one more. 0: there is none, and something is left out. */
static int make_room(struct greenlets *g, void **array, uint32_t count, uint32_t *capacity, uint32_t most, size_t size)
{
	uint32_t wanted = *capacity > 0 ? *capacity * 2 : 64;
	void *grown = NULL;

	if (count < *capacity)
		return 1;
	if (wanted <= most)
		grown = realloc(*array, wanted * size);
	if (grown == NULL) {
		g->cut = 1;
		return 0;
	}
	*array = grown;
	*capacity = wanted;
	return 1;
}

static void add_link(struct search *s, const PyObject *greenlet)
{
	struct greenlets *g = s->g;
	void *array = g->links;

	if (!make_room(g, &array, g->link_count, &g->link_capacity, LINKS_MAX, sizeof *g->links))
		return;
	g->links = array;
	s->link.target = (uintptr_t)greenlet;
	g->links[g->link_count++] = s->link;
}

/* --- from an object to those that wait --- */

/* A Waiter has its greenlet, and the hub, which is one too and waits for nobody. */
static int visit_of_waiter(PyObject *o, void *arg)
{
	struct search *s = arg;

	if (greenlet_types_kind(s->g->types, Py_TYPE(o)) == KIND_GREENLET && strcmp(greenlet_types_name(Py_TYPE(o)), "Hub") != 0)
		add_link(s, o);
	return 0;
}

static void look_at_self(struct search *s, PyObject *self)
{
	enum greenlet_kind kind = self != NULL ? greenlet_types_kind(s->g->types, Py_TYPE(self)) : KIND_OTHER;

	if (kind == KIND_GREENLET)
		add_link(s, self);
	else if (kind == KIND_WAITER)
		(void)Py_TYPE(self)->tp_traverse(self, visit_of_waiter, s);
}

/* Whether it is a method by which one goes on. */
static int is_switch(const PyObject *function)
{
	const char *name = ((const PyCFunctionObject *)function)->m_ml->ml_name;

	return strcmp(name, "switch") == 0 || strcmp(name, "throw") == 0;
}

static int is_queue(const PyTypeObject *type)
{
	return strcmp(type->tp_name, "collections.deque") == 0;
}

/* What an object refers to: 1 ends it. */
static int visit_of_object(PyObject *o, void *arg)
{
	struct search *s = arg;

	if (s->left == 0)
		return 1;
	s->left--;
	if (PyCFunction_CheckExact(o)) {
		if (is_switch(o))
			look_at_self(s, PyCFunction_GET_SELF(o));
	} else if (Py_IS_TYPE(o, &PyMethod_Type)) {
		/* A function of Cython's: of a Waiter, not of a greenlet. */
		if (greenlet_types_kind(s->g->types, Py_TYPE(PyMethod_GET_SELF(o))) == KIND_WAITER)
			look_at_self(s, PyMethod_GET_SELF(o));
	} else if (!s->inside && s->link.wait == GREENLET_FOR_OBJECT && (PyList_CheckExact(o) || is_queue(Py_TYPE(o)))) {
		s->inside = 1;
		(void)Py_TYPE(o)->tp_traverse(o, visit_of_object, s);
		s->inside = 0;
	} else if (s->inside && greenlet_types_kind(s->g->types, Py_TYPE(o)) == KIND_WAITER) {
		look_at_self(s, o);
	}
	return 0;
}

/* --- the objects --- */

static long number_of(PyObject *value)
{
	long n = value != NULL && PyLong_CheckExact(value) ? PyLong_AsLong(value) : -1;

	PyErr_Clear();
	Py_XDECREF(value);
	return n;
}

static void read_io(struct greenlet_link *l, PyObject *watcher)
{
	long fd = number_of(greenlet_types_get(watcher, NULL, "fd")), events = number_of(greenlet_types_get(watcher, NULL, "events"));

	l->fd = fd >= 0 && fd < INT32_MAX ? (uint32_t)fd : GREENLET_NO_FD;
	l->events = events > 0 ? (uint8_t)(events & (GREENLET_READS | GREENLET_WRITES)) : 0;
}

static void read_timer(struct greenlet_link *l, PyObject *watcher)
{
	PyObject *at = greenlet_types_get(watcher, NULL, "at");
	double when = at != NULL && PyFloat_CheckExact(at) ? PyFloat_AS_DOUBLE(at) : 0;

	Py_XDECREF(at);
	if (isfinite(when) && when > 0 && when < AT_MAX)
		l->at_ns = (uint64_t)(when * 1e9);
}

/* The two of a lock that is made of another: who has it, and what all others wait for. */
struct parts {
	struct greenlets *g;
	uintptr_t inner, owner;
};

static int visit_of_lock(PyObject *o, void *arg)
{
	struct parts *p = arg;
	enum greenlet_kind kind = greenlet_types_kind(p->g->types, Py_TYPE(o));

	if (kind == KIND_OBJECT)
		p->inner = (uintptr_t)o;
	else if (kind == KIND_GREENLET)
		p->owner = (uintptr_t)o;
	/* The attributes of an instance may be in a dict. threading's has what get_ident() said, which to gevent is the greenlet's address. The other number, the count, is small. */
	else if (PyDict_CheckExact(o))
		(void)Py_TYPE(o)->tp_traverse(o, visit_of_lock, p);
	else if (PyLong_CheckExact(o) && compat_int_bits(o) > 16 && compat_int_bits(o) < 64)
		p->owner = (uintptr_t)PyLong_AsUnsignedLong(o);
	return 0;
}

static void add_lock(struct greenlets *g, PyObject *lock)
{
	struct parts p = {g, 0, 0};
	void *array = g->locks;

	(void)Py_TYPE(lock)->tp_traverse(lock, visit_of_lock, &p);
	PyErr_Clear();
	if (p.inner == 0 || !make_room(g, &array, g->lock_count, &g->lock_capacity, GREENLETS_MAX, sizeof *g->locks))
		return;
	g->locks = array;
	g->locks[g->lock_count++] = (struct greenlet_lock){.inner = p.inner, .outer = (uintptr_t)lock, .owner = p.owner};
}

static void name_type(struct greenlets *g, const struct search *s, uint32_t first, const PyTypeObject *type)
{
	const char *name = greenlet_types_name(type);
	struct pytext_ref ref;

	/* What threading.Lock() makes in a program that is patched. */
	if (strcmp(name, "LockType") == 0)
		name = "Lock";
	if (g->link_count == first || s->link.wait != GREENLET_FOR_OBJECT || pytext_bytes(&g->text, name, strlen(name), &ref) != 0)
		return;
	for (uint32_t i = first; i < g->link_count; i++)
		g->links[i].type = ref;
}

void greenlet_waits_visit(struct greenlets *g, PyObject *object, enum greenlet_kind kind)
{
	static const uint8_t waits[] = {
		[KIND_GREENLET] = GREENLET_FOR_OBJECT,
		[KIND_IO] = GREENLET_FOR_IO,
		[KIND_TIMER] = GREENLET_FOR_TIME,
		[KIND_CHILD] = GREENLET_FOR_CHILD,
		[KIND_WATCHER] = GREENLET_FOR_EVENT,
		[KIND_CALLBACK] = GREENLET_FOR_TURN,
		[KIND_OBJECT] = GREENLET_FOR_OBJECT,
		[KIND_RLOCK] = 0,
	};
	struct search s = {.g = g, .left = REFERENTS_MAX, .link = {.owner = (uintptr_t)object, .fd = GREENLET_NO_FD}};
	uint32_t first = g->link_count;

	if (Py_TYPE(object)->tp_traverse == NULL || kind == KIND_WAITER)
		return;
	if (kind == KIND_RLOCK) {
		add_lock(g, object);
		return;
	}
	s.link.wait = waits[kind];
	s.link.of_end = kind == KIND_GREENLET;
	(void)Py_TYPE(object)->tp_traverse(object, visit_of_object, &s);
	if (g->link_count > first && kind == KIND_IO)
		for (uint32_t i = first; i < g->link_count; i++)
			read_io(&g->links[i], object);
	if (g->link_count > first && kind == KIND_TIMER)
		for (uint32_t i = first; i < g->link_count; i++)
			read_timer(&g->links[i], object);
	name_type(g, &s, first, Py_TYPE(object));
}

/* --- which greenlets those are --- */

/* Of several that wait to switch to it, which one says most: it may go on; a timer may stand beside what is really waited for. */
static int rank(const struct greenlet_link *l)
{
	switch (l->wait) {
	case GREENLET_FOR_TURN:
		return 6;
	case GREENLET_FOR_IO:
	case GREENLET_FOR_CHILD:
		return 5;
	case GREENLET_FOR_OBJECT:
		/* Who waits for several of them has an object in between. */
		return l->of_end ? 4 : 3;
	case GREENLET_FOR_EVENT:
		return 2;
	default:
		return 1;
	}
}

static int by_target(const void *a, const void *b)
{
	const struct greenlet_link *x = a, *y = b;

	if (x->target != y->target)
		return x->target < y->target ? -1 : 1;
	if (rank(x) != rank(y))
		return rank(x) > rank(y) ? -1 : 1;
	return x->owner < y->owner ? -1 : x->owner > y->owner;
}

static int by_inner(const void *a, const void *b)
{
	const struct greenlet_lock *x = a, *y = b;

	return x->inner < y->inner ? -1 : x->inner > y->inner;
}

static void put_object(const struct greenlets *g, struct greenlet *one, const struct greenlet_link *l)
{
	struct greenlet_lock wanted = {.inner = l->owner}, *lock = NULL;

	one->object = l->owner;
	one->object_type = l->type;
	if (g->lock_count > 0)
		lock = bsearch(&wanted, g->locks, g->lock_count, sizeof *g->locks, by_inner);
	if (lock == NULL)
		return;
	one->object = lock->outer;
	one->object_type = (struct pytext_ref){0, 0};
	one->holder = lock->owner;
	one->is_rlock = 1;
}

static uint64_t left_us(uint64_t at_ns)
{
	uint64_t now = gil_now_ns();

	return at_ns > now ? (at_ns - now) / 1000 : 0;
}

/* `links` are those of one greenlet; what says most stands first. */
static void put_wait(const struct greenlets *g, struct greenlet *one, const struct greenlet_link *links, uint32_t count)
{
	const struct greenlet_link *l = &links[0];

	one->wait = l->wait;
	one->fd = l->fd;
	one->events = l->events;
	for (uint32_t i = 0; i < count && rank(&links[i]) == rank(l); i++)
		one->count += i == 0 || links[i].owner != links[i - 1].owner;
	if (l->at_ns != 0) {
		one->flags |= GREENLET_TIMED;
		one->left_us = left_us(l->at_ns);
	}
	if (l->wait == GREENLET_FOR_OBJECT)
		put_object(g, one, l);
}

void greenlet_waits_join(struct greenlets *g)
{
	uint32_t next = 0, end;

	if (g->link_count > 0)
		qsort(g->links, g->link_count, sizeof *g->links, by_target);
	if (g->lock_count > 0)
		qsort(g->locks, g->lock_count, sizeof *g->locks, by_inner);
	for (uint32_t i = 0; i < g->count; i++) {
		struct greenlet *one = &g->list[i];

		while (next < g->link_count && g->links[next].target < one->at)
			next++;
		for (end = next; end < g->link_count && g->links[end].target == one->at; end++)
			;
		if (end > next)
			put_wait(g, one, &g->links[next], end - next);
		next = end;
	}
}
