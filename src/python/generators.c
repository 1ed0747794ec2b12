/*
 * generators.c: notes generators as they are come across, each with all that it waits for in turn, and in the end puts these chains
 * together. A chain is of one slice: between two an address may have become another one's.
 */
#include <Python.h>

#include "generators.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "error.h"
#include "greenlet_types.h"
#include "msg.h"
#include "suspended.h"

#define FIRST 256u

void generators_open(struct generators *g, struct frames *frames, uint32_t max_frames)
{
	memset(g, 0, sizeof *g);
	g->frames = frames;
	g->max_frames = max_frames > 0 && max_frames < FRAMES_PER_THREAD_MAX ? max_frames : FRAMES_PER_THREAD_MAX;
}

void generators_slice(struct generators *g)
{
	g->slice++;
	g->first = g->count;
	if (g->slots != NULL)
		memset(g->slots, 0, g->slot_count * sizeof *g->slots);
}

void generators_free(struct generators *g)
{
	free(g->list);
	free(g->of_tasks);
	free(g->groups);
	free(g->slots);
	memset(g, 0, sizeof *g);
}

/* Room for one more at *array. 0: there is none. */
static int make_room(struct generators *g, void **array, uint32_t count, uint32_t *capacity, size_t size)
{
	uint32_t wanted = *capacity > 0 ? *capacity * 2 : FIRST;
	void *grown = NULL;

	if (count < *capacity)
		return 1;
	if (count < GENERATORS_MAX)
		grown = realloc(*array, wanted * size);
	if (grown == NULL) {
		g->cut = 1;
		return 0;
	}
	*array = grown;
	*capacity = wanted;
	return 1;
}

/* --- one object --- */

/* Its frame while it is suspended and has begun; NULL otherwise. */
static compat_frame *suspended_frame(PyObject *o)
{
	PyGenObject *gen = (PyGenObject *)o;
#if PY_VERSION_HEX >= 0x030B0000
	compat_frame *f = (compat_frame *)(void *)((char *)o + offsetof(PyGenObject, gi_iframe));

	return suspended_is(gen->gi_frame_state) ? f : NULL;
#else
	return gen->gi_frame != NULL && gen->gi_frame->f_state == FRAME_SUSPENDED ? gen->gi_frame : NULL;
#endif
}

/* enum generator_kind; 0: it is none. */
static uint8_t kind_of(const PyTypeObject *type)
{
	if (type == &PyGen_Type)
		return GENERATOR_PLAIN;
	if (type == &PyCoro_Type)
		return GENERATOR_COROUTINE;
	return type == &PyAsyncGen_Type ? GENERATOR_ASYNC : 0;
}

/* What it waits for, borrowed from it; NULL: nothing. */
static PyObject *awaited(PyObject *o, uint8_t kind)
{
	static const char *const names[] = {
		[GENERATOR_PLAIN] = "gi_yieldfrom", [GENERATOR_COROUTINE] = "cr_await", [GENERATOR_ASYNC] = "ag_await"};
	PyObject *next = greenlet_types_get(o, Py_TYPE(o), names[kind]);

	/* It stands on its stack. */
	Py_XDECREF(next);
	return next != Py_None ? next : NULL;
}

static uint32_t *slot_of(const struct generators *g, uintptr_t at)
{
	uint32_t mask = g->slot_count - 1, i = (uint32_t)((uint64_t)at * 0x9E3779B97F4A7C15u >> 32) & mask;

	while (g->slots[i] != 0 && g->list[g->slots[i] - 1].at != at)
		i = (i + 1) & mask;
	return &g->slots[i];
}

/* Keeps the table of this slice at most half full. */
static int grow_slots(struct generators *g)
{
	uint32_t size = g->slot_count > 0 ? g->slot_count : FIRST, used = g->count - g->first;
	uint32_t *slots;

	if (g->slots != NULL && used < g->slot_count / 2)
		return 1;
	while (used >= size / 2)
		size *= 2;
	slots = calloc(size, sizeof *slots);
	if (slots == NULL)
		return 0;
	free(g->slots);
	g->slots = slots;
	g->slot_count = size;
	for (uint32_t i = g->first; i < g->count; i++)
		*slot_of(g, g->list[i].at) = i + 1;
	return 1;
}

/* One of a chain: what it waits for, to be looked at next; NULL: nothing more. */
static PyObject *note(struct generators *g, PyObject *o, uint8_t kind)
{
	compat_frame *frame = suspended_frame(o);
	uint32_t before = g->frames->frame_count;
	void *array = g->list;
	PyObject *next;

	if (frame == NULL || !make_room(g, &array, g->count, &g->capacity, sizeof *g->list))
		return NULL;
	g->list = array;
	if (!grow_slots(g)) {
		g->cut = 1;
		return NULL;
	}
	if (*slot_of(g, (uintptr_t)o) != 0)
		return NULL;
	/* One frame each; the stack is put together in the end. */
	if (frames_add(g->frames, frame, 1) == 0)
		g->frames->thread_count--;
	if (g->frames->frame_count == before) {
		g->cut = 1;
		return NULL;
	}
	next = awaited(o, kind);
	*slot_of(g, (uintptr_t)o) = g->count + 1;
	g->list[g->count++] =
		(struct generator){.at = (uintptr_t)o, .next = (uintptr_t)next, .frame = before, .slice = g->slice, .kind = kind};
	return next;
}

static void note_task(struct generators *g, PyObject *task)
{
	PyObject *coro = greenlet_types_get(task, NULL, "_coro");
	void *array = g->of_tasks;

	if (coro != NULL && make_room(g, &array, g->task_count, &g->task_capacity, sizeof *g->of_tasks)) {
		g->of_tasks = array;
		g->of_tasks[g->task_count++] = (uintptr_t)coro;
	}
	Py_XDECREF(coro);
}

static int is_task(const PyTypeObject *type)
{
	return strcmp(type->tp_name, "_asyncio.Task") == 0 ||
	       (type->tp_base != NULL && type->tp_base != &PyBaseObject_Type && strcmp(type->tp_base->tp_name, "_asyncio.Task") == 0);
}

void generators_visit(void *to, PyObject *object)
{
	struct generators *g = to;
	const PyTypeObject *type = Py_TYPE(object);
	uint8_t kind = kind_of(type);

	if (kind == 0 && is_task(type))
		note_task(g, object);
	for (; kind != 0; kind = object != NULL ? kind_of(Py_TYPE(object)) : 0)
		object = note(g, object, kind);
}

/* --- all of them --- */

static int by_address(const void *a, const void *b)
{
	const struct generator *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->slice < y->slice ? -1 : x->slice > y->slice;
}

static struct generator *find(const struct generators *g, uintptr_t at, uint32_t slice)
{
	struct generator wanted = {.at = at, .slice = slice};

	return at != 0 && g->count > 0 ? bsearch(&wanted, g->list, g->count, sizeof *g->list, by_address) : NULL;
}

/* What it waits for, if that is one of them. */
static struct generator *next_of(const struct generators *g, const struct generator *one)
{
	struct generator *next = find(g, one->next, one->slice);

	return next != one ? next : NULL;
}

/* In the order of addresses; and who is waited for. */
static void sort_out(struct generators *g)
{
	struct generator *inner;

	if (g->count > 0)
		qsort(g->list, g->count, sizeof *g->list, by_address);
	for (uint32_t i = 0; i < g->count; i++)
		if ((inner = next_of(g, &g->list[i])) != NULL)
			inner->inner = 1;
	for (uint32_t i = 0; i < g->task_count; i++)
		for (uint32_t slice = 1; slice <= g->slice; slice++)
			if ((inner = find(g, g->of_tasks[i], slice)) != NULL)
				inner->inner = 1;
}

/* The one at `i`, of which there may be several, each of another slice: the last of them; NULL: it is waited for. *end: the next one. */
static const struct generator *root_at(const struct generators *g, uint32_t i, uint32_t *end)
{
	int inner = 0;

	for (*end = i; *end < g->count && g->list[*end].at == g->list[i].at; ++*end)
		inner |= g->list[*end].inner;
	return inner ? NULL : &g->list[*end - 1];
}

/* --- which stand in the same place --- */

/* A chain that has been written down: its frames, innermost first. */
struct chain {
	uint32_t *frames; /* room for `most` */
	uint32_t count, omitted;
	uint64_t digest;
};

struct table {
	uint32_t *slots; /* index of a group + 1, 0 for none */
	uint32_t mask;
};

static uint64_t mix(uint64_t digest, uint64_t v)
{
	digest = (digest ^ v) * 0x9E3779B97F4A7C15u;
	return digest ^ digest >> 29;
}

static void write_down(const struct generators *g, const struct generator *root, struct chain *c)
{
	const struct generator *one = root;
	uint32_t depth = 0, at;

	for (; one != NULL && depth < g->count; one = next_of(g, one))
		depth++;
	c->count = depth < g->max_frames ? depth : g->max_frames;
	c->omitted = depth - c->count;
	c->digest = mix(root->kind, depth);
	one = root;
	for (at = depth; at > 0; at--, one = next_of(g, one)) {
		const struct frames_frame *f = &g->frames->frames[one->frame];

		if (at <= c->count)
			c->frames[at - 1] = one->frame;
		c->digest = mix(c->digest, (uint64_t)f->code << 32 | (uint32_t)f->offset);
	}
}

static int same(const struct generators *g, const struct generator_group *group, const struct chain *c, uint8_t kind)
{
	const struct frames_thread *t = &g->frames->threads[group->stack];

	if (group->kind != kind || t->count != c->count || group->omitted != c->omitted)
		return 0;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct frames_frame *a = &g->frames->frames[t->first + i], *b = &g->frames->frames[c->frames[i]];

		if (a->code != b->code || a->offset != b->offset)
			return 0;
	}
	return 1;
}

static void count_in(struct generators *g, struct table *table, const struct chain *c, uint8_t kind)
{
	uint32_t i = (uint32_t)c->digest & table->mask;
	void *array = g->groups;

	for (; table->slots[i] != 0; i = (i + 1) & table->mask)
		if (same(g, &g->groups[table->slots[i] - 1], c, kind)) {
			g->groups[table->slots[i] - 1].count++;
			return;
		}
	if (!make_room(g, &array, g->group_count, &g->group_capacity, sizeof *g->groups))
		return;
	g->groups = array;
	if (frames_again(g->frames, c->frames, c->count) != 0) {
		g->cut = 1;
		return;
	}
	g->groups[g->group_count] = (struct generator_group){
		.stack = g->frames->thread_count - 1, .count = 1, .omitted = c->omitted, .kind = kind};
	table->slots[i] = ++g->group_count;
}

static int by_count(const void *a, const void *b)
{
	const struct generator_group *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->stack < y->stack ? -1 : x->stack > y->stack;
}

void generators_finish(struct generators *g)
{
	uint32_t size = 16, most;
	struct chain c = {NULL, 0, 0, 0};
	struct table table;

	sort_out(g);
	while (size < g->count * 2)
		size *= 2;
	most = g->count < g->max_frames ? g->count : g->max_frames;
	table = (struct table){calloc(size, sizeof *table.slots), size - 1};
	c.frames = malloc((most > 0 ? most : 1) * sizeof *c.frames);
	if (table.slots == NULL || c.frames == NULL)
		g->cut = 1;
	for (uint32_t i = 0, end; table.slots != NULL && c.frames != NULL && i < g->count; i = end) {
		const struct generator *root = root_at(g, i, &end);

		if (root == NULL)
			continue;
		write_down(g, root, &c);
		count_in(g, &table, &c, root->kind);
	}
	if (g->group_count > 0)
		qsort(g->groups, g->group_count, sizeof *g->groups, by_count);
	free(table.slots);
	free(c.frames);
}
