/*
 * complete.h: asks the server what could go on at the end of a text, and lays the answer out for a terminal. Knows no line
 * editor.
 */
#ifndef PYSTUCK_CLIENT_COMPLETE_H
#define PYSTUCK_CLIENT_COMPLETE_H

#include <stddef.h>

#include "connect.h"
#include "out.h"

/* What came back. The texts are its own and safe for a terminal; complete_free. */
struct complete {
	char **matches; /* sorted; each may stand behind the first `from` bytes of the source */
	size_t count;
	size_t from;
	size_t total; /* how many the server has counted */
	int cut;
	int unasked;     /* to run the program's code could tell more */
	char *signature; /* or NULL */
	char *trouble;   /* why there is no answer, or NULL */
};

#define COMPLETE_STOPPED 1 /* Ctrl-C */
#define COMPLETE_SIGNAL 2  /* a fatal one: *sig */

/*
 * Asks and waits, a second at the most, and lets go of what takes longer. 0 (c is filled, perhaps with nothing),
 * COMPLETE_STOPPED, COMPLETE_SIGNAL, or an error of the connection.
 */
int complete_ask(struct complete *c, struct connection *connection, uint32_t id, struct span source, int ask, int *sig,
	struct diag *d);
void complete_free(struct complete *c);

/* Adds one of our own, for what needs no server. Copies. 0 or PYSTUCK_ENOMEM. */
int complete_add(struct complete *c, const char *match);
/* How many bytes all matches have in common. */
size_t complete_common(const struct complete *c);
/* The list, the signature and what else is to be said, as lines. */
void complete_show(const struct complete *c, struct out *o, int columns, int rows, int color);

#endif
