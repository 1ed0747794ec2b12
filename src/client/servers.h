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
	int answered, refused;
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
/* Asks all of them who they are, fills their cells, and closes the connections. */
void servers_ask(struct servers *s, int on_terminal);
/* The table; `numbered` puts a number for the choice before each line. */
void servers_print(struct out *o, const struct servers *s, int numbered);

#endif
