/*
 * look_dict.c: names in dicts, each read with PyDict_Next, since a look-up may call the __eq__ of a key. Attributes: look.c.
 */
#include <Python.h>

#include "look_dict.h"

#include <string.h>

#include "pytext.h"
#include "ucs.h"

/* --- texts ---------------------------------------------------------------- */

int look_text(struct buf *out, PyObject *str)
{
	char text[UCS_UTF8_MAX];
	int rc = 0;

	if (!pytext_readable(str))
		return 0;
	if (PyUnicode_IS_ASCII(str))
		return buf_put(out, PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str));
	for (Py_ssize_t i = 0; rc == 0 && i < PyUnicode_GET_LENGTH(str); i++)
		rc = buf_put(out, text, ucs_utf8(text, PyUnicode_READ_CHAR(str, i)));
	return rc;
}

static int is_text(PyObject *str, struct span text)
{
	char one[UCS_UTF8_MAX];
	size_t at = 0, n;

	if (!PyUnicode_CheckExact(str) || !pytext_readable(str))
		return 0;
	if (PyUnicode_IS_ASCII(str))
		return (size_t)PyUnicode_GET_LENGTH(str) == text.len &&
		       memcmp(PyUnicode_DATA(str), text.data, text.len) == 0;
	for (Py_ssize_t i = 0; i < PyUnicode_GET_LENGTH(str); i++) {
		n = ucs_utf8(one, PyUnicode_READ_CHAR(str, i));
		if (n > text.len - at || memcmp(one, text.data + at, n) != 0)
			return 0;
		at += n;
	}
	return at == text.len;
}

/* --- dicts ---------------------------------------------------------------- */

PyObject *look_name(PyObject *dict, struct span name)
{
	PyObject *key, *value;
	Py_ssize_t at = 0;

	if (dict == NULL || !PyDict_Check(dict))
		return NULL;
	while (PyDict_Next(dict, &at, &key, &value))
		if (is_text(key, name))
			return Py_NewRef(value);
	return NULL;
}

PyObject *look_module(struct span name)
{
	PyObject *found = look_name(PyImport_GetModuleDict(), name);

	if (found == Py_None)
		Py_CLEAR(found);
	return found;
}
