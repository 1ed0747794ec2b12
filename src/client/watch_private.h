/*
 * watch_private.h: between watch.c, which takes the looks, and watch_screen.c, which shows them on a terminal. For these files only.
 */
#ifndef PYSTUCK_CLIENT_WATCH_PRIVATE_H
#define PYSTUCK_CLIENT_WATCH_PRIVATE_H

#include "dump.h"
#include "moved.h"
#include "print.h"
#include "watch.h"

#define WATCH_NOTICE PRINT_CAVEAT

/* One look, with what had become of the threads since the one before. */
struct look {
	struct dump dump;
	struct moved_list moved;
	int compared;    /* `moved` is there: it was not the first one */
	int64_t at_ms;   /* of connect_clock */
	uint64_t number; /* from 1 */
};

/* A line of what is shown, without its end. */
struct watch_line {
	size_t at, len;
	size_t color_at, color_len; /* the colour that goes on from the line before; 0: none */
};

struct watch {
	struct connection *c;
	const struct watch_options *w;
	struct look look;
	uint8_t flags; /* DUMP_* of the next look */
	int paused, done, lost;
	int denied; /* `notice` says that variables are not to be seen; until the next key */
	int status;
	int sig;
	char notice[WATCH_NOTICE]; /* what there is to be said beside the stacks; safe for a terminal */
	/* The last look as text. */
	struct out text;
	struct watch_line *lines;
	size_t line_count, line_room;
	size_t top, left; /* what is seen of it */
	int want_look;    /* now, whatever the interval says */
};

/* The look as text, from its beginning. */
int watch_print(struct watch *w, struct out *o);
/* It has changed: makes the lines anew. */
void watch_screen_take(struct watch *w);
/* Shows what there is to be seen. */
void watch_screen_draw(struct watch *w);
/* Standard input is readable: what the keys say. */
void watch_screen_keys(struct watch *w);
void watch_screen_free(struct watch *w);

#endif
