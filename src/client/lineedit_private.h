/*
 * lineedit_private.h: what GNU readline and libedit do differently, between lineedit.c and the two files that know it:
 * lineedit_readline.c and lineedit_libedit.c, of which one has something in it. For these files only.
 */
#ifndef PYSTUCK_CLIENT_LINEEDIT_PRIVATE_H
#define PYSTUCK_CLIENT_LINEEDIT_PRIVATE_H

#include <stdint.h>
#include <stdio.h>

#include "edit_library.h"

/* Once. Before the library reads the user's settings, and after. */
void lineedit_lib_prepare(void);
void lineedit_lib_bind(rl_command_func_t *tab);
/* Before a line is begun: the prompt as it is seen. */
void lineedit_lib_begin(const char *prompt);
/* The line that the library has given, as it was typed: what comes back is to be freed. */
char *lineedit_lib_line(char *line);
/* After a line, however it has ended. */
void lineedit_lib_end(void);
/* Text at the cursor. */
void lineedit_lib_insert(const char *text);
/* Text in place of what stands from there to the cursor. */
void lineedit_lib_replace(int from, const char *text);
/* The line stays on the screen, with the mark behind it, and the cursor goes below. */
void lineedit_lib_below(const char *mark);
/* The line goes from the screen. */
void lineedit_lib_hide(void);
/* It stands there again, from the cursor on. */
void lineedit_lib_show(void);

#endif
