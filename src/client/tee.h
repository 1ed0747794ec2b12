/*
 * tee.h: %tee, which has the program's own output copied to this side.
 */
#ifndef PYSTUCK_CLIENT_TEE_H
#define PYSTUCK_CLIENT_TEE_H

#include "commands.h"

/* As the functions of stacks.h. */
int tee_run(const struct commands_context *x, const char *arguments, struct diag *d);

#endif
