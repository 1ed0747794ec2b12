/*
 * repl_eval.c: has an input evaluated and shows what comes of it: output, a value, a text to be read,
 * trouble.
 */
#include "repl_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "color.h"
#include "lineedit.h"
#include "pager.h"
#include "signals.h"
#include "status.h"

#define COLORED_MAX (12u << 20) /* bytes: out.c takes no longer piece */
#define COLOR_OUT "\033[31m"
#define COLOR_OFF "\033[0m"

/* Ctrl-C in the middle of a write ends that write, not the prompt. */
static void recover(struct out *o)
{
	if (o->error == PYSTUCK_ECLOSED && signals_want_end())
		out_recover(o);
}

static int on_output(void *context, int stream, struct span text)
{
	struct repl *r = context;

	if (stream == EVAL_READING) {
		/* What does not fit is left out: nobody reads that much. */
		(void)buf_put(&r->reading, text.data, text.len);
		return 0;
	}
	out_flush(stream == 2 ? r->out : &r->err);
	out_safe(stream == 2 ? &r->err : r->out, text, TEXT_BLOCK);
	recover(r->out);
	recover(&r->err);
	return r->out->error;
}

int repl_flush(struct repl *r)
{
	out_flush(r->out);
	out_flush(&r->err);
	recover(r->out);
	recover(&r->err);
	return r->out->error;
}

static int on_idle(void *context)
{
	return repl_flush(context);
}

/* The terminal shows ^C wherever the cursor was. */
void repl_interrupted(struct repl *r)
{
	repl_flush(r);
	r->out->column0 = 1;
	out_text(r->out, "\n");
	out_flush(r->out);
	r->err.column0 = 1;
}

static void on_interrupted(void *context)
{
	repl_interrupted(context);
}

static void show_reading(struct repl *r)
{
	int rows, columns;

	lineedit_size(&rows, &columns);
	pager_show(r->out, buf_span(&r->reading), rows, repl_beside(r));
	buf_clear(&r->reading);
	repl_returned(r);
}

/* In colour where that is wanted and there is room for it. */
static void put_text(const struct repl *r, struct out *o, struct span text, int (*color)(struct buf *, struct span))
{
	struct buf colored;

	buf_init(&colored, COLORED_MAX);
	if (r->settings.color && color(&colored, text) == 0)
		out_bytes(o, buf_bytes(&colored), buf_len(&colored));
	else
		out_safe(o, text, TEXT_BLOCK);
	buf_free(&colored);
}

static void show_value(struct repl *r, struct span text)
{
	out_end_line(&r->err);
	out_flush(&r->err);
	out_end_line(r->out);
	out_text(r->out, r->settings.color ? COLOR_OUT : "");
	out_text(r->out, "Out[");
	out_number(r->out, r->cell);
	out_text(r->out, "]: ");
	out_text(r->out, r->settings.color ? COLOR_OFF : "");
	/* A value of several lines begins on its own: its columns then line up. */
	if (text.len > 0 && memchr(text.data, '\n', text.len) != NULL)
		out_text(r->out, "\n");
	put_text(r, r->out, text, color_value);
	out_text(r->out, "\n");
}

static void show_trouble(struct repl *r, struct span text)
{
	out_end_line(r->out);
	out_flush(r->out);
	out_end_line(&r->err);
	put_text(r, &r->err, text, color_traceback);
	out_end_line(&r->err);
	out_flush(&r->err);
}

/* The server's indentation, if that is what it is. */
static void take_indent(struct repl *r, struct span text)
{
	size_t n = 0;

	while (n < text.len && n < sizeof r->indent - 1 &&
		(text.data[n] == ' ' || text.data[n] == '\t')) {
		r->indent[n] = (char)text.data[n];
		n++;
	}
	r->indent[n] = '\0';
	r->more = 1;
}

void repl_forget_input(struct repl *r)
{
	buf_clear(&r->input);
	r->more = 0;
}

static void remember_input(struct repl *r)
{
	size_t len = buf_len(&r->input);
	char *text = r->at_start ? NULL : malloc(len + 1);

	if (text == NULL)
		return;
	memcpy(text, buf_bytes(&r->input), len);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	text[len] = '\0';
	inputs_add(&r->inputs, r->cell, text);
	if (!r->from_file)
		lineedit_remember(text);
	free(text);
}

static void show_answer(struct repl *r, const struct msg_result *result)
{
	r->failed = result->status == RESULT_RAISED || result->status == RESULT_INTERRUPTED;
	if (result->status == RESULT_VALUE && r->at_start)
		;
	else if (result->status == RESULT_VALUE)
		show_value(r, result->text);
	else if (result->text.len > 0)
		show_trouble(r, result->text);
	if (result->total > result->text.len) {
		out_flush(r->out);
		out_notice("the text was cut: %zu of %llu bytes", result->text.len,
			(unsigned long long)result->total);
	}
}

/* While somebody reads, the connection is read on, and the answer's bytes in it do not last. */
static void show_reading_and_answer(struct repl *r, const struct msg_result *result)
{
	struct msg_result kept = *result;
	struct buf text;

	buf_init(&text, MSG_MAX);
	if (buf_put(&text, result->text.data, result->text.len) != 0)
		buf_clear(&text);
	kept.text = buf_span(&text);
	show_reading(r);
	show_answer(r, &kept);
	buf_free(&text);
}

static void show_result(struct repl *r, const struct msg_result *result)
{
	if (result->status == RESULT_INCOMPLETE) {
		take_indent(r, result->text);
		return;
	}
	if (buf_len(&r->reading) > 0)
		show_reading_and_answer(r, result);
	else
		show_answer(r, result);
	remember_input(r);
	repl_forget_input(r);
	if (r->at_start)
		return;
	r->cell++;
	/* An empty line before the next prompt: where one answer ends stays visible. */
	out_end_line(r->out);
	out_text(r->out, "\n");
}

static void let_go(struct repl *r, const struct eval *e)
{
	unsigned number = jobs_add(r->jobs, e->id, buf_span(&r->input));

	if (number == 0)
		out_notice("let go of it: it goes on in the program; too many others do for its output to be shown");
	else
		out_notice("let go of it: it goes on as job %u, and ends when it notices the interrupt; %%jobs lists", number);
}

static void eval_ended(struct repl *r, const struct eval *e, int end, const struct diag *d)
{
	switch (end) {
	case EVAL_ENDED:
		show_result(r, &e->result);
		return;
	case EVAL_DETACHED:
	case EVAL_TIMED_OUT:
		out_end_line(r->out);
		out_flush(r->out);
		if (end == EVAL_DETACHED)
			let_go(r, e);
		else
			out_notice(e->result.text.len > 0
					   ? "it took too long and was interrupted (see --timeout)"
					   : "let go of it: it goes on in the program");
		out_text(r->out, "\n");
		remember_input(r);
		repl_forget_input(r);
		r->cell++;
		return;
	case EVAL_REFUSED:
		repl_forget_input(r);
		out_notice("%s", d->text);
		return;
	case EVAL_SIGNAL:
		r->sig = e->signal;
		repl_finish(r, STATUS_LOST);
		return;
	case EVAL_UNREAD:
		repl_finish(r, STATUS_LOST);
		return;
	default:
		out_end_line(r->out);
		remember_input(r);
		repl_forget_input(r);
		r->cell++;
		repl_lost(r, d);
	}
}

static int on_nothing(void *context, int stream, struct span text)
{
	(void)context;
	(void)stream;
	(void)text;
	return 0;
}

/* Values are laid out for 80 columns; a narrower terminal is told of. 0, or the end of the session. */
static int tell_columns(struct repl *r, struct diag *d)
{
	struct eval e = {.id = r->next_id, .deadline = CONNECT_NEVER, .at_prompt = 1, .context = r, .output = on_nothing, .idle = on_idle};
	int rows, columns, rc;
	char text[32];

	lineedit_size(&rows, &columns);
	if (columns > REPL_COLUMNS)
		columns = REPL_COLUMNS;
	if (columns == r->told_columns)
		return 0;
	r->told_columns = columns;
	r->next_id++;
	snprintf(text, sizeof text, "%%columns %d", columns);
	rc = eval_ask(r->c, e.id, EVAL_PROMPT, r->cell, span_text(text), d);
	if (rc == 0)
		rc = eval_await(r->c, &e, d);
	return rc < 0 ? rc : 0;
}

void repl_evaluate(struct repl *r)
{
	struct eval e = {
		.deadline = CONNECT_NEVER,
		.at_prompt = 1,
		.context = r,
		.output = on_output,
		.idle = on_idle,
		.interrupted = on_interrupted,
	};
	struct diag d = {0};

	if (tell_columns(r, &d) != 0) {
		eval_ended(r, &e, PYSTUCK_ECLOSED, &d);
		return;
	}
	e.id = r->next_id++;
	if (r->o->eval_timeout_ms > 0)
		e.deadline = connect_clock() + r->o->eval_timeout_ms;
	int end = eval_ask(r->c, e.id, r->from_file ? 0 : EVAL_INTERACTIVE | EVAL_PROMPT, r->cell, buf_span(&r->input), &d);
	if (end == PYSTUCK_EINVAL) {
		out_notice("%s", d.text);
		repl_forget_input(r);
		return;
	}
	if (end == 0)
		end = eval_await(r->c, &e, &d);
	out_flush(&r->err);
	eval_ended(r, &e, end, &d);
	repl_flush(r);
}
