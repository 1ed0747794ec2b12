/*
 * greenlets.c: notes greenlets as they are come across, and in the end sorts them out. What they wait for: greenlet_waits.c.
 */
#include <Python.h>

#include "greenlets.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_frame.h> /* 3.14: what a frame object looks like is in none of the others */
#endif
#include "error.h"
#include "greenlet_types.h"
#include "greenlet_waits.h"
#include "kernel.h"
#include "sockets.h"

#define LINEAGE_MAX 1000 /* parents of parents */
#define NO_STACK UINT32_MAX

static struct {
	PyObject *name, *run, *thread_ident, *ident, *self;
} words;

void greenlets_init(void)
{
	greenlet_types_init();
	if (words.self != NULL)
		return;
	words.name = PyUnicode_InternFromString("name");
	words.run = PyUnicode_InternFromString("_run");
	words.thread_ident = PyUnicode_InternFromString("thread_ident");
	words.ident = PyUnicode_InternFromString("_ident");
	words.self = PyUnicode_InternFromString("self");
	PyErr_Clear();
}

int greenlets_there(void)
{
	return greenlet_types_base() != NULL;
}

int greenlets_open(struct greenlets *g, struct frames *frames, uint32_t max_frames)
{
	memset(g, 0, sizeof *g);
	pytext_init(&g->text, GREENLETS_TEXT_MAX);
	g->frames = frames;
	g->max_frames = max_frames;
	g->types = malloc(sizeof *g->types);
	return g->types != NULL ? 0 : PYSTUCK_ENOMEM;
}

void greenlets_free(struct greenlets *g)
{
	pytext_free(&g->text);
	free(g->list);
	free(g->links);
	free(g->locks);
	free(g->types);
	memset(g, 0, sizeof *g);
}

/* --- names --- */

/* The dict that greenlet's own class has room for; borrowed, NULL: none yet. */
static PyObject *dict_of(const struct greenlets *g, PyObject *o)
{
	PyObject *dict = *(PyObject **)(void *)((char *)o + g->types->greenlet->tp_dictoffset);

	return dict != NULL && PyDict_CheckExact(dict) ? dict : NULL;
}

static PyObject *in_dict(PyObject *dict, PyObject *name)
{
	PyObject *value = dict != NULL && name != NULL ? PyDict_GetItemWithError(dict, name) : NULL;

	PyErr_Clear();
	return value;
}

/* What a greenlet will run, or runs: a function's name, a new reference. */
static PyObject *name_of_function(PyObject *run)
{
	if (run != NULL && Py_IS_TYPE(run, &PyMethod_Type))
		run = PyMethod_GET_FUNCTION(run);
	if (run == NULL)
		return NULL;
	if (PyFunction_Check(run))
		return Py_NewRef(((PyFunctionObject *)run)->func_qualname);
	/* Of C or Cython: its own getter, not one of a class of the program's. */
	return greenlet_types_get(run, NULL, "__qualname__");
}

static void copy_str(struct greenlets *g, PyObject *name, struct pytext_ref *to)
{
	if (name != NULL && PyUnicode_Check(name))
		pytext_str(&g->text, name, GREENLETS_NAME_MAX, to);
	Py_XDECREF(name);
}

static void copy_outermost(struct greenlets *g, struct greenlet *one)
{
	const struct frames_thread *t = &g->frames->threads[one->stack];
	struct span name;

	if (t->count == 0 || t->omitted > 0)
		return;
	name = pytext_span(&g->frames->text, g->frames->codes[g->frames->frames[t->first + t->count - 1].code].function);
	pytext_bytes(&g->text, name.data, name.len < GREENLETS_NAME_MAX ? name.len : GREENLETS_NAME_MAX, &one->name);
}

/* The name that it was given, or what it runs. */
static void copy_name(struct greenlets *g, PyObject *o, struct greenlet *one)
{
	PyObject *dict = dict_of(g, o), *run = NULL;
	const char *type = greenlet_types_name(Py_TYPE(o));

	pytext_bytes(&g->text, type, strnlen(type, GREENLETS_NAME_MAX), &one->type);
	copy_str(g, Py_XNewRef(in_dict(dict, words.name)), &one->name);
	if (one->name.len == 0)
		copy_str(g, name_of_function(in_dict(dict, words.run)), &one->name);
	if (one->name.len == 0 && one->state == 0) {
		run = greenlet_types_get(o, g->types->greenlet, "run");
		copy_str(g, name_of_function(run), &one->name);
		/* One that was not begun says so by having something to run. */
		if (run != NULL)
			one->state = GREENLET_NEW;
		Py_XDECREF(run);
	}
	if (one->name.len == 0 && one->stack != NO_STACK)
		copy_outermost(g, one);
}

/* --- threads --- */

static uint64_t number_in(PyObject *dict, PyObject *name)
{
	PyObject *v = in_dict(dict, name);
	uint64_t n = v != NULL && PyLong_CheckExact(v) ? PyLong_AsUnsignedLongLong(v) : 0;

	if (PyErr_Occurred()) {
		PyErr_Clear();
		n = 0;
	}
	return n;
}

/* Of a thread that threading has started: its outermost frame is a method of the Thread. */
static uint64_t ident_of_self(const compat_frame *f, const PyCodeObject *code)
{
	for (Py_ssize_t i = 0; i < compat_slots(code); i++) {
		PyObject *name, *value = compat_slot(f, code, i, &name), **dict;

		if (value == NULL || name != words.self)
			continue;
		dict = _PyObject_GetDictPtr(value);
		return dict != NULL && *dict != NULL && PyDict_CheckExact(*dict) ? number_in(*dict, words.ident) : 0;
	}
	return 0;
}

/* Whose thread it is when this is what the thread did first. */
static uint64_t ident_of_stack(const compat_frame *top)
{
	const compat_frame *outermost = NULL;
	const PyCodeObject *code = NULL;

	for (const compat_frame *f = top; f != NULL; f = compat_back(f))
		if (compat_code(f) != NULL) {
			outermost = f;
			code = compat_code(f);
		}
	if (outermost == NULL)
		return 0;
	if (!compat_is_function(code))
		return compat_main_ident();
	return PyUnicode_CompareWithASCIIString(code->co_name, "_bootstrap") == 0 ? ident_of_self(outermost, code) : 0;
}

/* --- one greenlet --- */

static struct greenlet *add(struct greenlets *g)
{
	uint32_t wanted = g->capacity > 0 ? g->capacity * 2 : 256;
	struct greenlet *list;

	if (g->count == g->capacity) {
		list = wanted <= GREENLETS_MAX ? realloc(g->list, wanted * sizeof *list) : NULL;
		if (list == NULL) {
			g->cut = 1;
			return NULL;
		}
		g->list = list;
		g->capacity = wanted;
	}
	g->list[g->count] = (struct greenlet){.order = g->count, .stack = NO_STACK, .fd = GREENLET_NO_FD};
	return &g->list[g->count++];
}

/* Where a frame object's frame is; NULL: it is none. */
static compat_frame *top_of(PyObject *frame)
{
	if (frame == NULL || !PyFrame_Check(frame))
		return NULL;
#if PY_VERSION_HEX >= 0x030B0000
	return ((PyFrameObject *)frame)->f_frame;
#else
	return (PyFrameObject *)frame;
#endif
}

/* The current greenlet has all its stack where it belongs; of others some may have been put away. */
static int has_saved(const struct greenlets *g, PyObject *o)
{
	PyObject *bytes = greenlet_types_get(o, g->types->greenlet, "_stack_saved");
	int saved = bytes != NULL && PyLong_CheckExact(bytes) && compat_int_bits(bytes) > 0;

	Py_XDECREF(bytes);
	return saved;
}

static void read_stack(struct greenlets *g, struct greenlet *one, PyObject *o)
{
	PyObject *frame = greenlet_types_get(o, g->types->greenlet, "gr_frame");
	compat_frame *top = top_of(frame);

	/* Without a frame it is the current one, or has no Python function on its stack: find_current. */
	one->state = top != NULL || has_saved(g, o) ? GREENLET_SUSPENDED : GREENLET_CURRENT;
	if (top != NULL && frames_add(g->frames, top, g->max_frames) == 0)
		one->stack = g->frames->thread_count - 1;
	else if (top != NULL)
		g->cut = 1;
	if (top != NULL && one->parent == 0)
		one->ident = ident_of_stack(top);
	Py_XDECREF(frame);
}

static void note(struct greenlets *g, PyObject *o)
{
	PyObject *parent = greenlet_types_get(o, g->types->greenlet, "parent");
	struct greenlet *one = add(g);

	if (one == NULL) {
		Py_XDECREF(parent);
		return;
	}
	one->at = (uintptr_t)o;
	if (parent != NULL && parent != Py_None)
		one->parent = (uintptr_t)parent;
	Py_XDECREF(parent);
	if (g->types->greenlet->tp_as_number->nb_bool(o) > 0)
		read_stack(g, one, o);
	if (one->parent == 0)
		one->flags |= GREENLET_MAIN;
	copy_name(g, o, one);
	if (g->types->gevent && strcmp(greenlet_types_name(Py_TYPE(o)), "Hub") == 0) {
		one->flags |= GREENLET_HUB;
		one->ident = number_in(dict_of(g, o), words.thread_ident);
	}
}

void greenlets_visit(void *to, PyObject *object)
{
	struct greenlets *g = to;
	enum greenlet_kind kind = greenlet_types_kind(g->types, Py_TYPE(object));

	if (kind == KIND_OTHER)
		return;
	if (kind == KIND_GREENLET)
		note(g, object);
	greenlet_waits_visit(g, object, kind);
}

/* --- all of them --- */

static int by_address(const void *a, const void *b)
{
	const struct greenlet *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->order > y->order ? -1 : x->order < y->order;
}

static int by_order(const void *a, const void *b)
{
	const struct greenlet *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

static int by_at(const void *a, const void *b)
{
	const struct greenlet *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static struct greenlet *find(const struct greenlets *g, uintptr_t at)
{
	struct greenlet wanted = {.at = at};

	return at != 0 && g->count > 0 ? bsearch(&wanted, g->list, g->count, sizeof *g->list, by_at) : NULL;
}

/* Of those that were seen more than once, what was seen last. */
static void drop_doubles(struct greenlets *g)
{
	uint32_t kept = 0;

	if (g->count > 0)
		qsort(g->list, g->count, sizeof *g->list, by_address);
	for (uint32_t i = 0; i < g->count; i++)
		if (kept == 0 || g->list[kept - 1].at != g->list[i].at)
			g->list[kept++] = g->list[i];
	g->count = kept;
}

/* All threads but ours and those that are not in Python; 0 when there is not exactly one. */
static uint64_t only_ident(void)
{
	uint64_t ident = 0;
	uint32_t n = 0;

	if (!compat_head_lock())
		return 0;
	for (PyThreadState *t = compat_first_thread(); t != NULL; t = compat_next_thread(t))
		if (compat_top_frame(t) != NULL) {
			ident = t->thread_id;
			n++;
		}
	compat_head_unlock();
	return n == 1 ? ident : 0;
}

int greenlets_slice(struct greenlets *g)
{
	g->only_ident = only_ident();
	return greenlet_types_begin(g->types);
}

/* A hub knows its thread; those above and below it are of the same one. */
static void find_threads(struct greenlets *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct greenlet *above = find(g, g->list[i].parent);

		if ((g->list[i].flags & GREENLET_HUB) && above != NULL && above->ident == 0)
			above->ident = g->list[i].ident;
	}
	for (uint32_t i = 0; i < g->count; i++) {
		struct greenlet *one = &g->list[i], *above = one;

		for (int n = 0; n < LINEAGE_MAX && above != NULL && above->ident == 0; n++)
			above = find(g, above->parent);
		if (one->ident == 0)
			one->ident = above != NULL ? above->ident : g->only_ident;
	}
}

static int by_thread(const void *a, const void *b)
{
	const struct greenlet *const *x = a, *const *y = b;

	return (*x)->ident < (*y)->ident ? -1 : (*x)->ident > (*y)->ident;
}

/*
 * Each thread has one current greenlet. Who waits for something is none; a hub is one if it may be, since it is written in Python; and
 * of what else may be one, it cannot be told which.
 */
static void find_current(struct greenlets *g)
{
	struct greenlet **may = malloc((g->count + 1) * sizeof(void *));
	uint32_t n = 0, end, hubs;

	for (uint32_t i = 0; may != NULL && i < g->count; i++) {
		struct greenlet *one = &g->list[i];

		if (one->state == GREENLET_CURRENT && one->wait != GREENLET_FOR_UNKNOWN)
			one->state = GREENLET_SUSPENDED;
		else if (one->state == GREENLET_CURRENT)
			may[n++] = one;
	}
	if (n > 0)
		qsort(may, n, sizeof(void *), by_thread);
	for (uint32_t i = 0; i < n; i = end) {
		hubs = 0;
		for (end = i; end < n && may[end]->ident == may[i]->ident; end++)
			hubs += (may[end]->flags & GREENLET_HUB) != 0;
		for (uint32_t k = i; end - i > 1 && k < end; k++)
			if (hubs != 1 || !(may[k]->flags & GREENLET_HUB))
				may[k]->state = GREENLET_SUSPENDED;
	}
	free(may);
}

/* Dead ones are of no interest, nor what we ourselves have: a greenlet of a thread that has nothing to do with greenlets. */
static void drop_dead(struct greenlets *g)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < g->count; i++) {
		struct greenlet *one = &g->list[i];

		if (one->state == 0 && (one->wait == GREENLET_FOR_TURN || one->wait == GREENLET_FOR_TIME))
			one->state = GREENLET_NEW;
		if (one->state != 0)
			g->list[kept++] = *one;
	}
	g->count = kept;
}

/* --- what their fds are --- */

static void put(struct greenlets *g, const char *text, struct pytext_ref *ref)
{
	pytext_bytes(&g->text, text, strlen(text), ref);
}

static void look_at_fd(struct greenlets *g, struct greenlet *one)
{
	struct sockets_ends ends;
	char path[KERNEL_PATH];

	if (sockets_look(&ends, (int)one->fd) == 0) {
		put(g, ends.type, &one->object_type);
		put(g, ends.local, &one->local);
		put(g, ends.peer, &one->peer);
	} else if (kernel_path(path, (int)one->fd) > 0) {
		put(g, path, &one->path);
	}
}

static void look_at_fds(struct greenlets *g)
{
	for (uint32_t i = 0; i < g->count; i++) {
		struct greenlet *one = &g->list[i];

		if (one->wait == GREENLET_FOR_IO && one->fd != GREENLET_NO_FD)
			look_at_fd(g, one);
		else if (one->is_rlock)
			put(g, "RLock", &one->object_type);
	}
}

void greenlets_finish(struct greenlets *g)
{
	drop_doubles(g);
	find_threads(g);
	greenlet_waits_join(g);
	find_current(g);
	drop_dead(g);
	look_at_fds(g);
	if (g->count > 0)
		qsort(g->list, g->count, sizeof *g->list, by_order);
}
