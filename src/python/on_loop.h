/*
 * on_loop.h: code with a top-level await, run as a task of the program's own event loop, or, where none runs, of one of its own.
 */
#ifndef PYSTUCK_PYTHON_ON_LOOP_H
#define PYSTUCK_PYTHON_ON_LOOP_H

#include <Python.h>
#include <stdint.h>

#include "cell.h"

int on_loop_init(void); /* module init. 0, or -1 with an exception */
/* 1 when the code awaits something. */
int on_loop_needed(const struct cell *c);
/*
 * GIL held, on an evaluation thread. `ident`: of the thread whose loop it is to be; 0: the only one, or the main thread's. The
 * value, a new reference; NULL with an exception.
 */
PyObject *on_loop(const struct cell *c, PyObject *names, uint64_t ident);

#endif
