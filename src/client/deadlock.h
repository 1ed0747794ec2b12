/*
 * deadlock.h: threads that wait for each other in a circle. A pure function over who waits for whom: what the waits are is not
 * known here.
 */
#ifndef PYSTUCK_CLIENT_DEADLOCK_H
#define PYSTUCK_CLIENT_DEADLOCK_H

#include <stddef.h>
#include <stdint.h>

#define DEADLOCK_NOBODY UINT32_MAX

struct deadlocks {
	uint32_t *members; /* of all circles, one after the other; each begins with its smallest index and goes on to whom that
			    * one waits for */
	size_t *ends;      /* where each circle ends in `members` */
	size_t count;      /* circles */
	uint32_t *led_into; /* those who wait, directly or not, for one in a circle, and are in none themselves; ascending */
	size_t led_count;
};

/*
 * to[i] < n is whom i waits for, or DEADLOCK_NOBODY; it may be i itself. 0 or PYSTUCK_ENOMEM; deadlock_free in any case. Takes time
 * in proportion to n.
 */
int deadlock_find(struct deadlocks *d, const uint32_t *to, size_t n);
void deadlock_free(struct deadlocks *d);

#endif
