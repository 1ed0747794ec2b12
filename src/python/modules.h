/*
 * modules.h: the `modules` of a session: sys.modules by item or attribute, importing what is not
 * there yet.
 */
#ifndef PYSTUCK_PYTHON_MODULES_H
#define PYSTUCK_PYTHON_MODULES_H

#include <Python.h>

/* Module init, GIL held: readies the types. 0, or -1 with an exception. Calling it again does
 * nothing. */
int modules_init(void);
/* GIL held. The object, a new reference. */
PyObject *modules_new(void);
/* 1 when this is such an object. */
int modules_is(PyObject *object);
/* The module that this is, or that it wraps, borrowed; NULL: it is no module. */
PyObject *modules_unwrap(PyObject *object);

#endif
