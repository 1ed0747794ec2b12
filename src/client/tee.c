/*
 * tee.c: %tee stdout [FILE], %tee stderr [FILE], %tee [STREAM] off. The server is asked by a line of
 * the prompt; what it sends from then on is jobs.c's to show.
 */
#include "tee.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "eval.h"
#include "log.h"

#define TEE_LINE 32
#define TEE_SAID 300 /* bytes */

static const char usage[] = "%tee stdout, or %tee stdout FILE: what the program prints is copied here; %tee stdout off ends it; stderr alike";

/* What the server has to say against it, in one line. */
static int on_output(void *context, int stream, struct span text)
{
	(void)context;
	(void)stream;
	while (text.len > 0 && text.data[text.len - 1] == '\n')
		text.len--;
	out_notice("%.*s", text.len < TEE_SAID ? (int)text.len : TEE_SAID, (const char *)text.data);
	return 0;
}

static int on_idle(void *context)
{
	(void)context;
	return 0;
}

/* 0 when it has been done, one of COMMANDS_*, or an error. */
static int ask(const struct commands_context *x, const char *line, struct diag *d)
{
	struct eval e = {.id = x->id, .deadline = CONNECT_NEVER, .at_prompt = 1, .output = on_output, .idle = on_idle};
	int rc = eval_ask(x->c, x->id, EVAL_PROMPT, 0, span_text(line), d);

	if (rc == 0)
		rc = eval_await(x->c, &e, d);
	if (rc == EVAL_SIGNAL) {
		*x->sig = e.signal;
		return COMMANDS_SIGNAL;
	}
	if (rc == EVAL_REFUSED)
		out_notice("%s", d->text);
	return rc < 0 ? rc : rc == EVAL_ENDED ? 0 : COMMANDS_INTERRUPTED;
}

/* The stream's number; 0: it is none. *rest: what follows. */
static int take_stream(const char *arguments, const char **rest)
{
	size_t len = strcspn(arguments, " \t");

	*rest = arguments + len + strspn(arguments + len, " \t");
	if (len == 6 && memcmp(arguments, "stdout", len) == 0)
		return 1;
	return len == 6 && memcmp(arguments, "stderr", len) == 0 ? 2 : 0;
}

static int begin(const struct commands_context *x, int stream, const char *path, struct diag *d)
{
	char line[TEE_LINE];
	struct diag why = {0};
	int rc, fd = *path != '\0' ? log_file(path, &why) : -1;

	if (*path != '\0' && fd < 0) {
		out_notice("%s", why.text);
		return 0;
	}
	/* Before it is asked for: it may come before the answer. */
	if (jobs_tee(x->jobs, x->id, stream, fd) != 0) {
		out_notice("too many evaluations go on in the background");
		if (fd >= 0)
			close(fd);
		return 0;
	}
	snprintf(line, sizeof line, "%%tee %s", stream == 1 ? "stdout" : "stderr");
	rc = ask(x, line, d);
	if (rc != 0)
		jobs_untee(x->jobs, stream);
	return rc;
}

static int end(const struct commands_context *x, int stream, struct diag *d)
{
	char line[TEE_LINE];

	snprintf(line, sizeof line, "%%tee %soff", stream == 1 ? "stdout " : stream == 2 ? "stderr " : "");
	int rc = ask(x, line, d);

	jobs_untee(x->jobs, stream);
	return rc;
}

int tee_run(const struct commands_context *x, const char *arguments, struct diag *d)
{
	const char *rest;
	int stream = take_stream(arguments, &rest);

	if (stream == 0 && strcmp(arguments, "off") != 0) {
		out_notice("%s", usage);
		return 0;
	}
	if (stream == 0 || strcmp(rest, "off") == 0)
		return end(x, stream, d);
	return begin(x, stream, rest, d);
}
