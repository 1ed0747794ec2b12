/*
 * frame_mark.h: marks by which a running frame is known again. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_FRAME_MARK_H
#define PYSTUCK_PYTHON_FRAME_MARK_H

#include <Python.h>

int frame_mark_init(void); /* module init. 0, or -1 with an exception */
/* The frame's mark, one for all sessions that look at it; a new reference, NULL with an exception. */
PyObject *frame_mark_put(PyFrameObject *frame);
int frame_mark_has(PyFrameObject *frame, PyObject *mark);
/* Takes it away, unless another session still looks. */
void frame_mark_take(PyFrameObject *frame, PyObject *mark);

#endif
