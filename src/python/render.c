/*
 * render.c: the text of one value (locals_render of locals.h). Which variables there are: locals.c.
 *
 * Nothing here may run code of the program: only exact builtin types are looked into, and only C
 * functions that are known to stay in C are called.
 */
#include "locals.h"

#include <string.h>

#include "compat.h"
#include "ucs.h"

static struct {
	PyTypeObject *lock, *rlock;
	PyObject *module_word, *name_word;
} known;

/*
 * _thread's own type of this name; NULL when something else stands there (gevent replaces them by
 * classes of its own).
 */
static PyTypeObject *lock_type(PyObject *module, const char *attribute, const char *full_name)
{
	PyObject *found = PyObject_GetAttrString(module, attribute);

	if (found != NULL && PyType_Check(found) &&
		strcmp(((PyTypeObject *)found)->tp_name, full_name) == 0)
		return (PyTypeObject *)found;
	Py_XDECREF(found);
	PyErr_Clear();
	return NULL;
}

void locals_init(void)
{
	PyObject *name, *module;

	if (known.name_word != NULL)
		return;
	known.module_word = PyUnicode_InternFromString("__module__");
	known.name_word = PyUnicode_InternFromString("__name__");
	name = PyUnicode_InternFromString("_thread");
	module = name != NULL ? PyImport_GetModule(name) : NULL;
	if (module != NULL) {
		known.lock = lock_type(module, "LockType", "_thread.lock");
		known.rlock = lock_type(module, "RLock", "_thread.RLock");
	}
	Py_XDECREF(module);
	Py_XDECREF(name);
	PyErr_Clear();
}

/* --- text --- */

/*
 * As Python chooses it: single quotes, unless that saves escapes. Looks no further than can be
 * shown.
 */
static char choose_quote(int kind, const void *data, Py_ssize_t n)
{
	int single = 0, twice = 0;

	for (Py_ssize_t i = 0; i < n && i < (Py_ssize_t)LOCALS_VALUE_MAX; i++) {
		Py_UCS4 c = PyUnicode_READ(kind, data, i);

		single |= c == '\'';
		twice |= c == '"';
	}
	return single && !twice ? '"' : '\'';
}

static void put_str(struct pen *p, PyObject *v)
{
	int kind;
	const void *data;
	Py_ssize_t n;
	char quote;

	if (!pytext_readable(v)) {
		pen_text(p, "<str>");
		return;
	}
	kind = (int)PyUnicode_KIND(v);
	data = PyUnicode_DATA(v);
	n = PyUnicode_GET_LENGTH(v);
	quote = choose_quote(kind, data, n);
	pen_put(p, &quote, 1);
	for (Py_ssize_t i = 0; i < n && !p->full; i++)
		pen_quoted(p, PyUnicode_READ(kind, data, i), quote, 0);
	pen_put(p, &quote, 1);
}

static void put_bytes(struct pen *p, const char *bytes, Py_ssize_t n)
{
	char quote = choose_quote(PyUnicode_1BYTE_KIND, bytes, n);

	pen_text(p, "b");
	pen_put(p, &quote, 1);
	for (Py_ssize_t i = 0; i < n && !p->full; i++)
		pen_quoted(p, (uint8_t)bytes[i], quote, 1);
	pen_put(p, &quote, 1);
}

/* The characters of a str as they are. */
static void put_name(struct pen *p, PyObject *v)
{
	char text[UCS_UTF8_MAX];

	if (v == NULL || !pytext_readable(v)) {
		pen_text(p, "?");
		return;
	}
	for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(v) && !p->full; i++)
		pen_put(p, text, ucs_utf8(text, PyUnicode_READ_CHAR(v, i)));
}

/* --- what has no text of its own --- */

/*
 * "module.Class": types of C say it in their name; those of Python have it in two places that can
 * be read.
 */
static void put_type(struct pen *p, PyTypeObject *type)
{
	PyObject *module;

	if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
		pen_text(p, type->tp_name);
		return;
	}
	module = type->tp_dict != NULL && known.module_word != NULL
			 ? PyDict_GetItemWithError(type->tp_dict, known.module_word)
			 : NULL;
	if (module != NULL && PyUnicode_CheckExact(module) && pytext_readable(module)) {
		put_name(p, module);
		pen_text(p, ".");
	}
	put_name(p, ((PyHeapTypeObject *)type)->ht_qualname);
}

static void put_object(struct pen *p, PyObject *v)
{
	pen_text(p, "<");
	put_type(p, Py_TYPE(v));
	pen_format(p, " object at %p>", (void *)v);
}

static void put_module(struct pen *p, PyObject *v)
{
	PyObject *names = PyModule_GetDict(v);
	PyObject *name =
		known.name_word != NULL ? PyDict_GetItemWithError(names, known.name_word) : NULL;

	pen_text(p, "<module '");
	put_name(p, name);
	pen_text(p, "'>");
}

/* By the type's own C function, where it is known to run no other code. */
static void put_by(struct pen *p, const PyTypeObject *type, PyObject *v)
{
	PyObject *text = type->tp_repr(v);

	if (text != NULL)
		put_name(p, text);
	else
		PyErr_Clear();
	Py_XDECREF(text);
}

static void put_int(struct pen *p, PyObject *v)
{
	uint64_t bits = compat_int_bits(v);

	if (bits <= LOCALS_INT_BITS_MAX)
		put_by(p, &PyLong_Type, v);
	else
		pen_format(p, "<int of %llu bits>", (unsigned long long)bits);
	PyErr_Clear();
}

/* --- containers --- */

static void put_value(struct pen *p, PyObject *v, int depth);

static void put_sequence(struct pen *p, PyObject *v, int depth)
{
	int list = PyList_CheckExact(v);
	Py_ssize_t n = list ? PyList_GET_SIZE(v) : PyTuple_GET_SIZE(v);

	pen_text(p, list ? "[" : "(");
	if (depth >= LOCALS_DEPTH_MAX && n > 0) {
		pen_text(p, "...");
	} else {
		for (Py_ssize_t i = 0; i < n && !p->full; i++) {
			if (i > 0)
				pen_text(p, ", ");
			if (i == LOCALS_ITEMS_MAX) {
				pen_text(p, "...");
				break;
			}
			put_value(p, list ? PyList_GET_ITEM(v, i) : PyTuple_GET_ITEM(v, i),
				depth + 1);
		}
		if (!list && n == 1)
			pen_text(p, ",");
	}
	pen_text(p, list ? "]" : ")");
}

static void put_dict(struct pen *p, PyObject *v, int depth)
{
	PyObject *key, *value;
	Py_ssize_t at = 0;

	pen_text(p, "{");
	if (depth >= LOCALS_DEPTH_MAX && PyDict_GET_SIZE(v) > 0) {
		pen_text(p, "...}");
		return;
	}
	for (int i = 0; !p->full && PyDict_Next(v, &at, &key, &value); i++) {
		if (i > 0)
			pen_text(p, ", ");
		if (i == LOCALS_ITEMS_MAX) {
			pen_text(p, "...");
			break;
		}
		put_value(p, key, depth + 1);
		pen_text(p, ": ");
		put_value(p, value, depth + 1);
	}
	pen_text(p, "}");
}

static void put_set(struct pen *p, PyObject *v, int depth)
{
	int frozen = PyFrozenSet_CheckExact(v);
	PyObject *key;
	Py_ssize_t at = 0;

	if (PySet_GET_SIZE(v) == 0) {
		pen_text(p, frozen ? "frozenset()" : "set()");
		return;
	}
	pen_text(p, frozen ? "frozenset({" : "{");
	for (int i = 0; !p->full && compat_set_next(v, &at, &key); i++) {
		if (i > 0)
			pen_text(p, ", ");
		if (i == LOCALS_ITEMS_MAX || depth >= LOCALS_DEPTH_MAX) {
			pen_text(p, "...");
			break;
		}
		put_value(p, key, depth + 1);
	}
	pen_text(p, frozen ? "})" : "}");
}

/* 1 when v was of a type that is told without looking into it. */
static int put_plain(struct pen *p, PyObject *v)
{
	PyTypeObject *type = Py_TYPE(v);

	if (v == Py_None)
		pen_text(p, "None");
	else if (v == Py_Ellipsis)
		pen_text(p, "Ellipsis");
	else if (type == &PyBool_Type)
		pen_text(p, v == Py_True ? "True" : "False");
	else if (type == &PyLong_Type)
		put_int(p, v);
	else if (type == &PyFloat_Type || type == &PyComplex_Type)
		put_by(p, type, v);
	else if (type == &PyUnicode_Type)
		put_str(p, v);
	else if (type == &PyBytes_Type)
		put_bytes(p, PyBytes_AS_STRING(v), PyBytes_GET_SIZE(v));
	else if (type == known.lock || type == known.rlock)
		put_by(p, type, v);
	else
		return 0;
	return 1;
}

/* Calls itself for the elements of containers, LOCALS_DEPTH_MAX deep, whatever the containers hold.
 */
static void put_value(struct pen *p, PyObject *v, int depth)
{
	PyTypeObject *type;

	if (v == NULL) {
		pen_text(p, "<NULL>"); /* a tuple or list that is still being filled */
		return;
	}
	type = Py_TYPE(v);
	if (put_plain(p, v))
		return;
	if (type == &PyList_Type || type == &PyTuple_Type) {
		put_sequence(p, v, depth);
	} else if (type == &PyDict_Type) {
		put_dict(p, v, depth);
	} else if (type == &PySet_Type || type == &PyFrozenSet_Type) {
		put_set(p, v, depth);
	} else if (type == &PyFunction_Type) {
		pen_text(p, "<function ");
		put_name(p, ((PyFunctionObject *)v)->func_qualname);
		pen_format(p, " at %p>", (void *)v);
	} else if (type == &PyModule_Type) {
		put_module(p, v);
	} else if (PyType_Check(v)) {
		pen_text(p, "<class '");
		put_type(p, (PyTypeObject *)v);
		pen_text(p, "'>");
	} else {
		put_object(p, v);
	}
}

size_t locals_render(char out[static LOCALS_VALUE_MAX], PyObject *value)
{
	struct pen p = {0};

	put_value(&p, value, 0);
	return pen_end(&p, out);
}
