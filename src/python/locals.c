/*
 * locals.c: which variables the frames of a dump have. The text of a value is render.c's.
 */
#include "locals.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "gil.h"

#define FIRST_ITEMS 256u

static int make_room(struct locals *l)
{
	uint32_t wanted = l->capacity > 0 ? l->capacity * 2 : FIRST_ITEMS;
	struct locals_one *items;

	if (l->count < l->capacity)
		return 1;
	items = realloc(l->items, wanted * sizeof *items);
	if (items == NULL)
		return 0;
	l->items = items;
	l->capacity = wanted;
	return 1;
}

static int has_room(struct locals *l, size_t len)
{
	return l->text.used + (size_t)(l->count + 1) * LOCALS_COST + LOCALS_NAME_MAX + len <= LOCALS_BYTES_MAX && make_room(l);
}

/* 0 when there is no more room. */
static int add(struct locals *l, uint32_t thread, uint32_t frame, PyObject *name, PyObject *value)
{
	struct locals_one one = {.thread = thread, .frame = frame};
	char text[LOCALS_VALUE_MAX];
	size_t len = locals_render(text, value);

	if (!has_room(l, len) || pytext_str(&l->text, name, LOCALS_NAME_MAX, &one.name) != 0 ||
		pytext_bytes(&l->text, text, len, &one.value) != 0)
		return 0;
	l->items[l->count++] = one;
	return 1;
}

int locals_put(struct locals *l, uint32_t thread, uint32_t frame, struct span name, struct span value)
{
	struct locals_one one = {.thread = thread, .frame = frame};

	if (!has_room(l, value.len) || pytext_bytes(&l->text, name.data, name.len, &one.name) != 0 ||
		pytext_bytes(&l->text, value.data, value.len, &one.value) != 0)
		return 0;
	l->items[l->count++] = one;
	return 1;
}

/* ".0", the hidden parameter of a generator expression, is no name that anybody wrote. */
static int is_hidden(PyObject *name)
{
	return !pytext_readable(name) || PyUnicode_GET_LENGTH(name) == 0 ||
	       PyUnicode_READ_CHAR(name, 0) == '.';
}

/* What every module has, and what only says which other code it uses. */
static int is_furniture(PyObject *name, PyObject *value)
{
	Py_ssize_t n = PyUnicode_GET_LENGTH(name);
	int dunder = n > 4 && PyUnicode_READ_CHAR(name, 0) == '_' &&
		     PyUnicode_READ_CHAR(name, 1) == '_' &&
		     PyUnicode_READ_CHAR(name, n - 1) == '_' &&
		     PyUnicode_READ_CHAR(name, n - 2) == '_';

	return dunder || PyModule_Check(value) || PyFunction_Check(value) ||
	       PyCFunction_Check(value) || PyType_Check(value);
}

/* Parameters, locals, cells and free variables. 0: a limit was reached. */
static int read_slots(struct locals *l, const compat_frame *fr, const PyCodeObject *code,
	uint32_t thread, uint32_t frame, uint32_t *found)
{
	Py_ssize_t n = compat_slots(code);

	for (Py_ssize_t i = 0; i < n; i++) {
		PyObject *name = NULL, *value = compat_slot(fr, code, i, &name);

		if (value == NULL || is_hidden(name))
			continue;
		if (++*found > LOCALS_PER_FRAME_MAX) {
			l->cut = 1;
			break;
		}
		if (!add(l, thread, frame, name, value))
			return 0;
	}
	return 1;
}

/*
 * The namespace of a module, a class body, an exec(): only of an exact dict, others have code of
 * their own.
 */
static int read_namespace(
	struct locals *l, PyObject *names, uint32_t thread, uint32_t frame, uint32_t *found)
{
	PyObject *name, *value;
	Py_ssize_t at = 0;

	if (names == NULL || !PyDict_CheckExact(names))
		return 1;
	while (PyDict_Next(names, &at, &name, &value)) {
		if (is_hidden(name) || is_furniture(name, value))
			continue;
		if (++*found > LOCALS_PER_FRAME_MAX) {
			l->cut = 1;
			break;
		}
		if (!add(l, thread, frame, name, value))
			return 0;
	}
	return 1;
}

/* All variables of one frame. 0: a limit was reached, there is no point in going on. */
static int read_frame(struct locals *l, const compat_frame *fr, const PyCodeObject *code, uint32_t thread, uint32_t frame)
{
	uint32_t found = 0;

	if (gil_now_ns() > l->until_ns || !read_slots(l, fr, code, thread, frame, &found))
		return 0;
	return compat_is_function(code) || read_namespace(l, compat_namespace(fr), thread, frame, &found);
}

/* The same frames in the same order as frames_collect has kept. As read_frame. */
static int read_thread(struct locals *l, const struct frames_thread *t, uint32_t thread)
{
	uint32_t frame = 0;
	int complete;

	for (compat_frame *fr = t->top; fr != NULL && frame < t->count; fr = compat_back(fr)) {
		PyCodeObject *code = compat_code(fr);

		if (code == NULL)
			continue;
		compat_offset(fr, code, &complete);
		if (!complete)
			continue;
		if (!read_frame(l, fr, code, thread, frame))
			return 0;
		frame++;
	}
	return 1;
}

void locals_open(struct locals *l)
{
	memset(l, 0, sizeof *l);
	pytext_init(&l->text, LOCALS_BYTES_MAX);
	l->until_ns = gil_now_ns() + (uint64_t)LOCALS_US_MAX * 1000u;
}

void locals_of_frame(struct locals *l, const compat_frame *fr)
{
	const PyCodeObject *code = compat_code(fr);

	locals_open(l);
	if (code != NULL && !read_frame(l, fr, code, 0, 0))
		l->cut = 1;
}

void locals_collect(struct locals *l, const struct frames *f)
{
	locals_open(l);
	for (uint32_t i = 0; i < f->thread_count; i++)
		if (!read_thread(l, &f->threads[i], i)) {
			l->cut = 1;
			break;
		}
}

void locals_free(struct locals *l)
{
	free(l->items);
	pytext_free(&l->text);
	memset(l, 0, sizeof *l);
}
