/*
 * repl_private.h: the prompt's state, between repl.c, which has the loop, repl_line.c, which reads a
 * line, repl_eval.c, which has it evaluated, repl_link.c, which is about the connection, and
 * repl_lend.c, where the terminal is another program's for a while. For these files only.
 */
#ifndef PYSTUCK_CLIENT_REPL_PRIVATE_H
#define PYSTUCK_CLIENT_REPL_PRIVATE_H

#include "eval.h"
#include "inputs.h"
#include "jobs.h"
#include "lend.h"
#include "repl.h"

#define REPL_INDENT 256 /* bytes of indentation that a server may put into the line */
#define REPL_PROMPT 32
#define REPL_HELD_MAX (4u << 20) /* bytes of lines that wait for the terminal */
#define REPL_COLUMNS 80 /* what values are laid out for, unless the terminal is narrower */

struct repl {
	struct connection *c;
	const struct repl_options *o;
	struct out *out;
	struct out err;
	struct settings settings;
	uint32_t next_id;
	char prompt[REPL_PROMPT]; /* that stands before the line */
	uint32_t cell;            /* number of the next input */
	struct buf input;         /* lines typed so far; newline between them */
	int more;                 /* the input goes on: continuation prompt */
	char indent[REPL_INDENT]; /* what the continuation line begins with */
	struct jobs *jobs;
	struct inputs inputs;
	int from_file;            /* the input was no line of the user's */
	int at_start;             /* it is the start-up file's */
	int failed;               /* what ran last raised, or was interrupted */
	int typing;               /* the line editor has the terminal */
	struct lend beside;       /* what goes on while a pager or an editor has it */
	int lent;                 /* one of them has it: what jobs say is kept in `held` */
	struct buf held;
	unsigned left_out;        /* lines for which there was no room in it */
	int lent_over;            /* the connection was lost then: this is to be said */
	struct diag lent_why;
	struct buf reading;       /* a text to be read, of the evaluation that runs */
	int told_columns;         /* the width that the server lays values out for */
	struct buf unasked;       /* what was typed when Tab found what only running code can tell */
	int lost;                 /* the connection is over: the loop ends with `status`, unless there is another */
	int done;                 /* the loop ends with `status` */
	int status;
	int sig;
};

enum repl_read { READ_LINE, READ_EOF, READ_CANCELLED, READ_END };

/* What a message means that nobody waits for: connect_taker. */
int repl_take(void *context, const struct msg *m);
/* The loop ends with this status. */
void repl_finish(struct repl *r, int status);
/* The connection is of no use any more: says so, and what can be done. */
void repl_lost(struct repl *r, const struct diag *d);
/* %reconnect */
void repl_reconnect(struct repl *r);
/* All that is to be shown is written. 0, or why that cannot be done any more. */
int repl_flush(struct repl *r);
/* The same after a Ctrl-C: the terminal shows ^C wherever the cursor was. */
void repl_interrupted(struct repl *r);
void repl_forget_input(struct repl *r);

/* What goes on while the terminal is lent; good until the connection is another. */
const struct lend *repl_beside(struct repl *r);
/* Keeps a job's line for later. */
void repl_hold(struct repl *r, int stream, struct span line);
/* The terminal is back: what was kept is said. Where it was not lent nothing is. */
void repl_returned(struct repl *r);
/* A job's line, shown now, or later where the terminal is lent. */
void repl_job_line(void *context, int stream, struct span line);

/* READ_LINE: lineedit_take() has it; READ_END: the loop is to end. */
enum repl_read repl_read_line(struct repl *r);
/* A line as if typed. It may be changed. */
void repl_take_line(struct repl *r, char *line);
/* Runs the start-up file. */
void repl_start(struct repl *r);
/* Has the input evaluated and shows the answer. */
void repl_evaluate(struct repl *r);

#endif
