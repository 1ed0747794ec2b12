/*
 * on_main.h: runs code of a session on the program's main thread, when that next comes by in Python code.
 */
#ifndef PYSTUCK_PYTHON_ON_MAIN_H
#define PYSTUCK_PYTHON_ON_MAIN_H

#include <Python.h>

#include "cell.h"

/*
 * GIL held, on an evaluation thread. The value, a new reference; NULL with an exception: the code's own, or RuntimeError when the
 * main thread has not come by in time; then the code is never run.
 */
PyObject *on_main(const struct cell *c, PyObject *names, unsigned ms);

#endif
