/*
 * run.c: running a cell in a session's namespace, and the value or exception as text. The namespace is
 * in space.c, compiling in cell.c, tracebacks are made in raised.c, the thread it happens on is eval.c's.
 */
#include <Python.h>

#include "run.h"

#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "compat_eval.h"
#include "eval_self.h"
#include "execute.h"
#include "modules.h"
#include "pretty.h"
#include "prompt.h"
#include "prompt_frame.h"
#include "raised.h"
#include "text.h"

#define PRETTY_BYTES (8u << 20) /* of a value's text before it is cut to RUN_TEXT_MAX */
#define CUT_MARK "\n  ... %zu bytes left out ...\n"

int run_init(void)
{
	return modules_init() == 0 ? cell_init() : -1;
}

/* --- texts ---------------------------------------------------------------- */

void run_result_clear(struct run_result *result)
{
	free(result->text);
	free(result->type);
	free(result->message);
	result->text = result->type = result->message = NULL;
	result->len = 0;
}

static void copy_text(struct run_result *result, struct span text)
{
	result->total = text.len;
	result->len = text_whole(text, RUN_TEXT_MAX);
	result->text = malloc(result->len > 0 ? result->len : 1);
	if (result->text == NULL)
		result->len = 0;
	else
		memcpy(result->text, text.data, result->len);
}

/* A traceback that is too long is cut in its middle: it begins with where, and ends with what. */
static void copy_ends(struct run_result *result, struct span text)
{
	char mark[sizeof CUT_MARK + 20];
	size_t half = RUN_TEXT_MAX / 2 - sizeof mark, head, tail = half, n;

	if (text.len <= RUN_TEXT_MAX) {
		copy_text(result, text);
		return;
	}
	result->total = text.len;
	head = text_whole(text, half);
	while (tail > 0 && (text.data[text.len - tail] & 0xC0) == 0x80)
		tail--;
	n = (size_t)snprintf(mark, sizeof mark, CUT_MARK, text.len - head - tail);
	result->text = malloc(head + n + tail);
	if (result->text == NULL)
		return;
	memcpy(result->text, text.data, head);
	memcpy(result->text + head, mark, n);
	memcpy(result->text + head + n, text.data + text.len - tail, tail);
	result->len = head + n + tail;
}

static void copy_str(
	struct run_result *result, PyObject *str, void (*copy)(struct run_result *, struct span))
{
	PyObject *bytes = NULL;
	struct span text;

	if (PyUnicode_IS_ASCII(str)) {
		text = (struct span){PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str)};
		copy(result, text);
		return;
	}
	bytes = PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace");
	if (bytes == NULL) {
		PyErr_Clear();
		copy(result, span_text("<no memory for the text>"));
		return;
	}
	text = (struct span){
		(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
	copy(result, text);
	Py_DECREF(bytes);
}

/* --- exceptions ----------------------------------------------------------- */

/* "SystemExit: 3 (caught: the program goes on)" */
static PyObject *exit_text(PyObject *raised)
{
	PyObject *line = raised_line(raised);
	PyObject *text = line != NULL
				 ? PyUnicode_FromFormat("%U (caught: the program goes on)", line)
				 : NULL;

	Py_XDECREF(line);
	PyErr_Clear();
	return text;
}

/*
 * CPython notes for the whole process when KeyboardInterrupt itself leaves an exec() of a str, and
 * then ends the program with SIGINT where it should have ended with its exit status. The next such
 * call, however small, makes it forget.
 */
static void forget_unhandled_interrupt(PyObject *raised)
{
	PyObject *names, *none;

	if (!Py_IS_TYPE(raised, (PyTypeObject *)PyExc_KeyboardInterrupt))
		return;
	names = PyDict_New();
	none = names != NULL ? PyRun_String("None", Py_eval_input, names, names) : NULL;
	Py_XDECREF(none);
	Py_XDECREF(names);
	PyErr_Clear();
}

/* Of a prompt, the last one is kept for %debug. */
static void keep_raised(struct space *s, PyObject *raised)
{
	PyObject *before = s->raised;

	s->raised = Py_NewRef(raised);
	Py_XDECREF(before);
}

/* A str as UTF-8, terminated, cut at `most` bytes; NULL: no memory. */
static char *copied(PyObject *str, size_t most)
{
	PyObject *bytes = PyUnicode_AsEncodedString(str, "utf-8", "backslashreplace");
	char *text = NULL;

	if (bytes != NULL) {
		struct span all = {(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};

		text = strndup(PyBytes_AS_STRING(bytes), text_whole(all, most));
	}
	PyErr_Clear();
	Py_XDECREF(bytes);
	return text;
}

/* The exception by its parts, for those who would have to take its traceback to pieces. */
static void take_parts(PyObject *raised, struct run_result *result)
{
	PyObject *type = raised_type(raised), *message = PyObject_Str(raised);

	PyErr_Clear();
	if (type != NULL)
		result->type = copied(type, MSG_NAME_MAX);
	if (message != NULL)
		result->message = copied(message, MSG_VALUE_MAX);
	Py_XDECREF(message);
	Py_XDECREF(type);
}

static void take_exception(struct space *s, const struct run_request *r, const int *interrupted, struct run_result *result)
{
	PyObject *raised = compat_take_raised();
	PyObject *text;

	run_result_clear(result);
	result->status = RESULT_RAISED;
	if (raised == NULL) {
		copy_text(result, span_text("MemoryError"));
		return;
	}
	forget_unhandled_interrupt(raised);
	if (PyErr_GivenExceptionMatches(raised, PyExc_SystemExit))
		result->status = RESULT_EXIT;
	else if (*interrupted && PyErr_GivenExceptionMatches(raised, PyExc_KeyboardInterrupt))
		result->status = RESULT_INTERRUPTED;
	if (eval_is_ending()) {
		Py_DECREF(raised);
		return;
	}
	text = result->status == RESULT_EXIT ? exit_text(raised) : raised_text(raised, &s->sources);
	if (text != NULL)
		copy_str(result, text, copy_ends);
	else
		copy_text(result, span_text("MemoryError"));
	if (result->parts)
		take_parts(raised, result);
	Py_XDECREF(text);
	if (r->prompt && result->status != RESULT_EXIT)
		keep_raised(s, raised);
	Py_DECREF(raised);
}

/* --- values --------------------------------------------------------------- */

/* Laid out for a person. 0, or -1 with an exception. */
static int take_pretty(struct space *s, PyObject *value, const int *interrupted, struct run_result *result)
{
	struct buf text;
	int rc, cut = 0;

	buf_init(&text, PRETTY_BYTES);
	rc = pretty_put(&text, value, s->width, interrupted, &cut);
	if (rc == 0)
		copy_text(result, buf_span(&text));
	buf_free(&text);
	return rc;
}

static void take_value(struct space *s, const struct run_request *r, PyObject *value,
	const int *interrupted, struct run_result *result)
{
	PyObject *text;

	result->status = RESULT_NONE;
	if (value == Py_None)
		return;
	result->status = RESULT_VALUE;
	if (space_keep_value(s, value, r->cell) != 0) {
		take_exception(s, r, interrupted, result);
		return;
	}
	if (r->prompt) {
		if (take_pretty(s, value, interrupted, result) != 0)
			take_exception(s, r, interrupted, result);
		return;
	}
	text = PyObject_Repr(value);
	if (text == NULL && *interrupted && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
		take_exception(s, r, interrupted, result);
		return;
	}
	if (text == NULL)
		text = pretty_failed(value);
	if (text != NULL)
		copy_str(result, text, copy_text);
	else
		copy_text(result, span_text("<repr failed: no memory>"));
	Py_XDECREF(text);
}

/* --- a cell --------------------------------------------------------------- */

static PyObject *decode_source(const struct run_request *r)
{
	PyObject *source = PyUnicode_DecodeUTF8(r->source, (Py_ssize_t)r->len, NULL);
	PyObject *raised;

	if (source != NULL || !PyErr_ExceptionMatches(PyExc_UnicodeDecodeError))
		return source;
	raised = compat_take_raised();
	PyErr_Format(PyExc_SyntaxError, "the source is not valid UTF-8: %S", raised);
	Py_XDECREF(raised);
	return NULL;
}

void run_failed(struct run_result *result)
{
	PyObject *raised = compat_take_raised();
	PyObject *line = raised != NULL ? raised_line(raised) : NULL;

	result->status = RESULT_RAISED;
	if (line != NULL)
		copy_str(result, line, copy_text);
	else
		copy_text(result, span_text("MemoryError"));
	if (raised != NULL && result->parts)
		take_parts(raised, result);
	Py_XDECREF(line);
	Py_XDECREF(raised);
}

int run_start(const struct run_request *r, PyObject **source, const int *interrupted,
	struct run_result *result)
{
	int keyboard;

	*result = (struct run_result){.status = RESULT_NONE, .parts = r->raised};
	*source = decode_source(r);
	if (*source == NULL) {
		run_failed(result);
		return 0;
	}
	if (PySys_Audit("pystuck.eval", "sO", r->who, *source) != 0) {
		keyboard = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
		run_failed(result);
		result->vetoed = !(keyboard && *interrupted);
		if (!result->vetoed)
			result->status = RESULT_INTERRUPTED;
		Py_CLEAR(*source);
		return 0;
	}
	return 1;
}

/* 0 when it has been run or is incomplete, -1 with an exception. `how`: of the prompt. */
static int run_python(struct space *s, const struct run_request *r, PyObject *source, const struct prompt_cell *how,
	const int *interrupted, struct run_result *result)
{
	char indent[CELL_INDENT_MAX];
	PyObject *file = PyUnicode_FromFormat("<pystuck In [%lu]>", (unsigned long)r->cell);
	PyObject *value = NULL;
	struct cell c = {NULL, NULL};
	int rc = -1;

	if (file == NULL)
		return -1;
	rc = cell_compile(&c, source, file, r->interactive, indent);
	if (rc == 1) {
		result->status = RESULT_INCOMPLETE;
		copy_text(result, span_text(indent));
		rc = 0;
		goto out;
	}
	if (rc != 0 || raised_keep_source(&s->sources, file, source) != 0 ||
		(r->prompt && space_keep_input(s, source, r->cell) != 0)) {
		rc = -1;
		goto out;
	}
	/* What was sent while it was compiled may have been taken for an error of that. */
	if (*interrupted)
		PyErr_SetString(PyExc_KeyboardInterrupt, "before it began");
	else
		value = execute(s->view != NULL ? s->view : s->names, &c, how);
	rc = value != NULL ? 0 : -1;
	if (value != NULL && !how->quiet)
		take_value(s, r, value, interrupted, result);
out:
	Py_XDECREF(value);
	cell_clear(&c);
	Py_DECREF(file);
	return rc;
}

/* What is not Python goes its own way. As run_python. */
static int run_cell(struct space *s, const struct run_request *r, PyObject *source, const int *interrupted,
	struct run_result *result)
{
	struct span text = {(const uint8_t *)r->source, r->len};
	struct prompt p = {.names = s->names, .cells = &s->sources, .width = &s->width, .space = s};
	struct prompt_cell how = {.source = text};
	PyObject *part;
	int rc = 0;

	if (r->prompt) {
		space_dicts(s, &p.spaces);
		rc = prompt_take(&p, text, &how);
		space_dicts_clear(&p.spaces);
	}
	how.loop = s->loop;
	if (rc == 0 && prompt_frame_is_over(s))
		rc = prompt_frame_over(s) == 0 ? 1 : -1;
	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (how.source.len == text.len)
		return run_python(s, r, source, &how, interrupted, result);
	part = PyUnicode_DecodeUTF8((const char *)how.source.data, (Py_ssize_t)how.source.len, NULL);
	if (part == NULL)
		return -1;
	rc = run_python(s, r, part, &how, interrupted, result);
	Py_DECREF(part);
	return rc;
}

void run_finish(struct space *s, const struct run_request *r, PyObject *source,
	const int *interrupted, struct run_result *result)
{
	if (run_cell(s, r, source, interrupted, result) != 0)
		take_exception(s, r, interrupted, result);
}
