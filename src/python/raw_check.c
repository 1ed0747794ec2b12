/*
 * raw_check.c: the self-test of the reader without the GIL, against the C API: on the stack of whoever imports us, which has
 * functions of Python and of C in it. It decides, and not the version number, whether such dumps are made.
 */
#include <Python.h>

#include "raw_check.h"

#include <string.h>

#include "compat.h"
#include "raw_names.h"
#include "raw_stacks.h"

#define FRAMES 12u /* innermost ones that are compared */

/* Whether a text is this str, as far as it goes. */
static int is_str(struct span text, PyObject *str)
{
	Py_ssize_t len = 0;
	const char *utf8 = PyUnicode_AsUTF8AndSize(str, &len);

	if (utf8 == NULL) {
		PyErr_Clear(); /* lone surrogates */
		return 1;
	}
	return text.len <= (size_t)len && (len == 0 || (text.len > 0 && memcmp(text.data, utf8, text.len) == 0));
}

static int is_frame(const struct raw_stacks *s, const struct raw_layout *l, const struct raw_frame *f, PyFrameObject *frame)
{
	PyCodeObject *code = PyFrame_GetCode(frame);
	const struct raw_code *item = raw_codes_item(&s->codes, f->code);
	int line = PyFrame_GetLineNumber(frame);
	int same = item->address == (uintptr_t)code && is_str(raw_codes_text(&s->codes, item->file), code->co_filename) &&
		   is_str(raw_codes_text(&s->codes, item->function), compat_qualname(code)) &&
		   raw_code_line(&s->codes, l, f->code, f->offset) == (line > 0 ? (uint32_t)line : 0);

	Py_DECREF(code);
	return same;
}

static int are_frames(const struct raw_stacks *s, const struct raw_layout *l, const struct raw_thread *t)
{
	PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get()), *back;
	uint32_t i = 0;
	int same = 1;

	for (; same && frame != NULL && i < t->count; i++) {
		same = is_frame(s, l, raw_stacks_frames(s, t) + i, frame);
		back = PyFrame_GetBack(frame);
		Py_DECREF(frame);
		frame = back;
	}
	/* Either both are at their end, or there are more than were asked for. */
	same = same && i == t->count && (frame == NULL) == (t->omitted == 0);
	Py_XDECREF(frame);
	return same;
}

static const char *check_stack(const struct raw_stacks *s, const struct raw_layout *l)
{
	PyThreadState *own = PyThreadState_Get();
	const struct raw_thread *t = raw_stacks_thread(s, 0);
	uint32_t tid = compat_native_tid(own);
	int collects, same;

	if (!s->settled || s->thread_count != 1)
		return "a thread that stands still was not read twice the same";
	if (t->ident != own->thread_id || t->tid != tid)
		return "the id of a thread was not read as it is";
	if (s->holder != (uintptr_t)own)
		return "the holder of the GIL was not read as it is";
	/* 3.11: walking frames by the C API makes objects, and that may set off a collection. */
	collects = PyGC_Disable();
	same = are_frames(s, l, t);
	if (collects)
		PyGC_Enable();
	return same ? NULL : "a stack was not read as it is";
}

/* The list of threads begins with one of this interpreter's, and sys.modules has what it has. */
static const char *check_lists(struct raw_mem *m, const struct raw_layout *l)
{
	PyObject *modules = PyImport_GetModuleDict();
	struct raw_dict d = {.count = 0};
	uintptr_t head, prev, interp, found;
	int right;

	if (!raw_mem_word(m, l->interp + l->interp_threads, &head) || !raw_mem_word(m, head + l->state_prev, &prev) ||
		!raw_mem_word(m, head + l->state_interp, &interp) || prev != 0 || interp != l->interp)
		return "the list of threads was not read as it is";
	right = raw_mem_word(m, l->interp + l->interp_modules, &found) && found == (uintptr_t)modules &&
		raw_dict_read(&d, m, l, found);
	for (uint32_t i = 0; right && i < d.count; i++) {
		PyObject *key = (PyObject *)raw_dict_key(&d, i);
		PyObject *value = (PyObject *)raw_dict_value(&d, i);

		/* The GIL is held: these are objects. A removed entry has no value. */
		if (value != NULL && (key == NULL || PyDict_GetItemWithError(modules, key) != value))
			right = 0;
	}
	PyErr_Clear();
	raw_dict_free(&d);
	return right ? NULL : "sys.modules was not read as it is";
}

const char *raw_check(struct raw_mem *m, const struct raw_layout *l)
{
	PyThreadState *own = PyThreadState_Get();
	const char *trouble = check_lists(m, l);
	struct raw_stacks s = {.thread_count = 0};
	int rc;

	if (trouble != NULL)
		return trouble;
	rc = raw_stacks_one(&s, m, l, (uintptr_t)own, FRAMES);
	trouble = rc == 0 ? check_stack(&s, l) : "a thread was not read as it is";
	raw_stacks_free(&s);
	return trouble;
}
