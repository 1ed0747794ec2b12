/*
 * cut.h: which frames of a stack are shown where only some are asked for: the innermost, and the innermost of the program's own
 * code, since whoever waits deep in a library asks who has called it.
 */
#ifndef PYSTUCK_CUT_H
#define PYSTUCK_CUT_H

#include <stddef.h>
#include <stdint.h>

#include "dump.h"

struct cut {
	size_t first; /* from here on all are shown */
	size_t own;   /* and this one, which comes before them; CUT_NONE: there is none */
};

#define CUT_NONE SIZE_MAX

/* Of `depth` places, outermost first, `most` at the innermost end; 0: all. */
struct cut cut_of(const struct dump *dump, const uint32_t *places, size_t depth, uint32_t most);

/* The index of the first one that is shown, and of the one after i. */
size_t cut_begin(struct cut cut);
size_t cut_next(struct cut cut, size_t i);

/* How many are left out just before i, which is shown, but for those that are left out at the outer end. */
size_t cut_gap(struct cut cut, size_t i);

/* Whether a file is of Python's own library: .../python3.11/..., but for what is installed there; or frozen into Python. */
int cut_is_of_python(struct span file);

#endif
