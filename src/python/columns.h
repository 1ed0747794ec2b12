/*
 * columns.h: where in its line the expression stands that an instruction belongs to.
 */
#ifndef PYSTUCK_PYTHON_COLUMNS_H
#define PYSTUCK_PYTHON_COLUMNS_H

#include <Python.h>

#include "buf.h"

/*
 * The object that the instruction at `offset` (bytes) waits for, by the source line that it is on, of which `indent` bytes at the
 * beginning have been left out. Empty when the code does not say. The code object is held; no GIL needed.
 */
struct span columns_object(const PyCodeObject *code, int32_t offset, struct span line, uint32_t indent);

#endif
