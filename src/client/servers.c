/*
 * servers.c: dials sockets, asks who is there, and makes the table of the answers. A server that
 * does not answer is shown as such: it costs one short wait, in parallel with the others.
 */
#include "servers.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "about.h"
#include "dial.h"
#include "procs.h"
#include "text.h"

#define SERVERS_ANSWER_MS 500 /* the server's thread answers at once, whatever the program does */
#define SERVERS_COMMAND 20    /* columns that a command line has at least */
#define SERVERS_TRUSTED "/run/"

void servers_free(struct servers *s)
{
	for (size_t i = 0; i < s->count; i++) {
		connect_close(s->at[i].c);
		if (s->at[i].fd >= 0)
			close(s->at[i].fd);
	}
	free(s->at);
	*s = (struct servers){0};
}

int servers_dial(struct servers *s, const struct places *places, struct diag *d)
{
	s->at = calloc(places->count + 1, sizeof *s->at);
	if (s->at == NULL)
		return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	for (size_t i = 0; i < places->count; i++) {
		struct server *to = &s->at[s->count];

		to->addr = places->at[i];
		to->fd = dial_open(&to->addr, 0, &to->uid, &to->pid, NULL);
		if (to->fd >= 0)
			s->count++;
	}
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

static void fill_unit(struct server *s)
{
	char unit[PROCS_UNIT];

	procs_unit_of(unit, s->pid);
	text_copy(s->cells[COL_UNIT], SERVERS_CELL, span_text(unit[0] != '\0' ? unit : "-"),
		TEXT_LINE);
}

static void fill_cells(struct server *s)
{
	const struct msg_welcome *w = s->c != NULL ? connect_peer(s->c) : NULL;
	char age[ABOUT_AGE];

	addr_format(&s->addr, s->cells[COL_SOCKET]);
	user_name(s->cells[COL_USER], SERVERS_CELL, s->uid);
	if (s->answered && w != NULL && may_speak_for(s, w)) {
		s->pid = procs_here(s->pid, (pid_t)w->pid);
		user_name(s->cells[COL_USER], SERVERS_CELL, (uid_t)w->uid);
	}
	/* 0: it lives in a container whose processes have no number here. */
	snprintf(s->cells[COL_PID], SERVERS_CELL, s->pid > 0 ? "%ld" : "-", (long)s->pid);
	fill_unit(s);
	if (!s->answered || w == NULL) {
		snprintf(s->cells[COL_PYTHON], SERVERS_CELL, "-");
		snprintf(s->cells[COL_UP], SERVERS_CELL, "-");
		snprintf(s->cells[COL_COMMAND], SERVERS_CELL,
			s->refused ? "(refuses you)" : "(no answer)");
		return;
	}
	text_copy(s->cells[COL_PYTHON], SERVERS_CELL / 4, w->python, TEXT_LINE);
	snprintf(s->cells[COL_UP], SERVERS_CELL, "%s", about_age(age, w->started_ns));
	about_command(s->cells[COL_COMMAND], sizeof s->cells[0], w->command);
}

/* HELLO to all of them, then one wait for each with a common deadline. */
void servers_greet(struct servers *s)
{
	int64_t deadline;
	struct diag d;

	for (size_t i = 0; i < s->count; i++) {
		struct server *one = &s->at[i];
		int fd = one->fd;

		if (one->answered)
			continue;
		one->fd = -1;
		if (connect_open(&one->c, fd, &one->addr, NULL, 0, &d) != 0 ||
			connect_hello(one->c, &d) != 0 || connect_flush(one->c, &d) != 0) {
			connect_close(one->c);
			one->c = NULL;
		}
	}
	deadline = connect_clock() + SERVERS_ANSWER_MS;
	for (size_t i = 0; i < s->count; i++) {
		struct server *one = &s->at[i];

		int rc = one->answered ? 0 : PYSTUCK_ECLOSED;

		if (!one->answered && one->c != NULL)
			rc = connect_welcome(one->c, deadline, &d);
		one->answered = rc == 0;
		one->refused = rc == PYSTUCK_EPERM;
		one->foreign = rc == PYSTUCK_EFORMAT;
		fill_cells(one);
	}
}

void servers_ask(struct servers *s)
{
	servers_greet(s);
	for (size_t i = 0; i < s->count; i++) {
		connect_close(s->at[i].c);
		s->at[i].c = NULL;
	}
}

static void leave_out(struct server *s)
{
	connect_close(s->c);
	if (s->fd >= 0)
		close(s->fd);
}

void servers_drop_foreign(struct servers *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct server *one = &s->at[i];

		if (one->answered || one->refused ||
			(!one->foreign && places_is_usual(one->addr.path)))
			s->at[kept++] = *one;
		else
			leave_out(&s->at[i]);
	}
	s->count = kept;
}

void servers_drop_strangers(struct servers *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct server *one = &s->at[i];

		if (one->uid == geteuid() || one->uid == 0 || geteuid() == 0 ||
			strncmp(one->addr.path, SERVERS_TRUSTED, sizeof SERVERS_TRUSTED - 1) == 0)
			s->at[kept++] = *one;
		else
			leave_out(&s->at[i]);
	}
	s->count = kept;
}

/* Columns on a terminal: one for each character, however many bytes it has. */
static size_t width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* A column of width 0 is left out. */
static void print_row(struct out *o, const char *const cells[COLUMNS], const size_t widths[COLUMNS])
{
	for (size_t c = 0; c < COLUMNS; c++) {
		size_t pad = widths[c] - width(cells[c]);

		if (widths[c] == 0)
			continue;
		if (c == COL_PID)
			out_pad(o, pad);
		out_text(o, cells[c]);
		if (c == COLUMNS - 1)
			break;
		out_pad(o, (c == COL_PID ? 0 : pad) + 2);
	}
	out_text(o, "\n");
}

/* Cuts a text to so many columns, with dots at its end. */
static void cut(char *text, size_t columns)
{
	size_t n = 0;
	char *dots = text;

	for (char *at = text; *at != '\0'; at++) {
		if (((unsigned char)*at & 0xc0) == 0x80)
			continue;
		if (n == columns - 3)
			dots = at;
		if (n++ == columns) {
			memcpy(dots, "...", 4);
			return;
		}
	}
}

/* How many columns command lines have, where o is a terminal and all else has its widths; 0: any.
 */
static size_t command_columns(const struct out *o, const size_t widths[COLUMNS], size_t indent)
{
	struct winsize size;
	size_t used = indent;

	if (ioctl(o->fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return 0;
	for (size_t c = 0; c < COLUMNS; c++)
		if (c != COL_COMMAND && widths[c] > 0)
			used += widths[c] + 2;
	return used + SERVERS_COMMAND < size.ws_col ? size.ws_col - used : SERVERS_COMMAND;
}

static int has_units(const struct servers *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->at[i].cells[COL_UNIT], "-") != 0)
			return 1;
	return 0;
}

void servers_print(struct out *o, struct servers *s, int numbered)
{
	static const char *const titles[COLUMNS] = {
		"PID", "USER", "UNIT", "PYTHON", "UP", "COMMAND", "SOCKET"};
	size_t widths[COLUMNS];
	char number[SERVERS_CELL];

	for (size_t c = 0; c < COLUMNS; c++) {
		widths[c] = strlen(titles[c]);
		for (size_t i = 0; i < s->count; i++)
			if (width(s->at[i].cells[c]) > widths[c])
				widths[c] = width(s->at[i].cells[c]);
	}
	if (!has_units(s))
		widths[COL_UNIT] = 0;
	size_t most = command_columns(o, widths, numbered ? 6 : 0);
	for (size_t i = 0; most > 0 && widths[COL_COMMAND] > most && i < s->count; i++)
		cut(s->at[i].cells[COL_COMMAND], most);
	if (most > 0 && widths[COL_COMMAND] > most)
		widths[COL_COMMAND] = most;
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
