/*
 * find.c: which servers are looked for, and which of them is taken: the one there is, or the one
 * that the user chooses. Asking them and the table are servers.c's.
 */
#include "find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "places.h"
#include "procs.h"
#include "servers.h"

#define FIND_CHOICE 32 /* bytes of what the user types */
#define FIND_WHAT 64

static int no_memory(struct diag *d)
{
	return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
}

static int nobody(struct diag *d)
{
	return diag_set(d, PYSTUCK_ENOENT, 0,
		"no server on this machine that you may reach: the program must have called "
		"pystuck.run_server(); over TCP name its host and port");
}

static int dial_all(struct servers *s, struct diag *d)
{
	struct places places = {0};
	int rc = places_all(&places) != 0 ? no_memory(d) : servers_dial(s, &places, d);

	places_free(&places);
	return rc == 0 && s->count == 0 ? nobody(d) : rc;
}

/* Only servers that answer can be chosen. */
static void drop_silent(struct servers *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++)
		if (s->at[i].answered)
			s->at[kept++] = s->at[i];
	s->count = kept;
}

/* Asks until the answer is a number of the table. The index, or -1 at end of file. */
static long ask_number(size_t count)
{
	char line[FIND_CHOICE];

	for (;;) {
		fprintf(stderr, "Which one (1-%zu)? ", count);
		fflush(stderr);
		if (fgets(line, sizeof line, stdin) == NULL) {
			fputc('\n', stderr);
			return -1;
		}
		char *end = NULL;
		long n = strtol(line, &end, 10);
		if (end != line && *end == '\n' && n >= 1 && (unsigned long)n <= count)
			return n - 1;
	}
}

static int choose(struct servers *s, int may_ask, size_t *chosen, struct diag *d)
{
	struct out err;
	long n = -1;

	out_init(&err, STDERR_FILENO);
	servers_print(&err, s, may_ask);
	out_flush(&err);
	out_free(&err);
	if (may_ask)
		n = ask_number(s->count);
	if (n < 0)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"%zu servers: say which one with --pid, --unit or --socket", s->count);
	*chosen = (size_t)n;
	return 0;
}

/* Of several that have been asked. */
static int choose_answering(struct servers *s, int may_ask, size_t *chosen, struct diag *d)
{
	drop_silent(s);
	*chosen = 0;
	if (s->count == 0)
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"none of the servers that could be meant answers (see pystuck --list)");
	return s->count > 1 ? choose(s, may_ask, chosen, d) : 0;
}

int find_one(struct addr *a, int *fd, int may_ask, struct diag *d)
{
	struct servers s = {0};
	size_t chosen = 0;
	int rc = dial_all(&s, d);

	*fd = -1;
	if (rc != 0)
		goto out;
	servers_drop_strangers(&s);
	if (s.count == 0)
		rc = diag_set(d, PYSTUCK_ENOENT, 0,
			"no server of yours on this machine (pystuck --list shows those of others; "
			"name one with --socket)");
	else if (s.count > 1) {
		servers_ask(&s);
		rc = choose_answering(&s, may_ask, &chosen, d);
	}
	if (rc != 0 || chosen >= s.count)
		goto out;
	*a = s.at[chosen].addr;
	*fd = s.at[chosen].fd;
	s.at[chosen].fd = -1;
out:
	servers_free(&s);
	return rc;
}

/*
 * Closes and leaves out what is of other processes by the kernel's word. Sockets of root stay if
 * `roots`: systemd makes them for services, and only the server can say which one it is.
 */
static void keep_those_of(struct servers *s, const struct procs *of, int roots)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct server *one = &s->at[i];

		if (procs_has(of, one->pid) || (roots && one->uid == 0))
			s->at[kept++] = *one;
		else if (one->fd >= 0)
			close(one->fd);
	}
	s->count = kept;
}

static int has_one_of(const struct servers *s, const struct procs *of)
{
	for (size_t i = 0; i < s->count; i++)
		if (procs_has(of, s->at[i].pid))
			return 1;
	return 0;
}

/*
 * The servers of processes that belong to another user: nobody may look which sockets they have
 * open, but the kernel says for each socket that we may reach whose it is. Only where it names none
 * of them those of root are asked, since whoever is asked has it in the log. *asked: they were.
 */
static int dial_hidden(struct servers *s, const struct procs *of, int *asked, struct diag *d)
{
	struct places places = {0};
	int rc = places_all(&places);

	for (size_t i = 0; rc == 0 && i < of->count; i++)
		rc = places_named(&places, of->at[i]);
	rc = rc != 0 ? no_memory(d) : servers_dial(s, &places, d);
	places_free(&places);
	if (rc != 0)
		return rc;
	*asked = !has_one_of(s, of);
	keep_those_of(s, of, *asked);
	if (*asked) {
		servers_ask(s);
		keep_those_of(s, of, 0);
	}
	return 0;
}

/* What the processes listen on, as far as that can be seen; *hidden: one of them belongs to
 * another. */
static int open_places(struct places *p, const struct procs *of, int *hidden, struct diag *d)
{
	for (size_t i = 0; i < of->count; i++) {
		int rc = places_open(p, of->at[i]);

		if (rc == PYSTUCK_ENOMEM)
			return no_memory(d);
		*hidden |= rc == PYSTUCK_EPERM;
	}
	return 0;
}

/* `what`: "process 12", "unit app.service". */
static int nothing_found(const struct procs *of, int hidden, const char *what, struct diag *d)
{
	for (size_t i = 0; i < of->count; i++) {
		if (!places_has_server(of->at[i]))
			continue;
		if (hidden)
			return diag_set(d, PYSTUCK_EPERM, 0,
				"%s has a pystuck server, but none of the sockets that you may "
				"reach is its: perhaps only a group may, or it listens on a TCP "
				"port (pystuck HOST PORT)",
				what);
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"%s has a pystuck server, but no Unix socket that you may reach: "
			"perhaps it listens on a TCP port (pystuck HOST PORT)",
			what);
	}
	return diag_set(d, PYSTUCK_ENOENT, 0,
		"%s has no pystuck server: it must have called pystuck.run_server()", what);
}

/* One of the servers of these processes: its address in *a, and *fd if it is dialled already. */
static int find_of(struct addr *a, int *fd, const struct procs *of, const char *what, int may_ask,
	struct diag *d)
{
	struct places places = {0};
	struct servers s = {0};
	size_t chosen = 0;
	int hidden = 0, asked = 0, rc = open_places(&places, of, &hidden, d);

	*fd = -1;
	if (rc == 0 && places.count == 1) {
		*a = places.at[0]; /* whatever it is, connecting says it best */
		goto out;
	}
	if (rc == 0 && places.count > 1)
		rc = servers_dial(&s, &places, d);
	else if (rc == 0 && hidden)
		rc = dial_hidden(&s, of, &asked, d);
	if (rc == 0 && s.count == 0)
		rc = nothing_found(of, hidden, what, d);
	if (rc == 0 && s.count > 1) {
		if (!asked)
			servers_ask(&s);
		rc = choose_answering(&s, may_ask, &chosen, d);
	}
	if (rc == 0 && chosen < s.count) {
		*a = s.at[chosen].addr;
		*fd = s.at[chosen].fd;
		s.at[chosen].fd = -1;
	}
out:
	places_free(&places);
	servers_free(&s);
	return rc;
}

pid_t find_descendant(pid_t pid)
{
	struct procs kin = {.at = NULL};
	pid_t found = 0;

	if (procs_family(&kin, pid) == 0)
		for (size_t i = 0; i < kin.count && found == 0; i++)
			found = kin.at[i] != pid && places_has_server(kin.at[i]) ? kin.at[i] : 0;
	procs_free(&kin);
	return found;
}

int find_pid(struct addr *a, int *fd, pid_t pid, int may_ask, struct diag *d)
{
	char what[FIND_WHAT], proc[FIND_WHAT];
	struct procs of = {.at = &pid, .count = 1};

	*fd = -1;
	snprintf(proc, sizeof proc, "/proc/%ld", (long)pid);
	if (access(proc, F_OK) != 0)
		return diag_set(d, PYSTUCK_ENOENT, 0, "there is no process %ld", (long)pid);
	snprintf(what, sizeof what, "process %ld", (long)pid);
	int rc = find_of(a, fd, &of, what, may_ask, d);
	long child = rc == PYSTUCK_ENOENT && !places_has_server(pid) ? find_descendant(pid) : 0;
	if (child != 0)
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"%s has no pystuck server, but process %ld, which descends from it, has one: --pid %ld, or --pid %ld --children for all of them",
			what, child, child, (long)pid);
	return rc;
}

int find_unit(struct addr *a, int *fd, const char *unit, int may_ask, struct diag *d)
{
	char name[PROCS_UNIT], what[PROCS_UNIT + FIND_WHAT];
	struct procs of = {0};
	int rc = procs_unit_name(name, unit, d);

	*fd = -1;
	if (rc != 0)
		return rc;
	rc = procs_of_unit(&of, name);
	snprintf(what, sizeof what, "unit %s", name);
	if (rc != 0)
		rc = no_memory(d);
	else if (of.count == 0)
		rc = diag_set(d, PYSTUCK_ENOENT, 0, "no unit %s is running (systemctl status %s)",
			name, name);
	else
		rc = find_of(a, fd, &of, what, may_ask, d);
	procs_free(&of);
	return rc;
}

int find_list(struct out *o, struct diag *d)
{
	struct servers s = {0};
	int rc = dial_all(&s, d);

	if (rc == 0) {
		servers_ask(&s);
		servers_drop_foreign(&s);
		if (s.count == 0)
			rc = nobody(d);
		else
			servers_print(o, &s, 0);
	}
	servers_free(&s);
	return rc;
}
