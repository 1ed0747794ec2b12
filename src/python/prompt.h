/*
 * prompt.h: what can be said at a prompt that is not Python: names with ? behind them, and the % commands that look at the
 * session's names. Commands of the client never come here. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_PROMPT_H
#define PYSTUCK_PYTHON_PROMPT_H

#include <Python.h>

#include "look.h"
#include "raised.h"
#include "space.h"

/* Of a session, as far as it concerns the prompt. */
struct prompt {
	PyObject *names; /* borrowed */
	struct look_spaces spaces;
	const struct raised_sources *cells;
	struct space *space;
	size_t *width; /* of the client's terminal */
};

/* How a cell is to be run. */
enum prompt_way {
	PROMPT_PLAIN,
	PROMPT_TIMED,  /* say how long it took */
	PROMPT_ATOMIC, /* while no other Python thread runs, for so many ms at most */
	PROMPT_MAIN,   /* on the main thread, which is waited for so many ms */
};
#define PROMPT_ATOMIC_MS 50
#define PROMPT_ATOMIC_MS_MAX 1000
#define PROMPT_MAIN_MS 2000
#define PROMPT_MAIN_MS_MAX 3600000

struct prompt_cell {
	struct span source; /* what of it is Python */
	int quiet;          /* a semicolon ends it: its value is not wanted */
	enum prompt_way way;
	unsigned ms;
	uint64_t loop; /* whose event loop code that awaits runs on: the thread's ident; 0: as on_loop.h has it */
};

#define PROMPT_WIDTH 80 /* as long as nobody has said */

/* Output of this evaluation. 0, or -1 with an exception. */
int prompt_say(const char *text);
int prompt_say_error(const char *text); /* to standard error */
/* "words: text" and a line end, to standard error. The same. */
int prompt_complain(const char *words, struct span text);
/* Names that every session has, and that are nobody's variables. */
int prompt_is_ours(PyObject *name);
/*
 * 1: it was for here and has been done; 0: it is Python, *cell says how to run it; -1 with an exception.
 */
int prompt_take(const struct prompt *p, struct span source, struct prompt_cell *cell);

#endif
