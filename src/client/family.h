/*
 * family.h: several processes of this machine that run pystuck, looked at together: which they are, who descends from whom, their
 * stacks, and which of them have the same. How that is shown is family_show.c's.
 */
#ifndef PYSTUCK_CLIENT_FAMILY_H
#define PYSTUCK_CLIENT_FAMILY_H

#include <stddef.h>
#include <sys/types.h>

#include "alike.h"
#include "connect.h"
#include "dump.h"
#include "servers.h"
#include "suspended.h"

#define FAMILY_NONE SIZE_MAX
#define FAMILY_WHY 160

struct family_member {
	const struct server *server;
	pid_t pid;     /* here; 0: it has no number here */
	size_t parent; /* the nearest one above it that runs pystuck; FAMILY_NONE */
	size_t depth;  /* how many are above it */
	struct dump dump;
	int shown;             /* there is a dump */
	char why[FAMILY_WHY];  /* there is none: why; safe for a terminal */
	struct alike alike;
	size_t same;           /* the first one whose stacks are the same: itself for that one */
};

struct family {
	struct servers servers;
	struct family_member *at; /* each process once; who descends from one comes right behind it */
	size_t count;
};

/*
 * With `root`, a connection that has been welcomed and is taken over: its process and all that descend from it. Without: those that
 * descend from the process `of`, which need not run pystuck itself; 0: the user's servers on this machine. 0, PYSTUCK_ENOENT there are
 * none, PYSTUCK_EINVAL it cannot be told which process the root is, or another error, with a sentence; family_close in any case.
 */
int family_open(struct family *f, struct connection *root, pid_t of, struct diag *d);
void family_close(struct family *f);

/*
 * Asks all of them at once for their stacks, then those that have some for their greenlets, and finds those that have the same. `flags`
 * are DUMP_*.
 */
void family_ask(struct family *f, uint8_t flags, const struct suspended_options *suspended, int64_t deadline);

#endif
