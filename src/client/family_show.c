/*
 * family_show.c: several processes as text: first the tree of them, then the stacks, once for all processes that have the same. JSON
 * is json_family.c's.
 */
#include "family_show.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "about.h"
#include "family.h"
#include "json.h"
#include "print.h"
#include "status.h"

#define COMMAND 100 /* bytes of a command line in the tree */
#define INDENT 2
#define LINE 80 /* columns that a list of processes is broken at */

static struct print_options options_of(const struct family_show *s)
{
	const struct options *o = s->o;

	return (struct print_options){.color = s->color,
		.view = {.threads = o->threads, .thread_count = o->thread_count, .frames = o->frames, .no_group = o->no_group}};
}

static void number(struct out *out, pid_t pid)
{
	if (pid > 0)
		out_number(out, (uint64_t)pid);
	else
		out_text(out, "?");
}

/* --- the tree --- */

static void tree_line(const struct family_show *s, const struct family_member *m)
{
	char command[COMMAND], age[ABOUT_AGE];
	const struct msg_welcome *w = m->server->answered ? connect_peer(m->server->c) : NULL;

	out_pad(s->out, INDENT * (m->depth + 1));
	number(s->out, m->pid);
	out_text(s->out, "  ");
	if (w != NULL) {
		out_text(s->out, about_command(command, sizeof command, w->command));
		out_text(s->out, s->color ? "\033[2m" : "");
		out_text(s->out, "  Python ");
		out_safe(s->out, w->python, TEXT_LINE);
		out_text(s->out, ", up ");
		out_text(s->out, about_age(age, w->started_ns));
		out_text(s->out, s->color ? "\033[0m" : "");
	} else {
		out_text(s->out, m->server->cells[COL_SOCKET]);
	}
	if (!m->shown) {
		out_text(s->out, "  (");
		out_text(s->out, m->why);
		out_text(s->out, ")");
	}
	out_text(s->out, "\n");
}

static void tree(const struct family_show *s, const struct family *f)
{
	out_number(s->out, f->count);
	out_text(s->out, f->count == 1 ? " process runs pystuck\n" : " processes run pystuck\n");
	for (size_t i = 0; i < f->count; i++)
		tree_line(s, &f->at[i]);
}

/* --- the stacks --- */

/* "process 12", or "3 processes with the same stacks: 12, 13, 14" */
static void title(const struct family_show *s, const struct family *f, size_t first)
{
	size_t count = 0, column;
	char text[48];

	for (size_t i = first; i < f->count; i++)
		count += f->at[i].same == first;
	out_text(s->out, s->color ? "\n\033[1m" : "\n");
	snprintf(text, sizeof text, count == 1 ? "process" : "%zu processes with the same stacks:", count);
	out_text(s->out, text);
	column = strlen(text);
	for (size_t i = first; i < f->count; i++) {
		if (f->at[i].same != first)
			continue;
		int len = snprintf(text, sizeof text, "%ld", (long)f->at[i].pid);

		if (column + (size_t)len + 2 > LINE) {
			out_text(s->out, "\n ");
			column = 1;
		}
		out_text(s->out, " ");
		number(s->out, f->at[i].pid);
		out_text(s->out, --count > 0 ? "," : "");
		column += (size_t)len + 2;
	}
	out_text(s->out, s->color ? "\033[0m\n" : "\n");
}

static int is_wanted(const struct view_options *vo, const struct dump *dump)
{
	for (size_t i = 0; i < vo->thread_count; i++)
		if (view_means_any(dump, vo->threads[i]))
			return 1;
	return vo->thread_count == 0;
}

/* Words for threads that mean none in any process. */
static int has_unmeant(const struct family *f, const struct view_options *vo)
{
	int unmeant = 0;

	for (size_t i = 0; i < vo->thread_count; i++) {
		int meant = 0;

		for (size_t k = 0; k < f->count && !meant; k++)
			meant = f->at[k].shown && view_means_any(&f->at[k].dump, vo->threads[i]);
		if (!meant)
			out_notice("%s is no thread's name, ident or tid in any of the processes", vo->threads[i]);
		unmeant |= !meant;
	}
	return unmeant;
}

static int stacks(const struct family_show *s, const struct family *f, const struct print_options *po)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < f->count; i++) {
		const struct family_member *m = &f->at[i];

		if (!m->shown || m->same != i || !is_wanted(&po->view, &m->dump))
			continue;
		title(s, f, i);
		rc = print_dump(s->out, &m->dump, po);
	}
	return rc;
}

/* What is not as it should be, by process; a status. */
static int caveats(const struct family_show *s, const struct family *f)
{
	int status = STATUS_DONE;

	for (size_t i = 0; i < f->count; i++) {
		const struct family_member *m = &f->at[i];
		char why[PRINT_CAVEAT];

		if (m->shown && !dump_is_degraded(&m->dump, s->flags))
			continue;
		status = STATUS_PARTIAL;
		if (!m->shown)
			out_notice("process %ld: %s", (long)m->pid, m->why);
		else if (print_caveat(why, &m->dump))
			out_notice("process %ld: %s", (long)m->pid, why);
	}
	return status;
}

/* --- all of it --- */

int family_show(const struct family_show *s, struct connection *root)
{
	const struct print_options po = options_of(s);
	struct family f;
	struct diag d = {0};
	int rc = family_open(&f, root, s->of, &d), status;

	if (rc != 0) {
		family_close(&f);
		return status_fail(&d, s->o->timeout_ms);
	}
	family_ask(&f, s->flags, &s->o->suspended, connect_clock() + s->o->timeout_ms);
	status = caveats(s, &f);
	if (s->o->json) {
		rc = json_family(s->out, &f, root == NULL, s->o->locals, s->out_is_terminal);
	} else {
		tree(s, &f);
		rc = stacks(s, &f, &po);
	}
	if (rc != 0 && rc != PYSTUCK_ECLOSED && rc != PYSTUCK_ESYS) {
		out_notice("the stacks can't be shown: %s", error_text(rc));
		status = STATUS_PARTIAL;
	}
	if (!s->o->json && has_unmeant(&f, &po.view))
		status = STATUS_USAGE;
	family_close(&f);
	return status;
}
