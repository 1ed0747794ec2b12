/*
 * managers.c: goes from a context manager to the locks behind it. They are told by what they store, as contextlib and threading
 * name it. A class of the program's own that takes a lock in its __enter__ is not looked into: what it does is in its code.
 */
#include <Python.h>

#include "managers.h"

#include <string.h>

#include "blocks.h"
#include "suspended.h"

#define DEPTH_MAX 4u      /* managers in managers that are followed */
#define CALLBACKS_MAX 64u /* of an ExitStack that are looked at */

/* What _collections has in no header: pieces of a fixed length, linked. */
#define PIECE 64
struct piece {
	struct piece *left;
	PyObject *items[PIECE];
	struct piece *right;
};
struct deque_fields {
	PyVarObject base;
	struct piece *leftmost, *rightmost;
	Py_ssize_t first, last; /* indexes of the first and the last item in those two */
};

/* A walk along a deque. */
struct walk {
	struct objects *o;
	uintptr_t piece;
	Py_ssize_t at, left;
};

/* Importing _collections for its type would be seen by the program, so it is told by its name and by whether it makes sense. */
static int walk_begin(struct walk *w, struct objects *o, uintptr_t deque)
{
	struct deque_fields f;
	char name[16];
	Py_ssize_t count;

	if (objects_type_name(o, deque, name, sizeof name) != 5 || memcmp(name, "deque", 5) != 0 ||
		!raw_mem_read(o->mem, deque, &f, sizeof f) || f.first < 0 || f.first >= PIECE || f.last < 0 || f.last >= PIECE ||
		f.base.ob_size < 0)
		return 0;
	count = f.last - f.first + 1;
	if ((f.leftmost == f.rightmost && count != f.base.ob_size) || (f.base.ob_size - count) % PIECE != 0)
		return 0;
	*w = (struct walk){o, (uintptr_t)f.leftmost, f.first, f.base.ob_size};
	return 1;
}

static uintptr_t walk_next(struct walk *w)
{
	uintptr_t item = 0;

	if (w->left-- <= 0)
		return 0;
	if (w->at == PIECE) {
		w->at = 0;
		if (!raw_mem_word(w->o->mem, w->piece + offsetof(struct piece, right), &w->piece))
			return 0;
	}
	(void)raw_mem_word(w->o->mem, w->piece + offsetof(struct piece, items) + (size_t)w->at++ * sizeof(uintptr_t), &item);
	return item;
}

/* --- from a manager to its locks --- */

struct search {
	struct objects *o;
	void (*take)(void *to, uintptr_t lock);
	void *to;
	unsigned depth;
};

static void follow(struct search *s, uintptr_t manager);

static int take_if_lock(struct search *s, uintptr_t object)
{
	enum objects_kind kind = objects_kind(s->o, object);

	if (kind != OBJECT_LOCK && kind != OBJECT_RLOCK)
		return 0;
	s->take(s->to, object);
	return 1;
}

static void follow_suspended(struct search *s, uintptr_t object)
{
	struct blocks_with withs[BLOCKS_MAX];
	struct suspended g;
	size_t count = suspended_read(&g, s->o, object) ? blocks_withs(s->o, &g.frame, withs) : 0;

	for (size_t i = 0; i < count; i++)
		follow(s, withs[i].manager);
	suspended_free(&g);
}

/* Each callback is (whether it is an __exit__, the bound method). */
static void follow_callbacks(struct search *s, uintptr_t deque)
{
	/* 3.14: a tuple keeps its hash in front of its items. */
	const size_t second = offsetof(PyTupleObject, ob_item) + sizeof(uintptr_t);
	uintptr_t callback, method;
	PyVarObject tuple;
	struct walk w;

	if (!walk_begin(&w, s->o, deque) || w.left > (Py_ssize_t)CALLBACKS_MAX)
		return;
	while ((callback = walk_next(&w)) != 0)
		if (raw_mem_read(s->o->mem, callback, &tuple, sizeof tuple) && tuple.ob_base.ob_type == &PyTuple_Type &&
			tuple.ob_size == 2 && raw_mem_word(s->o->mem, callback + second, &method))
			follow(s, objects_self(s->o, method));
}

static void follow(struct search *s, uintptr_t manager)
{
	uintptr_t next;

	if (manager == 0 || s->depth >= DEPTH_MAX || take_if_lock(s, manager) || objects_kind(s->o, manager) != OBJECT_OTHER)
		return;
	s->depth++;
	if (objects_attribute(s->o, manager, WORD_WAITERS) != 0)
		(void)take_if_lock(s, objects_attribute(s->o, manager, WORD_LOCK));
	else if ((next = objects_attribute(s->o, manager, WORD_GEN)) != 0)
		follow_suspended(s, next);
	else if ((next = objects_attribute(s->o, manager, WORD_EXIT_CALLBACKS)) != 0)
		follow_callbacks(s, next);
	s->depth--;
}

void managers_locks(struct objects *o, uintptr_t manager, void (*take)(void *to, uintptr_t lock), void *to)
{
	struct search s = {o, take, to, 0};

	follow(&s, manager);
}

void managers_suspended(struct objects *o, uintptr_t object, void (*take)(void *to, uintptr_t lock), void *to)
{
	struct search s = {o, take, to, 0};

	follow_suspended(&s, object);
}
