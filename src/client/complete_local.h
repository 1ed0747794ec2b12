/*
 * complete_local.h: what needs no server to be completed: the names of commands, and arguments that are of this side.
 */
#ifndef PYSTUCK_CLIENT_COMPLETE_LOCAL_H
#define PYSTUCK_CLIENT_COMPLETE_LOCAL_H

#include "complete.h"

/* `line` is what was typed up to the cursor. 1: *c has what could go on; 0: it is for the server to say, and *c is untouched. */
int complete_local(struct complete *c, struct span line);

#endif
