/*
 * complete.h: what could go on at the end of a text, as the answer to MSG_COMPLETE. Without COMPLETE_ASK nothing of the program is
 * run. Knows nothing of threads and clients. The GIL is held, and no exception is set afterwards.
 */
#ifndef PYSTUCK_PYTHON_COMPLETE_H
#define PYSTUCK_PYTHON_COMPLETE_H

#include <Python.h>
#include <stdint.h>

#include "buf.h"
#include "look.h"

#define COMPLETE_MATCHES_MAX 1000
#define COMPLETE_NS 150000000u /* for looking; the rest of 200 ms is for getting the GIL and for the way */

struct complete {
	/* Set by the caller. */
	struct look_spaces spaces;
	struct span source;
	int ask; /* run the program's code where it is needed */
	/* Set by complete_find. */
	uint8_t flags; /* MATCHES_* */
	uint32_t from, total;
	struct buf signature, matches;
};

/* complete_free also after a complete_find that found nothing. */
void complete_find(struct complete *c);
void complete_free(struct complete *c);

#endif
