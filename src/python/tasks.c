/*
 * tasks.c: looks at all tasks, in slices: what is done when, and with what held. Where the tasks are, what their frames are and what
 * they wait for: the files task_*.c.
 */
#include <Python.h>

#include "tasks_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "columns.h"
#include "error.h"
#include "msg.h"
#include "sockets.h"

#define SLICE_NS 2000000u   /* for so long the GIL is held at a time, about: less than a busy machine lets a thread run */
#define PAUSE_NS 200000     /* and then not, so that who waits for it gets it */
#define STEP 16u            /* tasks between two looks at the clock */
#define FREE_TASKS 32768u /* room is made for so many while the GIL is not held */
#define READY_TASKS 4096u /* and the memory for so many is really there */
#define FIRST_EDGES 64u
#define RELEASE_STEP 64u

void tasks_init(void)
{
	task_objects_init();
	task_stack_init();
}

/* --- the table --- */

static uint32_t hash_address(uintptr_t p)
{
	return (uint32_t)((uint64_t)p * 0x9E3779B97F4A7C15u >> 32);
}

static uint32_t *find_slot(const struct tasks *t, uintptr_t object)
{
	uint32_t mask = t->slot_count - 1, i = hash_address(object) & mask;

	while (t->slots[i] != 0 && (uintptr_t)t->items[t->slots[i] - 1].object != object)
		i = (i + 1) & mask;
	return &t->slots[i];
}

/* For so many tasks; the table stays at most half full. Touches no object. */
static int make_room(struct tasks *t, uint32_t wanted)
{
	uint32_t items = t->capacity, count = t->slot_count > 0 ? t->slot_count : 1;
	struct tasks_one *grown;
	uint32_t *slots;

	while (items < wanted)
		items = items > 0 ? items * 2 : FREE_TASKS;
	while (count < wanted * 2)
		count *= 2;
	grown = items > t->capacity ? realloc(t->items, items * sizeof *grown) : t->items;
	if (grown == NULL)
		return PYSTUCK_ENOMEM;
	t->items = grown;
	t->capacity = items;
	if (count == t->slot_count)
		return 0;
	slots = calloc(count, sizeof *slots);
	if (slots == NULL)
		return PYSTUCK_ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->slot_count = count;
	for (uint32_t i = 0; i < t->count; i++)
		*find_slot(t, (uintptr_t)t->items[i].object) = i + 1;
	return 0;
}

/* No GIL: the kernel gives memory when it is first written to, which would take longer than what is written. */
static void touch_room(struct tasks *t)
{
	uint32_t end = t->count + READY_TASKS < t->capacity ? t->count + READY_TASKS : t->capacity;
	char *from = (char *)(t->items + t->count);
	size_t bytes = (size_t)(end - t->count) * sizeof *t->items;

	for (size_t at = 0; at < bytes; at += 4096)
		((volatile char *)from)[at] = 0;
}

/* --- slices --- */

void tasks_slice_begin(struct tasks *t)
{
	gil_take(&t->hold);
	/* What is made here for a moment must not start a collection, which runs code of the program. */
	t->collecting = PyGC_Disable();
}

void tasks_slice_end(struct tasks *t)
{
	uint64_t held;

	if (t->collecting)
		PyGC_Enable();
	held = gil_now_ns() - t->hold.since_ns;
	gil_give(&t->hold);
	t->held_ns += held;
	t->longest_ns = held > t->longest_ns ? held : t->longest_ns;
}

int tasks_pause(struct tasks *t)
{
	const struct timespec moment = {.tv_nsec = PAUSE_NS};
	uint64_t now = gil_now_ns();

	if (now - t->hold.since_ns < SLICE_NS)
		return !t->over;
	tasks_slice_end(t);
	if (!t->listed && make_room(t, t->count + FREE_TASKS) == 0)
		touch_room(t);
	nanosleep(&moment, NULL);
	if (!t->over && (gil_is_ending() || now - t->began_ns > TASKS_MS * (uint64_t)1000000))
		t->over = t->cut = 1;
	tasks_slice_begin(t);
	return !t->over;
}

/* --- the list --- */

uint32_t tasks_find(const struct tasks *t, uintptr_t object)
{
	return t->slot_count > 0 ? *find_slot(t, object) - 1 : TASKS_NONE;
}

uint32_t tasks_take(struct tasks *t, PyObject *task, uint8_t flags)
{
	uint32_t index = tasks_find(t, (uintptr_t)task);

	if (index != TASKS_NONE)
		return index;
	if (!task_is_task(t->known, task))
		return TASKS_NONE;
	if (t->count == TASKS_MAX || make_room(t, t->count + 1) != 0) {
		t->omitted++;
		return TASKS_NONE;
	}
	t->items[t->count] = (struct tasks_one){.object = Py_NewRef(task),
		.loop = TASKS_NONE,
		.holder = TASKS_NONE,
		.name_frame = TASKS_NONE,
		.flags = flags,
		.fd = -1};
	*find_slot(t, (uintptr_t)task) = t->count + 1;
	return t->count++;
}

/* --- who awaits whom --- */

void tasks_add_edge(struct tasks *t, uint32_t waiter, PyObject *awaited)
{
	uint32_t wanted = t->edge_capacity > 0 ? t->edge_capacity * 2 : FIRST_EDGES;
	struct tasks_edge *grown;

	if (t->edge_count == t->edge_capacity) {
		grown = t->edge_count < TASKS_EDGES_MAX ? realloc(t->edges, wanted * sizeof *grown) : NULL;
		if (grown == NULL) {
			t->cut = 1;
			return;
		}
		t->edges = grown;
		t->edge_capacity = wanted;
	}
	t->edges[t->edge_count++] = (struct tasks_edge){waiter, (uintptr_t)awaited};
}

static int by_waiter(const void *a, const void *b)
{
	const struct tasks_edge *x = a, *y = b;

	if (x->waiter != y->waiter)
		return x->waiter < y->waiter ? -1 : 1;
	return x->awaited < y->awaited ? -1 : x->awaited > y->awaited;
}

/* Objects become indexes; what is no task that has been looked at, or has ended, falls out. No GIL. */
static void settle_edges(struct tasks *t)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < t->edge_count; i++) {
		uint32_t awaited = tasks_find(t, t->edges[i].awaited);

		if (awaited != TASKS_NONE && !t->items[awaited].gone && !t->items[t->edges[i].waiter].gone)
			t->edges[kept++] = (struct tasks_edge){t->edges[i].waiter, awaited};
	}
	t->edge_count = kept;
	if (kept > 1)
		qsort(t->edges, kept, sizeof *t->edges, by_waiter);
	kept = 0;
	for (uint32_t i = 0; i < t->edge_count; i++)
		if (kept == 0 || by_waiter(&t->edges[kept - 1], &t->edges[i]) != 0)
			t->edges[kept++] = t->edges[i];
	t->edge_count = kept;
	for (uint32_t i = 0; i < kept; i++) {
		struct tasks_one *one = &t->items[t->edges[i].waiter];

		if (one->edge_count++ == 0)
			one->first_edge = i;
	}
}

/* --- one task --- */

static int is_pending(PyObject *state)
{
	return state != NULL && PyUnicode_Check(state) && pytext_readable(state) && PyUnicode_IS_ASCII(state) &&
	       strcmp(PyUnicode_DATA(state), "PENDING") == 0;
}

static int has_ended(struct tasks *t, PyObject *task)
{
	PyObject *state = task_field(t->known, task, FIELD_STATE);
	int pending = state != NULL && state == t->known->pending;

	if (!pending && is_pending(state)) {
		pending = 1;
		Py_XSETREF(t->known->pending, Py_NewRef(state));
	}
	Py_XDECREF(state);
	return !pending;
}

void tasks_text(struct tasks *t, struct tasks_text *last, PyObject *object, struct pytext_ref *ref)
{
	struct span type;
	int rc;

	if (object == last->object) {
		*ref = last->ref;
		return;
	}
	if (PyUnicode_Check(object)) {
		rc = pytext_str(&t->text, object, TASKS_NAME_MAX, ref);
	} else {
		type = task_class_name((PyTypeObject *)object);
		rc = pytext_bytes(&t->text, type.data, type.len < TASKS_NAME_MAX ? type.len : TASKS_NAME_MAX, ref);
	}
	t->cut |= rc != 0;
	Py_XSETREF(last->object, Py_NewRef(object));
	last->ref = *ref;
}

static void read_names(struct tasks *t, struct tasks_one *one, PyObject *coroutine)
{
	PyObject *name = task_name(t->known, one->object);

	if (name != NULL)
		t->cut |= pytext_str(&t->text, name, TASKS_NAME_MAX, &one->name) != 0;
	Py_XDECREF(name);
	if (coroutine != NULL && (PyCoro_CheckExact(coroutine) || PyGen_CheckExact(coroutine)))
		tasks_text(t, &t->last_coroutine, ((PyGenObject *)coroutine)->gi_qualname, &one->coroutine);
	else if (coroutine != NULL)
		tasks_text(t, &t->last_coroutine, (PyObject *)Py_TYPE(coroutine), &one->coroutine);
}

/* What the innermost frame awaits, where neither its frames nor the future says it. */
static void read_end(struct tasks *t, struct tasks_one *one, const struct task_tail *tail)
{
	struct span type;

	if (tail->end == NULL || task_is_future(t->known, tail->end) || strcmp(Py_TYPE(tail->end)->tp_name, "_asyncio.FutureIter") == 0)
		return;
	type = task_type_name(tail->end);
	t->cut |= pytext_bytes(&t->text, type.data, type.len, &one->awaitable) != 0;
}

static int is_current(const struct tasks *t, const PyObject *task)
{
	for (uint32_t i = 0; i < t->loop_count; i++)
		if (t->loops[i].task == task)
			return 1;
	return 0;
}

static void read_one(struct tasks *t, uint32_t i)
{
	struct tasks_one *one = &t->items[i];
	struct task_tail tail = {.count = 0};
	PyObject *coroutine, *loop;

	if (has_ended(t, one->object)) {
		one->gone = 1;
		return;
	}
	coroutine = task_field(t->known, one->object, FIELD_CORO);
	loop = task_field(t->known, one->object, FIELD_LOOP);
	one->waits = task_field(t->known, one->object, FIELD_WAITER);
	one->loop = loop != NULL ? task_loops_add(t, loop) : TASKS_NONE;
	one->flags |= task_is_cancelled(t->known, one->object) ? TASK_CANCELLED : 0;
	read_names(t, one, coroutine);
	if (coroutine != NULL)
		task_stack_read(t, i, coroutine, &tail);
	read_end(t, one, &tail);
	if (tail.executing || is_current(t, one->object))
		one->state = TASK_RUNS;
	else if (tail.unbegun)
		one->state = TASK_UNBEGUN;
	else
		one->state = one->waits != NULL ? TASK_WAITS : TASK_READY;
	if (one->state == TASK_WAITS)
		task_waits_find(t, i, &tail);
	task_waits_of_callbacks(t, i);
	Py_XDECREF(loop);
	Py_XDECREF(coroutine);
}

/* --- all of them --- */

/* No GIL: only who still waits (TASK_STILL, which comes later) is certain to have had this fd until then. */
static void look_at_sockets(struct tasks *t)
{
	struct sockets_ends ends;

	for (uint32_t i = 0; i < t->count; i++) {
		struct tasks_one *one = &t->items[i];

		if (one->gone || one->fd < 0 || sockets_look(&ends, one->fd) != 0)
			continue;
		t->cut |= pytext_bytes(&t->text, ends.type, strlen(ends.type), &one->type) != 0;
		t->cut |= pytext_bytes(&t->text, ends.local, strlen(ends.local), &one->local) != 0;
		t->cut |= pytext_bytes(&t->text, ends.peer, strlen(ends.peer), &one->peer) != 0;
	}
}

/* Whose wait ended meanwhile: the fd may be another's by now. */
static void forget_sockets(struct tasks *t)
{
	for (uint32_t i = 0; i < t->count; i++) {
		struct tasks_one *one = &t->items[i];

		if (one->fd < 0 || (one->flags & TASK_STILL))
			continue;
		one->flags &= (uint8_t)~TASK_FD;
		one->type = one->local = one->peer = (struct pytext_ref){0, 0};
	}
}

/* What hangs on those that are read next: first what a pointer in the task itself leads to, then what is behind that. */
static void fetch_ahead(struct tasks *t, uint32_t first)
{
	for (uint32_t i = first + TASKS_AHEAD; i < first + 2 * TASKS_AHEAD && i < t->count; i++)
		tasks_fetch(t->items[i].object);
	for (uint32_t i = first; i < first + TASKS_AHEAD && i < t->count; i++) {
		PyObject *coroutine = task_field(t->known, t->items[i].object, FIELD_CORO);
		PyObject *waits = task_field(t->known, t->items[i].object, FIELD_WAITER);

		if (coroutine != NULL)
			tasks_fetch(coroutine);
		if (waits != NULL)
			tasks_fetch(waits);
		Py_XDECREF(coroutine);
		Py_XDECREF(waits);
	}
	for (uint32_t i = first; i < first + TASKS_AHEAD && i < t->count; i++) {
		PyObject *coroutine = task_field(t->known, t->items[i].object, FIELD_CORO);
		PyObject *next = coroutine != NULL ? task_stack_next(coroutine) : NULL;

		if (next != NULL)
			tasks_fetch(next);
		Py_XDECREF(next);
		Py_XDECREF(coroutine);
	}
}

static void read_all(struct tasks *t)
{
	task_loops_find(t);
	task_list_take(t);
	t->listed = 1;
	for (uint32_t i = 0; i < t->count; i++) {
		if (i % TASKS_AHEAD == 0 && !t->over)
			fetch_ahead(t, i);
		if (t->over)
			t->items[i].gone = 1;
		else
			read_one(t, i);
		t->omitted += t->over != 0;
		if (i % STEP == STEP - 1)
			(void)tasks_pause(t);
	}
	task_loops_describe(t);
}

void tasks_collect(struct tasks *t, struct frames *f)
{
	t->began_ns = gil_now_ns();
	t->frames = f;
	pytext_init(&t->text, TASKS_TEXT_MAX);
	if (make_room(t, FREE_TASKS) == 0)
		touch_room(t);
	tasks_slice_begin(t);
	t->known = task_objects_open();
	t->imported = t->known != NULL;
	if (t->imported)
		read_all(t);
	tasks_slice_end(t);
	if (t->imported && t->count > 0) {
		settle_edges(t);
		look_at_sockets(t);
		task_holders_find(t);
		forget_sockets(t);
	}
	t->took_ns = gil_now_ns() - t->began_ns;
}

/* What the source calls it at this spot; where many tasks are, it is read once. */
static struct pytext_ref name_at(struct tasks *t, const struct lines *lines, uint32_t index)
{
	const struct lines_spot *spot = &lines->spots[index];
	struct span name = columns_object(t->frames->codes[spot->code].code, spot->offset, pytext_span(&lines->text, spot->source), spot->indent);
	struct pytext_ref ref;

	t->cut |= pytext_bytes(&t->text, name.data, name.len, &ref) != 0;
	return ref;
}

void tasks_names(struct tasks *t, const struct lines *lines)
{
	struct pytext_ref *known = calloc(lines->spot_count + 1, sizeof *known);
	uint8_t *is_known = calloc(lines->spot_count + 1, 1);

	for (uint32_t i = 0; known != NULL && is_known != NULL && i < t->count; i++) {
		struct tasks_one *one = &t->items[i];
		uint32_t spot;

		if (one->gone || one->name_frame >= one->count)
			continue;
		spot = (uint32_t)t->frames->frames[one->first + one->name_frame].offset;
		if (!is_known[spot])
			known[spot] = name_at(t, lines, spot);
		is_known[spot] = 1;
		one->source_name = known[spot];
	}
	t->cut |= known == NULL || is_known == NULL;
	free(known);
	free(is_known);
}

static void drop(PyObject **reference)
{
	PyObject *object = *reference;

	*reference = NULL;
	Py_XDECREF(object);
}

void tasks_release(struct tasks *t)
{
	if (t->known == NULL)
		return;
	tasks_slice_begin(t);
	/* A finalizer may run anything: in its time the collector may too. */
	drop(&t->last_coroutine.object);
	drop(&t->last_type.object);
	for (uint32_t i = 0; i < t->count; i++) {
		if (i + TASKS_AHEAD < t->count)
			tasks_fetch(t->items[i + TASKS_AHEAD].object);
		drop(&t->items[i].wanted);
		drop(&t->items[i].waits);
		drop(&t->items[i].object);
		if (i % RELEASE_STEP == RELEASE_STEP - 1)
			(void)tasks_pause(t);
	}
	for (uint32_t i = 0; i < t->loop_count; i++) {
		drop(&t->loops[i].task);
		drop(&t->loops[i].loop);
	}
	task_objects_close(t->known);
	t->known = NULL;
	tasks_slice_end(t);
}

void tasks_free(struct tasks *t)
{
	free(t->items);
	free(t->edges);
	free(t->slots);
	free(t->functions);
	pytext_free(&t->text);
	memset(t, 0, sizeof *t);
}
