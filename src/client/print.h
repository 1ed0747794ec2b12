/*
 * print.h: a dump as text, as the original tool printed it, in colour where that is wanted. All
 * text of the server goes out through text.c.
 */
#ifndef PYSTUCK_CLIENT_PRINT_H
#define PYSTUCK_CLIENT_PRINT_H

#include <stddef.h>

#include "dump.h"
#include "out.h"
#include "view.h"

struct print_options {
	int color; /* 1: with escape sequences of ours */
	struct view_options view;
};

/* The dump, as far as it is to be shown, one empty line between threads. */
int print_dump(struct out *o, const struct dump *dump, const struct print_options *po);
/* Stacks of a dump one by one, of who is no thread: print_open, as many as there are, print_close in the end. NULL: no memory. */
struct printer *print_open(struct out *o, const struct dump *dump, const struct print_options *po);
void print_stack(struct printer *pr, const uint32_t *places, size_t depth, uint32_t omitted);
int print_close(struct printer *pr);
/* Each thread's first line and its innermost frame. */
int print_threads(struct out *o, const struct dump *dump, const struct print_options *po);
/* Says of each word for threads that means none, on standard error, which there are. How many such words. */
size_t print_unmeant(const struct dump *dump, const struct view_options *vo);
/* What must be said before a dump that is not exact, on standard error; nothing when it is. */
void print_caveats(const struct dump *dump);
/* The same as a text, safe for a terminal: 1 when there is one. */
#define PRINT_CAVEAT 400
int print_caveat(char text[static PRINT_CAVEAT], const struct dump *dump);

#endif
