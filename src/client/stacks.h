/*
 * stacks.h: the commands of the prompt that look at the threads: %stacks, %threads, %locks, %tasks. Each is a row of commands.c's table.
 */
#ifndef PYSTUCK_CLIENT_STACKS_H
#define PYSTUCK_CLIENT_STACKS_H

#include "commands.h"

/*
 * `arguments` is what stands behind the command. 0, one of COMMANDS_*, or an error after which the connection is of no more use; a
 * refusal, and what makes no sense, is said and does not end the session.
 */
int stacks_run(const struct commands_context *x, const char *arguments, struct diag *d);
int stacks_threads(const struct commands_context *x, const char *arguments, struct diag *d);
int stacks_greenlets(const struct commands_context *x, const char *arguments, struct diag *d);
int stacks_locks(const struct commands_context *x, const char *arguments, struct diag *d);
int stacks_tasks(const struct commands_context *x, const char *arguments, struct diag *d);
int stacks_show(const struct commands_context *x, const char *arguments, struct diag *d); /* the original's %show threads */

#endif
