/*
 * repl.c: the prompt. Input comes from lineedit.c, evaluations go through eval.c; while the user
 * types, the connection is watched too. The % commands are in commands.c.
 */
#include "repl.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "complete.h"
#include "eval.h"
#include "jobs.h"
#include "lineedit.h"
#include "pager.h"
#include "signals.h"
#include "status.h"

#define REPL_PROMPT 32
#define REPL_INDENT 256 /* bytes of indentation that a server may put into the line */
#define REPL_COLUMNS 80     /* what values are laid out for, unless the terminal is narrower */
#define REPL_READING_MAX (8u << 20)
#define COLOR_IN "\033[32m"
#define COLOR_OUT "\033[31m"
#define COLOR_JOB "\033[36m"
#define COLOR_OFF "\033[0m"

struct repl {
	struct connection *c;
	const struct repl_options *o;
	struct out *out;
	struct out err;
	uint32_t next_id;
	uint32_t cell;            /* number of the next input */
	struct buf input;         /* lines typed so far; newline between them */
	int more;                 /* the input goes on: continuation prompt */
	char indent[REPL_INDENT]; /* what the continuation line begins with */
	struct jobs *jobs;
	struct inputs inputs;
	int from_file;            /* the input was no line of the user's */
	int typing;               /* the line editor has the terminal */
	struct buf reading;       /* a text to be read, of the evaluation that runs */
	int told_columns;         /* the width that the server lays values out for */
	struct buf unasked;       /* what was typed when Tab found what only running code can tell */
	int done;                 /* the loop ends with `status` */
	int status;
	int sig;
};

enum read_result { READ_LINE, READ_EOF, READ_CANCELLED, READ_END };

static void finish(struct repl *r, int status)
{
	r->done = 1;
	r->status = status;
}

static void fail(struct repl *r, const struct diag *d)
{
	out_flush(r->out);
	finish(r, status_fail(d, r->o->dump_timeout_ms));
}

/* --- the background --- */

/* A line of a job, wherever the user is. */
static void on_job_line(void *context, int stream, struct span line)
{
	struct repl *r = context;
	struct out *to = stream == 2 ? &r->err : r->out;

	if (r->typing)
		lineedit_hide();
	out_end_line(r->out);
	out_flush(r->out);
	out_end_line(&r->err);
	out_text(to, r->o->color ? COLOR_JOB : "");
	out_safe(to, line, TEXT_BLOCK);
	out_text(to, r->o->color ? COLOR_OFF : "");
	out_text(to, "\n");
	out_flush(to);
	if (r->typing)
		lineedit_return();
}

static int on_message(void *context, const struct msg *m)
{
	struct repl *r = context;

	return jobs_take(r->jobs, m);
}

/* --- reading a line --- */

/*
 * What the server sends while nobody asked: the rest of what was let go of, or its end. 0, or -1
 * when the connection is over.
 */
static int drain(struct repl *r)
{
	struct msg m;
	struct diag d;
	int rc;

	while ((rc = connect_next(r->c, &m, &d)) == 1)
		;
	if (rc == 0)
		return 0;
	lineedit_end();
	fail(r, &d);
	return -1;
}

/* READ_LINE: nothing of interest, go on typing. */
static enum read_result on_signals(struct repl *r)
{
	int sig;

	while ((sig = signals_take()) != 0) {
		if (sig == SIGWINCH) {
			lineedit_resized();
		} else if (sig == SIGTSTP) {
			lineedit_pause();
			signals_stop();
			lineedit_resume();
		} else if (sig == SIGINT) {
			lineedit_cancel();
			return READ_CANCELLED;
		} else if (signals_are_fatal(sig)) {
			lineedit_end();
			r->sig = sig;
			finish(r, STATUS_LOST);
			return READ_END;
		}
	}
	return READ_LINE;
}

/* --- Tab --- */

/* What the server is asked about: the lines before, and this one up to the cursor. *base: where that begins. */
static int typed_so_far(const struct repl *r, struct buf *source, size_t *base)
{
	size_t len;
	const char *line = lineedit_typed(&len);
	struct span before = buf_span(&r->input);
	int rc = buf_put(source, before.data, before.len);

	if (rc == 0 && r->more)
		rc = buf_put(source, "\n", 1);
	*base = buf_len(source);
	return rc == 0 ? buf_put(source, line, len) : rc;
}

/* The second Tab in the same place. */
static int is_asked_again(const struct repl *r, const struct buf *source)
{
	return buf_len(source) > 0 && buf_len(source) == buf_len(&r->unasked) &&
	       memcmp(buf_bytes(source), buf_bytes(&r->unasked), buf_len(source)) == 0;
}

static void insert_common(const struct complete *c, size_t base, size_t typed)
{
	size_t n = complete_common(c);
	char *text;

	if (c->count == 0 || c->from < base || n == 0 || (c->count > 1 && n <= typed - c->from))
		return;
	text = strndup(c->matches[0], n);
	if (text != NULL)
		lineedit_replace(c->from - base, text);
	free(text);
}

static void show_matches(struct repl *r, const struct complete *c)
{
	int rows, columns;

	if (c->count < 2 && c->signature == NULL && c->trouble == NULL && !(c->count == 0 && c->unasked))
		return;
	lineedit_size(&rows, &columns);
	lineedit_leave();
	complete_show(c, r->out, columns, rows, r->o->color);
	out_flush(r->out);
	lineedit_return();
}

/* READ_LINE: go on typing. */
static enum read_result on_tab(struct repl *r)
{
	struct complete c;
	struct buf source;
	struct diag d = {0};
	size_t base = 0;
	int rc, again;

	buf_init(&source, MSG_TEXT_MAX);
	if (typed_so_far(r, &source, &base) != 0) {
		buf_free(&source);
		return READ_LINE;
	}
	again = is_asked_again(r, &source);
	rc = complete_ask(&c, r->c, r->next_id++, buf_span(&source), again, &r->sig, &d);
	buf_clear(&r->unasked);
	if (c.unasked && !again)
		(void)buf_put(&r->unasked, buf_bytes(&source), buf_len(&source));
	else
		c.unasked = 0;
	if (rc >= 0 && rc != COMPLETE_SIGNAL) {
		insert_common(&c, base, buf_len(&source));
		show_matches(r, &c);
	}
	complete_free(&c);
	buf_free(&source);
	if (rc >= 0 && rc != COMPLETE_SIGNAL)
		return READ_LINE;
	lineedit_end();
	if (rc < 0)
		fail(r, &d);
	else
		finish(r, STATUS_LOST);
	return READ_END;
}

static enum read_result wait_for_line(struct repl *r)
{
	struct diag d;

	for (;;) {
		struct pollfd more[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			{.fd = signals_fd(), .events = POLLIN}};
		enum read_result signals;
		int rc;

		/* What came together with the last answer is here already: no poll tells of it. */
		if (drain(r) != 0)
			return READ_END;
		rc = connect_wait(r->c, more, 2, CONNECT_NEVER, &d);

		if (rc < 0) {
			lineedit_end();
			fail(r, &d);
			return READ_END;
		}
		if (rc == 1 && drain(r) != 0)
			return READ_END;
		signals = signals_pending() ? on_signals(r) : READ_LINE;
		if (signals != READ_LINE)
			return signals;
		if (more[0].revents == 0)
			continue;
		switch (lineedit_feed()) {
		case LINEEDIT_LINE:
			return READ_LINE;
		case LINEEDIT_EOF:
			return READ_EOF;
		case LINEEDIT_TAB:
			if (on_tab(r) == READ_END)
				return READ_END;
			break;
		case LINEEDIT_MORE:
		default:
			break;
		}
	}
}

static enum read_result read_line(struct repl *r)
{
	char prompt[REPL_PROMPT], dots[REPL_PROMPT];
	int n = snprintf(prompt, sizeof prompt, "In [%u]: ", r->cell);

	/* As wide as the first prompt: what is typed stands in one column. */
	snprintf(dots, sizeof dots, "%*s", n, "...: ");
	out_end_line(r->out);
	out_flush(r->out);
	lineedit_begin(
		r->more ? dots : prompt, r->o->color ? COLOR_IN : "", r->more ? r->indent : "");
	r->typing = 1;
	enum read_result result = wait_for_line(r);
	r->typing = 0;
	return result;
}

/* --- evaluating --- */

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

static int on_idle(void *context)
{
	struct repl *r = context;

	out_flush(r->out);
	out_flush(&r->err);
	recover(r->out);
	recover(&r->err);
	return r->out->error;
}

/* The terminal shows ^C wherever the cursor was. */
static void on_interrupted(void *context)
{
	struct repl *r = context;

	on_idle(r);
	r->out->column0 = 1;
	out_text(r->out, "\n");
	out_flush(r->out);
	r->err.column0 = 1;
}

static void show_reading(struct repl *r)
{
	int rows, columns;

	if (buf_len(&r->reading) == 0)
		return;
	lineedit_size(&rows, &columns);
	pager_show(r->out, buf_span(&r->reading), rows);
	buf_clear(&r->reading);
}

static void show_value(struct repl *r, struct span text)
{
	out_end_line(&r->err);
	out_flush(&r->err);
	out_end_line(r->out);
	out_text(r->out, r->o->color ? COLOR_OUT : "");
	out_text(r->out, "Out[");
	out_number(r->out, r->cell);
	out_text(r->out, "]: ");
	out_text(r->out, r->o->color ? COLOR_OFF : "");
	/* A value of several lines begins on its own: its columns then line up. */
	if (text.len > 0 && memchr(text.data, '\n', text.len) != NULL)
		out_text(r->out, "\n");
	out_safe(r->out, text, TEXT_BLOCK);
	out_text(r->out, "\n");
}

static void show_trouble(struct repl *r, struct span text)
{
	out_end_line(r->out);
	out_flush(r->out);
	out_end_line(&r->err);
	out_safe(&r->err, text, TEXT_BLOCK);
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

static void forget_input(struct repl *r)
{
	buf_clear(&r->input);
	r->more = 0;
}

static void remember_input(struct repl *r)
{
	size_t len = buf_len(&r->input);
	char *text = malloc(len + 1);

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

static void show_result(struct repl *r, const struct msg_result *result)
{
	if (result->status == RESULT_INCOMPLETE) {
		take_indent(r, result->text);
		return;
	}
	show_reading(r);
	if (result->status == RESULT_VALUE)
		show_value(r, result->text);
	else if (result->text.len > 0)
		show_trouble(r, result->text);
	if (result->total > result->text.len) {
		out_flush(r->out);
		out_notice("the text was cut: %zu of %llu bytes", result->text.len,
			(unsigned long long)result->total);
	}
	remember_input(r);
	forget_input(r);
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
		forget_input(r);
		r->cell++;
		return;
	case EVAL_REFUSED:
		forget_input(r);
		out_notice("%s", d->text);
		return;
	case EVAL_SIGNAL:
		r->sig = e->signal;
		finish(r, STATUS_LOST);
		return;
	case EVAL_UNREAD:
		finish(r, STATUS_LOST);
		return;
	default:
		fail(r, d);
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

static void evaluate(struct repl *r)
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
		fail(r, &d);
		return;
	}
	e.id = r->next_id++;
	if (r->o->eval_timeout_ms > 0)
		e.deadline = connect_clock() + r->o->eval_timeout_ms;
	int end = eval_ask(r->c, e.id, r->from_file ? 0 : EVAL_INTERACTIVE | EVAL_PROMPT, r->cell, buf_span(&r->input), &d);
	if (end == PYSTUCK_EINVAL) {
		out_notice("%s", d.text);
		forget_input(r);
		return;
	}
	if (end == 0)
		end = eval_await(r->c, &e, &d);
	out_flush(&r->err);
	eval_ended(r, &e, end, &d);
	on_idle(r);
}

/* --- what a line means --- */

static char *trimmed(char *line)
{
	size_t len = strlen(line);

	while (len > 0 && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

/* Only spaces: an empty line, which ends a block. */
static int is_blank(const char *line)
{
	return line[strspn(line, " \t")] == '\0';
}

static int is_command(const char *line)
{
	static const char *const words[] = {"exit", "quit", "exit()", "quit()"};
	size_t blank = strspn(line, " \t");

	if (line[blank] == '%')
		return commands_has(line + blank);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		size_t len = strlen(words[i]);

		if (strncmp(line + blank, words[i], len) == 0 && is_blank(line + blank + len))
			return 1;
	}
	return 0;
}

/* What a command has put into the input. */
static void run_file(struct repl *r)
{
	r->from_file = 1;
	evaluate(r);
	r->from_file = 0;
	forget_input(r);
}

static void run_command(struct repl *r, char *line)
{
	struct commands_context context = {
		.c = r->c,
		.out = r->out,
		.color = r->o->color,
		.timeout_ms = r->o->dump_timeout_ms,
		.id = r->next_id++,
		.sig = &r->sig,
		.jobs = r->jobs,
		.inputs = &r->inputs,
		.source = &r->input,
	};
	struct diag d = {0};
	char *text = trimmed(line);

	lineedit_remember(text);
	int rc = commands_run(&context, text, &d);

	on_idle(r);
	if (rc == COMMANDS_QUIT)
		finish(r, STATUS_DONE);
	else if (rc == COMMANDS_INTERRUPTED)
		on_interrupted(r);
	else if (rc == COMMANDS_SIGNAL)
		finish(r, STATUS_LOST);
	else if (rc == COMMANDS_EVALUATE)
		run_file(r);
	else if (rc < 0)
		fail(r, &d);
	else
		forget_input(r);
}

static void take_line(struct repl *r, char *line)
{
	int rc = 0;

	if (!r->more && is_blank(line))
		return;
	if (!r->more && is_command(line)) {
		run_command(r, line);
		return;
	}
	if (r->more)
		rc = buf_put(&r->input, "\n", 1);
	/* White space alone, where the server has indented the line, is an empty line; in a string it is what it is. */
	if (rc == 0 && !(is_blank(line) && strlen(line) <= strlen(r->indent)))
		rc = buf_put(&r->input, line, strlen(line));
	if (rc != 0) {
		out_notice("the input is too long: at most %u bytes can be sent", MSG_TEXT_MAX);
		forget_input(r);
		return;
	}
	evaluate(r);
}

static void one_line(struct repl *r)
{
	char *line = NULL;

	switch (read_line(r)) {
	case READ_LINE:
		line = lineedit_take();
		if (line != NULL)
			take_line(r, line);
		free(line);
		return;
	case READ_EOF:
		finish(r, STATUS_DONE);
		return;
	case READ_CANCELLED:
		forget_input(r);
		return;
	case READ_END:
	default:
		return;
	}
}

int repl_run(struct connection *c, const struct repl_options *o, int *sig)
{
	struct repl r = {.c = c, .o = o, .out = o->out, .next_id = o->next_id};

	out_init(&r.err, STDERR_FILENO);
	buf_init(&r.input, MSG_TEXT_MAX);
	buf_init(&r.unasked, MSG_TEXT_MAX);
	buf_init(&r.reading, REPL_READING_MAX);
	r.told_columns = REPL_COLUMNS;
	r.jobs = jobs_new(on_job_line, &r);
	if (r.jobs == NULL) {
		out_notice("%s", error_text(PYSTUCK_ENOMEM));
		return STATUS_LOST;
	}
	connect_set_taker(c, on_message, &r);
	signals_catch(1);
	lineedit_open();
	while (!r.done)
		one_line(&r);
	lineedit_close();
	connect_set_taker(c, NULL, NULL);
	jobs_free(r.jobs);
	inputs_free(&r.inputs);
	out_flush(r.out);
	out_free(&r.err);
	buf_free(&r.input);
	buf_free(&r.unasked);
	buf_free(&r.reading);
	*sig = r.sig;
	return r.status;
}
