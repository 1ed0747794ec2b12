/*
 * deadlock.c: each thread waits for at most one other, so a walk from each either ends, or comes to a circle, or to where a walk
 * has been before.
 */
#include "deadlock.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

enum { OPEN = 0, FREE = 1, LED = 2, MEMBER = 3 };

/* What is found out of one thread. */
struct mark {
	uint32_t walk; /* the walk that came here first, + 1; 0: none */
	uint8_t fate;
};

/* Notes the circle that `from` is in. */
static void take_circle(struct deadlocks *d, struct mark *marks, const uint32_t *to, uint32_t from)
{
	size_t end = d->count > 0 ? d->ends[d->count - 1] : 0;
	uint32_t first = from;

	for (uint32_t i = to[from]; i != from; i = to[i])
		first = i < first ? i : first;
	for (uint32_t i = first; marks[i].fate != MEMBER; i = to[i]) {
		marks[i].fate = MEMBER;
		d->members[end++] = i;
	}
	d->ends[d->count++] = end;
}

static void walk_from(struct deadlocks *d, struct mark *marks, const uint32_t *to, uint32_t start)
{
	uint32_t i = start;
	uint8_t fate;

	while (i != DEADLOCK_NOBODY && marks[i].walk == 0) {
		marks[i].walk = start + 1;
		i = to[i];
	}
	if (i != DEADLOCK_NOBODY && marks[i].walk == start + 1 && marks[i].fate == OPEN)
		take_circle(d, marks, to, i);
	fate = i != DEADLOCK_NOBODY && marks[i].fate != FREE ? LED : FREE;
	for (i = start; i != DEADLOCK_NOBODY && marks[i].fate == OPEN; i = to[i])
		marks[i].fate = fate;
}

int deadlock_find(struct deadlocks *d, const uint32_t *to, size_t n)
{
	struct mark *marks = calloc(n + 1, sizeof *marks);

	*d = (struct deadlocks){
		.members = calloc(n + 1, sizeof *d->members),
		.ends = calloc(n + 1, sizeof *d->ends),
		.led_into = calloc(n + 1, sizeof *d->led_into),
	};
	if (marks == NULL || d->members == NULL || d->ends == NULL || d->led_into == NULL) {
		free(marks);
		return PYSTUCK_ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		walk_from(d, marks, to, (uint32_t)i);
	for (size_t i = 0; i < n; i++)
		if (marks[i].fate == LED)
			d->led_into[d->led_count++] = (uint32_t)i;
	free(marks);
	return 0;
}

void deadlock_free(struct deadlocks *d)
{
	free(d->members);
	free(d->ends);
	free(d->led_into);
	memset(d, 0, sizeof *d);
}
