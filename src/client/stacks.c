/*
 * stacks.c: asks for the stacks from the prompt and has them shown. What is printed is print.c's and locks.c's.
 */
#include "stacks.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>

#include <bsd/stdlib.h>

#include "dump.h"
#include "greenlets.h"
#include "locks.h"
#include "print.h"
#include "signals.h"
#include "suspended.h"
#include "tasks.h"

#define NUMBER_BYTES 24

/* What a command is asked to do. */
struct request {
	uint8_t flags; /* DUMP_* */
	struct print_options po;
	struct suspended_options suspended;
	int only_threads; /* nothing else is of interest */
	const char *thread; /* po.view.threads, when there is one */
	char name[MSG_NAME_MAX + 1]; /* it, where options stand behind it */
	int (*print)(struct out *, const struct dump *, const struct print_options *);
};

/* Signals that came while the stacks were waited for. 0: go on waiting. */
static int on_signals(const struct commands_context *x)
{
	int sig;

	while ((sig = signals_take()) != 0) {
		if (signals_are_fatal(sig)) {
			*x->sig = sig;
			return COMMANDS_SIGNAL;
		}
		if (sig == SIGTSTP)
			signals_stop();
		if (sig == SIGINT && connect_abandon(x->c, x->id) == 0)
			return COMMANDS_INTERRUPTED;
	}
	return 0;
}

static int await(const struct commands_context *x, struct dump *dump, struct diag *d)
{
	int64_t deadline = connect_clock() + x->timeout_ms;

	for (;;) {
		int rc = dump_await(x->c, x->id, dump, deadline, signals_fd(), d);

		if (rc != DUMP_STOPPED)
			return rc;
		rc = on_signals(x);
		if (rc != 0)
			return rc;
	}
}

/* Greenlets and generators, by a request of their own, when the one for the threads has been answered. */
static int await_suspended(const struct commands_context *x, struct dump *dump, const struct suspended_options *o, struct diag *d)
{
	int64_t deadline = connect_clock() + x->timeout_ms;
	uint8_t wanted = suspended_wanted(dump, o);
	int rc = wanted != 0 ? DUMP_STOPPED : 0, pending = 0;

	while (rc == DUMP_STOPPED) {
		rc = suspended_await(x->c, x->id, dump, wanted, &pending, deadline, signals_fd(), d);
		if (rc == DUMP_STOPPED && (rc = on_signals(x)) == 0)
			rc = DUMP_STOPPED;
	}
	return rc;
}

static int carry_out(const struct commands_context *x, struct request *r, struct diag *d)
{
	struct dump dump;
	int rc = dump_ask(x->c, x->id, r->flags, d);

	r->po.color = x->color;
	r->po.view.threads = &r->thread;
	dump_init(&dump);
	if (rc == 0)
		rc = await(x, &dump, d);
	if (rc == 0 && !r->only_threads)
		rc = await_suspended(x, &dump, &r->suspended, d);
	if (rc == 0) {
		print_caveats(&dump);
		if (print_unmeant(&dump, &r->po.view) == 0) {
			r->print(x->out, &dump, &r->po);
			out_text(x->out, "\n");
		}
	} else if (rc == PYSTUCK_EPERM) {
		out_notice("%s", d->text);
		rc = 0;
	}
	dump_free(&dump);
	return rc;
}

/* One option at *at, which goes on behind it. 0, or -1: it is none of %stacks. */
static int take_option(struct request *r, const char **at)
{
	size_t len = strcspn(*at, " \t"), digits;
	const char *behind = *at + len + strspn(*at + len, " \t"), *error = NULL;
	char number[NUMBER_BYTES] = "";

	if (len == 8 && memcmp(*at, "--locals", len) == 0) {
		r->flags |= DUMP_LOCALS;
	} else if (len == 5 && memcmp(*at, "--raw", len) == 0) {
		r->flags = (uint8_t)((r->flags & ~DUMP_TASKS) | DUMP_RAW);
	} else if (len == 10 && memcmp(*at, "--no-group", len) == 0) {
		r->po.view.no_group = 1;
	} else if (len == 12 && memcmp(*at, "--generators", len) == 0) {
		r->suspended.generators = 1;
	} else if (len == 8 && memcmp(*at, "--frames", len) == 0) {
		digits = strcspn(behind, " \t");
		if (digits < sizeof number)
			memcpy(number, behind, digits);
		r->po.view.frames = (uint32_t)strtonum(number, 1, UINT32_MAX, &error);
		behind += digits + strspn(behind + digits, " \t");
	} else {
		return -1;
	}
	if (error != NULL)
		return -1;
	*at = behind;
	return 0;
}

/* The rest of the line is one thread: names have spaces in them, as "Thread-1 (work)" has. */
static void take_thread(struct request *r, const char *rest)
{
	r->thread = rest;
	r->po.view.thread_count = *rest != '\0';
}

/* *at is behind all options that stand there, or at the first that is none. */
static int take_options(struct request *r, const char **at, int suspended_only)
{
	while (strncmp(*at, "--", 2) == 0)
		if ((suspended_only && (strncmp(*at, "--locals", 8) == 0 || strncmp(*at, "--raw", 5) == 0)) || take_option(r, at) != 0)
			return -1;
	return 0;
}

/* Options before the thread, or behind it. 0, or -1: at *at is something else. */
static int take_arguments(struct request *r, const char **at, int suspended_only)
{
	const char *name, *behind;

	if (take_options(r, at, suspended_only) != 0)
		return -1;
	name = *at;
	behind = strstr(name, " --");
	if (behind == NULL || (size_t)(behind - name) >= sizeof r->name) {
		take_thread(r, name);
		return 0;
	}
	memcpy(r->name, name, (size_t)(behind - name));
	take_thread(r, r->name);
	*at = behind + 1;
	return take_options(r, at, suspended_only) == 0 && **at == '\0' ? 0 : -1;
}

int stacks_run(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct request r = {.flags = DUMP_TASKS, .print = print_dump};

	if (take_arguments(&r, &arguments, 0) == 0)
		return carry_out(x, &r, d);
	out_notice("%%stacks [--locals] [--raw] [--generators] [--frames N] [--no-group] [THREAD], not: %s", arguments);
	return 0;
}

int stacks_greenlets(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct request r = {.print = greenlets_print, .suspended = {.greenlets = SUSPENDED_ALWAYS}};

	if (take_arguments(&r, &arguments, 1) == 0)
		return carry_out(x, &r, d);
	out_notice("%%greenlets [--generators] [--frames N] [--no-group] [THREAD], not: %s", arguments);
	return 0;
}

int stacks_threads(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct request r = {.print = print_threads};

	take_thread(&r, arguments);
	return carry_out(x, &r, d);
}

int stacks_locks(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct request r = {.print = locks_print, .only_threads = 1};

	if (*arguments != '\0') {
		out_notice("%%locks %s: it takes no argument", arguments);
		return 0;
	}
	return carry_out(x, &r, d);
}

int stacks_tasks(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct request r = {.flags = DUMP_TASKS, .print = tasks_print, .only_threads = 1};
	const char *at = arguments;

	while (strncmp(at, "--", 2) == 0)
		if (strncmp(at, "--locals", 8) == 0 || strncmp(at, "--raw", 5) == 0 || take_option(&r, &at) != 0)
			break;
	if (*at == '\0')
		return carry_out(x, &r, d);
	out_notice("%%tasks [--frames N] [--no-group], not: %s", at);
	return 0;
}

int stacks_show(const struct commands_context *x, const char *arguments, struct diag *d)
{
	struct request r = {.print = print_dump};

	if (strcmp(arguments, "threads") != 0) {
		out_notice("%%show %s: only \"threads\" can be shown", arguments);
		return 0;
	}
	return carry_out(x, &r, d);
}
