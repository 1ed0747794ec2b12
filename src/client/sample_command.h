/*
 * sample_command.h: --sample and %sample: takes samples, prints where the time went, and writes the file that was asked for.
 */
#ifndef PYSTUCK_CLIENT_SAMPLE_COMMAND_H
#define PYSTUCK_CLIENT_SAMPLE_COMMAND_H

#include "commands.h"
#include "sample.h"

struct sample_command {
	struct connection *c;
	struct out *out;
	int color;
	const char *output; /* export_check says that it can be written; NULL: none */
	int *sig;           /* set when a fatal signal came */
	struct sample_request request;
};

/*
 * Returns an exit status. With an error of the connection, what came before it has been printed, and the error is in *d, for the caller
 * to say; other trouble has been said.
 */
int sample_run(const struct sample_command *s, struct diag *d);
/* A row of commands.c's table. */
int sample_prompt(const struct commands_context *x, const char *arguments, struct diag *d);

#endif
