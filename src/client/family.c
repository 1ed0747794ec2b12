/*
 * family.c: finds the processes, puts them in the order of a tree and has them dumped. Which stacks are the same is
 * said by alike.c.
 */
#include "family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "places.h"
#include "procs.h"

#define FAMILY_ID 1 /* of the request: one on each connection, */
#define FAMILY_MORE_ID 2 /* and a second one */
#define FAMILY_UP 64 /* generations that are looked through for an ancestor */

static int no_memory(struct diag *d)
{
	return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
}

void family_close(struct family *f)
{
	for (size_t i = 0; i < f->count; i++)
		dump_free(&f->at[i].dump);
	free(f->at);
	servers_free(&f->servers);
	*f = (struct family){.at = NULL};
}

/* --- which ones --- */

/* Dials all of them, with the root, which is connected already, before the others. */
static int dial(struct family *f, struct connection *root, struct places *places, struct diag *d)
{
	struct servers *s = &f->servers;
	struct server *more;
	size_t kept = 0;

	for (size_t i = 0; i < places->count; i++)
		if (root == NULL || strcmp(places->at[i].path, connect_address(root)->path) != 0)
			places->at[kept++] = places->at[i];
	places->count = kept;
	if (servers_dial(s, places, d) != 0)
		return d->code;
	servers_drop_strangers(s);
	if (root == NULL)
		return 0;
	more = realloc(s->at, (s->count + 1) * sizeof *s->at);
	if (more == NULL)
		return no_memory(d);
	s->at = more;
	memmove(s->at + 1, s->at, s->count++ * sizeof *s->at);
	s->at[0] = (struct server){.addr = *connect_address(root), .fd = -1, .c = root, .answered = 1};
	return 0;
}

/* What a process and its descendants listen on, wherever that is. */
static int open_places(struct places *places, const struct procs *kin)
{
	int rc = 0;

	for (size_t i = 0; i < kin->count && rc != PYSTUCK_ENOMEM; i++)
		if (places_has_server(kin->at[i]))
			rc = places_open(places, kin->at[i]); /* another user's may be among those of places_all */
	return rc == PYSTUCK_ENOMEM ? rc : 0;
}

static int is_kin(const struct server *s, const struct procs *kin)
{
	return kin->count == 0 || procs_has(kin, s->pid);
}

/* A process may have several servers. */
static int is_same_process(const struct server *a, const struct server *b)
{
	if (a->pid > 0 && b->pid > 0)
		return a->pid == b->pid;
	if (!a->answered || !b->answered)
		return 0;
	const struct msg_welcome *x = connect_peer(a->c), *y = connect_peer(b->c);
	return a->pid == b->pid && x->pid == y->pid && x->started_ns == y->started_ns;
}

/* Each process once, by the first of its servers that answers. */
static int gather(struct family *f, const struct procs *kin, struct diag *d)
{
	struct servers *s = &f->servers;

	f->count = 0;
	f->at = calloc(s->count + 1, sizeof *f->at);
	if (f->at == NULL)
		return no_memory(d);
	for (size_t i = 0; i < s->count; i++) {
		const struct server *one = &s->at[i];
		size_t known = 0;

		if (!is_kin(one, kin))
			continue;
		while (known < f->count && !is_same_process(f->at[known].server, one))
			known++;
		if (known < f->count && (f->at[known].server->answered || !one->answered))
			continue;
		f->at[known] = (struct family_member){.server = one, .pid = one->pid, .parent = FAMILY_NONE};
		f->count += known == f->count;
	}
	return 0;
}

/* --- who descends from whom --- */

static size_t index_of(const struct family *f, pid_t pid)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->at[i].pid == pid)
			return i;
	return FAMILY_NONE;
}

static size_t find_parent(const struct family *f, const struct family_member *m)
{
	pid_t pid = m->pid;

	for (int up = 0; pid > 1 && up < FAMILY_UP; up++) {
		pid = procs_parent(pid);
		size_t found = pid > 0 ? index_of(f, pid) : FAMILY_NONE;
		if (found != FAMILY_NONE)
			return found;
	}
	return FAMILY_NONE;
}

static int by_pid(const void *a, const void *b)
{
	const struct family_member *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/* A member that comes behind the one that was put last: its first child, or the next of a parent's children. */
static size_t next_in_tree(const struct family *f, const char *done, size_t last)
{
	for (size_t parent = last;; parent = f->at[parent].parent) {
		for (size_t i = 0; i < f->count; i++)
			if (!done[i] && f->at[i].parent == parent)
				return i;
		if (parent == FAMILY_NONE)
			return FAMILY_NONE;
	}
}

/*
 * In the order of the tree. The numbers of processes are used again, and were read one after the other: whoever would be his own
 * ancestor, and all below him, stand at the end by themselves.
 */
static int put_in_order(struct family *f, struct diag *d)
{
	struct family_member *sorted = calloc(f->count + 1, sizeof *sorted);
	char *done = calloc(f->count + 1, 1);
	size_t *place = calloc(f->count + 1, sizeof *place), count = 0, last = FAMILY_NONE;

	if (sorted == NULL || done == NULL || place == NULL) {
		free(sorted);
		free(done);
		free(place);
		return no_memory(d);
	}
	qsort(f->at, f->count, sizeof *f->at, by_pid);
	for (size_t i = 0; i < f->count; i++)
		f->at[i].parent = find_parent(f, &f->at[i]);
	while (count < f->count) {
		size_t next = next_in_tree(f, done, last);

		if (next == FAMILY_NONE) {
			for (next = 0; done[next]; next++)
				;
			f->at[next].parent = FAMILY_NONE;
		}
		place[next] = count;
		done[next] = 1;
		last = next;
		sorted[count] = f->at[next];
		if (sorted[count].parent != FAMILY_NONE) {
			sorted[count].parent = place[sorted[count].parent];
			sorted[count].depth = sorted[sorted[count].parent].depth + 1;
		}
		count++;
	}
	free(f->at);
	free(done);
	free(place);
	f->at = sorted;
	return 0;
}

/* --- all of it --- */

/* The servers of this machine, and whatever else the processes listen on. */
static int look_around(struct family *f, struct connection *root, const struct procs *kin, struct diag *d)
{
	struct places places = {0};
	int rc = places_all(&places);

	if (rc == 0)
		rc = open_places(&places, kin);
	if (rc != 0)
		rc = no_memory(d);
	if (rc == 0)
		rc = dial(f, root, &places, d);
	places_free(&places);
	return rc;
}

int family_open(struct family *f, struct connection *root, pid_t of, struct diag *d)
{
	struct procs kin = {.at = NULL};
	pid_t pid = root != NULL ? connect_process(root) : of;
	int rc = 0;

	*f = (struct family){.at = NULL};
	if (root != NULL && pid <= 0)
		rc = diag_set(d, PYSTUCK_EINVAL, 0,
			"which process of this machine the server is can't be told, so neither can its children");
	else if (pid > 0 && procs_family(&kin, pid) != 0)
		rc = no_memory(d);
	if (rc == 0)
		rc = look_around(f, root, &kin, d);
	if (rc != 0 && (f->servers.count == 0 || f->servers.at[0].c != root))
		connect_close(root);
	if (rc == 0) {
		servers_greet(&f->servers);
		if (root != NULL)
			f->servers.at[0].pid = pid;
		servers_drop_foreign(&f->servers);
		rc = gather(f, &kin, d);
	}
	if (rc == 0)
		rc = put_in_order(f, d);
	if (rc == 0 && f->count == 0 && pid > 0)
		rc = diag_set(d, PYSTUCK_ENOENT, 0,
			"neither process %ld nor any that descends from it has a pystuck server that you may reach: it must have called "
			"pystuck.run_server()", (long)pid);
	else if (rc == 0 && f->count == 0)
		rc = diag_set(d, PYSTUCK_ENOENT, 0,
			"no server of yours on this machine: the program must have called pystuck.run_server()");
	procs_free(&kin);
	return rc;
}

static void fail(struct family_member *m, const char *why)
{
	text_copy(m->why, sizeof m->why, span_text(why), TEXT_LINE);
}

static void ask(const struct family *f, uint8_t flags)
{
	struct diag why = {0};

	for (size_t i = 0; i < f->count; i++) {
		struct family_member *m = &f->at[i];

		dump_init(&m->dump);
		if (!m->server->answered)
			fail(m, m->server->refused ? "it refuses you" : "no answer");
		else if (dump_ask(m->server->c, FAMILY_ID, flags, &why) != 0 || connect_flush(m->server->c, &why) != 0)
			fail(m, why.text);
	}
}

static void find_alike(struct family *f)
{
	for (size_t i = 0; i < f->count; i++) {
		f->at[i].alike = alike_of(&f->at[i].dump);
		f->at[i].same = i;
		for (size_t k = 0; f->at[i].shown && f->at[i].same == i && k < i; k++)
			if (f->at[k].shown && alike_equal(&f->at[k].alike, &f->at[i].alike))
				f->at[i].same = k;
	}
}

/* What is only asked for when the threads are known. */
static void ask_more(struct family_member *m, const struct suspended_options *suspended, int64_t deadline)
{
	struct diag why = {0};
	uint8_t wanted = suspended_wanted(&m->dump, suspended);
	int pending = 0;

	if (wanted != 0)
		(void)suspended_await(m->server->c, FAMILY_MORE_ID, &m->dump, wanted, &pending, deadline, -1, &why);
}

void family_ask(struct family *f, uint8_t flags, const struct suspended_options *suspended, int64_t deadline)
{
	struct diag why = {0};

	ask(f, flags);
	for (size_t i = 0; i < f->count; i++) {
		struct family_member *m = &f->at[i];

		if (m->why[0] != '\0')
			continue;
		m->shown = dump_await(m->server->c, FAMILY_ID, &m->dump, deadline, -1, &why) == 0;
		if (!m->shown)
			fail(m, why.text);
		else
			ask_more(m, suspended, deadline);
	}
	find_alike(f);
}
