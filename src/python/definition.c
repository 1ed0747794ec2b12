/*
 * definition.c: finds where something is defined, reads that file, and cuts the definition out of it: by the line that its code has,
 * or by the words "class NAME". No Python code runs.
 */
#include <Python.h>

#include "definition.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compat_eval.h"
#include "indent.h"
#include "look.h"
#include "modules.h"

/* --- where it is ---------------------------------------------------------- */

static PyObject *module_file(PyObject *module)
{
	PyObject *file = module != NULL && PyModule_Check(module) ? look_name(PyModule_GetDict(module), span_text("__file__"))
								   : NULL;

	if (file != NULL && !PyUnicode_CheckExact(file))
		Py_CLEAR(file);
	return file;
}

static int is_frozen(PyObject *name)
{
	struct buf text;
	int is;

	buf_init(&text, 4096);
	is = look_text(&text, name) == 0 && buf_len(&text) > 8 && memcmp(buf_bytes(&text), "<frozen ", 8) == 0;
	buf_free(&text);
	return is;
}

/* Of a function. The standard library's frozen modules (3.11 on) say "<frozen posixpath>", and have a file all the same. */
static PyObject *code_file(PyObject *function)
{
	PyObject *name = ((PyCodeObject *)PyFunction_GetCode(function))->co_filename, *file = NULL;

	if (is_frozen(name))
		file = look_name(PyFunction_GetGlobals(function), span_text("__file__"));
	if (file != NULL && !PyUnicode_CheckExact(file))
		Py_CLEAR(file);
	return file != NULL ? file : Py_NewRef(name);
}

static PyObject *class_file(PyTypeObject *type)
{
	PyObject *dict = compat_type_dict(type), *name = NULL, *module = NULL, *file;
	struct buf text;

	if (dict != NULL)
		name = look_name(dict, span_text("__module__"));
	buf_init(&text, 4096);
	if (name != NULL && PyUnicode_CheckExact(name) && look_text(&text, name) == 0)
		module = look_module(buf_span(&text));
	file = module_file(module);
	buf_free(&text);
	Py_XDECREF(module);
	Py_XDECREF(name);
	Py_XDECREF(dict);
	return file;
}

struct definition definition_find(PyObject *object)
{
	struct definition d = {NULL, 0, NULL};
	PyObject *module = modules_unwrap(object);

	if (Py_IS_TYPE(object, &PyMethod_Type))
		object = PyMethod_GET_FUNCTION(object);
	if (module != NULL) {
		d.file = module_file(module);
		d.line = 1;
	} else if (PyFunction_Check(object)) {
		d.file = code_file(object);
		d.line = ((PyCodeObject *)PyFunction_GetCode(object))->co_firstlineno;
	} else {
		PyTypeObject *type = PyType_Check(object) ? (PyTypeObject *)object : Py_TYPE(object);

		if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
			d.file = class_file(type);
			d.name = ((PyHeapTypeObject *)type)->ht_name;
		}
	}
	return d;
}

/* --- the file ------------------------------------------------------------- */

/* A regular file, as a whole. */
static void read_file(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	uint8_t *where = NULL;
	ssize_t n = 1;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= DEFINITION_FILE_BYTES)
		while (n > 0 && buf_reserve(out, 65536, &where) == 0) {
			n = read(fd, where, 65536);
			if (n > 0)
				buf_added(out, (size_t)n);
		}
	if (fd >= 0)
		close(fd);
}

void definition_read(PyObject *file, const struct raised_sources *cells, struct buf *out)
{
	PyObject *cell = raised_source(cells, file);
	struct buf path;

	if (cell != NULL) {
		(void)look_text(out, cell);
		Py_DECREF(cell);
		return;
	}
	buf_init(&path, 4096);
	if (look_text(&path, file) == 0 && buf_put_u8(&path, 0) == 0) {
		Py_BEGIN_ALLOW_THREADS read_file((const char *)buf_bytes(&path), out);
		Py_END_ALLOW_THREADS
	}
	buf_free(&path);
}

/* --- the text -------------------------------------------------------------- */

size_t definition_line_end(struct span text, size_t at)
{
	const uint8_t *newline = memchr(text.data + at, '\n', text.len - at);

	return newline != NULL ? (size_t)(newline - text.data) + 1 : text.len;
}

size_t definition_white(struct span text, size_t at, size_t end)
{
	size_t n = 0;

	while (at + n < end && (text.data[at + n] == ' ' || text.data[at + n] == '\t'))
		n++;
	return n;
}

static int begins(struct span text, size_t at, const char *word)
{
	size_t len = strlen(word);

	return text.len - at >= len && memcmp(text.data + at, word, len) == 0;
}

size_t definition_start(struct span text, const struct definition *d)
{
	char head[300];
	const char *name = d->name != NULL ? PyUnicode_AsUTF8(d->name) : NULL;
	size_t at = 0;

	PyErr_Clear();
	if (d->line > 0) {
		for (int line = 1; line < d->line && at < text.len; line++)
			at = definition_line_end(text, at);
		return at;
	}
	if (name == NULL || snprintf(head, sizeof head, "class %s", name) >= (int)sizeof head)
		return text.len;
	for (; at < text.len; at = definition_line_end(text, at)) {
		size_t word = at + definition_white(text, at, text.len), behind = word + strlen(head);

		if (begins(text, word, head) && behind < text.len && strchr(":( \t", text.data[behind]) != NULL)
			return at;
	}
	return text.len;
}

static int begins_definition(struct span text, size_t at)
{
	return begins(text, at, "def ") || begins(text, at, "class ") || begins(text, at, "async ");
}

/* In brackets or a string that go on. */
static int goes_on(struct span text, size_t start, size_t at)
{
	struct indent end;

	indent_scan(&end, (const char *)text.data + start, at - start);
	return end.in_string || end.depth > 0;
}

size_t definition_end(struct span text, size_t start)
{
	size_t base = definition_white(text, start, text.len), end = definition_line_end(text, start), at = end;
	int inside = begins_definition(text, start + base);

	if (!inside && text.data[start + base] != '@') {
		while (end < text.len && goes_on(text, start, end))
			end = definition_line_end(text, end);
		return end;
	}
	for (; at < text.len; at = definition_line_end(text, at)) {
		size_t n = definition_white(text, at, text.len);

		if (at + n >= text.len || text.data[at + n] == '\n' || text.data[at + n] == '\r' || text.data[at + n] == '#')
			continue;
		if (n <= base && inside && !goes_on(text, start, at))
			break;
		inside |= n <= base && begins_definition(text, at + n);
		end = definition_line_end(text, at);
	}
	return end;
}
