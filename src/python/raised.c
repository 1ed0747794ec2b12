/*
 * raised.c: exceptions as text. Python's traceback module does the work; while it does, linecache
 * knows the session's cells. When that fails, for want of memory or because the exception fights
 * back, a plain text is made here.
 */
#include <Python.h>

#include "raised.h"

#include <time.h>

#include "compat_eval.h"
#include "forkgate.h"

#define SOURCES_MAX 1000            /* cells whose source is kept */
#define SOURCE_CHARS_MAX (4u << 20) /* of all of them */
#define PLAIN_FRAMES_MAX 40         /* frames in a plain text */
/* How long one session waits while another formats: file names of cells are the same in all
 * sessions. */
#define TURN_TRIES 200
#define TURN_PAUSE_NS 1000000

static int formatting; /* GIL held: somebody's cells are in linecache now */

/* --- sources -------------------------------------------------------------- */

int raised_sources_init(struct raised_sources *s)
{
	s->chars = 0;
	s->by_file = PyDict_New();
	return s->by_file != NULL ? 0 : -1;
}

void raised_sources_clear(struct raised_sources *s)
{
	s->chars = 0;
	Py_CLEAR(s->by_file);
}

/* A kept source is a str, or the entry that was made of it, whose first item is the length. */
static size_t source_chars(PyObject *kept)
{
	if (PyTuple_Check(kept))
		return PyLong_AsSize_t(PyTuple_GET_ITEM(kept, 0));
	return (size_t)PyUnicode_GetLength(kept);
}

static int forget_source(struct raised_sources *s, PyObject *file)
{
	PyObject *kept = PyDict_GetItemWithError(s->by_file, file);

	if (kept == NULL)
		return PyErr_Occurred() ? -1 : 0;
	s->chars -= source_chars(kept);
	return PyDict_DelItem(s->by_file, file);
}

/* A quarter of them at once: finding the oldest of a dict whose oldest are gone takes longer the
 * more of them are gone. */
static int forget_oldest(struct raised_sources *s)
{
	PyObject *files = PySequence_List(s->by_file);
	int rc = files != NULL ? 0 : -1;

	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(files) / 4 + 1; i++)
		rc = forget_source(s, PyList_GET_ITEM(files, i));
	Py_XDECREF(files);
	return rc;
}

int raised_keep_source(struct raised_sources *s, PyObject *file, PyObject *source)
{
	size_t chars = (size_t)PyUnicode_GetLength(source);

	if (forget_source(s, file) != 0)
		return -1;
	while (PyDict_GET_SIZE(s->by_file) >= SOURCES_MAX ||
		(s->chars + chars > SOURCE_CHARS_MAX && PyDict_GET_SIZE(s->by_file) > 0))
		if (forget_oldest(s) != 0)
			return -1;
	if (PyDict_SetItem(s->by_file, file, source) != 0)
		return -1;
	s->chars += chars;
	return 0;
}

PyObject *raised_source(const struct raised_sources *s, PyObject *file)
{
	PyObject *kept, *newline, *text = NULL;

	kept = PyUnicode_CheckExact(file) ? PyDict_GetItemWithError(s->by_file, file) : NULL;
	PyErr_Clear();
	if (kept == NULL || !PyTuple_Check(kept))
		return Py_XNewRef(kept);
	newline = PyUnicode_FromString("\n");
	if (newline != NULL)
		text = PyUnicode_Join(newline, PyTuple_GET_ITEM(kept, 2));
	PyErr_Clear();
	Py_XDECREF(newline);
	return text;
}

/* --- linecache ------------------------------------------------------------ */

/* (length, None, lines, file): None for the time of change means that linecache never looks for
 * such a file. */
static PyObject *cache_entry(PyObject *file, PyObject *source)
{
	PyObject *newline = PyUnicode_FromString("\n");
	PyObject *lines = newline != NULL ? PyUnicode_Split(source, newline, -1) : NULL;
	PyObject *entry = lines != NULL ? Py_BuildValue("nOOO", PyUnicode_GetLength(source),
						  Py_None, lines, file)
					: NULL;

	Py_XDECREF(lines);
	Py_XDECREF(newline);
	return entry;
}

/* linecache.cache, a new reference; NULL with an exception. */
static PyObject *line_cache(void)
{
	PyObject *linecache = forkgate_import("linecache");
	PyObject *cache = linecache != NULL ? PyObject_GetAttrString(linecache, "cache") : NULL;

	Py_XDECREF(linecache);
	if (cache != NULL && !PyDict_Check(cache)) {
		PyErr_SetString(PyExc_TypeError, "linecache.cache is not a dict");
		Py_CLEAR(cache);
	}
	return cache;
}

/* Values of by_file are replaced, which leaves a walk over it valid. */
static int put_lines(PyObject *cache, struct raised_sources *s)
{
	PyObject *file, *kept;
	Py_ssize_t at = 0;
	int rc = 0;

	while (rc == 0 && PyDict_Next(s->by_file, &at, &file, &kept)) {
		PyObject *entry = PyTuple_Check(kept) ? Py_NewRef(kept) : cache_entry(file, kept);

		if (entry == NULL)
			return -1;
		if (entry != kept)
			rc = PyDict_SetItem(s->by_file, file, entry);
		if (rc == 0)
			rc = PyDict_SetItem(cache, file, entry);
		Py_DECREF(entry);
	}
	return rc;
}

static void take_lines(PyObject *cache, struct raised_sources *s)
{
	PyObject *file, *kept;
	Py_ssize_t at = 0;

	while (PyDict_Next(s->by_file, &at, &file, &kept)) {
		if (PyDict_GetItemWithError(cache, file) == kept)
			PyDict_DelItem(cache, file);
		PyErr_Clear();
	}
}

/* --- with the traceback module -------------------------------------------- */

static PyObject *format_exception(PyObject *raised)
{
	PyObject *traceback = forkgate_import("traceback");
	PyObject *format =
		traceback != NULL ? PyObject_GetAttrString(traceback, "format_exception") : NULL;
	PyObject *trace = PyException_GetTraceback(raised);
	PyObject *empty = PyUnicode_FromString("");
	PyObject *lines = NULL, *text = NULL;

	if (format != NULL && empty != NULL)
		lines = PyObject_CallFunctionObjArgs(format, (PyObject *)Py_TYPE(raised), raised,
			trace != NULL ? trace : Py_None, NULL);
	if (lines != NULL)
		text = PyUnicode_Join(empty, lines);
	Py_XDECREF(lines);
	Py_XDECREF(empty);
	Py_XDECREF(trace);
	Py_XDECREF(format);
	Py_XDECREF(traceback);
	return text;
}

/* 1 when it is our turn. Another session may be held up in a __str__ of the program: then without
 * the cells' lines. */
static int take_turn(void)
{
	const struct timespec pause = {0, TURN_PAUSE_NS};

	for (int i = 0; formatting && i < TURN_TRIES; i++) {
		Py_BEGIN_ALLOW_THREADS nanosleep(&pause, NULL);
		Py_END_ALLOW_THREADS
	}
	if (formatting)
		return 0;
	formatting = 1;
	return 1;
}

static PyObject *format_with_cells(PyObject *raised, struct raised_sources *s)
{
	PyObject *cache = line_cache();
	PyObject *text = NULL;

	if (cache == NULL)
		return NULL;
	if (!take_turn()) {
		Py_DECREF(cache);
		return format_exception(raised);
	}
	if (put_lines(cache, s) == 0)
		text = format_exception(raised);
	PyObject *failed = compat_take_raised();
	take_lines(cache, s);
	formatting = 0;
	if (failed != NULL)
		compat_set_raised(failed);
	Py_DECREF(cache);
	return text;
}

/* --- without it ----------------------------------------------------------- */

PyObject *raised_line(PyObject *raised)
{
	const char *name = Py_TYPE(raised)->tp_name;
	PyObject *words = PyObject_Str(raised);
	PyObject *text;

	PyErr_Clear();
	if (words != NULL && PyUnicode_GetLength(words) > 0)
		text = PyUnicode_FromFormat("%s: %U", name, words);
	else
		text = PyUnicode_FromString(name);
	Py_XDECREF(words);
	PyErr_Clear();
	return text;
}

PyObject *raised_type(PyObject *raised)
{
	PyObject *type = (PyObject *)Py_TYPE(raised);
	PyObject *module = PyObject_GetAttrString(type, "__module__");
	PyObject *name = PyObject_GetAttrString(type, "__qualname__"), *text = NULL;

	if (module != NULL && name != NULL && PyUnicode_Check(module) && PyUnicode_Check(name) &&
		PyUnicode_CompareWithASCIIString(module, "builtins") != 0 &&
		PyUnicode_CompareWithASCIIString(module, "__main__") != 0)
		text = PyUnicode_FromFormat("%U.%U", module, name);
	else if (name != NULL && PyUnicode_Check(name))
		text = Py_NewRef(name);
	if (text == NULL)
		text = PyUnicode_FromString(Py_TYPE(raised)->tp_name);
	PyErr_Clear();
	Py_XDECREF(name);
	Py_XDECREF(module);
	return text;
}

/* Adds `  File "x", line 3, in f` to *text; 0, or -1 with an exception. */
static int add_frame(PyObject **text, PyObject *trace)
{
	PyObject *frame = PyObject_GetAttrString(trace, "tb_frame");
	PyObject *line = PyObject_GetAttrString(trace, "tb_lineno");
	PyObject *code = NULL, *more = NULL, *file = NULL, *name = NULL;

	if (frame != NULL && line != NULL)
		code = PyObject_GetAttrString(frame, "f_code");
	if (code != NULL) {
		file = PyObject_GetAttrString(code, "co_filename");
		name = PyObject_GetAttrString(code, "co_name");
	}
	if (file != NULL && name != NULL)
		more = PyUnicode_FromFormat(
			"%U  File \"%S\", line %S, in %S\n", *text, file, line, name);
	if (more != NULL)
		Py_SETREF(*text, more);
	Py_XDECREF(name);
	Py_XDECREF(file);
	Py_XDECREF(code);
	Py_XDECREF(line);
	Py_XDECREF(frame);
	return more != NULL ? 0 : -1;
}

static PyObject *plain_text(PyObject *raised)
{
	PyObject *text = PyUnicode_FromString("Traceback (most recent call last):\n");
	PyObject *trace = PyException_GetTraceback(raised);
	PyObject *line, *whole = NULL;

	for (int i = 0; text != NULL && trace != NULL && trace != Py_None; i++) {
		if (i >= PLAIN_FRAMES_MAX || add_frame(&text, trace) != 0)
			break;
		Py_SETREF(trace, PyObject_GetAttrString(trace, "tb_next"));
	}
	Py_XDECREF(trace);
	PyErr_Clear();
	line = raised_line(raised);
	if (text != NULL && line != NULL)
		whole = PyUnicode_FromFormat("%U%U\n", text, line);
	PyErr_Clear();
	Py_XDECREF(text);
	if (whole == NULL)
		return line;
	Py_DECREF(line);
	return whole;
}

PyObject *raised_text(PyObject *raised, struct raised_sources *s)
{
	PyObject *text = format_with_cells(raised, s);

	if (text == NULL) {
		PyErr_Clear();
		text = plain_text(raised);
	}
	if (text == NULL) {
		PyErr_Clear();
		text = PyUnicode_FromString(Py_TYPE(raised)->tp_name);
	}
	PyErr_Clear();
	return text;
}

void raised_forget(void)
{
	formatting = 0;
}
