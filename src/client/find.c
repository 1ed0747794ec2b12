/*
 * find.c: asks the sockets of places.c who they are, lists them, lets the user choose one. A server
 * that does not answer is shown as such: it costs one short wait, in parallel with the others.
 */
#include "find.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "dial.h"
#include "places.h"
#include "print.h"

#define FIND_ANSWER_MS 500 /* the server's thread answers at once, whatever the program does */
#define FIND_COMMAND 48    /* bytes of a command line in a table on a terminal */
#define FIND_CELL 64
#define FIND_CHOICE 32 /* bytes of what the user types */
#define FIND_TRUSTED "/run/"

enum column { COL_PID, COL_USER, COL_PYTHON, COL_UP, COL_COMMAND, COL_SOCKET, COLUMNS };

struct server {
	struct addr addr;
	int fd; /* dialled; -1 when c has it */
	uid_t uid;
	pid_t pid; /* the kernel's word */
	struct connection *c;
	int answered, refused;
	char cells[COLUMNS][ADDR_TEXT];
};

struct servers {
	struct server *at;
	size_t count;
};

static void servers_free(struct servers *s)
{
	for (size_t i = 0; i < s->count; i++) {
		connect_close(s->at[i].c);
		if (s->at[i].fd >= 0)
			close(s->at[i].fd);
	}
	free(s->at);
	*s = (struct servers){0};
}

/* Everything that can be dialled: dead sockets and those of strangers are left out. */
static int dial_all(struct servers *s, struct diag *d)
{
	struct places places = {0};
	int rc = places_all(&places);

	s->at = calloc(places.count + 1, sizeof *s->at);
	if (rc != 0 || s->at == NULL) {
		places_free(&places);
		return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	}
	for (size_t i = 0; i < places.count; i++) {
		struct server *to = &s->at[s->count];

		to->addr = places.at[i];
		to->fd = dial_open(&to->addr, 0, &to->uid, &to->pid, NULL);
		if (to->fd >= 0)
			s->count++;
	}
	places_free(&places);
	if (s->count == 0)
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"no server on this machine that you may reach: the program must have "
			"called "
			"pystuck.run_server(); over TCP name its host and port");
	return 0;
}

static void user_name(char *text, size_t size, uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);

	if (pw != NULL)
		text_copy(text, size, span_text(pw->pw_name), TEXT_LINE);
	else
		snprintf(text, size, "%u", (unsigned)uid);
}

/*
 * May a server say itself which process of which user it is? Its own user's, yes; another's only
 * when root made the socket, as systemd does for services. Else the kernel's word counts.
 */
static int may_speak_for(const struct server *s, const struct msg_welcome *w)
{
	return s->uid == 0 || (uid_t)w->uid == s->uid;
}

static void fill_cells(struct server *s, size_t command_size)
{
	const struct msg_welcome *w = s->c != NULL ? connect_peer(s->c) : NULL;
	char age[PRINT_AGE];

	addr_format(&s->addr, s->cells[COL_SOCKET]);
	user_name(s->cells[COL_USER], FIND_CELL, s->uid);
	snprintf(s->cells[COL_PID], FIND_CELL, "%ld", (long)s->pid);
	if (!s->answered || w == NULL) {
		snprintf(s->cells[COL_PYTHON], FIND_CELL, "-");
		snprintf(s->cells[COL_UP], FIND_CELL, "-");
		snprintf(s->cells[COL_COMMAND], FIND_CELL,
			s->refused ? "(refuses you)" : "(no answer)");
		return;
	}
	if (may_speak_for(s, w)) {
		snprintf(s->cells[COL_PID], FIND_CELL, "%lu", (unsigned long)w->pid);
		user_name(s->cells[COL_USER], FIND_CELL, (uid_t)w->uid);
	}
	text_copy(s->cells[COL_PYTHON], FIND_CELL / 4, w->python, TEXT_LINE);
	snprintf(s->cells[COL_UP], FIND_CELL, "%s", print_age(age, w->started_ns));
	print_command(s->cells[COL_COMMAND], command_size, w->command);
}

/* HELLO to all of them, then one wait for each with a common deadline. Closes what it opened. */
static void ask_all(struct servers *s, int on_terminal)
{
	int64_t deadline;
	struct diag d;

	for (size_t i = 0; i < s->count; i++) {
		struct server *one = &s->at[i];
		int fd = one->fd;

		one->fd = -1;
		if (connect_open(&one->c, fd, &one->addr, NULL, 0, &d) != 0 ||
			connect_hello(one->c, &d) != 0 || connect_flush(one->c, &d) != 0) {
			connect_close(one->c);
			one->c = NULL;
		}
	}
	deadline = connect_clock() + FIND_ANSWER_MS;
	for (size_t i = 0; i < s->count; i++) {
		struct server *one = &s->at[i];

		int rc = one->c != NULL ? connect_welcome(one->c, deadline, &d) : PYSTUCK_ECLOSED;

		one->answered = rc == 0;
		one->refused = rc == PYSTUCK_EPERM;
		fill_cells(one, on_terminal ? FIND_COMMAND : sizeof one->cells[0]);
		connect_close(one->c);
		one->c = NULL;
	}
}

/* Columns on a terminal: one for each character, however many bytes it has. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void print_row(struct out *o, const char *const cells[COLUMNS], const size_t widths[COLUMNS])
{
	for (size_t c = 0; c < COLUMNS; c++) {
		size_t pad = widths[c] - width(cells[c]);

		if (c == COL_PID)
			out_pad(o, pad);
		out_text(o, cells[c]);
		if (c == COLUMNS - 1)
			break;
		out_pad(o, (c == COL_PID ? 0 : pad) + 2);
	}
	out_text(o, "\n");
}

/* The table; `numbered` puts a number for the choice before each line. */
static void print_table(struct out *o, const struct servers *s, int numbered)
{
	static const char *const titles[COLUMNS] = {
		"PID", "USER", "PYTHON", "UP", "COMMAND", "SOCKET"};
	size_t widths[COLUMNS];
	char number[FIND_CELL];

	for (size_t c = 0; c < COLUMNS; c++) {
		widths[c] = strlen(titles[c]);
		for (size_t i = 0; i < s->count; i++)
			if (width(s->at[i].cells[c]) > widths[c])
				widths[c] = width(s->at[i].cells[c]);
	}
	out_text(o, numbered ? "      " : "");
	print_row(o, titles, widths);
	for (size_t i = 0; i < s->count; i++) {
		const char *cells[COLUMNS];

		for (size_t c = 0; c < COLUMNS; c++)
			cells[c] = s->at[i].cells[c];
		snprintf(number, sizeof number, "%4zu  ", i + 1);
		out_text(o, numbered ? number : "");
		print_row(o, cells, widths);
	}
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

/*
 * A server that nobody named is taken only if it is the user's own, root's, or at a place that the
 * administrator made: anybody can make a socket with our name in /tmp. Root may look at
 * everybody's.
 */
static void drop_strangers(struct servers *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct server *one = &s->at[i];

		if (one->uid == geteuid() || one->uid == 0 || geteuid() == 0 ||
			strncmp(one->addr.path, FIND_TRUSTED, sizeof FIND_TRUSTED - 1) == 0)
			s->at[kept++] = *one;
		else
			close(one->fd);
	}
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

static int choose(const struct servers *s, int may_ask, size_t *chosen, struct diag *d)
{
	struct out err;
	long n = -1;

	out_init(&err, STDERR_FILENO);
	print_table(&err, s, may_ask);
	out_flush(&err);
	out_free(&err);
	if (may_ask)
		n = ask_number(s->count);
	if (n < 0)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"%zu servers: say which one with --pid or --socket", s->count);
	*chosen = (size_t)n;
	return 0;
}

/* More than one socket can be dialled: who answers? */
static int pick(struct servers *s, int may_ask, size_t *chosen, struct diag *d)
{
	ask_all(s, may_ask);
	drop_silent(s);
	*chosen = 0;
	if (s->count == 0)
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"the servers on this machine do not answer (see pystuck --list)");
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
	drop_strangers(&s);
	if (s.count == 0)
		rc = diag_set(d, PYSTUCK_ENOENT, 0,
			"no server of yours on this machine (pystuck --list shows those of others; "
			"name "
			"one with --socket)");
	else if (s.count > 1)
		rc = pick(&s, may_ask, &chosen, d);
	if (rc != 0)
		goto out;
	*a = s.at[chosen].addr;
	*fd = s.at[chosen].fd;
	s.at[chosen].fd = -1;
out:
	servers_free(&s);
	return rc;
}

int find_pid(struct addr *a, pid_t pid, struct diag *d)
{
	struct places places = {0};
	char first[ADDR_TEXT], second[ADDR_TEXT];
	int rc = places_of(&places, pid, d);

	if (rc == 0 && places.count > 1)
		rc = diag_set(d, PYSTUCK_EINVAL, 0,
			"process %ld listens on %zu sockets that may be a server's: say which one "
			"with "
			"--socket: %.150s or %.150s",
			(long)pid, places.count, addr_format(&places.at[0], first),
			addr_format(&places.at[1], second));
	if (rc == 0)
		*a = places.at[0];
	places_free(&places);
	return rc;
}

int find_list(struct out *o, struct diag *d)
{
	struct servers s = {0};
	int rc = dial_all(&s, d);

	if (rc == 0) {
		ask_all(&s, isatty(o->fd));
		print_table(o, &s, 0);
	}
	servers_free(&s);
	return rc;
}
