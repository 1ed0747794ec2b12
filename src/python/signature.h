/*
 * signature.h: how something is called, read from its code object or from the text of a C function, without running any of the
 * program's code: no __signature__, no __wrapped__, no repr of a default value. The GIL is held; no exception is set.
 */
#ifndef PYSTUCK_PYTHON_SIGNATURE_H
#define PYSTUCK_PYTHON_SIGNATURE_H

#include <Python.h>

#include "buf.h"
#include "look.h"

/*
 * Appends "(a, b=1, *, c)" for something callable; `bound`: the first parameter is taken. 1, or 0 when it is not known (nothing is
 * appended).
 */
int signature_put(struct buf *out, PyObject *callable, int bound);
/* Its parameters that can be named in a call. 1 when *object has some; not 0 from the visitor ends it. */
void signature_names(PyObject *callable, int bound, look_visit *visit, void *context);
/* The function of Python that runs when it is called, a new reference; NULL: none is known. */
PyObject *signature_function(PyObject *callable, int *bound);
/* What C code says of itself: the docstring with its first line "name(args)\n--\n\n"; NULL: nothing. */
const char *signature_c_doc(PyObject *callable);

#endif
