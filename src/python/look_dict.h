/*
 * look_dict.h: names in dicts and modules, without running any code of the program. The GIL is held, and no exception is set before or
 * after.
 */
#ifndef PYSTUCK_PYTHON_LOOK_DICT_H
#define PYSTUCK_PYTHON_LOOK_DICT_H

#include <Python.h>

#include "buf.h"

/* A name of a dict whose keys are str; a new reference, or NULL. */
PyObject *look_name(PyObject *dict, struct span name);
/* sys.modules[name], a new reference, or NULL. */
PyObject *look_module(struct span name);

/* Appends the text of a str, lone surrogates spelled out. 0, or PYSTUCK_E*. */
int look_text(struct buf *out, PyObject *str);

#endif
