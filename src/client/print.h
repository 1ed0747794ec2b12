/*
 * print.h: a dump as text, as the original tool printed it, in colour where that is wanted. All
 * text of the server goes out through text.c.
 */
#ifndef PYSTUCK_CLIENT_PRINT_H
#define PYSTUCK_CLIENT_PRINT_H

#include <stdint.h>

#include "dump.h"
#include "out.h"

#define PRINT_AGE 32

/* The whole dump, one empty line between threads. `color` 1: with escape sequences of ours. */
int print_dump(struct out *o, const struct dump *dump, int color);
/* Each thread's first line and its innermost frame. */
int print_threads(struct out *o, const struct dump *dump, int color);
/* What must be said before a dump that is not exact, on standard error; nothing when it is. */
void print_caveats(const struct dump *dump);

/* "pystuck: pid 4242 (python3 app.py), Python 3.11.2, up 3 h 12 min" */
void print_server(struct out *o, const struct msg_welcome *w, int color);
/*
 * A command line with its arguments separated by spaces, safe for a terminal, cut with "..." at
 * `size` - 1 bytes.
 */
char *print_command(char *text, size_t size, struct span command);
/* "12 s", "3 min", "3 h 12 min", "5 d 3 h": how long ago, in the words of a person. */
char *print_age(char text[static PRINT_AGE], uint64_t since_ns);

#endif
