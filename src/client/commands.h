/*
 * commands.h: what can be typed at the prompt that is not Python: %stacks and its like.
 */
#ifndef PYSTUCK_CLIENT_COMMANDS_H
#define PYSTUCK_CLIENT_COMMANDS_H

#include "connect.h"
#include "inputs.h"
#include "jobs.h"
#include "lend.h"
#include "out.h"
#include "settings.h"

#define COMMANDS_QUIT 1
#define COMMANDS_INTERRUPTED 2 /* by Ctrl-C: the prompt comes back */
#define COMMANDS_SIGNAL 3      /* a fatal one came: *sig says which */
#define COMMANDS_EVALUATE 4    /* run what is in *source */
#define COMMANDS_RECONNECT 5   /* another connection */

struct commands_context {
	struct connection *c;
	struct out *out;
	int color;
	int64_t timeout_ms;
	uint32_t id; /* for a request, if the command makes one */
	int *sig;
	struct jobs *jobs;
	const struct inputs *inputs;
	struct settings *settings;
	int at_start; /* a line of the start-up file */
	const struct lend *beside; /* goes on while the terminal is lent */
	struct buf *source; /* empty: COMMANDS_EVALUATE puts there what is to be run */
};

/* 1 when the first word of the line is a command of the client's own; what else begins with % is the server's. */
int commands_has(const char *line);
/*
 * Runs a line that begins with % or is exit, quit, exit(), quit(), without spaces around it. 0;
 * one of COMMANDS_*; or an error after which the connection is of no more use.
 */
int commands_run(const struct commands_context *x, const char *line, struct diag *d);

#endif
