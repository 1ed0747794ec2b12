/*
 * raw_others.h: the threads of the process's other interpreters (sub-interpreters), read without any GIL, whatever the dump is taken
 * with: the courier's GIL may not be theirs, waiting for theirs may take for ever, and a reference of ours to an object of theirs would
 * keep memory in use that goes away with its interpreter.
 */
#ifndef PYSTUCK_PYTHON_RAW_OTHERS_H
#define PYSTUCK_PYTHON_RAW_OTHERS_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "locals.h"
#include "raw_layout.h"
#include "raw_mem.h"
#include "raw_value.h"

#define RAW_OTHERS_MS 300u /* interpreters that have not been read by then stay unread */

/* How it is to be done. */
struct raw_asked {
	struct locals *locals;                  /* open, with until_ns; NULL: no variables */
	const struct raw_value_layout *values;  /* for those */
	uint32_t max_frames;                    /* of each thread; 0: as many as there may be */
	int no_names;                           /* what threading calls them is not read */
};

/*
 * Any thread. Puts the other interpreters into f->interps, behind the main one, and their threads behind those that are there, the
 * oldest first; where there is only the main interpreter, nothing. *settled is set to 0 when a thread may be wrong. 0, PYSTUCK_ENOMEM,
 * PYSTUCK_ETOOBIG.
 */
int raw_others(struct frames *f, struct raw_mem *m, const struct raw_layout *l, const struct raw_asked *asked, int *settled);

#endif
