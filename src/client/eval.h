/*
 * eval.h: one evaluation on the server, from the request to its end: output as it comes, Ctrl-C, a
 * deadline. Knows no prompt; what is printed where is the caller's.
 */
#ifndef PYSTUCK_CLIENT_EVAL_H
#define PYSTUCK_CLIENT_EVAL_H

#include "connect.h"

#define EVAL_READING 3 /* the stream of texts to be read */

/* How long an interrupted evaluation may take to end before the user hears of it. */
#define EVAL_GRACE_MS 700
/* How long after that it may take to find out where it is. */
#define EVAL_WHERE_MS 300

/* How an evaluation ended, as far as the client is concerned. */
enum eval_end {
	EVAL_ENDED,     /* the result is there */
	EVAL_DETACHED,  /* it goes on in the background: the user's wish */
	EVAL_TIMED_OUT, /* the deadline passed; it was interrupted, and let go of when that did not
			   end it */
	EVAL_REFUSED,   /* it was not run: the diag says why */
	EVAL_SIGNAL,    /* the client is to end; the number is in eval.signal */
	EVAL_UNREAD,    /* output or idle returned not 0: the client is to end */
};

struct eval {
	uint32_t id;
	/* Set by the caller. */
	int64_t deadline; /* CONNECT_NEVER: none */
	int at_prompt;    /* 1: a second Ctrl-C lets go of the evaluation; 0: it ends the client */
	void *context;
	/* What the code printed: 1 stdout, 2 stderr, EVAL_READING; raw. Not 0: nobody reads it any more. */
	int (*output)(void *context, int stream, struct span text);
	/* Nothing more for now: a good moment to flush. Not 0: as above. */
	int (*idle)(void *context);
	/* The exception by its parts, before the result, where the request had EVAL_RAISED. May be NULL. */
	void (*raised)(void *context, const struct msg_raised *m);
	/* Ctrl-C was typed: the terminal has echoed ^C and stands behind it. May be NULL. */
	void (*interrupted)(void *context);
	/* Set by eval_await. The text of the result lives until the connection is used again. */
	struct msg_result result;
	int signal;
};

/* Queues the request. */
int eval_ask(struct connection *c, uint32_t id, uint8_t flags, uint32_t cell, struct span source,
	struct diag *d);
/* Waits for the end of the evaluation e->id: an enum eval_end, or an error of the connection. */
int eval_await(struct connection *c, struct eval *e, struct diag *d);

#endif
