/*
 * pretty.h: a value as a person reads it at a prompt: containers broken into lines where they do not fit on one, cut where they are
 * too long or too deep. Calls the repr of what is in them, each once. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_PRETTY_H
#define PYSTUCK_PYTHON_PRETTY_H

#include <Python.h>

#include "buf.h"

#define PRETTY_ITEMS_MAX 1000        /* of one container */
#define PRETTY_DEPTH_MAX 32          /* containers within containers */
#define PRETTY_NODES_MAX 20000       /* in all */
#define PRETTY_CHARS_MAX 100000      /* of one str, bytes or repr */
#define PRETTY_NS 2000000000u        /* for all reprs together; what is left then is cut */

/*
 * Appends the text. *interrupted: as for run.h. 0, or -1 with an exception: a KeyboardInterrupt that was ours, or there is no
 * memory. Other exceptions of a repr become a part of the text. *cut: something was left out.
 */
int pretty_put(struct buf *out, PyObject *value, size_t width, const int *interrupted, int *cut);

/* "<repr of Foo object at 0x7f.. raised ValueError: x>" for the exception that is set, which is cleared; NULL: no memory. */
PyObject *pretty_failed(PyObject *value);

#endif
