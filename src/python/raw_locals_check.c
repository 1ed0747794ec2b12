/*
 * raw_locals_check.c: the self-test of variables that are read without the GIL: values of each kind, and the frames of whoever
 * imports us, against what render.c and the C API say of them.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "raw_locals_check.h"

#include <string.h>

#include "compat.h"
#include "locals.h"
#include "raw_locals.h"
#include "raw_stacks.h"

#define FRAMES 4u /* innermost ones that are compared */

static int is_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static int same_value(struct raw_value_reader *r, PyObject *value)
{
	char ours[RAW_VALUE_MAX], right[LOCALS_VALUE_MAX];
	size_t n = raw_value_text(r, (uintptr_t)value, ours), m = locals_render(right, value);

	return is_text(ours, n, right, m);
}

/* Each kind of value that is told. */
static int are_values(struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v)
{
	struct raw_value_reader r;
	PyObject *list = Py_BuildValue("[OOOiiLdds#y#(i)(){s:[d]}[[[i]]]]", Py_None, Py_True, Py_False, 0, -7, 1LL << 40, 0.1, -2e300,
		"it's \\ \xc3\xa9 \xe4\xb8\xad\n", (Py_ssize_t)14, "a\0\xff\"", (Py_ssize_t)4, 1, "key", 2.0, 5);
	PyObject *set = list != NULL ? PyFrozenSet_New(PyList_GET_ITEM(list, 10)) : NULL;
	int same = list != NULL && set != NULL;

	raw_value_open(&r, m, l, v);
	for (Py_ssize_t i = 0; same && i < PyList_GET_SIZE(list); i++)
		same = same_value(&r, PyList_GET_ITEM(list, i));
	same = same && same_value(&r, list) && same_value(&r, set);
	raw_value_close(&r);
	Py_XDECREF(set);
	Py_XDECREF(list);
	return same;
}

/* The slots of a frame that are still to come, as the C API says. */
struct walk {
	const compat_frame *frame;
	PyCodeObject *code;
	Py_ssize_t next;
	int same;
};

/* The next variable that is shown at all, compared with what was read. Of an object only the name: render.c knows more of it. */
static int take(void *to, struct span name, struct span value)
{
	struct walk *w = to;
	char right[LOCALS_VALUE_MAX];
	PyObject *word = NULL, *object = NULL;
	const char *utf8 = NULL;
	Py_ssize_t len = 0;
	size_t n;

	for (; object == NULL && w->next < compat_slots(w->code); w->next++) {
		object = compat_slot(w->frame, w->code, w->next, &word);
		utf8 = object != NULL ? PyUnicode_AsUTF8AndSize(word, &len) : NULL;
		if (utf8 == NULL || len == 0 || *utf8 == '.')
			object = NULL;
	}
	/* What comes behind the slots is the namespace. */
	if (object == NULL)
		return 1;
	n = locals_render(right, object);
	w->same = is_text((const char *)name.data, name.len, utf8, (size_t)len < RAW_LOCALS_NAME ? (size_t)len : RAW_LOCALS_NAME) &&
		  (memchr(right, '<', n) != NULL || is_text((const char *)value.data, value.len, right, n));
	return w->same;
}

static int are_variables(struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v)
{
	PyThreadState *own = PyThreadState_Get();
	struct raw_stacks s = {.thread_count = 0};
	struct raw_locals r;
	compat_frame *frame = compat_top_frame(own);
	int same = raw_stacks_one(&s, m, l, (uintptr_t)own, FRAMES) == 0 && s.settled && s.thread_count == 1, complete;

	raw_locals_open(&r, m, l, v);
	raw_locals_thread(&r, (uintptr_t)own);
	for (uint32_t i = 0; same && i < raw_stacks_thread(&s, 0)->count; frame = compat_back(frame)) {
		struct walk w = {.frame = frame, .code = frame != NULL ? compat_code(frame) : NULL, .same = 1};

		if (frame == NULL)
			break;
		if (w.code == NULL)
			continue;
		compat_offset(frame, w.code, &complete);
		if (!complete)
			continue;
		same = raw_locals_frame(&r, raw_codes_item(&s.codes, raw_stacks_frames(&s, raw_stacks_thread(&s, 0))[i++].code),
			       take, &w) == 1 && w.same;
	}
	raw_locals_close(&r);
	raw_stacks_free(&s);
	return same;
}

/* As variables are read in earnest: by whole pages, which takes a fraction of the system calls. */
static int by_pages(int (*are)(struct raw_mem *, const struct raw_layout *, const struct raw_value_layout *), struct raw_mem *m,
	const struct raw_layout *l, const struct raw_value_layout *v)
{
	struct raw_pages pages;
	int same;

	raw_pages_open(&pages, m);
	same = are(&pages.mem, l, v);
	raw_pages_close(&pages);
	return same;
}

int raw_locals_check(struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v)
{
	int collects = PyGC_Disable();
	int same = by_pages(are_values, m, l, v) && by_pages(are_variables, m, l, v);

	if (collects)
		PyGC_Enable();
	PyErr_Clear();
	return same;
}
