/*
 * run.c: a session's namespace, running a cell in it, and the value or exception as text. Compiling
 * is in cell.c, tracebacks are made in raised.c, the thread it happens on is eval.c's.
 */
#include <Python.h>

#include "run.h"

#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "compat_eval.h"
#include "modules.h"
#include "raised.h"
#include "text.h"

#define OUT_MAX 1000 /* values that `Out` keeps: the oldest go first */
#define CUT_MARK "\n  ... %zu bytes left out ...\n"

struct run_space {
	PyObject *names; /* the namespace: the globals of every cell */
	PyObject *out;   /* what `Out` was at the start, whatever it is now */
	struct raised_sources sources;
};

int run_init(void)
{
	return modules_init() == 0 ? cell_init() : -1;
}

/* --- the namespace -------------------------------------------------------- */

static int set_new(PyObject *dict, const char *name, PyObject *value)
{
	int rc = value != NULL ? PyDict_SetItemString(dict, name, value) : -1;

	Py_XDECREF(value);
	return rc;
}

static int fill_names(struct run_space *s, PyObject *extra)
{
	PyObject *n = s->names;

	if (set_new(n, "__builtins__", PyImport_ImportModule("builtins")) != 0 ||
		set_new(n, "__name__", PyUnicode_FromString("__pystuck__")) != 0 ||
		set_new(n, "modules", modules_new()) != 0 ||
		set_new(n, "_", Py_NewRef(Py_None)) != 0 ||
		set_new(n, "__", Py_NewRef(Py_None)) != 0 ||
		set_new(n, "___", Py_NewRef(Py_None)) != 0 ||
		set_new(n, "Out", Py_NewRef(s->out)) != 0)
		return -1;
	return extra != NULL ? PyDict_Update(n, extra) : 0;
}

struct run_space *run_space_new(PyObject *extra)
{
	struct run_space *s = calloc(1, sizeof *s);

	if (s == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	s->names = PyDict_New();
	s->out = PyDict_New();
	if (s->names != NULL && s->out != NULL && raised_sources_init(&s->sources) == 0 &&
		fill_names(s, extra) == 0)
		return s;
	PyObject *failed = compat_take_raised();
	run_space_free(s);
	compat_set_raised(failed);
	return NULL;
}

/*
 * A function that was typed at the prompt and the namespace refer to each other. 1 when such
 * functions, which nobody else has, are all that still refers to the namespace. Functions that were
 * put into the program must go on working there.
 */
static int is_private(PyObject *names)
{
	Py_ssize_t references = 1, at = 0;
	PyObject *name, *value;

	while (PyDict_Next(names, &at, &name, &value))
		if (PyFunction_Check(value) && Py_REFCNT(value) == 1 &&
			PyFunction_GetGlobals(value) == names)
			references++;
	return Py_REFCNT(names) == references;
}

/* What only a prompt has a use for. The rest of the namespace may be in use by functions that live
 * on in the program. */
static void drop_results(struct run_space *s)
{
	static const char *const results[] = {"_", "__", "___", "Out"};

	for (size_t i = 0; i < sizeof results / sizeof *results; i++)
		if (PyDict_DelItemString(s->names, results[i]) != 0)
			PyErr_Clear();
	if (s->out != NULL)
		PyDict_Clear(s->out);
}

void run_space_free(struct run_space *s)
{
	if (s == NULL)
		return;
	if (s->names != NULL) {
		drop_results(s);
		if (is_private(s->names))
			PyDict_Clear(s->names);
	}
	Py_CLEAR(s->names);
	Py_CLEAR(s->out);
	raised_sources_clear(&s->sources);
	PyErr_Clear();
	free(s);
}

void run_spaces(const struct run_space *s, struct look_spaces *out)
{
	PyObject *builtins = look_name(s->names, span_text("__builtins__"));

	*out = (struct look_spaces){.dicts = {s->names}};
	if (builtins != NULL && PyModule_Check(builtins))
		out->dicts[LOOK_SPACES - 1] = PyModule_GetDict(builtins);
	Py_XDECREF(builtins);
}

/* --- texts ---------------------------------------------------------------- */

void run_result_clear(struct run_result *result)
{
	free(result->text);
	result->text = NULL;
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

static void take_exception(struct run_space *s, const int *interrupted, struct run_result *result)
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
	text = result->status == RESULT_EXIT ? exit_text(raised) : raised_text(raised, &s->sources);
	if (text != NULL)
		copy_str(result, text, copy_ends);
	else
		copy_text(result, span_text("MemoryError"));
	Py_XDECREF(text);
	Py_DECREF(raised);
}

/* --- values --------------------------------------------------------------- */

/* A quarter of `Out` at once: finding the oldest takes longer the more of its oldest are gone. */
static int drop_oldest(PyObject *out)
{
	PyObject *numbers = PySequence_List(out);
	int rc = numbers != NULL ? 0 : -1;

	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(numbers) / 4; i++)
		if (PyDict_Contains(out, PyList_GET_ITEM(numbers, i)) == 1)
			rc = PyDict_DelItem(out, PyList_GET_ITEM(numbers, i));
	Py_XDECREF(numbers);
	return rc;
}

/* Moves the last values on, as IPython does, and keeps this one under its cell's number. 0, or -1
 * with an exception. */
static int keep_value(struct run_space *s, PyObject *value, uint32_t cell)
{
	PyObject *number = PyLong_FromUnsignedLong(cell), *one, *two;
	int rc = -1;

	if (number == NULL)
		return -1;
	one = Py_XNewRef(PyDict_GetItemString(s->names, "_"));
	two = Py_XNewRef(PyDict_GetItemString(s->names, "__"));
	if ((two == NULL || PyDict_SetItemString(s->names, "___", two) == 0) &&
		(one == NULL || PyDict_SetItemString(s->names, "__", one) == 0) &&
		PyDict_SetItemString(s->names, "_", value) == 0)
		rc = PyDict_SetItem(s->out, number, value);
	if (rc == 0 && PyDict_GET_SIZE(s->out) > OUT_MAX)
		rc = drop_oldest(s->out);
	Py_XDECREF(one);
	Py_XDECREF(two);
	Py_DECREF(number);
	return rc;
}

/* "<repr of Foo object at 0x7f.. raised ValueError: x>" for the exception that is set. */
static PyObject *repr_failed(PyObject *value)
{
	PyObject *raised = compat_take_raised();
	PyObject *line = raised != NULL ? raised_line(raised) : NULL;
	PyObject *text = NULL;

	if (line != NULL)
		text = PyUnicode_FromFormat("<repr of %s object at %p raised %U>",
			Py_TYPE(value)->tp_name, (void *)value, line);
	PyErr_Clear();
	Py_XDECREF(line);
	Py_XDECREF(raised);
	return text;
}

static void take_value(struct run_space *s, const struct run_request *r, PyObject *value,
	const int *interrupted, struct run_result *result)
{
	PyObject *text;

	result->status = RESULT_NONE;
	if (value == Py_None)
		return;
	result->status = RESULT_VALUE;
	if (keep_value(s, value, r->cell) != 0) {
		take_exception(s, interrupted, result);
		return;
	}
	text = PyObject_Repr(value);
	if (text == NULL && *interrupted && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
		take_exception(s, interrupted, result);
		return;
	}
	if (text == NULL)
		text = repr_failed(value);
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
	Py_XDECREF(line);
	Py_XDECREF(raised);
}

int run_start(const struct run_request *r, PyObject **source, const int *interrupted,
	struct run_result *result)
{
	int keyboard;

	*result = (struct run_result){.status = RESULT_NONE};
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

/* Runs what was compiled; a new reference to the value, or NULL with an exception. */
static PyObject *execute(struct run_space *s, const struct cell *c)
{
	PyObject *value;

	if (c->body != NULL) {
		value = PyEval_EvalCode(c->body, s->names, s->names);
		if (value == NULL || c->value == NULL)
			return value;
		Py_DECREF(value);
	}
	return c->value != NULL ? PyEval_EvalCode(c->value, s->names, s->names)
				: Py_NewRef(Py_None);
}

/* 0 when it has been run or is incomplete, -1 with an exception. */
static int run_cell(struct run_space *s, const struct run_request *r, PyObject *source,
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
	if (rc != 0 || raised_keep_source(&s->sources, file, source) != 0) {
		rc = -1;
		goto out;
	}
	/* What was sent while it was compiled may have been taken for an error of that. */
	if (*interrupted)
		PyErr_SetString(PyExc_KeyboardInterrupt, "before it began");
	else
		value = execute(s, &c);
	rc = value != NULL ? 0 : -1;
	if (value != NULL)
		take_value(s, r, value, interrupted, result);
out:
	Py_XDECREF(value);
	cell_clear(&c);
	Py_DECREF(file);
	return rc;
}

void run_finish(struct run_space *s, const struct run_request *r, PyObject *source,
	const int *interrupted, struct run_result *result)
{
	if (run_cell(s, r, source, interrupted, result) != 0)
		take_exception(s, interrupted, result);
}
