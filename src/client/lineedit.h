/*
 * lineedit.h: one line of input at a time, with keys and history, beside a poll loop: nothing here
 * waits. Knows nothing of Python and of the protocol. GNU readline or libedit (edit_library.h). There is one terminal, so there is one line editor.
 */
#ifndef PYSTUCK_CLIENT_LINEEDIT_H
#define PYSTUCK_CLIENT_LINEEDIT_H

#include <stddef.h>

enum lineedit_state {
	LINEEDIT_MORE, /* the line is not finished */
	LINEEDIT_LINE, /* lineedit_take has it */
	LINEEDIT_TAB,  /* Tab: what could go on here? */
	LINEEDIT_EOF,  /* Ctrl-D on an empty line, or the terminal is gone */
};

/* Locale, key bindings, history. -1 where the library is not there: a notice has said so. */
int lineedit_open(void);
/* Gives the terminal back and closes the history. Fine at any time, also twice. */
void lineedit_close(void);

/*
 * Shows the prompt and takes the terminal. `color` is an escape sequence for the prompt, or "".
 * `prefill` is put into the line as if typed, or "".
 */
void lineedit_begin(const char *prompt, const char *color, const char *prefill);
/*
 * Standard input is readable. After LINEEDIT_LINE and LINEEDIT_EOF the terminal is as it was before
 * lineedit_begin, and the cursor is at the start of a line.
 */
enum lineedit_state lineedit_feed(void);
char *lineedit_take(void); /* malloc'd; may have newlines in it (a paste) */
/* What is in the line up to the cursor, not terminated; until the line is changed. */
const char *lineedit_typed(size_t *len);
/* Puts `text` in the place of the line from byte `from` up to the cursor. */
void lineedit_replace(size_t from, const char *text);
/* Takes the prompt and the line off the screen, where the library can; lineedit_return brings them back. */
void lineedit_hide(void);
/* Below the line, for lines of output; and the prompt with the line again. */
void lineedit_leave(void);
void lineedit_return(void);
void lineedit_size(int *rows, int *columns); /* of the terminal */
/* Lets go of the line in the middle; the cursor is at the start of an empty line then. */
void lineedit_end(void);
void lineedit_cancel(void); /* the same after Ctrl-C, which it shows */

void lineedit_resized(void); /* after SIGWINCH */
void lineedit_pause(void);   /* before the process stops: the terminal is given back ... */
void lineedit_resume(void);  /* ... and taken again, with the line as it was */

void lineedit_keep(size_t entries);        /* of the history and its file, the newest */
void lineedit_remember(const char *entry); /* adds to the history and its file */

#endif
