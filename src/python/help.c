/*
 * help.c: the fields of obj? and where they come from. How something is found by its name is look.c's, how it is called
 * signature.c's, where it is defined definition.c's.
 */
#include <Python.h>

#include "help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compat_eval.h"
#include "definition.h"
#include "forkgate.h"
#include "locals.h"
#include "modules.h"
#include "signature.h"
#include "stream_type.h"

#define TO_BE_READ 2 /* the third stream: after stdout and stderr */

/* --- fields --------------------------------------------------------------- */

static void put(struct buf *out, const char *text)
{
	(void)buf_put(out, text, strlen(text));
}

static void put_field(struct buf *out, const char *name, struct span text)
{
	char label[16];

	int lines = text.len > 0 && memchr(text.data, '\n', text.len) != NULL;

	snprintf(label, sizeof label, lines ? "%s\n" : "%-11s", name);
	put(out, label);
	(void)buf_put(out, text.data, text.len);
	put(out, "\n");
}

/* --- docstrings ----------------------------------------------------------- */

/* C's, without the signature in front. */
static const char *c_text(const char *doc)
{
	const char *end = doc != NULL ? strstr(doc, ")\n--\n\n") : NULL;

	return end != NULL ? end + strlen(")\n--\n\n") : doc;
}

static PyObject *type_doc(PyTypeObject *type)
{
	PyObject *dict = compat_type_dict(type), *found = NULL;

	if (dict != NULL)
		found = look_name(dict, span_text("__doc__"));
	Py_XDECREF(dict);
	return found;
}

/* The __doc__ that stands in an object of Python, a new reference, or NULL. */
static PyObject *python_doc(PyObject *object)
{
	PyObject *module = modules_unwrap(object);

	if (module != NULL)
		return look_name(PyModule_GetDict(module), span_text("__doc__"));
	if (PyFunction_Check(object))
		return Py_XNewRef(((PyFunctionObject *)object)->func_doc);
	if (Py_IS_TYPE(object, &PyMethod_Type))
		return python_doc(PyMethod_GET_FUNCTION(object));
	return type_doc(PyType_Check(object) ? (PyTypeObject *)object : Py_TYPE(object));
}

/* The indentation that all lines but the first have in common. */
static size_t common_white(struct span text)
{
	size_t common = SIZE_MAX;

	for (size_t at = definition_line_end(text, 0); at < text.len; at = definition_line_end(text, at)) {
		size_t n = definition_white(text, at, text.len);

		if (at + n < text.len && text.data[at + n] != '\n' && n < common)
			common = n;
	}
	return common;
}

/* Without the indentation that comes from where it stands, and without white space at its ends. */
static void put_clean(struct buf *out, PyObject *doc)
{
	struct buf raw, clean;
	size_t cut, end;

	buf_init(&raw, HELP_BYTES_MAX);
	buf_init(&clean, HELP_BYTES_MAX);
	(void)look_text(&raw, doc);
	struct span text = buf_span(&raw);
	cut = common_white(text);
	for (size_t at = 0; at < text.len; at = end) {
		size_t n = definition_white(text, at, text.len), skip = at == 0 || n < cut ? n : cut;

		end = definition_line_end(text, at);
		(void)buf_put(&clean, text.data + at + skip, end - at - skip);
	}
	text = buf_span(&clean);
	while (text.len > 0 && strchr(" \t\n\r", text.data[0]) != NULL)
		text = (struct span){text.data + 1, text.len - 1};
	while (text.len > 0 && strchr(" \t\n\r", text.data[text.len - 1]) != NULL)
		text.len--;
	put_field(out, "Docstring:", text);
	buf_free(&raw);
	buf_free(&clean);
}

static void put_doc(struct buf *out, PyObject *object)
{
	const char *doc = c_text(signature_c_doc(object));
	PyObject *text;

	if (doc != NULL && *doc != '\0') {
		put_field(out, "Docstring:", span_text(doc));
		return;
	}
	text = python_doc(object);
	if (text != NULL && PyUnicode_Check(text))
		put_clean(out, text);
	else
		put_field(out, "Docstring:", span_text("<no docstring>"));
	Py_XDECREF(text);
}

/* --- where it is ---------------------------------------------------------- */

static void put_source(struct buf *out, const struct definition *d, int whole, const struct raised_sources *cells)
{
	struct buf text;
	size_t start, end;

	buf_init(&text, DEFINITION_FILE_BYTES + 65536);
	definition_read(d->file, cells, &text);
	struct span all = buf_span(&text);
	start = whole ? 0 : definition_start(all, d);
	if (start < all.len) {
		end = whole ? all.len : definition_end(all, start);
		if (end - start > HELP_BYTES_MAX / 2)
			end = start + HELP_BYTES_MAX / 2;
		while (end > start && (all.data[end - 1] == '\n' || all.data[end - 1] == '\r'))
			end--;
		put(out, "Source:\n");
		(void)buf_put(out, all.data + start, end - start);
		put(out, "\n");
	} else {
		put(out, "Source:    it could not be found\n");
	}
	buf_free(&text);
}

static void put_place(struct buf *out, const struct definition *d)
{
	struct buf text;
	char line[24];

	buf_init(&text, 8192);
	if (look_text(&text, d->file) == 0) {
		if (d->line > 1) {
			snprintf(line, sizeof line, ":%d", d->line);
			put(&text, line);
		}
		put_field(out, "File:", buf_span(&text));
	}
	buf_free(&text);
}

/* --- all of it ------------------------------------------------------------ */

static void put_signature(struct buf *out, PyObject *object, struct span row, int bound)
{
	struct buf text;

	buf_init(&text, 8192);
	if (buf_put(&text, row.data, row.len) == 0 && signature_put(&text, object, bound))
		put_field(out, PyType_Check(object) ? "Init:" : "Signature:", buf_span(&text));
	buf_free(&text);
}

/* A value is shown, and how many are in it. What is called or imported has no value worth showing. */
static void put_value(struct buf *out, PyObject *object)
{
	char text[LOCALS_VALUE_MAX], number[24];
	Py_ssize_t n = -1;

	if (PyType_Check(object) || PyFunction_Check(object) || modules_unwrap(object) != NULL ||
		signature_c_doc(object) != NULL || Py_IS_TYPE(object, &PyMethod_Type))
		return;
	put_field(out, "Value:", (struct span){(const uint8_t *)text, locals_render(text, object)});
	if (PyDict_Check(object))
		n = PyDict_GET_SIZE(object);
	else if (PyList_Check(object) || PyTuple_Check(object))
		n = Py_SIZE(object);
	else if (PyAnySet_Check(object))
		n = PySet_GET_SIZE(object);
	else if (PyUnicode_Check(object))
		n = PyUnicode_GET_LENGTH(object);
	else if (PyBytes_Check(object))
		n = PyBytes_GET_SIZE(object);
	snprintf(number, sizeof number, "%zd", n);
	if (n >= 0)
		put_field(out, "Length:", span_text(number));
}

void help_put(struct buf *out, PyObject *object, struct span row, int bound, int source, const struct raised_sources *cells)
{
	struct definition d = definition_find(object);
	PyTypeObject *type = Py_TYPE(object);

	put_signature(out, object, row, bound);
	put_field(out, "Type:", span_text(modules_unwrap(object) != NULL ? "module" : type->tp_name));
	put_value(out, object);
	if (!source || d.file == NULL)
		put_doc(out, object);
	if (d.file != NULL)
		put_place(out, &d);
	if (source && d.file != NULL)
		put_source(out, &d, modules_unwrap(object) != NULL, cells);
	else if (source)
		put(out, "Source:    it is written in C, or has none\n");
	Py_XDECREF(d.file);
	PyErr_Clear();
}

/* --- help() --------------------------------------------------------------- */

int help_show(struct span text)
{
	struct stream_sink *sink = stream_sink_own();

	return sink != NULL ? stream_send(sink, TO_BE_READ, text) : 0;
}

/* The text of a topic ("for", "LISTS"), a new reference; NULL without an exception: there is none. */
static PyObject *topic_text(PyObject *name)
{
	PyObject *module = forkgate_import("pydoc_data.topics");
	PyObject *topics = module != NULL ? PyObject_GetAttrString(module, "topics") : NULL;
	PyObject *found = NULL;

	if (topics != NULL && PyDict_Check(topics))
		found = Py_XNewRef(PyDict_GetItemWithError(topics, name));
	if (found != NULL && !PyUnicode_Check(found))
		Py_CLEAR(found);
	PyErr_Clear();
	Py_XDECREF(topics);
	Py_XDECREF(module);
	return found;
}

static PyObject *render(PyObject *object)
{
	PyObject *pydoc = forkgate_import("pydoc");
	PyObject *function = pydoc != NULL ? PyObject_GetAttrString(pydoc, "render_doc") : NULL;
	PyObject *plain = function != NULL ? PyObject_GetAttrString(pydoc, "plaintext") : NULL;
	PyObject *module = modules_unwrap(object), *text = NULL;

	if (plain != NULL)
		text = PyObject_CallFunction(
			function, "OsiO", module != NULL ? module : object, "Help on %s:", 0, plain);
	if (text != NULL && !PyUnicode_Check(text)) {
		PyErr_SetString(PyExc_TypeError, "pydoc gave no text");
		Py_CLEAR(text);
	}
	Py_XDECREF(plain);
	Py_XDECREF(function);
	Py_XDECREF(pydoc);
	return text;
}

static int show_str(PyObject *str)
{
	struct buf text;
	int rc = -1;

	buf_init(&text, HELP_BYTES_MAX * 4);
	if (look_text(&text, str) == 0)
		rc = help_show(buf_span(&text));
	else
		PyErr_NoMemory();
	buf_free(&text);
	return rc;
}

static PyObject *help_call(PyObject *self, PyObject *args)
{
	static const char words[] = "help(object) shows how it is used; help('os.path') finds it by its name; help('for') is about the\n"
				    "language. At the prompt: object? for a look at it, object?? for its source, %help for commands.\n";
	PyObject *object = NULL, *text = NULL;
	int rc;

	(void)self;
	if (!PyArg_UnpackTuple(args, "help", 0, 1, &object))
		return NULL;
	if (object == NULL) {
		rc = help_show(span_text(words));
	} else {
		if (PyUnicode_CheckExact(object))
			text = topic_text(object);
		if (text == NULL)
			text = render(object);
		rc = text != NULL ? show_str(text) : -1;
		Py_XDECREF(text);
	}
	return rc == 0 ? Py_NewRef(Py_None) : NULL;
}

PyObject *help_new(void)
{
	static PyMethodDef method = {"help", help_call, METH_VARARGS,
		"help(object): how it is used. The text goes to whoever asked, never to a pager in the program."};

	return PyCFunction_New(&method, NULL);
}
