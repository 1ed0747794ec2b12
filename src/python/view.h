/*
 * view.h: the names of a frame as a namespace to run cells in: its variables, then what was assigned here, its globals, and the
 * session's own names. A frame of a running thread is not kept alive by it; the frames of a traceback are, until view_leave.
 * The GIL is held in all of these.
 */
#ifndef PYSTUCK_PYTHON_VIEW_H
#define PYSTUCK_PYTHON_VIEW_H

#include <Python.h>

#include "buf.h"
#include "target.h"

int view_init(void); /* module init. 0, or -1 with an exception */

/*
 * A dict for PyEval_EvalCode, globals and locals in one, a new reference; NULL with an exception. `own` is the session's
 * namespace, where names go that the frame does not have. The second is for the frames of an exception's traceback, and begins
 * with the innermost.
 */
PyObject *view_of_target(PyObject *own, const struct target *t);
PyObject *view_of_raised(PyObject *own, PyObject *raised);

/* 0: the frame has ended. */
int view_alive(PyObject *view);
/* The next frame inwards (1) or outwards (-1), a new view; NULL without an exception: there is none. */
PyObject *view_next(PyObject *view, PyObject *own, int inwards);
/* Appends `MainThread (tid 12), frame 2 of 0 to 4: File "app.py", line 3, in f` and a line end. 1, or 0: it has ended. */
int view_where(PyObject *view, struct buf *out);
/* Its variables, a new dict; NULL with an exception. */
PyObject *view_locals(PyObject *view);
PyObject *view_globals(PyObject *view); /* borrowed */
/* After a cell: what it has declared global becomes that. Keeps an exception that is set. */
void view_settle(PyObject *view);
/* Lets go of the frame. Functions that were made meanwhile go on with its globals. */
void view_leave(PyObject *view);

#endif
