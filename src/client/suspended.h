/*
 * suspended.h: asks for greenlets and generators, when the threads are known: only then is it known whether there are any.
 */
#ifndef PYSTUCK_CLIENT_SUSPENDED_H
#define PYSTUCK_CLIENT_SUSPENDED_H

#include "dump.h"

enum suspended_greenlets {
	SUSPENDED_AUTO,  /* when the program has imported greenlet */
	SUSPENDED_NEVER,
	SUSPENDED_ALWAYS, /* and it is said when there are none */
};

struct suspended_options {
	enum suspended_greenlets greenlets;
	int generators;
};

/* What is to be asked for after this dump: DUMP_* flags; 0: nothing. */
uint8_t suspended_wanted(const struct dump *dump, const struct suspended_options *o);
/*
 * Asks for it, with a request id of its own, and puts the answer into dump->suspended. What cannot be had is said on standard error, and
 * is no error. 0; PYSTUCK_ENOMEM; DUMP_STOPPED as dump_await: *pending, 0 at first, is 1 then, and to go on it is called again.
 */
int suspended_await(struct connection *c, uint32_t id, struct dump *dump, uint8_t flags, int *pending, int64_t deadline, int stop_fd,
	struct diag *d);
/* The same, and nothing is said: an error, in *d, when it cannot be had, and dump->suspended is NULL then. */
int suspended_try(struct connection *c, uint32_t id, struct dump *dump, uint8_t flags, int *pending, int64_t deadline, int stop_fd,
	struct diag *d);

#endif
