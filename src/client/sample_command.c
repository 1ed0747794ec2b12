/*
 * sample_command.c: what --sample and %sample do, in order. How samples are taken is in sample.c.
 */
#include "sample_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "export.h"
#include "options.h"
#include "sample_print.h"
#include "signals.h"
#include "status.h"

#define PROMPT_MS 10000
#define USAGE "%sample [SECONDS] [--rate N] [--output FILE]"

/* What is to be known before the figures, on standard error. */
static void say_caveats(const struct sample *s)
{
	if (s->with_gil)
		out_notice("%s; each sample is taken with the GIL, and the program stands still for it", s->note);
	if (s->profile.unplaced > 0)
		out_notice("too many different stacks: %llu samples are counted further out than they were",
			(unsigned long long)s->profile.unplaced);
	if (s->profile.unknown > 0)
		out_notice("the system does not say of %llu samples whether the thread was on CPU: they count as waiting",
			(unsigned long long)s->profile.unknown);
}

/* For the page: all threads, with what they wait for. 0, or why there is none. */
static int take_dump(const struct sample_command *s, struct dump *dump, struct diag *d)
{
	int rc = dump_ask(s->c, s->request.id, DUMP_TASKS, d);

	return rc == 0 ? dump_await(s->c, s->request.id, dump, connect_clock() + s->request.timeout_ms, -1, d) : rc;
}

/* 0, or an error of the connection. */
static int write_file(const struct sample_command *s, const struct sample *sample, int *status, struct diag *d)
{
	struct export_page page = {.peer = connect_peer(s->c)};
	struct diag why = {0};
	struct dump dump;
	int rc = 0;

	dump_init(&dump);
	if (export_wants_page(s->output) && d->code == 0) {
		rc = take_dump(s, &dump, d);
		page.dump = rc == 0 ? &dump : NULL;
	}
	if (export_write(s->output, sample, &page, &why) == 0) {
		out_notice("written to %s", s->output);
	} else {
		out_notice("%s", why.text);
		*status = STATUS_PARTIAL;
	}
	dump_free(&dump);
	return rc;
}

static int show(const struct sample_command *s, const struct sample *sample, struct diag *d)
{
	int status = STATUS_DONE;

	if (sample->profile.samples == 0) {
		if (d->code == 0)
			out_notice("no samples: %s", sample->blind > 0 ? "there were no stacks to be had" : "it ended before the first");
		return STATUS_PARTIAL;
	}
	say_caveats(sample);
	if (sample->with_gil || sample->profile.unplaced > 0)
		status = STATUS_PARTIAL;
	sample_print(s->out, sample, s->color);
	out_flush(s->out);
	if (s->output != NULL)
		(void)write_file(s, sample, &status, d);
	return status;
}

int sample_run(const struct sample_command *s, struct diag *d)
{
	struct sample sample;
	int rc = signals_catch(1), status;

	if (rc != 0) {
		(void)diag_set(d, rc, 0, "signals cannot be caught");
		return STATUS_LOST;
	}
	rc = sample_take(&sample, s->c, &s->request, d);
	*s->sig = sample.sig;
	status = show(s, &sample, d);
	sample_free(&sample);
	return rc != 0 || d->code != 0 ? status_of(d->code) : status;
}

/* --- the prompt --- */

/* Takes the words apart. 0, or -1 when it has been said what is wrong. */
static int take_words(struct sample_command *s, char *line)
{
	struct diag d = {0};
	char *rest = line, *word;
	int rc = 0;

	while (rc == 0 && (word = strtok_r(rest, " \t", &rest)) != NULL) {
		int rate = strcmp(word, "--rate") == 0, output = strcmp(word, "--output") == 0;
		const char *value = rate || output ? strtok_r(rest, " \t", &rest) : word;

		if (value == NULL || (!rate && !output && *word == '-'))
			rc = diag_set(&d, PYSTUCK_EINVAL, 0, "%s", USAGE);
		else if (rate)
			rc = options_number(&s->request.rate, "--rate", value, SAMPLE_RATE_MAX, &d);
		else if (output)
			rc = export_check(s->output = value, &d);
		else
			rc = options_seconds(&s->request.duration_ms, "%sample", value, SAMPLE_SECONDS_MAX, &d);
	}
	if (rc != 0)
		out_notice("%s", d.text);
	return rc == 0 ? 0 : -1;
}

int sample_prompt(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct sample_command s = {.c = x->c, .out = x->out, .color = x->color, .sig = x->sig,
		.request = {.duration_ms = PROMPT_MS, .rate = SAMPLE_RATE, .timeout_ms = x->timeout_ms, .id = x->id,
			.progress = isatty(STDERR_FILENO)}};
	char *line = strdup(arguments);
	int rc = 0;

	if (line != NULL && take_words(&s, line) == 0) {
		(void)sample_run(&s, d);
		rc = d->code;
	}
	free(line);
	/* A refusal ends nothing. */
	if (rc == PYSTUCK_EPERM) {
		out_notice("%s", d->text);
		rc = 0;
	}
	return *x->sig != 0 ? COMMANDS_SIGNAL : rc;
}
