/*
 * frame_vars.h: the variables of one frame, read and assigned while it stands still: its thread waits, or it has ended. Which
 * frame is view.c's to know. The GIL is held in all of these.
 */
#ifndef PYSTUCK_PYTHON_FRAME_VARS_H
#define PYSTUCK_PYTHON_FRAME_VARS_H

#include <Python.h>

/* The value, a new reference; NULL without an exception: no such variable, or it is not bound now. */
PyObject *frame_vars_get(PyFrameObject *frame, PyObject *name);
/* 1 when the frame has a variable of this name, bound or not. A module's are those that are there now. */
int frame_vars_has(PyFrameObject *frame, PyObject *name);
/* Assigns a variable that it has. 0, or -1 with an exception. */
int frame_vars_set(PyFrameObject *frame, PyObject *name, PyObject *value);
/* All that are bound, a new dict; NULL with an exception. */
PyObject *frame_vars_dict(PyFrameObject *frame);

#endif
