/*
 * terminal.h: the whole screen of the user's terminal, and its keys, for a program that redraws in place. Knows nothing of what is
 * shown. There is one terminal: standard input and standard output. The sequences are those that terminfo has for it.
 */
#ifndef PYSTUCK_CLIENT_TERMINAL_H
#define PYSTUCK_CLIENT_TERMINAL_H

#include <stddef.h>

#include "buf.h"
#include "error.h"

/* Keys that are no characters; a character is itself. */
enum terminal_key {
	TERMINAL_NONE = 0, /* nothing more has been typed */
	TERMINAL_GONE = 256, /* nothing will be typed any more */
	TERMINAL_UP,
	TERMINAL_DOWN,
	TERMINAL_LEFT,
	TERMINAL_RIGHT,
	TERMINAL_PAGE_UP,
	TERMINAL_PAGE_DOWN,
	TERMINAL_HOME,
	TERMINAL_END,
};

/*
 * Takes the screen: what stood there comes back with terminal_close. Keys are not echoed, signals are made of them as before. 0, or
 * PYSTUCK_EINVAL with a sentence: no terminal, or one of a kind that is not known or cannot do it.
 */
int terminal_open(struct diag *d);
/* Gives it back. Fine at any time, also twice. */
void terminal_close(void);
/* Stops the process as Ctrl-Z would have, with the terminal given back meanwhile. */
void terminal_stop(void);

void terminal_size(int *rows, int *columns);
/* The next key; standard input is read only when it was readable: terminal_feed. */
void terminal_feed(void);
int terminal_key(void);

/*
 * Appends so much of a line as is seen in `columns` columns from column `left` on. The line is what text.c has made safe, with
 * colours of ours; they are complete in what comes out. A character that does not fit whole is left out.
 */
void terminal_clip(struct buf *out, struct span line, size_t left, size_t columns);
/*
 * Shows lines of text, clipped already, from the top on and nothing else; line ends stand between them. What stands there already is
 * not written again. 0, or PYSTUCK_ECLOSED: the terminal has gone.
 */
int terminal_draw(struct span text);
/* A line on the first or last row: in reverse. */
void terminal_reverse(struct buf *out, struct span text);

#endif
