/*
 * repl_link.c: the prompt and its connection: what is said when that is lost, and another one. The
 * prompt stays: what was typed can be looked at and saved, and the program may come back.
 */
#include "repl_private.h"

#include "about.h"
#include "signals.h"
#include "status.h"

void repl_lost(struct repl *r, const struct diag *d)
{
	int again = r->lost;

	out_end_line(r->out);
	out_flush(r->out);
	out_end_line(&r->err);
	out_flush(&r->err);
	r->lost = 1;
	r->status = status_fail(d, r->o->dump_timeout_ms);
	out_notice("%%reconnect looks for it again, %%quit ends the client");
	if (again)
		return;
	connect_doing(r->c, NULL);
	jobs_forget(r->jobs);
}

/* What the server knew of the session before. */
static void say_what_is_gone(const struct repl *r, pid_t before)
{
	const struct msg_welcome *w = connect_peer(r->c);
	char age[ABOUT_AGE], command[ABOUT_AGE * 2];

	out_notice("connected to process %lu (%s, up %s)%s", (unsigned long)w->pid,
		about_command(command, sizeof command, w->command), about_age(age, w->started_ns),
		(pid_t)w->pid == before ? ", the same as before" : "");
	out_notice("the names, Out[] and In[] of the session before are gone; what was typed is not: %%history, %%save");
}

/* A Ctrl-C that was typed meanwhile was for this. */
static void take_signals(struct repl *r)
{
	int sig;

	while ((sig = signals_take()) != 0)
		if (signals_are_fatal(sig)) {
			r->sig = sig;
			repl_finish(r, STATUS_LOST);
		}
}

void repl_reconnect(struct repl *r)
{
	pid_t before = (pid_t)connect_peer(r->c)->pid;
	struct diag d = {0};
	int rc = r->o->reopen(r->o->context, &r->c, &d);

	repl_forget_input(r);
	take_signals(r);
	if (rc != 0) {
		(void)status_fail(&d, r->o->dump_timeout_ms);
		if (r->lost)
			out_notice("%%reconnect tries again");
		return;
	}
	r->lost = 0;
	r->status = STATUS_DONE;
	r->told_columns = REPL_COLUMNS;
	buf_clear(&r->unasked);
	jobs_forget(r->jobs);
	connect_set_taker(r->c, repl_take, r);
	say_what_is_gone(r, before);
}
