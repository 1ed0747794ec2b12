/*
 * blocks.h: what a frame holds, by raw memory: its variables, and the objects whose `with` it is inside of.
 */
#ifndef PYSTUCK_PYTHON_BLOCKS_H
#define PYSTUCK_PYTHON_BLOCKS_H

#include <Python.h>
#include <stdint.h>

#include "objects.h"

#define BLOCKS_MAX 16u /* nested withs of a frame that are looked at */

/* A frame: the code is held by a reference of ours, the frame itself may be gone. */
struct blocks_frame {
	uintptr_t at;
	const PyCodeObject *code;
	int32_t offset; /* of its instruction, in bytes */
};

struct blocks_with {
	uintptr_t manager; /* the object after `with` */
	uint32_t line;     /* of the `with`; 0: not known */
};

/* 1 when the code has a `with` at all: for a first look, which reads no raw memory. */
int blocks_has_with(const PyCodeObject *code);
/* The withs that the frame is inside of, innermost first; how many. */
size_t blocks_withs(struct objects *o, const struct blocks_frame *f, struct blocks_with out[static BLOCKS_MAX]);

/* The line of the instruction at this offset, in bytes; 0: not known. */
uint32_t blocks_line(const PyCodeObject *code, int32_t offset);

/* Where the variables lie, as words; *count of them. */
uintptr_t blocks_variables(const struct blocks_frame *f, size_t *count);
/* The address in a reference as it lies in a frame; 0: it is of no object. */
uintptr_t blocks_untag(uintptr_t word);
/* The value of variable number i (0: the first parameter); 0: none. */
uintptr_t blocks_variable(struct objects *o, const struct blocks_frame *f, uint32_t i);
/* The number of the first variable with this name; UINT32_MAX: none. */
uint32_t blocks_number(const PyCodeObject *code, const char *name);
/* The value of the variable with this name. */
uintptr_t blocks_named(struct objects *o, const struct blocks_frame *f, const char *name);
/* 1 when one of its variables is this object. */
int blocks_has_variable(struct objects *o, const struct blocks_frame *f, uintptr_t object);

#endif
