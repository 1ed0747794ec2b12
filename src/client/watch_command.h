/*
 * watch_command.h: %watch of the prompt: one expression again and again, its value in place. A row of commands.c's table.
 */
#ifndef PYSTUCK_CLIENT_WATCH_COMMAND_H
#define PYSTUCK_CLIENT_WATCH_COMMAND_H

#include "commands.h"

/* "[SECONDS] CODE", until Ctrl-C. As stacks.h's. */
int watch_command(const struct commands_context *x, const char *arguments, struct diag *d);

#endif
