/*
 * raw_append.h: from what was read of an interpreter's threads without the GIL to frames, as every dump has them.
 */
#ifndef PYSTUCK_PYTHON_RAW_APPEND_H
#define PYSTUCK_PYTHON_RAW_APPEND_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "locals.h"
#include "raw_stacks.h"
#include "raw_value.h"

/*
 * Puts the threads of an interpreter behind those that are there, in the order of `s`, the main interpreter's (`interp` 0) with the
 * offsets of their instructions, others' with lines in their place. Any thread, no GIL. 0, PYSTUCK_ENOMEM, or PYSTUCK_ETOOBIG.
 */
int raw_append(struct frames *f, const struct raw_stacks *s, const struct raw_layout *l, uint32_t interp);
/* Fills in what the interpreter's threading module knows of the threads from `first` on. */
void raw_append_names(struct frames *f, uint32_t first, struct raw_mem *m, const struct raw_layout *l);
/*
 * The variables of the threads from `first` on, whose code objects are those of `codes`, the first of which is f->codes[base]. `to` is
 * open, with until_ns.
 */
void raw_append_locals(struct locals *to, const struct frames *f, uint32_t first, const struct raw_codes *codes, uint32_t base,
	struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *values);

#endif
