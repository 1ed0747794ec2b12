/*
 * repl.c: the prompt: what a line means, and what jobs in the background say meanwhile. Lines come
 * from repl_line.c and are evaluated by repl_eval.c; the % commands are in commands.c.
 */
#include "repl_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "lineedit.h"
#include "log.h"
#include "signals.h"
#include "status.h"

#define REPL_READING_MAX (8u << 20)
#define COLOR_JOB "\033[36m"
#define COLOR_OFF "\033[0m"

void repl_finish(struct repl *r, int status)
{
	r->done = 1;
	r->status = status;
}

/* --- the background --- */

/* A line of a job, wherever the user is. */
void repl_job_line(void *context, int stream, struct span line)
{
	struct repl *r = context;
	struct out *to = stream == 2 ? &r->err : r->out;

	if (r->lent) {
		repl_hold(r, stream, line);
		return;
	}
	if (r->typing)
		lineedit_hide();
	out_end_line(r->out);
	out_flush(r->out);
	out_end_line(&r->err);
	out_text(to, r->settings.color ? COLOR_JOB : "");
	out_safe(to, line, TEXT_BLOCK);
	out_text(to, r->settings.color ? COLOR_OFF : "");
	out_text(to, "\n");
	out_flush(to);
	if (r->typing)
		lineedit_return();
}

int repl_take(void *context, const struct msg *m)
{
	struct repl *r = context;

	return jobs_take(r->jobs, m);
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
	repl_evaluate(r);
	r->from_file = 0;
	repl_forget_input(r);
}

static void run_command(struct repl *r, char *line)
{
	struct commands_context context = {
		.c = r->c,
		.out = r->out,
		.color = r->settings.color,
		.timeout_ms = r->o->dump_timeout_ms,
		.id = r->next_id++,
		.sig = &r->sig,
		.jobs = r->jobs,
		.inputs = &r->inputs,
		.settings = &r->settings,
		.at_start = r->at_start,
		.beside = repl_beside(r),
		.source = &r->input,
	};
	struct diag d = {0};
	char *text = trimmed(line);

	if (!r->at_start)
		lineedit_remember(text);
	int rc = commands_run(&context, text, &d);

	repl_returned(r);
	repl_flush(r);
	if (rc == COMMANDS_QUIT)
		repl_finish(r, r->lost ? r->status : STATUS_DONE);
	else if (rc == COMMANDS_RECONNECT)
		repl_reconnect(r);
	else if (rc == COMMANDS_INTERRUPTED)
		repl_interrupted(r);
	else if (rc == COMMANDS_SIGNAL)
		repl_finish(r, STATUS_LOST);
	else if (rc == COMMANDS_EVALUATE)
		run_file(r);
	else if (rc < 0)
		repl_lost(r, &d);
	else
		repl_forget_input(r);
}

void repl_take_line(struct repl *r, char *line)
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
		repl_forget_input(r);
		return;
	}
	repl_evaluate(r);
}

static void one_line(struct repl *r)
{
	char *line = NULL;

	switch (repl_read_line(r)) {
	case READ_LINE:
		line = lineedit_take();
		if (line != NULL) {
			log_typed(r->prompt, line);
			repl_take_line(r, line);
		}
		free(line);
		return;
	case READ_EOF:
		repl_finish(r, r->lost ? r->status : STATUS_DONE);
		return;
	case READ_CANCELLED:
		repl_forget_input(r);
		return;
	case READ_END:
	default:
		return;
	}
}

int repl_run(struct connection *c, const struct repl_options *o, int *sig)
{
	struct repl r = {.c = c, .o = o, .out = o->out, .next_id = o->next_id, .settings = o->settings};

	out_init(&r.err, STDERR_FILENO);
	buf_init(&r.input, MSG_TEXT_MAX);
	buf_init(&r.unasked, MSG_TEXT_MAX);
	buf_init(&r.reading, REPL_READING_MAX);
	r.told_columns = REPL_COLUMNS;
	r.jobs = jobs_new(repl_job_line, &r);
	if (r.jobs == NULL) {
		out_notice("%s", error_text(PYSTUCK_ENOMEM));
		return STATUS_LOST;
	}
	buf_init(&r.held, REPL_HELD_MAX);
	if (lineedit_open() != 0) {
		jobs_free(r.jobs);
		return STATUS_LOST;
	}
	connect_set_taker(c, repl_take, &r);
	signals_catch(1);
	out_notice_color(r.settings.color && isatty(STDERR_FILENO));
	repl_start(&r);
	while (!r.done)
		one_line(&r);
	lineedit_close();
	out_notice_color(0);
	connect_set_taker(r.c, NULL, NULL);
	connect_doing(r.c, NULL);
	log_close();
	jobs_free(r.jobs);
	inputs_free(&r.inputs);
	out_flush(r.out);
	out_free(&r.err);
	buf_free(&r.input);
	buf_free(&r.unasked);
	buf_free(&r.reading);
	buf_free(&r.held);
	*sig = r.sig;
	return r.status;
}
