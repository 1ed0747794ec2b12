/*
 * complete.c: MSG_COMPLETE and its answer. Matches go into the user's line, so they are taken only when they are text that can
 * be typed; the list is laid out in columns, as readline does it.
 */
#include "complete.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "signals.h"
#include "text.h"

#define COMPLETE_MS 1000     /* for an answer, after the server's own 200 ms */
#define COMPLETE_GRACE_MS 300 /* for one that was interrupted */
#define COMPLETE_TEXT (4 * MSG_SENTENCE_MAX)
#define COMPLETE_GAP 2 /* columns between columns */
#define COMPLETE_NAME_WIDTH 60

void complete_free(struct complete *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->matches[i]);
	free(c->matches);
	free(c->signature);
	free(c->trouble);
	*c = (struct complete){.from = 0};
}

int complete_add(struct complete *c, const char *match)
{
	char **more = realloc(c->matches, (c->count + 1) * sizeof *more);
	char *copy = more != NULL ? strdup(match) : NULL;

	if (more != NULL)
		c->matches = more;
	if (copy == NULL)
		return PYSTUCK_ENOMEM;
	c->matches[c->count++] = copy;
	return 0;
}

/* What would not go through text.c unchanged is not put into anybody's line. */
static int is_plain(const char *text)
{
	char safe[8 * 1024];
	size_t len = strlen(text);

	if (len >= sizeof safe / 6)
		return 0;
	text_copy(safe, sizeof safe, span_text(text), TEXT_LINE);
	return strcmp(safe, text) == 0;
}

static char *safe_copy(struct span text)
{
	char safe[COMPLETE_TEXT];

	if (text.len == 0)
		return NULL;
	text_copy(safe, sizeof safe, text, TEXT_LINE);
	return strdup(safe);
}

static void take(struct complete *c, const struct msg_matches *m, size_t source_len)
{
	const char *at = (const char *)m->matches.data, *end = at + m->matches.len;

	c->from = m->from <= source_len ? m->from : source_len;
	c->total = m->total;
	c->cut = (m->flags & MATCHES_CUT) != 0;
	c->unasked = (m->flags & MATCHES_UNASKED) != 0;
	c->signature = safe_copy(m->signature);
	for (; at < end; at += strlen(at) + 1)
		if (is_plain(at) && complete_add(c, at) != 0)
			break;
}

static int send_about(struct connection *c, enum msg_type type, uint32_t id, struct diag *d)
{
	struct msg m = {.type = type};

	if (type == MSG_INTERRUPT)
		m.interrupt.id = id;
	else
		m.detach.id = id;
	int rc = connect_queue(c, &m, d);

	return rc == 0 ? connect_flush(c, d) : rc;
}

struct wait {
	struct connection *connection;
	uint32_t id;
	size_t source_len;
	int64_t deadline;
	int interrupted;
	int *sig;
};

/* 1: it was ours. What else comes is of evaluations that were let go of. */
static int accept_answer(struct complete *c, const struct wait *w, const struct msg *m)
{
	if (m->type == MSG_MATCHES && m->matches.id == w->id) {
		take(c, &m->matches, w->source_len);
		return 1;
	}
	if (m->type == MSG_ERROR && m->error.id == w->id) {
		c->trouble = safe_copy(m->error.text);
		return 1;
	}
	return 0;
}

static int on_signals(const struct wait *w)
{
	int sig, stopped = 0;

	while ((sig = signals_take()) != 0) {
		if (signals_are_fatal(sig)) {
			*w->sig = sig;
			return COMPLETE_SIGNAL;
		}
		stopped |= sig == SIGINT;
	}
	return stopped ? COMPLETE_STOPPED : 0;
}

/* The time is up: first an interrupt, then without it. 0: go on. */
static int on_time(struct complete *c, struct wait *w, struct diag *d)
{
	int rc = send_about(w->connection, w->interrupted ? MSG_DETACH : MSG_INTERRUPT, w->id, d);

	if (rc != 0)
		return rc;
	if (w->interrupted) {
		c->trouble = strdup("it took too long");
		return COMPLETE_STOPPED;
	}
	w->interrupted = 1;
	w->deadline = connect_clock() + COMPLETE_GRACE_MS;
	return 0;
}

static int await(struct complete *c, struct wait *w, struct diag *d)
{
	struct pollfd signals = {.fd = signals_fd(), .events = POLLIN};
	struct msg m;
	int rc;

	for (;;) {
		while ((rc = connect_next(w->connection, &m, d)) == 1)
			if (accept_answer(c, w, &m))
				return 0;
		if (rc < 0)
			return rc;
		rc = connect_wait(w->connection, &signals, 1, w->deadline, d);
		if (rc < 0 && rc != PYSTUCK_ETIME)
			return rc;
		int end = signals_pending() ? on_signals(w) : rc == PYSTUCK_ETIME ? on_time(c, w, d) : 0;
		if (end == COMPLETE_STOPPED && !w->interrupted)
			rc = send_about(w->connection, MSG_INTERRUPT, w->id, d);
		if (end == COMPLETE_STOPPED && rc >= 0)
			rc = send_about(w->connection, MSG_DETACH, w->id, d);
		if (end != 0)
			return end == COMPLETE_STOPPED && rc < 0 && rc != PYSTUCK_ETIME ? rc : end;
	}
}

int complete_ask(struct complete *c, struct connection *connection, uint32_t id, struct span source, int ask, int *sig,
	struct diag *d)
{
	struct msg m = {.type = MSG_COMPLETE};
	struct wait w = {.connection = connection,
		.id = id,
		.source_len = source.len,
		.deadline = connect_clock() + COMPLETE_MS,
		.sig = sig};

	*sig = 0;
	*c = (struct complete){.from = source.len};
	if (source.len > MSG_COMPLETE_MAX)
		return 0;
	m.complete = (struct msg_complete){.id = id, .flags = ask ? COMPLETE_ASK : 0, .source = source};
	int rc = connect_queue(connection, &m, d);

	connect_doing(connection, "mid-completion");
	if (rc == 0)
		rc = await(c, &w, d);
	connect_doing(connection, NULL);
	return rc;
}

size_t complete_common(const struct complete *c)
{
	size_t n = c->count > 0 ? strlen(c->matches[0]) : 0;

	for (size_t i = 1; i < c->count; i++) {
		size_t same = 0;

		while (same < n && c->matches[i][same] == c->matches[0][same])
			same++;
		n = same;
	}
	/* Whole characters. */
	while (n > 0 && c->count > 1 && (c->matches[0][n] & 0xC0) == 0x80)
		n--;
	return n;
}

/* --- the list ------------------------------------------------------------- */

/* What is listed of a match: of a path its last part, with the slash of a directory. */
static const char *shown(const char *match)
{
	size_t len = strlen(match);
	const char *at = match + len;

	if (len > 0 && match[len - 1] == '/')
		at--;
	while (at > match && at[-1] != '/')
		at--;
	return at;
}

static int width_of(const char *text)
{
	wchar_t wide[COMPLETE_NAME_WIDTH * 4];
	size_t n = mbstowcs(wide, text, sizeof wide / sizeof wide[0]);
	int width = n == (size_t)-1 || n == sizeof wide / sizeof wide[0] ? -1 : wcswidth(wide, n);

	return width >= 0 ? width : (int)strlen(text);
}

/* How many of them go into `rows` lines; *per_line of them in each. */
static size_t layout(const struct complete *c, int columns, int rows, int *widest, size_t *per_line)
{
	size_t room;

	*widest = 1;
	for (size_t i = 0; i < c->count; i++) {
		int width = width_of(shown(c->matches[i]));

		if (width > *widest)
			*widest = width;
	}
	*per_line = columns > *widest + COMPLETE_GAP ? (size_t)columns / (size_t)(*widest + COMPLETE_GAP) : 1;
	room = *per_line * (size_t)(rows > 8 ? rows - 6 : 2);
	return c->count < room ? c->count : room;
}

static void show_list(const struct complete *c, struct out *o, int columns, int rows)
{
	int widest;
	size_t per_line, n = layout(c, columns, rows, &widest, &per_line);
	size_t lines = (n + per_line - 1) / per_line;

	for (size_t line = 0; line < lines; line++) {
		for (size_t i = line; i < n; i += lines) {
			const char *name = shown(c->matches[i]);
			int pad = widest + COMPLETE_GAP - width_of(name);

			out_text(o, name);
			if (i + lines < n && pad > 0)
				out_pad(o, (size_t)pad);
		}
		out_text(o, "\n");
	}
	if (n < c->total || c->cut) {
		out_text(o, "... ");
		out_number(o, n);
		out_text(o, c->cut && c->total <= c->count ? " of more" : " of ");
		if (!c->cut || c->total > c->count)
			out_number(o, c->total);
		out_text(o, ": type more of it\n");
	}
}

void complete_show(const struct complete *c, struct out *o, int columns, int rows, int color)
{
	const char *faint = color ? "\033[2m" : "", *off = color ? "\033[0m" : "";

	if (c->signature != NULL) {
		out_text(o, c->signature);
		out_text(o, "\n");
	}
	if (c->count > 1)
		show_list(c, o, columns, rows);
	out_text(o, faint);
	if (c->trouble != NULL) {
		out_text(o, "no completion: ");
		out_text(o, c->trouble);
		out_text(o, "\n");
	} else if (c->unasked) {
		out_text(o, "Tab again asks the object itself, which runs code of the program\n");
	}
	out_text(o, off);
}
