/*
 * args.h: the arguments of run_server(), checked and turned into a struct host_request; and errors turned into exceptions.
 */
#ifndef PYSTUCK_PYTHON_ARGS_H
#define PYSTUCK_PYTHON_ARGS_H

#include <Python.h>

#include "error.h"
#include "host.h"

/*
 * GIL held. 0 with *r filled (the caller frees it with host_request_free or gives it to host_open), or -1 with a TypeError, a
 * ValueError, an OSError or a MemoryError whose message says what to do.
 */
int args_parse(PyObject *args, PyObject *kwargs, struct host_request *r);

/* Sets the exception that fits d: always returns NULL. */
PyObject *args_raise(const struct diag *d);

#endif
