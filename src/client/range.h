/*
 * range.h: the least and the most of a time that some threads have, as a phrase.
 */
#ifndef PYSTUCK_CLIENT_RANGE_H
#define PYSTUCK_CLIENT_RANGE_H

#include <stdint.h>

#include "out.h"

/* {0} is of no threads. In microseconds. */
struct range {
	uint64_t least, most;
	int known;
};

/* One more thread's time, where it is known. */
void range_widen(struct range *r, int known, uint64_t v);
/* `word` and the times; nothing when even the longest is not worth the room. */
void range_print(struct out *o, const char *word, const struct range *r);

#endif
