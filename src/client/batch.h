/*
 * batch.h: one evaluation without a prompt: -c, or a script on standard input.
 */
#ifndef PYSTUCK_CLIENT_BATCH_H
#define PYSTUCK_CLIENT_BATCH_H

#include <stdint.h>

#include "connect.h"
#include "out.h"

struct batch {
	struct connection *c;
	struct out *out; /* standard output: what the code prints to its stdout, and the value */
	uint32_t id;
	int64_t deadline; /* CONNECT_NEVER: none */
	int json;         /* 1: everything goes into one JSON object on `out` */
	int pretty;
};

/*
 * Waits for the evaluation `id`, which has been asked for. Returns the exit status of the client;
 * what went wrong has been said on standard error. The traceback of an exception goes there too.
 */
int batch_await(struct batch *b);
/*
 * Reads a script to its end into `script` (bounded by what one message can carry). 1: there is
 * something to run; 0: it is blank; or an error with a sentence.
 */
int batch_read(int fd, struct buf *script, struct diag *d);

#endif
