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
 * Sends an exception of this type to a thread. 1, or 0: not now, try again.
 *
 * Before 3.12 a thread that is just being started has, for a moment, the id of the one that starts
 * it, and would be hit in its place.
 */
static inline int compat_send_async_exc(
	const PyThreadState *to, unsigned long ident, PyObject *type)
{
#if PY_VERSION_HEX < 0x030C0000
	PyThreadState *t = PyInterpreterState_ThreadHead(PyInterpreterState_Main());

	/* The first one with the id is the one that is hit. */
	while (t != NULL && t->thread_id != ident)
		t = PyThreadState_Next(t);
	if (t != to)
		return 0;
#else
	(void)to;
#endif
	PyThreadState_SetAsyncExc(ident, type);
	return 1;
}

#if PY_VERSION_HEX < 0x030D0000
#define COMPAT_DROP_TRIES 3 /* one is enough, unless there is no memory */

static inline void compat_run_nothing(void)
{
	PyObject *names = PyDict_New();
	PyObject *none =
		names != NULL ? PyRun_String("None", Py_eval_input, names, names) : NULL;

	Py_XDECREF(none);
	Py_XDECREF(names);
	PyErr_Clear();
}
#endif

/*
 * Takes back an exception that was sent to this thread and has not been raised yet. No exception is
 * set before or after. 1: there was one.
 *
 * Before 3.13 the wish that some thread look for such an exception is one flag of the interpreter,
 * which only a thread that raises one takes down. So it is raised here, where there is one. Sending
 * NULL, as the documentation has it, would leave the flag up for good: from then on every call and
 * every turn of a loop in the program takes the slow way, and in 3.11 a thread that is traced or
 * profiled never gets past its next call.
 */
static inline int compat_drop_async_exc(const PyThreadState *own, unsigned long ident)
{
	if (own->async_exc == NULL)
		return 0;
#if PY_VERSION_HEX < 0x030D0000
	for (int i = 0; i < COMPAT_DROP_TRIES && own->async_exc != NULL; i++)
		compat_run_nothing();
	if (own->async_exc == NULL)
		return 1;
#endif
	PyThreadState_SetAsyncExc(ident, NULL);
	return 1;
}

/* The dict of a type, a new reference; NULL: it has none. */
static inline PyObject *compat_type_dict(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: those of builtin types are kept by the interpreter. */
	return PyType_GetDict(type);
#else
	return Py_XNewRef(type->tp_dict);
#endif
}

/* Names of the parameters and variables of a code object, a new reference; NULL with an exception. */
static inline PyObject *compat_varnames(PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030B0000
	/* 3.11: made anew from the names of all its slots. */
	return PyCode_GetVarnames(code);
#else
	return Py_XNewRef(code->co_varnames);
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
