/*
 * compat_eval.h: every difference between CPython 3.10 and 3.15 that evaluating has to know, each
 * with its version and its reason. The differences that matter to dumps are in compat.h. The GIL is
 * held in all of these.
 */
#ifndef PYSTUCK_PYTHON_COMPAT_EVAL_H
#define PYSTUCK_PYTHON_COMPAT_EVAL_H

#include <Python.h>

/* Takes the exception that is set, as one object that carries its traceback; NULL when none is set.
 */
static inline PyObject *compat_take_raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: exceptions are one object; the calls with three are deprecated. */
	return PyErr_GetRaisedException();
#else
	PyObject *type = NULL, *value = NULL, *trace = NULL;

	PyErr_Fetch(&type, &value, &trace);
	if (type == NULL)
		return NULL;
	PyErr_NormalizeException(&type, &value, &trace);
	if (trace != NULL && value != NULL)
		PyException_SetTraceback(value, trace);
	Py_XDECREF(trace);
	Py_DECREF(type);
	return value;
#endif
}

/* Sets it again; takes the reference over. */
static inline void compat_set_raised(PyObject *raised)
{
#if PY_VERSION_HEX >= 0x030C0000
	PyErr_SetRaisedException(raised);
#else
	PyErr_Restore(
		Py_NewRef((PyObject *)Py_TYPE(raised)), raised, PyException_GetTraceback(raised));
#endif
}

/*
 * 3.11, and late 3.10: the parser itself says "incomplete input". Without it (0) the errors for the
 * source with one and with two newlines after it are compared.
 */
#ifdef PyCF_ALLOW_INCOMPLETE_INPUT
#define COMPAT_INCOMPLETE_FLAG PyCF_ALLOW_INCOMPLETE_INPUT
#else
#define COMPAT_INCOMPLETE_FLAG 0
#endif

#endif
