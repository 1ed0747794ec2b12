/*
 * pager.h: a text to be read, on the terminal or through the user's pager when it is longer than that.
 */
#ifndef PYSTUCK_CLIENT_PAGER_H
#define PYSTUCK_CLIENT_PAGER_H

#include "buf.h"
#include "error.h"
#include "lend.h"
#include "out.h"

/* This instead of $PAGER. 0 or PYSTUCK_ENOMEM. */
int pager_set(const char *command);
/*
 * Shows the text, made safe. Longer than `rows` lines: through that, or $PAGER, or less where that is not set; "cat" or nothing in it: never.
 * Waits until the pager has ended; `beside` goes on meanwhile, and may be NULL.
 */
void pager_show(struct out *o, struct span text, int rows, const struct lend *beside);

#endif
