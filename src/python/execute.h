/*
 * execute.h: runs compiled code as the user has said: as it is, timed, with no other thread in between, on the main thread. The GIL
 * is held, on an evaluation thread.
 */
#ifndef PYSTUCK_PYTHON_EXECUTE_H
#define PYSTUCK_PYTHON_EXECUTE_H

#include <Python.h>

#include "cell.h"
#include "prompt.h"

/* In these names, a session's or those of a view. The value, a new reference; NULL with an exception. */
PyObject *execute(PyObject *names, const struct cell *c, const struct prompt_cell *how);

/* The code alone, on whatever thread this is. */
PyObject *execute_code(const struct cell *c, PyObject *names);

#endif
