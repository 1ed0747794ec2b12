/*
 * moved.h: what has become of each thread between two dumps of the same program: who moved, who ran in the same place, who has
 * stood still and for how long. So stuck and busy are told apart. How it looks is print.c's.
 */
#ifndef PYSTUCK_CLIENT_MOVED_H
#define PYSTUCK_CLIENT_MOVED_H

#include <stdint.h>

#include "dump.h"
#include "out.h"

enum moved_kind {
	MOVED_NEW,   /* was not there */
	MOVED_ON,    /* has another stack */
	MOVED_RAN,   /* the same stack, but it was on a CPU in between, or has begun to wait anew */
	MOVED_STILL, /* the same stack, and it has not run, as far as that is known */
};
#define MOVED_KINDS 4

struct moved {
	enum moved_kind kind;
	uint32_t common;     /* outermost frames that are the same as before; all of them unless MOVED_ON or MOVED_NEW */
	uint32_t permille;   /* of one CPU, in between; 0 also where that is not known */
	uint64_t still_us;   /* MOVED_STILL: for how long at least, over all dumps that were compared */
};

struct moved_list {
	struct moved *at; /* one for each thread of the later dump */
	size_t count;
	size_t counts[MOVED_KINDS];
	size_t ended; /* threads of the earlier dump that are in the later one no more */
};

/* Who is who. */
enum moved_by {
	MOVED_BY_NUMBER, /* ident and tid: of one process */
	MOVED_BY_NAME,   /* of two processes; of several threads with one name any */
};

/*
 * Compares; `between_us` is the time between the two. `known`: what was found out about `before` when it was the later one; NULL: nothing. `list` is made anew. 0 or
 * PYSTUCK_ENOMEM; moved_free in any case.
 */
int moved_compare(struct moved_list *list, const struct dump *before, const struct moved_list *known, const struct dump *now,
	uint64_t between_us, enum moved_by by);
/* Calls each(context, thread) for the threads of `before` that are not in `now`. 0 or PYSTUCK_ENOMEM. */
int moved_each_ended(const struct dump *before, const struct dump *now, enum moved_by by,
	void (*each)(void *context, const struct dump_thread *t), void *context);
void moved_free(struct moved_list *list);

/* Whether two threads of the list did the same, so that they can be shown as one. */
int moved_alike(const struct moved_list *list, uint32_t a, uint32_t b);
/* The colour that goes with it, as a sequence. */
const char *moved_color(enum moved_kind kind);
/* "= still 12 s", "~ ran, CPU 34 %", "> moved", "+ new": of several threads of one kind the least. `members` are indexes into list->at. */
void moved_words(struct out *o, const struct moved_list *list, const uint32_t *members, size_t count);
/* "2 moved, 1 ran, 5 still, 1 new, 1 ended"; nothing of what there is none. */
void moved_summary(struct out *o, const struct moved_list *list);

#endif
