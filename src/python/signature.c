/*
 * signature.c: parameters from code objects, defaults by locals_render, and the signatures that C functions carry in front
 * of their docstrings.
 */
#include <Python.h>

#include "signature.h"

#include <string.h>
#include <structmember.h> /* 3.10, 3.11: PyMemberDef */

#include "compat_eval.h"
#include "locals.h"

/* --- what is called ------------------------------------------------------- */

/* A function in the dicts of the type, NULL when there is none or it is not Python's. */
static PyObject *method_of(PyTypeObject *type, const char *name)
{
	int bound, unasked = 0;
	PyObject *found = look_attribute((PyObject *)type, span_text(name), &bound, &unasked);

	if (found != NULL && !PyFunction_Check(found))
		Py_CLEAR(found);
	return found;
}

PyObject *signature_function(PyObject *callable, int *bound)
{
	PyObject *found;

	if (PyFunction_Check(callable))
		return Py_NewRef(callable);
	if (Py_IS_TYPE(callable, &PyMethod_Type)) {
		found = PyMethod_GET_FUNCTION(callable);
		*bound = 1;
		return PyFunction_Check(found) ? Py_NewRef(found) : NULL;
	}
	*bound = 1;
	if (!PyType_Check(callable))
		return method_of(Py_TYPE(callable), "__call__");
	found = method_of((PyTypeObject *)callable, "__init__");
	return found != NULL ? found : method_of((PyTypeObject *)callable, "__new__");
}

const char *signature_c_doc(PyObject *callable)
{
	PyTypeObject *type = Py_TYPE(callable);

	if (PyCFunction_CheckExact(callable))
		return ((PyCFunctionObject *)callable)->m_ml->ml_doc;
	if (type == &PyMethodDescr_Type || type == &PyClassMethodDescr_Type)
		return ((PyMethodDescrObject *)callable)->d_method->ml_doc;
	if (type == &PyWrapperDescr_Type)
		return ((PyWrapperDescrObject *)callable)->d_base->doc;
	if (type == &PyMemberDescr_Type)
		return ((PyMemberDescrObject *)callable)->d_member->doc;
	if (type == &PyGetSetDescr_Type)
		return ((PyGetSetDescrObject *)callable)->d_getset->doc;
	/* Of a class in Python it is not what stands in its dict as __doc__. */
	if (PyType_Check(callable) && !(((PyTypeObject *)callable)->tp_flags & Py_TPFLAGS_HEAPTYPE))
		return ((PyTypeObject *)callable)->tp_doc;
	return NULL;
}

/* --- functions of C ------------------------------------------------------- */

/* "name($self, x, /)\n--\n\n": where the bracket opens, or NULL. */
static const char *c_signature(const char *doc, size_t *len)
{
	const char *open = doc != NULL ? strchr(doc, '(') : NULL;
	const char *end = open != NULL ? strstr(open, ")\n--\n\n") : NULL;

	if (end == NULL || memchr(doc, '\n', (size_t)(open - doc)) != NULL)
		return NULL;
	*len = (size_t)(end - open) + 1;
	return open;
}

/* On one line: long ones are written on several. */
static int put_folded(struct buf *out, const char *text, size_t len)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < len; i++) {
		if (text[i] != '\n')
			rc = buf_put(out, text + i, 1);
		else
			for (rc = buf_put(out, " ", 1); i + 1 < len && text[i + 1] == ' '; i++)
				;
	}
	return rc == 0;
}

static int put_c(struct buf *out, PyObject *callable)
{
	static const char *const selves[] = {"($self, /, ", "($module, /, ", "($type, /, ", "($self, ",
		"($module, ", "($type, ", "($self, /", "($module, /", "($type, /", "($self", "($module", "($type"};
	size_t len = 0;
	const char *text = c_signature(signature_c_doc(callable), &len);

	if (text == NULL)
		return 0;
	for (size_t i = 0; i < sizeof selves / sizeof selves[0]; i++) {
		size_t n = strlen(selves[i]);

		if (n > len || memcmp(text, selves[i], n) != 0)
			continue;
		return buf_put(out, "(", 1) == 0 && put_folded(out, text + n, len - n);
	}
	return put_folded(out, text, len);
}

/* --- functions of Python -------------------------------------------------- */

struct writer {
	struct buf *out;
	PyObject *names, *defaults, *keyword_defaults; /* borrowed */
	int count; /* parameters so far */
	int failed;
};

static void put(struct writer *w, const char *text)
{
	if (buf_put(w->out, text, strlen(text)) != 0)
		w->failed = 1;
}

static void put_value(struct writer *w, PyObject *value)
{
	char text[LOCALS_VALUE_MAX];
	size_t len;

	put(w, "=");
	len = locals_render(text, value);
	if (buf_put(w->out, text, len) != 0)
		w->failed = 1;
}

static void put_name(struct writer *w, const char *stars, Py_ssize_t i)
{
	if (w->count++ > 0)
		put(w, ", ");
	put(w, stars);
	if (i < PyTuple_GET_SIZE(w->names) && look_text(w->out, PyTuple_GET_ITEM(w->names, i)) != 0)
		w->failed = 1;
}

static void put_mark(struct writer *w, const char *mark)
{
	if (w->count++ > 0)
		put(w, ", ");
	put(w, mark);
}

static void put_positional(struct writer *w, const PyCodeObject *code, int skip)
{
	Py_ssize_t with = w->defaults != NULL ? PyTuple_GET_SIZE(w->defaults) : 0;

	for (Py_ssize_t i = 0; i < code->co_argcount; i++) {
		Py_ssize_t d = i - (code->co_argcount - with);

		if (i >= skip) {
			put_name(w, "", i);
			if (w->defaults != NULL && d >= 0)
				put_value(w, PyTuple_GET_ITEM(w->defaults, d));
		}
		if (i + 1 == code->co_posonlyargcount && i >= skip)
			put_mark(w, "/");
	}
}

static void put_keywords(struct writer *w, const PyCodeObject *code)
{
	int star = (code->co_flags & CO_VARARGS) != 0;
	Py_ssize_t first = code->co_argcount, rest = first + code->co_kwonlyargcount;

	if (star)
		put_name(w, "*", rest);
	else if (code->co_kwonlyargcount > 0)
		put_mark(w, "*");
	for (Py_ssize_t i = first; i < rest && i < PyTuple_GET_SIZE(w->names); i++) {
		PyObject *value = NULL, *name = PyTuple_GET_ITEM(w->names, i);
		PyObject *key, *one;
		Py_ssize_t at = 0;

		put_name(w, "", i);
		while (w->keyword_defaults != NULL && PyDict_Next(w->keyword_defaults, &at, &key, &one))
			if (key == name)
				value = one;
		if (value != NULL)
			put_value(w, value);
	}
	if (code->co_flags & CO_VARKEYWORDS)
		put_name(w, "**", rest + star);
}

static int put_python(struct buf *out, PyObject *function, int skip)
{
	PyCodeObject *code = (PyCodeObject *)PyFunction_GetCode(function);
	PyObject *defaults = PyFunction_GetDefaults(function), *kw = PyFunction_GetKwDefaults(function);
	PyObject *names = compat_varnames(code);
	struct writer w = {.out = out,
		.names = names,
		.defaults = defaults != NULL && PyTuple_Check(defaults) ? defaults : NULL,
		.keyword_defaults = kw != NULL && PyDict_Check(kw) ? kw : NULL};

	if (names == NULL) {
		PyErr_Clear();
		return 0;
	}
	put(&w, "(");
	put_positional(&w, code, skip);
	put_keywords(&w, code);
	put(&w, ")");
	Py_DECREF(names);
	return !w.failed;
}

int signature_put(struct buf *out, PyObject *callable, int bound)
{
	int known = put_c(out, callable);
	PyObject *function;

	if (known)
		return 1;
	function = signature_function(callable, &bound);
	if (function != NULL)
		known = put_python(out, function, bound);
	Py_XDECREF(function);
	PyErr_Clear();
	return known;
}

void signature_names(PyObject *callable, int bound, look_visit *visit, void *context)
{
	PyObject *function = signature_function(callable, &bound), *names = NULL;
	PyCodeObject *code = NULL;
	Py_ssize_t first, count;

	if (function != NULL) {
		code = (PyCodeObject *)PyFunction_GetCode(function);
		names = compat_varnames(code);
	}
	if (names != NULL) {
		first = code->co_posonlyargcount > bound ? code->co_posonlyargcount : bound;
		count = code->co_argcount + code->co_kwonlyargcount;
		for (Py_ssize_t i = first; i < count && i < PyTuple_GET_SIZE(names); i++)
			if (visit(context, PyTuple_GET_ITEM(names, i)) != 0)
				break;
	}
	PyErr_Clear();
	Py_XDECREF(names);
	Py_XDECREF(function);
}
