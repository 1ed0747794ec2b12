/*
 * edit_library.h: GNU readline, or libedit where compiled with PYSTUCK_LIBEDIT, as a table of pointers into it. It is loaded when
 * a prompt opens and not before: to print stacks the client needs neither it nor the time that it takes to load. Without EDIT_SONAME
 * the client is linked with it, as the static one is. For lineedit*.c alone.
 */
#ifndef PYSTUCK_CLIENT_EDIT_LIBRARY_H
#define PYSTUCK_CLIENT_EDIT_LIBRARY_H

#include <stdio.h>
#ifdef PYSTUCK_LIBEDIT
#include <editline/readline.h>
#else
#include <readline/history.h>
#include <readline/readline.h>
#endif

/* Functions and variables alike: what both libraries have, and what is used of only one. */
#define EDIT_BOTH(X)                                                                               \
	X(add_history)                                                                             \
	X(clear_history)                                                                           \
	X(history_base)                                                                            \
	X(history_get)                                                                             \
	X(history_length)                                                                          \
	X(rl_callback_handler_install)                                                             \
	X(rl_callback_handler_remove)                                                              \
	X(rl_callback_read_char)                                                                   \
	X(rl_catch_signals)                                                                        \
	X(rl_deprep_terminal)                                                                      \
	X(rl_end)                                                                                  \
	X(rl_get_screen_size)                                                                      \
	X(rl_initialize)                                                                           \
	X(rl_insert_text)                                                                          \
	X(rl_line_buffer)                                                                          \
	X(rl_outstream)                                                                            \
	X(rl_point)                                                                                \
	X(rl_prep_terminal)                                                                        \
	X(rl_readline_name)                                                                        \
	X(rl_replace_line)                                                                         \
	X(rl_resize_terminal)                                                                      \
	X(stifle_history)                                                                          \
	X(using_history)
#ifdef PYSTUCK_LIBEDIT
#define EDIT_NAMES(X)                                                                              \
	EDIT_BOTH(X)                                                                               \
	X(rl_add_defun)                                                                            \
	X(rl_forced_update_display)                                                                \
	X(rl_instream)                                                                             \
	X(rl_parse_and_bind)
#else
#if RL_READLINE_VERSION >= 0x0800
#define EDIT_SINCE_8(X) X(rl_clear_visible_line)
#else
#define EDIT_SINCE_8(X)
#endif
#define EDIT_NAMES(X)                                                                              \
	EDIT_BOTH(X)                                                                               \
	EDIT_SINCE_8(X)                                                                            \
	X(rl_bind_key)                                                                             \
	X(rl_callback_sigcleanup)                                                                  \
	X(rl_catch_sigwinch)                                                                       \
	X(rl_crlf)                                                                                 \
	X(rl_delete_text)                                                                          \
	X(rl_free_line_state)                                                                      \
	X(rl_on_new_line)                                                                          \
	X(rl_readline_version)                                                                     \
	X(rl_redisplay)                                                                            \
	X(rl_reset_screen_size)                                                                    \
	X(rl_variable_bind)                                                                        \
	X(rl_variable_value)
#endif

#define EDIT_POINTER(name) __typeof__(&name)(name); /* NOLINT(bugprone-macro-parentheses) */
struct edit_library {
	EDIT_NAMES(EDIT_POINTER)
};
#undef EDIT_POINTER

/* Nothing in it is to be touched before edit_library_load has said that it is there. */
extern struct edit_library edit;

/* 0, or -1 where it is not to be had: the loader's words are in *why, which are static. */
int edit_library_load(const char **why);

#endif
