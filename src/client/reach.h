/*
 * reach.h: a connection to the server that the command line means.
 */
#ifndef PYSTUCK_CLIENT_REACH_H
#define PYSTUCK_CLIENT_REACH_H

#include "connect.h"
#include "options.h"

/* `may_ask`: of several servers the user may choose. 0, or an error with a sentence; *c may be set then too, and is the caller's. */
int reach_open(struct connection **c, const struct options *o, int may_ask, struct diag *d);
/*
 * Where the program of `old` was, or what has taken its place: at the same address, or in the unit of systemd that was named or that it
 * was in ("": none), since a service that starts again is another process.
 */
int reach_again(struct connection **c, const struct options *o, const char *unit,
	const struct connection *old, struct diag *d);

#endif
