/*
 * servers.h: servers on this machine that have been dialled, and the table of what they say of
 * themselves. Which are looked for, and which is taken, is find.c's.
 */
#ifndef PYSTUCK_CLIENT_SERVERS_H
#define PYSTUCK_CLIENT_SERVERS_H

#include <sys/types.h>

#include "addr.h"
#include "connect.h"
#include "error.h"
#include "out.h"
#include "places.h"

#define SERVERS_CELL 64

enum servers_column {
	COL_PID,
	COL_USER,
	COL_UNIT,
	COL_PYTHON,
	COL_UP,
	COL_COMMAND,
	COL_SOCKET,
	COLUMNS,
};

struct server {
	struct addr addr;
	int fd; /* dialled; -1 when it is somebody else's, or closed */
	uid_t uid;
	pid_t pid; /* the kernel's word; once it has answered, that of its owner */
	struct connection *c;
	int answered, refused, foreign;
	char cells[COLUMNS][ADDR_TEXT];
};

struct servers {
	struct server *at;
	size_t count;
};

void servers_free(struct servers *s);
/*
 * Those of the places that can be dialled: dead sockets and those of strangers are left out. 0, or
 * PYSTUCK_ENOMEM with a sentence.
 */
int servers_dial(struct servers *s, const struct places *places, struct diag *d);
/*
 * Asks all of them who they are and fills their cells; connections to those that answered stay
 * open. Who has answered already is not asked again.
 */
void servers_greet(struct servers *s);
/* The same, and closes the connections. */
void servers_ask(struct servers *s);
/*
 * Leaves out whoever is no server of pystuck: what answered with something else, and what did not
 * answer and is not where servers are (places_is_usual).
 */
void servers_drop_foreign(struct servers *s);
/*
 * A server that nobody named is taken only if it is the user's own, root's, or at a place that the
 * administrator made: anybody can make a socket with our name in /tmp. Root may look at
 * everybody's.
 */
void servers_drop_strangers(struct servers *s);
/*
 * The table; `numbered` puts a number for the choice before each line. On a terminal command lines
 * are cut to what its width leaves them.
 */
void servers_print(struct out *o, struct servers *s, int numbered);

#endif
