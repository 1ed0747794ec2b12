/*
 * task_holders.c: the second look. Who waits for the very same future has not gone on in between, so all of whom that is true waited
 * at one moment, and a circle of them is one. And who is inside an `async with` on what others wait for.
 */
#include <Python.h>

#include "tasks_private.h"

#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "msg.h"

#define STEP 16u
#define WITHS_OF_MAX 64u /* frames of one task that are searched, the innermost */

/* What is waited for, by address. */
struct wanted {
	uintptr_t object;
	uint32_t holder; /* index of the task that is inside a with on it; TASKS_NONE */
	uint32_t count;  /* of such tasks */
};

struct search {
	struct tasks *t;
	struct objects objects;
	struct wanted *list; /* in the order of the addresses */
	size_t count;
};

static int by_address(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return x->object < y->object ? -1 : x->object > y->object;
}

static int find_wanted(struct search *s)
{
	size_t n = 0, kept = 0;

	for (uint32_t i = 0; i < s->t->count; i++)
		n += !s->t->items[i].gone && s->t->items[i].kind == TASK_FOR_LOCK && s->t->items[i].wanted != NULL;
	if (n == 0)
		return 0;
	s->list = malloc(n * sizeof *s->list);
	if (s->list == NULL) {
		s->t->cut = 1;
		return 0;
	}
	for (uint32_t i = 0; i < s->t->count; i++)
		if (!s->t->items[i].gone && s->t->items[i].kind == TASK_FOR_LOCK && s->t->items[i].wanted != NULL)
			s->list[s->count++] = (struct wanted){(uintptr_t)s->t->items[i].wanted, TASKS_NONE, 0};
	qsort(s->list, s->count, sizeof *s->list, by_address);
	for (size_t i = 0; i < s->count; i++)
		if (kept == 0 || s->list[kept - 1].object != s->list[i].object)
			s->list[kept++] = s->list[i];
	s->count = kept;
	return 1;
}

static struct wanted *lookup(const struct search *s, uintptr_t object)
{
	struct wanted one = {object, 0, 0};

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

/* Of a condition that somebody is inside of it is the lock that he has. */
static uintptr_t lock_of(const struct search *s, PyObject *manager)
{
	PyObject *lock;
	uintptr_t at = (uintptr_t)manager;

	if (lookup(s, at) == NULL || span_equals(task_type_name(manager), "Condition")) {
		lock = task_peek(s->t->known, manager, TASK_WORD_LOCK);
		at = lock != NULL ? (uintptr_t)lock : at;
		Py_XDECREF(lock);
	}
	return at;
}

static void look_at_frame(struct search *s, uint32_t i, compat_frame *frame, uintptr_t not)
{
	PyCodeObject *code = compat_code(frame);
	struct blocks_frame f = {.at = (uintptr_t)frame, .code = code};
	struct blocks_with withs[BLOCKS_MAX];
	struct wanted *w;
	size_t n;
	int complete;

	if (code == NULL || !blocks_has_with(code))
		return;
	f.offset = compat_offset(frame, code, &complete);
	n = blocks_withs(&s->objects, &f, withs);
	for (size_t k = 0; k < n; k++) {
		uintptr_t lock = lock_of(s, (PyObject *)withs[k].manager);

		w = lock != not ? lookup(s, lock) : NULL;
		if (w == NULL || w->holder == i)
			continue;
		w->holder = i;
		w->count++;
	}
}

/* Who waits for a condition's call has given its lock back. */
static uintptr_t given_back(const struct search *s, const struct tasks_one *one)
{
	return one->kind == TASK_FOR_LOCK && one->wanted != NULL ? lock_of(s, one->wanted) : 0;
}

/* All frames of a task that is suspended, from its coroutine inwards. */
static void look_at_task(struct search *s, uint32_t i)
{
	PyObject *o = task_field(s->t->known, s->t->items[i].object, FIELD_CORO), *next;
	uintptr_t not = given_back(s, &s->t->items[i]);
	compat_frame *frame;

	for (uint32_t n = 0; o != NULL && n < TASKS_FRAMES_MAX; n++) {
		frame = task_stack_frame(o);
		if (frame != NULL)
			look_at_frame(s, i, frame, not);
		next = task_stack_next(o);
		Py_DECREF(o);
		o = next;
	}
	Py_XDECREF(o);
}

/* Of more than one nobody knows which it is that will let go of it. */
static void set_holders(struct search *s)
{
	for (uint32_t i = 0; i < s->t->count; i++) {
		struct tasks_one *one = &s->t->items[i];
		const struct wanted *w = !one->gone && one->kind == TASK_FOR_LOCK && one->wanted != NULL
						 ? lookup(s, (uintptr_t)one->wanted)
						 : NULL;

		if (w == NULL || w->count != 1)
			continue;
		one->holder = w->holder;
		one->confidence = WAIT_INFERRED;
	}
}

static void look_again(struct search *s, uint32_t i, int holders)
{
	struct tasks_one *one = &s->t->items[i];
	PyObject *waits;

	if (one->gone)
		return;
	waits = task_field(s->t->known, one->object, FIELD_WAITER);
	if (waits != NULL && waits == one->waits && one->state == TASK_WAITS)
		one->flags |= TASK_STILL;
	if (holders)
		look_at_task(s, i);
	Py_XDECREF(waits);
}

void task_holders_find(struct tasks *t)
{
	struct raw_mem direct = {.read = read_direct};
	struct search s = {.t = t, .objects = {.mem = &direct}};
	int holders = find_wanted(&s);

	tasks_slice_begin(t);
	for (uint32_t i = 0; i < t->count && !t->over; i++) {
		look_again(&s, i, holders);
		if (i % STEP == STEP - 1)
			(void)tasks_pause(t);
	}
	tasks_slice_end(t);
	if (holders)
		set_holders(&s);
	free(s.list);
}
