/*
 * lineedit_readline.c: GNU readline. Empty where the client is built with libedit.
 */
#include "lineedit_private.h"

#ifndef PYSTUCK_LIBEDIT

#include "lineedit.h"

void lineedit_lib_prepare(void)
{
	*edit.rl_catch_sigwinch = 0;
	/* Before ~/.inputrc is read, so that the user's word is the last. */
	edit.rl_variable_bind("enable-bracketed-paste", "on");
}

void lineedit_lib_bind(rl_command_func_t *tab)
{
	edit.rl_bind_key('\t', tab);
}

void lineedit_lib_begin(const char *prompt)
{
	(void)prompt;
	/* It may have been resized while something else ran. */
	edit.rl_reset_screen_size();
}

char *lineedit_lib_line(char *line)
{
	return line;
}

void lineedit_lib_end(void)
{
}

void lineedit_lib_insert(const char *text)
{
	edit.rl_insert_text(text);
	edit.rl_redisplay();
}

void lineedit_lib_replace(int from, const char *text)
{
	edit.rl_delete_text(from, *edit.rl_point);
	*edit.rl_point = from;
	lineedit_lib_insert(text);
}

void lineedit_lib_below(const char *mark)
{
	int point = *edit.rl_point;

	/* From the last row of a line that has several. */
	*edit.rl_point = *edit.rl_end;
	edit.rl_redisplay();
	*edit.rl_point = point;
	fputs(mark, *edit.rl_outstream);
	edit.rl_crlf();
}

void lineedit_lib_hide(void)
{
#if RL_READLINE_VERSION >= 0x0800
	edit.rl_clear_visible_line();
#else
	lineedit_lib_below("");
#endif
}

void lineedit_lib_show(void)
{
	edit.rl_on_new_line();
	edit.rl_redisplay();
}

#endif
