/*
 * frame_mark.c: how a frame is known again.
 *
 * A frame of a running thread must be told from a later one in the same place, without a reference, which would keep what it
 * holds alive after its end. So a mark of ours is put where the frame lets go of it when it ends: in f_trace, which nobody
 * looks at but a debugger. The frame is the one that is meant as long as it has the mark. (A suspended generator's frame, which no
 * thread is in, keeps it after view_leave: it means nothing any more.)
 */
#include <Python.h>

#include "frame_mark.h"

/* A debugger that comes to trace the thread calls what stands there. */
static PyObject *mark_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
	(void)self, (void)args, (void)kwargs;
	Py_RETURN_NONE;
}

static PyTypeObject mark_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pystuck.frame_mark",
	.tp_basicsize = sizeof(PyObject),
	.tp_flags = Py_TPFLAGS_DEFAULT,
	.tp_call = mark_call,
};

static PyObject *trace_of(PyFrameObject *frame)
{
	PyObject *trace = PyObject_GetAttrString((PyObject *)frame, "f_trace");

	if (trace == NULL)
		PyErr_Clear();
	return trace;
}

PyObject *frame_mark_put(PyFrameObject *frame)
{
	PyObject *mark = trace_of(frame);

	if (mark != NULL && Py_IS_TYPE(mark, &mark_type))
		return mark;
	if (mark != Py_None) {
		Py_XDECREF(mark);
		PyErr_SetString(PyExc_RuntimeError, "a debugger has this frame");
		return NULL;
	}
	Py_DECREF(mark);
	mark = PyObject_New(PyObject, &mark_type);
	if (mark != NULL && PyObject_SetAttrString((PyObject *)frame, "f_trace", mark) != 0)
		Py_CLEAR(mark);
	return mark;
}

int frame_mark_has(PyFrameObject *frame, PyObject *mark)
{
	PyObject *now = trace_of(frame);

	Py_XDECREF(now);
	return now == mark;
}

void frame_mark_take(PyFrameObject *frame, PyObject *mark)
{
	/* The frame's reference and the caller's: no other session looks at it. */
	if (Py_REFCNT(mark) == 2 && PyObject_SetAttrString((PyObject *)frame, "f_trace", Py_None) != 0)
		PyErr_Clear();
}

int frame_mark_init(void)
{
	return PyType_Ready(&mark_type);
}
