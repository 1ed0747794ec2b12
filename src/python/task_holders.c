/*
 * task_holders.c: the second look. Who waits for the very same future has not gone on in between, so all of whom that is true waited
 * at one moment, and a circle of them is one. And who is inside an `async with` on what others wait for; of a Lock, where nobody is,
 * who has awaited its acquire() in a function that he is still in.
 */
#include <Python.h>

#include "tasks_private.h"

#include <stdlib.h>
#include <string.h>

#include "acquires.h"
#include "blocks.h"
#include "msg.h"
#include "raw_names.h"
#include "wait.h"

#define STEP 16u
#define CLASSIFY_STEP 256u

/* The last one of those tasks of which something is true, and how many they are. */
struct those {
	uint32_t task; /* TASKS_NONE */
	uint32_t count;
};

/* What is waited for, by address. */
struct wanted {
	uintptr_t object;
	enum { HELD_BY_NOBODY, HELD_BY_ONE, HELD_BY_SOME } held; /* an event; a lock; a semaphore */
	struct those inside; /* a with on it */
	struct those called; /* its acquire() */
};

struct search {
	struct tasks *t;
	struct objects objects;
	struct wanted *list; /* in the order of the addresses */
	size_t count;
	int withs, calls; /* one of them can be held at all; and by a call: a Lock can */
	/* Of the task that is looked at: */
	uint32_t task;
	uintptr_t own;   /* what it waits for itself */
	uintptr_t given; /* the lock that it has given back, while it waits for a condition's call */
};

static int by_address(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return x->object < y->object ? -1 : x->object > y->object;
}

static void find_wanted(struct search *s)
{
	size_t n = 0, kept = 0;

	for (uint32_t i = 0; i < s->t->count; i++)
		n += !s->t->items[i].gone && s->t->items[i].kind == TASK_FOR_LOCK && s->t->items[i].wanted != NULL;
	if (n == 0)
		return;
	s->list = malloc(n * sizeof *s->list);
	if (s->list == NULL) {
		s->t->cut = 1;
		return;
	}
	for (uint32_t i = 0; i < s->t->count; i++)
		if (!s->t->items[i].gone && s->t->items[i].kind == TASK_FOR_LOCK && s->t->items[i].wanted != NULL)
			s->list[s->count++] = (struct wanted){
				(uintptr_t)s->t->items[i].wanted, HELD_BY_NOBODY, {TASKS_NONE, 0}, {TASKS_NONE, 0}};
	qsort(s->list, s->count, sizeof *s->list, by_address);
	for (size_t i = 0; i < s->count; i++)
		if (kept == 0 || s->list[kept - 1].object != s->list[i].object)
			s->list[kept++] = s->list[i];
	s->count = kept;
}

static struct wanted *lookup(const struct search *s, uintptr_t object)
{
	const struct wanted one = {.object = object};

	return bsearch(&one, s->list, s->count, sizeof one, by_address);
}

/* The GIL is held, and all that is followed is alive: memory is read as it is. */
static int read_direct(struct raw_mem *m, uintptr_t from, void *to, size_t len)
{
	(void)m;
	if (from < 65536)
		return 0;
	memcpy(to, (const void *)from, len);
	return 1;
}

static int is_condition(PyObject *object)
{
	return span_equals(task_type_name(object), "Condition");
}

/* Those of asyncio's, and classes made of them. */
static void classify(struct search *s, struct wanted *w)
{
	for (const PyTypeObject *type = Py_TYPE((PyObject *)w->object); type != NULL && w->held == HELD_BY_NOBODY; type = type->tp_base)
		w->held = strcmp(type->tp_name, "Lock") == 0	    ? HELD_BY_ONE
			  : strcmp(type->tp_name, "Semaphore") == 0 ? HELD_BY_SOME
								    : HELD_BY_NOBODY;
	s->withs |= w->held != HELD_BY_NOBODY;
	s->calls |= w->held == HELD_BY_ONE && s->objects.layout != NULL;
}

/* Of a condition that somebody is inside of it is the lock that he has. */
static uintptr_t lock_of(const struct search *s, PyObject *manager)
{
	PyObject *lock;
	uintptr_t at = (uintptr_t)manager;

	if (lookup(s, at) == NULL || is_condition(manager)) {
		lock = task_peek(s->t->known, manager, TASK_WORD_LOCK);
		at = lock != NULL ? (uintptr_t)lock : at;
		Py_XDECREF(lock);
	}
	return at;
}

static void note(struct those *those, uint32_t task)
{
	those->count += those->task != task;
	those->task = task;
}

static void look_at_withs(struct search *s, const struct blocks_frame *f)
{
	struct blocks_with withs[BLOCKS_MAX];
	size_t n = blocks_withs(&s->objects, f, withs);

	for (size_t k = 0; k < n; k++) {
		uintptr_t lock = lock_of(s, (PyObject *)withs[k].manager);
		struct wanted *w = lock != s->given ? lookup(s, lock) : NULL;

		if (w != NULL && w->held != HELD_BY_NOBODY)
			note(&w->inside, s->task);
	}
}

static int is_locked(const struct search *s, PyObject *lock)
{
	PyObject *locked = task_peek(s->t->known, lock, TASK_WORD_LOCKED);
	int is = locked == Py_True;

	Py_XDECREF(locked);
	return is;
}

/*
 * Who waits for a lock that he has taken by acquire() himself uses it as a signal: somebody else is to release it. And only of a Lock: a
 * semaphore has many permits.
 */
static void look_at_calls(struct search *s, const struct blocks_frame *f)
{
	struct acquire found[ACQUIRES_MAX];
	size_t n = acquires_of(&s->objects, f, 1, found);

	for (size_t k = 0; k < n; k++) {
		uintptr_t lock = lock_of(s, (PyObject *)found[k].lock);
		struct wanted *w = lock != s->given && lock != s->own ? lookup(s, lock) : NULL;

		if (w != NULL && w->held == HELD_BY_ONE && is_locked(s, (PyObject *)lock))
			note(&w->called, s->task);
	}
}

static void look_at_frame(struct search *s, compat_frame *frame)
{
	PyCodeObject *code = compat_code(frame);
	struct blocks_frame f = {.at = (uintptr_t)frame, .code = code};
	int complete;

	if (code == NULL)
		return;
	f.offset = compat_offset(frame, code, &complete);
	if (blocks_has_with(code))
		look_at_withs(s, &f);
	if (s->calls && acquires_in(code))
		look_at_calls(s, &f);
}

/* 1: a thread is in it, and all that is further in has been looked at, too. */
static int look_at_executing(struct search *s, PyObject *coroutine)
{
	compat_frame **frames;
	uint32_t count = task_stack_executing(coroutine, &frames);

	for (uint32_t i = 0; i < count; i++)
		look_at_frame(s, frames[i]);
	free(frames);
	return count > 0;
}

/* All frames of a task, from its coroutine inwards. */
static void look_at_task(struct search *s, uint32_t i)
{
	const struct tasks_one *one = &s->t->items[i];
	PyObject *o = task_field(s->t->known, one->object, FIELD_CORO), *next;
	compat_frame *frame;

	s->task = i;
	s->own = one->kind == TASK_FOR_LOCK ? (uintptr_t)one->wanted : 0;
	s->given = s->own != 0 && is_condition(one->wanted) ? lock_of(s, one->wanted) : 0;
	for (uint32_t n = 0; o != NULL && n < TASKS_FRAMES_MAX; n++) {
		frame = task_stack_frame(o);
		if (frame != NULL)
			look_at_frame(s, frame);
		next = frame == NULL && look_at_executing(s, o) ? NULL : task_stack_next(o);
		Py_DECREF(o);
		o = next;
	}
	Py_XDECREF(o);
}

/* Of more than one nobody knows which it is that will let go of it; of a semaphore there may be others, who are inside of no `with`. */
static void set_holder(struct tasks_one *one, const struct wanted *w)
{
	const struct those *those = w->inside.count > 0 ? &w->inside : &w->called;

	if (those->count != 1)
		return;
	one->holder = those->task;
	one->confidence = those == &w->inside && w->held == HELD_BY_ONE ? WAIT_INFERRED : WAIT_CALLED;
}

static void set_holders(struct search *s)
{
	for (uint32_t i = 0; i < s->t->count; i++) {
		struct tasks_one *one = &s->t->items[i];
		const struct wanted *w = !one->gone && one->kind == TASK_FOR_LOCK && one->wanted != NULL
						 ? lookup(s, (uintptr_t)one->wanted)
						 : NULL;

		if (w != NULL)
			set_holder(one, w);
	}
}

static void look_again(struct search *s, uint32_t i)
{
	struct tasks_one *one = &s->t->items[i];
	PyObject *waits;

	if (one->gone)
		return;
	waits = task_field(s->t->known, one->object, FIELD_WAITER);
	if (waits != NULL && waits == one->waits && one->state == TASK_WAITS)
		one->flags |= TASK_STILL;
	if (s->withs)
		look_at_task(s, i);
	Py_XDECREF(waits);
}

void task_holders_find(struct tasks *t)
{
	struct raw_mem direct = {.read = read_direct};
	struct search s = {.t = t, .objects = {.mem = &direct, .layout = wait_layout()}};

	find_wanted(&s);
	tasks_slice_begin(t);
	for (size_t i = 0; i < s.count && !t->over; i++) {
		classify(&s, &s.list[i]);
		if (i % CLASSIFY_STEP == CLASSIFY_STEP - 1)
			(void)tasks_pause(t);
	}
	for (uint32_t i = 0; i < t->count && !t->over; i++) {
		if (i + TASKS_AHEAD < t->count)
			tasks_fetch(t->items[i + TASKS_AHEAD].object);
		look_again(&s, i);
		if (i % STEP == STEP - 1)
			(void)tasks_pause(t);
	}
	tasks_slice_end(t);
	if (s.withs)
		set_holders(&s);
	raw_dict_free(&s.objects.dict);
	free(s.list);
}
