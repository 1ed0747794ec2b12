/*
 * frame_vars.c: a function's variables in their slots, a module's in its dict. From 3.13 on Python itself has a view of them that
 * writes through (PEP 667); before, the slot is written here, as PyFrame_LocalsToFast would, but this one alone: it would
 * write all of them back, also those that the thread has changed since they were read.
 *
 * That a slot may be written is because the GIL is held and the frame is complete (its cells are made): its thread is in a call or
 * about to run the next instruction, and what instructions have on the stack are references of their own.
 */
#include <Python.h>

#include "frame_vars.h"

#include "compat.h"

#if PY_VERSION_HEX >= 0x030D0000

/* 3.13: of a function a proxy, of anything else its namespace. */
static PyObject *mapping_of(PyFrameObject *frame)
{
	return PyFrame_GetLocals(frame);
}

#else

static compat_frame *inner(PyFrameObject *frame)
{
#if PY_VERSION_HEX >= 0x030B0000
	return frame->f_frame;
#else
	return frame;
#endif
}

/* A module's, a class body's; NULL without an exception where there is none. */
static PyObject *mapping_of(PyFrameObject *frame)
{
	return Py_XNewRef(compat_namespace(inner(frame)));
}

/* The slot with this name; -1: none. */
static Py_ssize_t slot_of(PyFrameObject *frame, const PyCodeObject *code, PyObject *name)
{
	PyObject *has;

	for (Py_ssize_t i = 0; i < compat_slots(code); i++) {
		(void)compat_slot(inner(frame), code, i, &has);
		if (has != NULL && PyUnicode_Compare(has, name) == 0)
			return i;
	}
	PyErr_Clear();
	return -1;
}

static void set_slot(PyFrameObject *frame, const PyCodeObject *code, Py_ssize_t i, PyObject *value)
{
#if PY_VERSION_HEX >= 0x030B0000
	PyObject **slot = &inner(frame)->localsplus[i];
	int is_cell = (PyBytes_AS_STRING(code->co_localspluskinds)[i] & (CO_FAST_CELL | CO_FAST_FREE)) != 0;
#else
	PyObject **slot = &frame->f_localsplus[i];
	int is_cell = i >= code->co_nlocals;
#endif
	if (is_cell && *slot != NULL && PyCell_Check(*slot))
		(void)PyCell_Set(*slot, value);
	else
		/* What stood there may run code when it goes: nothing of the frame is touched afterwards. */
		Py_XSETREF(*slot, Py_NewRef(value));
}

#endif

/* Whether the function has a variable of this name. */
static int has_variable(PyFrameObject *frame, const PyCodeObject *code, PyObject *name)
{
#if PY_VERSION_HEX >= 0x030D0000
	int has = PySequence_Contains(code->co_localsplusnames, name) == 1;

	(void)frame;
	PyErr_Clear();
	return has;
#else
	return slot_of(frame, code, name) >= 0;
#endif
}

static int is_function(PyFrameObject *frame)
{
	PyCodeObject *code = PyFrame_GetCode(frame);
	int is = compat_is_function(code);

	Py_DECREF(code);
	return is;
}

static PyObject *get_item(PyFrameObject *frame, PyObject *name)
{
	PyObject *names = mapping_of(frame);
	PyObject *value = names != NULL ? PyObject_GetItem(names, name) : NULL;

	PyErr_Clear();
	Py_XDECREF(names);
	return value;
}

static int set_item(PyFrameObject *frame, PyObject *name, PyObject *value)
{
	PyObject *names = mapping_of(frame);
	int rc = names != NULL ? PyObject_SetItem(names, name, value) : -1;

	if (rc != 0 && !PyErr_Occurred())
		PyErr_SetString(PyExc_RuntimeError, "the frame has no namespace");
	Py_XDECREF(names);
	return rc;
}

static PyObject *copy_of(PyFrameObject *frame)
{
	PyObject *names = mapping_of(frame), *copy = PyDict_New();

	if (copy != NULL && names != NULL && PyDict_Update(copy, names) != 0)
		Py_CLEAR(copy);
	Py_XDECREF(names);
	return copy;
}

int frame_vars_has(PyFrameObject *frame, PyObject *name)
{
	PyCodeObject *code;
	PyObject *value;
	int has;

	if (!is_function(frame)) {
		value = get_item(frame, name);
		Py_XDECREF(value);
		return value != NULL;
	}
	code = PyFrame_GetCode(frame);
	has = has_variable(frame, code, name);
	Py_DECREF(code);
	return has;
}

#if PY_VERSION_HEX >= 0x030D0000

PyObject *frame_vars_get(PyFrameObject *frame, PyObject *name)
{
	return get_item(frame, name);
}

int frame_vars_set(PyFrameObject *frame, PyObject *name, PyObject *value)
{
	return set_item(frame, name, value);
}

PyObject *frame_vars_dict(PyFrameObject *frame)
{
	return copy_of(frame);
}

#else

PyObject *frame_vars_get(PyFrameObject *frame, PyObject *name)
{
	PyCodeObject *code;
	PyObject *value = NULL;
	Py_ssize_t i;

	if (!is_function(frame))
		return get_item(frame, name);
	code = PyFrame_GetCode(frame);
	i = slot_of(frame, code, name);
	if (i >= 0) {
		PyObject *has;

		value = Py_XNewRef(compat_slot(inner(frame), code, i, &has));
	}
	Py_DECREF(code);
	return value;
}

int frame_vars_set(PyFrameObject *frame, PyObject *name, PyObject *value)
{
	PyCodeObject *code;
	Py_ssize_t i;

	if (!is_function(frame))
		return set_item(frame, name, value);
	code = PyFrame_GetCode(frame);
	i = slot_of(frame, code, name);
	if (i >= 0)
		set_slot(frame, code, i, value);
	else
		PyErr_SetObject(PyExc_NameError, name);
	Py_DECREF(code);
	return i >= 0 ? 0 : -1;
}

PyObject *frame_vars_dict(PyFrameObject *frame)
{
	PyCodeObject *code;
	PyObject *all;
	int rc = 0;

	if (!is_function(frame))
		return copy_of(frame);
	all = PyDict_New();
	code = PyFrame_GetCode(frame);
	for (Py_ssize_t i = 0; all != NULL && rc == 0 && i < compat_slots(code); i++) {
		PyObject *name = NULL, *value = compat_slot(inner(frame), code, i, &name);

		if (value != NULL && name != NULL)
			rc = PyDict_SetItem(all, name, value);
	}
	if (rc != 0)
		Py_CLEAR(all);
	Py_DECREF(code);
	return all;
}

#endif
