/*
 * raw_interps.h: the list of the process's interpreters, in raw memory. What threads they have: raw_others.h.
 */
#ifndef PYSTUCK_PYTHON_RAW_INTERPS_H
#define PYSTUCK_PYTHON_RAW_INTERPS_H

#include <stdint.h>

#include "raw_layout.h"
#include "raw_mem.h"

#define RAW_INTERPS_MAX 256u     /* that are told; further ones are counted */
#define RAW_INTERPS_WALK 100000u /* that are counted: a longer list is not believed */

struct raw_interp {
	uintptr_t at; /* its address */
	uint64_t id;
	uintptr_t gil; /* where the structure of its GIL lies */
};

struct raw_interps {
	struct raw_interp at[RAW_INTERPS_MAX]; /* the newest first; the main one, which is the end of the list, is not among them */
	uint32_t count, omitted;
};

/*
 * Follows the list. It changes without the GIL, and its lock is not ours to take: 0, or PYSTUCK_EAGAIN when what was read cannot have
 * been the list at any moment. An interpreter that has just ended may still be in it.
 */
int raw_interps_read(struct raw_interps *list, struct raw_mem *m, const struct raw_layout *l);
/* Whether this very interpreter is in the list now. */
int raw_interps_has(struct raw_mem *m, const struct raw_layout *l, const struct raw_interp *wanted);

#endif
