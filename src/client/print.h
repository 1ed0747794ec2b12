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
/* Each thread's first line and its innermost frame. */
int print_threads(struct out *o, const struct dump *dump, const struct print_options *po);
/* Says of each word for threads that means none, on standard error, which there are. How many such words. */
size_t print_unmeant(const struct dump *dump, const struct view_options *vo);
/* What must be said before a dump that is not exact, on standard error; nothing when it is. */
void print_caveats(const struct dump *dump);
/* The same, of one of several: "process 12"; "": as above. */
void print_caveats_of(const struct dump *dump, const char *whose);

#endif
