/*
 * commands.h: what can be typed at the prompt that is not Python: %stacks and its like.
 */
#ifndef PYSTUCK_CLIENT_COMMANDS_H
#define PYSTUCK_CLIENT_COMMANDS_H

#include "connect.h"
#include "out.h"

#define COMMANDS_QUIT 1

struct commands_context {
	struct connection *c;
	struct out *out;
	int color;
	int64_t timeout_ms;
	uint32_t id; /* for a request, if the command makes one */
};

/*
 * Runs a line that begins with % or is exit, quit, exit(), quit(), without spaces around it. 0;
 * COMMANDS_QUIT; or an error after which the connection is of no more use.
 */
int commands_run(const struct commands_context *x, const char *line, struct diag *d);

#endif
