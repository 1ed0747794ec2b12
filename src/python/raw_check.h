/*
 * raw_check.h: does the reader without the GIL see what Python itself says?
 */
#ifndef PYSTUCK_PYTHON_RAW_CHECK_H
#define PYSTUCK_PYTHON_RAW_CHECK_H

#include <Python.h>

#include "raw_layout.h"
#include "raw_mem.h"

/*
 * GIL held. NULL when the calling thread's stack, its place in the list of threads, the holder of the GIL and sys.modules are read
 * as they are; else what is not. Sets no exception and runs no code of the program.
 */
const char *raw_check(struct raw_mem *m, const struct raw_layout *l);

#endif
