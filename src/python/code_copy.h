/*
 * code_copy.h: a code object of our own with what another one has, which nobody holds for us and which may be gone: enough of it for
 * who reads instructions, tables and names by CPython's macros, as of one that is held. It is no object: nothing of Python's is to be
 * called with it.
 */
#ifndef PYSTUCK_PYTHON_CODE_COPY_H
#define PYSTUCK_PYTHON_CODE_COPY_H

#include <Python.h>
#include <stdint.h>

#include "raw_mem.h"

#define CODE_COPY_BYTES (1u << 20) /* of the instructions, of a table */
#define CODE_COPY_NAMES 4096u      /* in each tuple of them */
#define CODE_COPY_NAME 48u         /* bytes of a name that is copied; longer ones are like no other */

enum code_copy_part {
	CODE_COPY_CODE,
	CODE_COPY_LINES,
	CODE_COPY_TABLE,     /* of exceptions; 3.10: the instructions */
	CODE_COPY_GLOBALS,   /* co_names: their addresses alone */
	CODE_COPY_VARIABLES, /* names of all; 3.10: of those that are in no cell */
	CODE_COPY_CELLS,     /* 3.10; so is the next one */
	CODE_COPY_FREE,
	CODE_COPY_STRINGS,   /* those that the three tuples before it have */
	CODE_COPY_CELL_STRINGS,
	CODE_COPY_FREE_STRINGS,
	CODE_COPY_PARTS,
};

struct code_copy {
	PyCodeObject *code; /* NULL: there is none */
	void *parts[CODE_COPY_PARTS];
	size_t bytes; /* of all of them */
};

/* 1 when there was a code object at this address. code_copy_free in any case. No GIL. */
int code_copy_read(struct code_copy *c, struct raw_mem *m, uintptr_t address);
void code_copy_free(struct code_copy *c);

#endif
