/*
 * watch_command.c: evaluates, shows, waits. What was shown before is written over; how the prompt evaluates otherwise is repl_eval.c's.
 */
#include "watch_command.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"
#include "lineedit.h"
#include "signals.h"
#include "terminal.h"

#define EVERY_MS 2000
#define SECONDS_MIN 0.1
#define SECONDS_MAX 1e6
#define TEXT_MAX (4u << 20) /* bytes of a value: far above what a screen has */

struct watching {
	const struct commands_context *x;
	struct span source;
	int64_t every;
	struct buf text; /* what was printed, and the value */
	int high;        /* lines that stand on the screen */
	int over;        /* COMMANDS_*, or an error: not any more */
};

static int on_output(void *context, int stream, struct span text)
{
	struct watching *w = context;

	(void)stream;
	/* What does not fit is below the screen anyway. */
	(void)text_append(&w->text, text, TEXT_BLOCK);
	return 0;
}

static int on_idle(void *context)
{
	(void)context;
	return 0;
}

/* The first lines of what there is, in the place of those before. */
static void show(struct watching *w)
{
	struct out *o = w->x->out;
	const uint8_t *at = buf_bytes(&w->text), *end = at + buf_len(&w->text);
	struct buf line;
	char up[32];
	int rows, columns;

	lineedit_size(&rows, &columns);
	if (w->high > 0) {
		snprintf(up, sizeof up, "\033[%dA\r\033[J", w->high);
		out_text(o, up);
	}
	buf_init(&line, TEXT_MAX);
	for (w->high = 0; at < end && w->high < rows - 1; w->high++) {
		const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);

		buf_clear(&line);
		terminal_clip(&line, (struct span){at, len}, 0, columns > 1 ? (size_t)columns - 1 : 1);
		out_bytes(o, buf_bytes(&line), buf_len(&line));
		out_text(o, "\n");
		at += len + 1;
	}
	buf_free(&line);
	out_flush(o);
}

/* 1: it goes on. */
static int evaluate(struct watching *w, struct diag *d)
{
	struct eval e = {.id = w->x->id, .deadline = CONNECT_NEVER, .at_prompt = 1, .context = w, .output = on_output, .idle = on_idle};
	int end = eval_ask(w->x->c, e.id, 0, 0, w->source, d);

	buf_clear(&w->text);
	if (end == 0)
		end = eval_await(w->x->c, &e, d);
	if (end < 0 || end == EVAL_REFUSED) {
		if (end == EVAL_REFUSED || end == PYSTUCK_EINVAL)
			out_notice("%s", d->text);
		w->over = end == EVAL_REFUSED || end == PYSTUCK_EINVAL ? COMMANDS_INTERRUPTED : end;
		return 0;
	}
	if (end == EVAL_SIGNAL)
		*w->x->sig = e.signal;
	w->over = end == EVAL_SIGNAL ? COMMANDS_SIGNAL : COMMANDS_INTERRUPTED;
	if (end != EVAL_ENDED || e.result.status == RESULT_INTERRUPTED)
		return 0;
	(void)text_append(&w->text, e.result.text, TEXT_BLOCK);
	show(w);
	/* What raises once raises again. */
	return e.result.status == RESULT_VALUE || e.result.status == RESULT_NONE;
}

/* Until the next one is due; 1: it goes on. */
static int wait_until_due(struct watching *w, int64_t due, struct diag *d)
{
	struct pollfd stop = {.fd = signals_fd(), .events = POLLIN};
	struct msg m;

	for (;;) {
		int sig, rc = connect_wait(w->x->c, &stop, 1, due, d);

		while ((sig = signals_take()) != 0) {
			if (signals_are_fatal(sig)) {
				*w->x->sig = sig;
				w->over = COMMANDS_SIGNAL;
				return 0;
			}
			if (sig == SIGTSTP)
				signals_stop();
			if (sig == SIGINT)
				return 0;
		}
		if (rc == PYSTUCK_ETIME)
			return 1;
		if (rc > 0)
			rc = connect_next(w->x->c, &m, d);
		if (rc < 0) {
			w->over = rc;
			return 0;
		}
	}
}

/* The seconds that may stand in front; returns what is behind them. */
static const char *take_seconds(struct watching *w, const char *arguments)
{
	char *end = NULL;
	double v = strtod(arguments, &end);

	if (end == arguments || (*end != ' ' && *end != '\t') || isnan(v) || v < SECONDS_MIN || v > SECONDS_MAX)
		return arguments;
	w->every = (int64_t)(v * 1000);
	return end + strspn(end, " \t");
}

int watch_command(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct watching w = {.x = x, .every = EVERY_MS};
	const char *source = take_seconds(&w, arguments);
	int64_t due = connect_clock();

	if (*source == '\0') {
		out_notice("%%watch [SECONDS] CODE: its value each so many seconds (2), until Ctrl-C");
		return 0;
	}
	w.source = span_text(source);
	buf_init(&w.text, TEXT_MAX);
	while (evaluate(&w, d)) {
		due += w.every;
		if (due < connect_clock())
			due = connect_clock();
		if (!wait_until_due(&w, due, d))
			break;
	}
	buf_free(&w.text);
	return w.over;
}
