/*
 * range.c: times of several threads, told as one.
 */
#include "range.h"

#include "waits.h"

#define MOMENT_US 1000000u
#define TENTH_US 100000u /* what a time is told to */

void range_widen(struct range *r, int known, uint64_t v)
{
	if (!known)
		return;
	r->least = !r->known || v < r->least ? v : r->least;
	r->most = !r->known || v > r->most ? v : r->most;
	r->known = 1;
}

void range_print(struct out *o, const char *word, const struct range *r)
{
	if (!r->known || r->most < MOMENT_US)
		return;
	out_text(o, word);
	if (r->least / TENTH_US != r->most / TENTH_US) {
		waits_duration(o, r->least);
		out_text(o, " to ");
	}
	waits_duration(o, r->most);
}
