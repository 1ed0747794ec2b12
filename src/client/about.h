/*
 * about.h: a server and its program in words.
 */
#ifndef PYSTUCK_CLIENT_ABOUT_H
#define PYSTUCK_CLIENT_ABOUT_H

#include <stddef.h>
#include <stdint.h>

#include "msg.h"
#include "out.h"

#define ABOUT_AGE 32

/* "pystuck: pid 4242 (python3 app.py), Python 3.11.2, up 3 h 12 min" */
void about_server(struct out *o, const struct msg_welcome *w, int color);
/*
 * A command line with its arguments separated by spaces, safe for a terminal, cut with "..." at
 * `size` - 1 bytes.
 */
char *about_command(char *text, size_t size, struct span command);
/* "12 s", "3 min", "3 h 12 min", "5 d 3 h": how long ago, in the words of a person. */
char *about_age(char text[static ABOUT_AGE], uint64_t since_ns);

#endif
