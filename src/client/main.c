/*
 * main.c: what `pystuck` does, in order: find the server, connect, print the stacks, evaluate or
 * open the prompt. The parts are in the files beside it.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "about.h"
#include "addr.h"
#include "batch.h"
#include "connect.h"
#include "dump.h"
#include "eval.h"
#include "export.h"
#include "family_show.h"
#include "find.h"
#include "json.h"
#include "keyfile.h"
#include "looks.h"
#include "options.h"
#include "out.h"
#include "print.h"
#include "procs.h"
#include "rc.h"
#include "sample_command.h"
#include "reach.h"
#include "repl.h"
#include "signals.h"
#include "status.h"
#include "suspended.h"
#include "tasks.h"
#include "version.h"
#include "watch.h"

#define MAIN_KEY_NAME "default"

/* Request ids: any numbers, as long as they differ. */
enum { ID_DUMP = 1, ID_EVAL = 2, ID_SUSPENDED = 3, ID_PROMPT = 4 };

struct client {
	const struct options *o;
	struct out out;
	int color;
	int in_is_terminal, out_is_terminal;
	struct connection *c;
	char unit[PROCS_UNIT]; /* that the program is in; "": none, or not known */
	int sig; /* a fatal signal came: end with it */
};

static int use_color(const struct options *o, int out_is_terminal)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (o->color != OPTIONS_COLOR_AUTO)
		return o->color == OPTIONS_COLOR_ALWAYS;
	return out_is_terminal && (no == NULL || *no == '\0') && term != NULL &&
	       strcmp(term, "dumb") != 0;
}

static uint8_t stacks_flags(const struct options *o)
{
	return (uint8_t)((o->locals ? DUMP_LOCALS : 0) | (o->raw ? DUMP_RAW : DUMP_TASKS));
}

static uint8_t batch_flags(const struct options *o)
{
	return o->json ? EVAL_RAISED : 0;
}

/*
 * HELLO and the first request, which leave in one write, and the answer to HELLO.
 */
static int greet(struct client *cl, struct diag *d)
{
	const struct options *o = cl->o;
	int rc = connect_hello(cl->c, d);

	if (rc == 0 && o->command != NULL)
		rc = eval_ask(cl->c, ID_EVAL, batch_flags(o), 0, span_text(o->command), d);
	else if (rc == 0 && o->stacks && o->watch_ms == 0)
		rc = dump_ask(cl->c, ID_DUMP, stacks_flags(o), d);
	if (rc == 0)
		rc = connect_welcome(cl->c, connect_clock() + o->timeout_ms, d);
	return rc;
}

/* For %reconnect: repl.h says what is expected. */
static int reopen(void *context, struct connection **c, struct diag *d)
{
	struct client *cl = context;
	struct connection *old = cl->c;
	int rc;

	cl->c = NULL;
	rc = reach_again(&cl->c, cl->o, cl->unit, old, d);
	if (rc == 0)
		rc = connect_hello(cl->c, d);
	if (rc == 0)
		rc = connect_welcome(cl->c, connect_clock() + cl->o->timeout_ms, d);
	if (rc == 0 && connect_peer(cl->c)->role < ROLE_EVAL)
		rc = diag_set(d, PYSTUCK_EPERM, 0, "your role there is \"%s\", and evaluating needs \"%s\"",
			role_name(connect_peer(cl->c)->role), role_name(ROLE_EVAL));
	if (rc != 0) {
		connect_close(cl->c);
		cl->c = old;
		return rc;
	}
	connect_close(old);
	*c = cl->c;
	return 0;
}

/* --- what is done --- */

/*
 * A write that failed counts: somebody may rely on what is in the file. A reader that went away
 * does not.
 */
static int finish_output(struct client *cl, int status)
{
	int rc = out_flush(&cl->out);

	if (rc == 0 || rc == PYSTUCK_ECLOSED)
		return status;
	out_notice(
		"standard output: %s", cl->out.sys != 0 ? strerror(cl->out.sys) : error_text(rc));
	return status != STATUS_DONE ? status : STATUS_PARTIAL;
}

static int show_stacks(struct client *cl)
{
	const struct options *o = cl->o;
	const struct print_options po = {.color = cl->color,
		.view = {.threads = o->threads, .thread_count = o->thread_count, .frames = o->frames, .no_group = o->no_group}};
	struct diag d = {0};
	struct dump dump;
	int rc, status = STATUS_DONE;

	dump_init(&dump);
	rc = dump_await(cl->c, ID_DUMP, &dump, connect_clock() + o->timeout_ms, -1, &d);
	if (rc != 0) {
		status = status_fail(&d, o->timeout_ms);
		goto out;
	}
	uint8_t wanted = suspended_wanted(&dump, &o->suspended);
	int pending = 0;
	if (wanted != 0)
		rc = suspended_await(cl->c, ID_SUSPENDED, &dump, wanted, &pending, connect_clock() + o->timeout_ms, -1, &d);
	print_caveats(&dump);
	if (rc != 0) {
		/* said below */
	} else if (o->json) {
		rc = json_dump(
			&cl->out, connect_peer(cl->c), &dump, o->locals, cl->out_is_terminal);
	} else {
		if (cl->out_is_terminal) {
			about_server(&cl->out, connect_peer(cl->c), cl->color);
			out_text(&cl->out, "\n");
		}
		rc = o->tasks ? tasks_print(&cl->out, &dump, &po) : print_dump(&cl->out, &dump, &po);
	}
	if (rc != 0 && rc != PYSTUCK_ECLOSED && rc != PYSTUCK_ESYS)
		out_notice("the stacks can't be shown: %s", error_text(rc));
	if (rc != 0 || dump_is_degraded(&dump, stacks_flags(o)) || (wanted != 0 && dump.suspended == NULL))
		status = STATUS_PARTIAL;
	status = finish_output(cl, status);
	if (print_unmeant(&dump, &po.view) > 0)
		status = STATUS_USAGE;
out:
	dump_free(&dump);
	return status;
}

static int await_batch(struct client *cl)
{
	const struct options *o = cl->o;
	struct batch b = {
		.c = cl->c,
		.out = &cl->out,
		.id = ID_EVAL,
		.deadline = o->timeout_given ? connect_clock() + o->timeout_ms : CONNECT_NEVER,
		.json = o->json,
		.pretty = cl->out_is_terminal,
	};

	return finish_output(cl, batch_await(&b));
}

/* A script on standard input; `status` is what it stays at when there is none. */
static int run_script(struct client *cl, int status)
{
	struct diag d = {0};
	struct buf script;
	int rc;

	buf_init(&script, MSG_MAX);
	rc = batch_read(STDIN_FILENO, &script, &d);
	/* A program that reads JSON gets its object for an empty script too. */
	if (rc == 1 || (rc == 0 && cl->o->json)) {
		rc = eval_ask(cl->c, ID_EVAL, batch_flags(cl->o), 0, buf_span(&script), &d);
		if (rc == 0) {
			int ran = await_batch(cl);
			status = ran != STATUS_DONE ? ran : status;
		}
	}
	if (rc < 0)
		status = status_fail(&d, cl->o->timeout_ms);
	buf_free(&script);
	return status;
}

static int open_prompt(struct client *cl, int status)
{
	const struct options *o = cl->o;
	int role = connect_peer(cl->c)->role;
	char path[PATH_MAX] = "", *text = NULL;
	struct diag d = {0};
	struct repl_options r = {
		.out = &cl->out,
		.settings = {.color = cl->color,
			.color_auto = use_color(&(struct options){.color = OPTIONS_COLOR_AUTO}, 1),
			.color_given = o->color != OPTIONS_COLOR_AUTO},
		.rc_path = path,
		.dump_timeout_ms = o->timeout_ms,
		.eval_timeout_ms = o->timeout_given ? o->timeout_ms : 0,
		.next_id = ID_PROMPT,
		.reopen = reopen,
		.context = cl,
	};

	if (connect_process(cl->c) > 0)
		procs_unit_of(cl->unit, connect_process(cl->c));
	if (role < ROLE_EVAL) {
		out_notice("no prompt: your role here is \"%s\", and evaluating needs \"%s\"",
			role_name(role), role_name(ROLE_EVAL));
		return o->stacks ? status : STATUS_REFUSED;
	}
	out_text(&cl->out, o->stacks ? "\n" : "");
	if (!o->stacks)
		about_server(&cl->out, connect_peer(cl->c), cl->color);
	out_text(&cl->out,
		"use modules['os'] or modules['__main__'] to look into the program; %help\n\n");
	out_flush(&cl->out);
	if (o->rc && rc_read(&text, path, &d) != 0 && d.text[0] != '\0')
		out_notice("%s", d.text);
	r.rc = text;
	status = repl_run(cl->c, &r, &cl->sig);
	free(text);
	return status;
}

static int watch(struct client *cl)
{
	const struct watch_options w = {.o = cl->o, .out = &cl->out, .in_place = cl->in_is_terminal && cl->out_is_terminal && !cl->o->json,
		.color = cl->color, .flags = stacks_flags(cl->o)};

	return watch_run(cl->c, &w, &cl->sig);
}

/* The program that is meant and its children, or all programs. */
static int show_several(struct client *cl)
{
	struct family_show s = {.out = &cl->out, .o = cl->o, .color = cl->color, .out_is_terminal = cl->out_is_terminal,
		.flags = stacks_flags(cl->o)};
	struct connection *root = NULL;
	struct diag d = {0};
	int rc = 0;

	if (cl->o->children) {
		rc = reach_open(&root, cl->o, cl->in_is_terminal && isatty(STDERR_FILENO), &d);
		if (rc == PYSTUCK_ENOENT && cl->o->pid != 0 && find_descendant(cl->o->pid) != 0) {
			s.of = cl->o->pid; /* the parent of those who are meant, without a server of its own */
			return family_show(&s, NULL);
		}
		if (rc == 0)
			rc = connect_hello(root, &d);
		if (rc == 0)
			rc = connect_welcome(root, connect_clock() + cl->o->timeout_ms, &d);
	}
	if (rc != 0) {
		connect_close(root);
		return status_fail(&d, cl->o->timeout_ms);
	}
	return family_show(&s, root);
}

static int sample(struct client *cl)
{
	const struct options *o = cl->o;
	const struct sample_command s = {.c = cl->c, .out = &cl->out, .color = cl->color, .output = o->output, .sig = &cl->sig,
		.request = {.duration_ms = o->sample_ms, .rate = o->rate != 0 ? o->rate : SAMPLE_RATE, .timeout_ms = o->timeout_ms,
			.id = ID_DUMP, .progress = isatty(STDERR_FILENO)}};
	struct diag d = {0};
	int status = sample_run(&s, &d);

	if (d.code != 0 && d.text[0] != '\0')
		(void)status_fail(&d, o->timeout_ms);
	return finish_output(cl, status);
}

static int converse(struct client *cl)
{
	const struct options *o = cl->o;
	struct diag d = {0};
	int status = STATUS_DONE;

	if (o->output != NULL && export_check(o->output, &d) != 0)
		return status_fail(&d, 0);
	if (o->children || o->all)
		return show_several(cl);
	if (reach_open(&cl->c, o, cl->in_is_terminal && isatty(STDERR_FILENO), &d) != 0 || greet(cl, &d) != 0)
		return status_fail(&d, o->timeout_ms);
	if (o->command != NULL)
		return await_batch(cl);
	if (o->sample_ms != 0)
		return sample(cl);
	if (o->watch_ms > 0)
		return watch(cl);
	if (o->stacks)
		status = show_stacks(cl);
	if (!o->repl || (status != STATUS_DONE && status != STATUS_PARTIAL))
		return status;
	if (!cl->in_is_terminal)
		return run_script(cl, status);
	if (o->json) {
		out_notice("--json with --no-stacks is for a script on standard input, and that is a terminal");
		return STATUS_USAGE;
	}
	return cl->out_is_terminal ? open_prompt(cl, status) : status;
}

static int make_key(const struct options *o)
{
	const char *name = o->key_name != NULL ? o->key_name : MAIN_KEY_NAME;
	struct diag d = {0};
	const char *role = o->role != NULL ? o->role : role_name(ROLE_EVAL);
	int rc = o->add ? keyfile_append(o->keygen, name, o->role, &d)
			: keyfile_create(o->keygen, name, o->role, &d);

	if (rc != 0) {
		status_fail(&d, 0);
		return STATUS_USAGE;
	}
	out_notice("key \"%s\" is in %s", name, o->keygen);
	if (o->add) {
		out_notice("servers that use the file find it there by themselves");
		return STATUS_DONE;
	}
	out_notice("the program: pystuck.run_server(port=%d, key=FILE); the client: pystuck HOST "
		   "--key FILE",
		ADDR_DEFAULT_PORT);
	out_notice("both need a copy; whoever has it can do %s in the program: keep it "
		   "mode 0600, and copy it over ssh",
		strcmp(role, role_name(ROLE_EVAL)) == 0 ? "everything" : "what its role allows");
	return STATUS_DONE;
}

static int list_servers(struct client *cl)
{
	struct diag d = {0};

	if (find_list(&cl->out, &d) != 0)
		return status_fail(&d, 0);
	return STATUS_DONE;
}

static int read_saved(struct client *cl)
{
	const struct looks_options l = {.o = cl->o, .out = &cl->out, .color = cl->color, .pretty = cl->out_is_terminal};

	return cl->o->action == OPTIONS_DIFF ? looks_diff(&l) : looks_merge(&l);
}

static int run(struct client *cl)
{
	switch (cl->o->action) {
	case OPTIONS_HELP:
		out_text(&cl->out, options_help());
		return STATUS_DONE;
	case OPTIONS_VERSION:
		out_text(&cl->out, "pystuck " PYSTUCK_VERSION "\n");
		return STATUS_DONE;
	case OPTIONS_KEYGEN:
		return make_key(cl->o);
	case OPTIONS_LIST:
		return list_servers(cl);
	case OPTIONS_DIFF:
	case OPTIONS_MERGE:
		return read_saved(cl);
	case OPTIONS_CONNECT:
	default:
		return converse(cl);
	}
}

int main(int argc, char **argv)
{
	struct options o;
	struct client cl = {.o = &o};
	struct diag d = {0};

	signals_quiet();
	if (options_parse(&o, argc, argv, &d) != 0) {
		out_notice("%s", d.text);
		return STATUS_USAGE;
	}
	cl.in_is_terminal = isatty(STDIN_FILENO);
	cl.out_is_terminal = isatty(STDOUT_FILENO);
	cl.color = use_color(&o, cl.out_is_terminal);
	out_init(&cl.out, STDOUT_FILENO);
	int status = finish_output(&cl, run(&cl));
	connect_close(cl.c);
	out_free(&cl.out);
	if (cl.sig != 0)
		signals_die(cl.sig);
	return status;
}
