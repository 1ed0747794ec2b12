/*
 * lineedit.c: GNU readline or libedit through the callback interface that both have; where they differ is in lineedit_readline.c
 * and lineedit_libedit.c. Signals stay with the caller: the library installs no handlers.
 */
#include "lineedit.h"

#include <langinfo.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"
#include "lineedit_private.h"
#include "out.h"

#define LINEEDIT_INDENT "    "
#define LINEEDIT_PROMPT 128
#define LINEEDIT_ROWS 24 /* of a terminal that does not say */
#define LINEEDIT_COLUMNS 80

static char *line_done;
static enum lineedit_state line_state;
static int taken; /* the terminal is ours: between begin and end */
static int opened;

/* readline ends the line itself at Ctrl-D, but only where bracketed paste is on. */
static int eof_ends_line(void)
{
#ifdef PYSTUCK_LIBEDIT
	return 0;
#else
	const char *paste = edit.rl_variable_value("enable-bracketed-paste");

	return *edit.rl_readline_version >= 0x0801 && paste != NULL && strcmp(paste, "on") == 0;
#endif
}

/* Called by the library when the user has typed Enter or Ctrl-D. */
static void on_line(char *line)
{
	free(line_done);
	line_done = lineedit_lib_line(line);
	line_state = line != NULL ? LINEEDIT_LINE : LINEEDIT_EOF;
	/* Here, or the library shows its prompt again. */
	edit.rl_callback_handler_remove();
	lineedit_lib_end();
	taken = 0;
	if (line == NULL && !eof_ends_line()) {
		fputc('\n', *edit.rl_outstream);
		fflush(*edit.rl_outstream);
	}
}

/* Tab indents where the line is empty; else the caller is told. */
static int on_tab(int count, int key)
{
	int at = *edit.rl_point;

	(void)count;
	(void)key;
	while (at > 0 && ((*edit.rl_line_buffer)[at - 1] == ' ' || (*edit.rl_line_buffer)[at - 1] == '\t'))
		at--;
	if (at == 0 || (*edit.rl_line_buffer)[at - 1] == '\n')
		lineedit_lib_insert(LINEEDIT_INDENT);
	else
		line_state = LINEEDIT_TAB;
	return 0;
}

static void load_entry(const char *entry)
{
	edit.add_history(entry);
}

/*
 * The program at the other end reads UTF-8 whatever the user's locale says, and terminals of today
 * write it.
 */
static void use_utf8(void)
{
	if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
}

int lineedit_open(void)
{
	static char name[] = "pystuck";
	const char *why;

	if (opened)
		return 0;
	if (edit_library_load(&why) != 0) {
		out_notice("no prompt without the library for its keys: %s; -c CODE and a script on standard input need none", why);
		return -1;
	}
	opened = 1;
	use_utf8();
	*edit.rl_readline_name = name;
	*edit.rl_catch_signals = 0;
	lineedit_lib_prepare();
	edit.rl_initialize();
	lineedit_lib_bind(on_tab);
	edit.using_history();
	edit.stifle_history(HISTORY_MAX);
	history_open(load_entry);
	return 0;
}

void lineedit_close(void)
{
	if (!opened)
		return;
	lineedit_end();
	history_close();
	edit.clear_history();
	free(line_done);
	line_done = NULL;
	opened = 0;
}

void lineedit_begin(const char *prompt, const char *color, const char *prefill)
{
	char text[LINEEDIT_PROMPT];

	/* \1 and \2 tell the library what takes no room on the screen. */
	if (*color != '\0')
		snprintf(text, sizeof text, "\001%s\002%s\001\033[0m\002", color, prompt);
	else
		snprintf(text, sizeof text, "%s", prompt);
	line_state = LINEEDIT_MORE;
	taken = 1;
	lineedit_lib_begin(prompt);
	edit.rl_callback_handler_install(text, on_line);
	if (*prefill != '\0')
		lineedit_lib_insert(prefill);
}

enum lineedit_state lineedit_feed(void)
{
	if (line_state == LINEEDIT_TAB)
		line_state = LINEEDIT_MORE;
	edit.rl_callback_read_char();
	return line_state;
}

char *lineedit_take(void)
{
	char *line = line_done;

	line_done = NULL;
	return line;
}

const char *lineedit_typed(size_t *len)
{
	*len = (size_t)*edit.rl_point;
	return *edit.rl_line_buffer;
}

void lineedit_replace(size_t from, const char *text)
{
	if (from > (size_t)*edit.rl_point)
		return;
	lineedit_lib_replace((int)from, text);
}

void lineedit_leave(void)
{
	if (!taken)
		return;
	lineedit_lib_below("");
	fflush(*edit.rl_outstream);
}

void lineedit_hide(void)
{
	if (!taken)
		return;
	lineedit_lib_hide();
	fflush(*edit.rl_outstream);
}

void lineedit_return(void)
{
	if (!taken)
		return;
	lineedit_lib_show();
	fflush(*edit.rl_outstream);
}

void lineedit_size(int *rows, int *columns)
{
	*rows = *columns = 0;
	edit.rl_get_screen_size(rows, columns);
	if (*rows <= 0)
		*rows = LINEEDIT_ROWS;
	if (*columns <= 0)
		*columns = LINEEDIT_COLUMNS;
}

/* `mark` is written behind the line, which stays on the screen. */
static void end_line(const char *mark)
{
	if (!taken)
		return;
	taken = 0;
	lineedit_lib_below(mark);
	lineedit_lib_end();
	fflush(*edit.rl_outstream);
#ifndef PYSTUCK_LIBEDIT
	edit.rl_free_line_state();
	edit.rl_callback_sigcleanup();
#endif
	edit.rl_replace_line("", 0);
	edit.rl_callback_handler_remove();
}

void lineedit_end(void)
{
	end_line("");
}

void lineedit_cancel(void)
{
	end_line("^C");
}

void lineedit_resized(void)
{
	edit.rl_resize_terminal();
}

void lineedit_pause(void)
{
	if (!taken)
		return;
	lineedit_lib_below("");
	lineedit_lib_end();
	fflush(*edit.rl_outstream);
	edit.rl_deprep_terminal();
}

void lineedit_resume(void)
{
	if (!taken)
		return;
	edit.rl_prep_terminal(1);
	lineedit_lib_show();
}

void lineedit_keep(size_t entries)
{
	edit.stifle_history((int)entries);
	history_keep(entries);
}

void lineedit_remember(const char *entry)
{
	if (*entry == '\0' || *entry == ' ')
		return;
	const HIST_ENTRY *last =
		*edit.history_length > 0 ? edit.history_get(*edit.history_base + *edit.history_length - 1) : NULL;
	if (last != NULL && strcmp(last->line, entry) == 0)
		return;
	edit.add_history(entry);
	history_add(entry);
}
