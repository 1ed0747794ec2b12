/*
 * run.c: a session's namespace, running a cell in it, and the value or exception as text. Compiling
 * is in cell.c, tracebacks are made in raised.c, the thread it happens on is eval.c's.
 */
#include <Python.h>

#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cell.h"
#include "compat_eval.h"
#include "gil.h"
#include "help.h"
#include "modules.h"
#include "pretty.h"
#include "prompt.h"
#include "raised.h"
#include "text.h"

#define OUT_MAX 1000 /* values that `Out` keeps, and sources of `In`: the oldest go first */
#define PRETTY_BYTES (8u << 20) /* of a value's text before it is cut to RUN_TEXT_MAX */
#define INPUT_MAX 65536 /* characters of a source that is kept there */
#define CUT_MARK "\n  ... %zu bytes left out ...\n"

struct run_space {
	PyObject *names; /* the namespace: the globals of every cell */
	PyObject *out;   /* what `Out` was at the start, whatever it is now */
	PyObject *in;    /* the same of `In` */
	PyObject *last;  /* the source of the last cell, for `_i`; NULL before the first */
	size_t width;    /* of the client's terminal */
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
		set_new(n, "Out", Py_NewRef(s->out)) != 0 ||
		set_new(n, "In", Py_NewRef(s->in)) != 0 || set_new(n, "help", help_new()) != 0)
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
	s->in = PyDict_New();
	s->width = PROMPT_WIDTH;
	if (s->names != NULL && s->out != NULL && s->in != NULL && raised_sources_init(&s->sources) == 0 &&
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

/*
 * Takes the first `count` of Out or In away, and their names _3 or _i3, unless the user has put something else there. No exception
 * is set afterwards.
 */
static void forget_numbered(struct run_space *s, PyObject *dict, const char *format, Py_ssize_t count)
{
	PyObject *numbers = PySequence_List(dict);

	for (Py_ssize_t i = 0; numbers != NULL && i < count && i < PyList_GET_SIZE(numbers); i++) {
		PyObject *number = PyList_GET_ITEM(numbers, i), *name = NULL;
		PyObject *value = Py_XNewRef(PyDict_GetItemWithError(dict, number));

		if (value != NULL && PyLong_CheckExact(number))
			name = PyUnicode_FromFormat(format, number);
		if (name != NULL && PyDict_GetItemWithError(s->names, name) == value)
			(void)PyDict_DelItem(s->names, name);
		if (value != NULL)
			(void)PyDict_DelItem(dict, number);
		PyErr_Clear();
		Py_XDECREF(name);
		Py_XDECREF(value);
	}
	PyErr_Clear();
	Py_XDECREF(numbers);
}

/* What only a prompt has a use for. The rest of the namespace may be in use by functions that live
 * on in the program. */
static void drop_results(struct run_space *s)
{
	static const char *const results[] = {"_", "__", "___", "_i", "_ii", "_iii", "Out", "In", "help"};

	forget_numbered(s, s->out, "_%S", PyDict_GET_SIZE(s->out));
	forget_numbered(s, s->in, "_i%S", PyDict_GET_SIZE(s->in));
	for (size_t i = 0; i < sizeof results / sizeof *results; i++)
		if (PyDict_DelItemString(s->names, results[i]) != 0)
			PyErr_Clear();
	PyDict_Clear(s->out);
	PyDict_Clear(s->in);
}

void run_space_free(struct run_space *s)
{
	if (s == NULL)
		return;
	if (s->names != NULL && s->out != NULL && s->in != NULL) {
		drop_results(s);
		if (is_private(s->names))
			PyDict_Clear(s->names);
	}
	Py_CLEAR(s->names);
	Py_CLEAR(s->out);
	Py_CLEAR(s->in);
	Py_CLEAR(s->last);
	raised_sources_clear(&s->sources);
	PyErr_Clear();
	free(s);
}

PyObject *run_source(const struct run_space *s, PyObject *file)
{
	return s != NULL ? raised_source(&s->sources, file) : NULL;
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

/* Out[number] and _number. A quarter at once is dropped: finding the oldest takes longer the more of the oldest are gone. */
static int keep_numbered(struct run_space *s, PyObject *dict, PyObject *number, PyObject *value, const char *format)
{
	PyObject *name = PyUnicode_FromFormat(format, number);
	int rc = name != NULL ? PyDict_SetItem(s->names, name, value) : -1;

	if (rc == 0)
		rc = PyDict_SetItem(dict, number, value);
	if (rc == 0 && PyDict_GET_SIZE(dict) > OUT_MAX)
		forget_numbered(s, dict, format, OUT_MAX / 4);
	Py_XDECREF(name);
	return rc;
}

/* `first` moves on to `second`, that to `third`, and the value takes its place. */
static int move_on(PyObject *names, const char *const three[3], PyObject *value)
{
	PyObject *one = Py_XNewRef(PyDict_GetItemString(names, three[0]));
	PyObject *two = Py_XNewRef(PyDict_GetItemString(names, three[1]));
	int rc = -1;

	if ((two == NULL || PyDict_SetItemString(names, three[2], two) == 0) &&
		(one == NULL || PyDict_SetItemString(names, three[1], one) == 0))
		rc = PyDict_SetItemString(names, three[0], value);
	Py_XDECREF(one);
	Py_XDECREF(two);
	return rc;
}

/* What was typed, for In and _i3; and what was typed before it, for _i. */
static int keep_input(struct run_space *s, PyObject *source, uint32_t cell)
{
	static const char *const names[] = {"_i", "_ii", "_iii"};
	PyObject *number;
	int rc;

	if (PyUnicode_GetLength(source) > INPUT_MAX)
		return 0;
	number = PyLong_FromUnsignedLong(cell);
	if (number == NULL)
		return -1;
	rc = s->last != NULL ? move_on(s->names, names, s->last) : 0;
	Py_XSETREF(s->last, Py_NewRef(source));
	if (rc == 0)
		rc = keep_numbered(s, s->in, number, source, "_i%S");
	Py_DECREF(number);
	return rc;
}

/* Moves the last values on, as IPython does, and keeps this one under its cell's number. 0, or -1
 * with an exception. */
static int keep_value(struct run_space *s, PyObject *value, uint32_t cell)
{
	static const char *const names[] = {"_", "__", "___"};
	PyObject *number = PyLong_FromUnsignedLong(cell);
	int rc;

	if (number == NULL)
		return -1;
	rc = move_on(s->names, names, value);
	if (rc == 0)
		rc = keep_numbered(s, s->out, number, value, "_%S");
	Py_DECREF(number);
	return rc;
}

/* Laid out for a person. 0, or -1 with an exception. */
static int take_pretty(struct run_space *s, PyObject *value, const int *interrupted, struct run_result *result)
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
	if (r->prompt) {
		if (take_pretty(s, value, interrupted, result) != 0)
			take_exception(s, interrupted, result);
		return;
	}
	text = PyObject_Repr(value);
	if (text == NULL && *interrupted && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
		take_exception(s, interrupted, result);
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

/* What it took, to standard output, as IPython says it. */
static void say_time(uint64_t began, const struct rusage *before)
{
	struct rusage after;
	char text[160];
	double user, system;

	getrusage(RUSAGE_THREAD, &after);
	user = (double)(after.ru_utime.tv_sec - before->ru_utime.tv_sec) * 1e3 +
	       (double)(after.ru_utime.tv_usec - before->ru_utime.tv_usec) / 1e3;
	system = (double)(after.ru_stime.tv_sec - before->ru_stime.tv_sec) * 1e3 +
		 (double)(after.ru_stime.tv_usec - before->ru_stime.tv_usec) / 1e3;
	snprintf(text, sizeof text, "CPU times: user %.3f ms, sys: %.3f ms, total: %.3f ms\nWall time: %.3f ms\n", user, system,
		user + system, (double)(gil_now_ns() - began) / 1e6);
	if (prompt_say(text) != 0)
		PyErr_Clear();
}

static PyObject *execute_timed(struct run_space *s, const struct cell *c)
{
	struct rusage before;
	uint64_t began = gil_now_ns();
	PyObject *value, *raised;

	getrusage(RUSAGE_THREAD, &before);
	value = execute(s, c);
	raised = value == NULL ? compat_take_raised() : NULL;
	say_time(began, &before);
	if (raised != NULL)
		compat_set_raised(raised);
	return value;
}

/* 0 when it has been run or is incomplete, -1 with an exception. `how`: of the prompt. */
static int run_python(struct run_space *s, const struct run_request *r, PyObject *source, const struct prompt_cell *how,
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
		(r->prompt && keep_input(s, source, r->cell) != 0)) {
		rc = -1;
		goto out;
	}
	/* What was sent while it was compiled may have been taken for an error of that. */
	if (*interrupted)
		PyErr_SetString(PyExc_KeyboardInterrupt, "before it began");
	else
		value = how->timed ? execute_timed(s, &c) : execute(s, &c);
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
static int run_cell(struct run_space *s, const struct run_request *r, PyObject *source, const int *interrupted,
	struct run_result *result)
{
	struct span text = {(const uint8_t *)r->source, r->len};
	struct prompt p = {.names = s->names, .cells = &s->sources, .width = &s->width};
	struct prompt_cell how = {.source = text};
	PyObject *part;
	int rc = 0;

	if (r->prompt) {
		run_spaces(s, &p.spaces);
		rc = prompt_take(&p, text, &how);
	}
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

void run_finish(struct run_space *s, const struct run_request *r, PyObject *source,
	const int *interrupted, struct run_result *result)
{
	if (run_cell(s, r, source, interrupted, result) != 0)
		take_exception(s, interrupted, result);
}
