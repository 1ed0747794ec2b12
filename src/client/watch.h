/*
 * watch.h: `pystuck --watch`: look after look, in place on a terminal, with what moved in between. Elsewhere one below the other.
 */
#ifndef PYSTUCK_CLIENT_WATCH_H
#define PYSTUCK_CLIENT_WATCH_H

#include "connect.h"
#include "options.h"
#include "out.h"

struct watch_options {
	const struct options *o;
	struct out *out; /* where it is no terminal */
	int in_place;    /* standard input and output are a terminal */
	int color;
	uint8_t flags;   /* DUMP_* */
};

/*
 * Until the user has enough, or the program has gone. Gives an enum status; *sig is the fatal signal that came, or 0.
 */
int watch_run(struct connection *c, const struct watch_options *w, int *sig);

#endif
