/*
 * linetable.h: from the offset of an instruction to its line, by the line table of a code object. Bytes in, a number out: whatever
 * the bytes are. No Python.
 */
#ifndef PYSTUCK_PYTHON_LINETABLE_H
#define PYSTUCK_PYTHON_LINETABLE_H

#include <stdint.h>

#include "buf.h"

/* 3.11 and later: co_linetable is a location table. `offset` in bytes, negative: not begun. 0: the instruction has no line. */
uint32_t linetable_locations(struct span table, int first_line, int32_t offset);
/* 3.10: pairs of a length and a difference. */
uint32_t linetable_pairs(struct span table, int first_line, int32_t offset);

#endif
