/*
 * repl.h: the prompt on a live process.
 */
#ifndef PYSTUCK_CLIENT_REPL_H
#define PYSTUCK_CLIENT_REPL_H

#include <stdint.h>

#include "connect.h"
#include "out.h"
#include "settings.h"

struct repl_options {
	struct out *out; /* standard output, a terminal */
	struct settings settings;
	const char *rc; /* the start-up file's text, which is run first; NULL: there is none */
	const char *rc_path;
	int64_t dump_timeout_ms; /* for %stacks and its like */
	int64_t eval_timeout_ms; /* 0: none */
	uint32_t next_id;        /* of the first request */
	/*
	 * Another connection to the same program, or to what has taken its place; the old one is closed then. 0, or an
	 * error, after which the old one is still there.
	 */
	int (*reopen)(void *context, struct connection **c, struct diag *d);
	void *context;
};

/*
 * Reads, evaluates, prints until the user has enough or the connection is lost. Returns the exit
 * status of the client; after a fatal signal *sig is its number and the caller, having cleaned up,
 * ends with signals_die.
 */
int repl_run(struct connection *c, const struct repl_options *o, int *sig);

#endif
