/*
 * repl_line.c: reading a line at the prompt: the keys go to lineedit.c, Tab to complete.c, and the
 * connection is watched meanwhile.
 */
#include "repl_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "complete.h"
#include "complete_local.h"
#include "lineedit.h"
#include "signals.h"
#include "status.h"

#define COLOR_IN "\033[32m"

/* What the server sends while nobody asked: the rest of what was let go of, or its end. */
static void drain(struct repl *r)
{
	struct msg m;
	struct diag d;
	int rc;

	while (!r->lost && (rc = connect_next(r->c, &m, &d)) != 0) {
		if (rc == 1)
			continue;
		lineedit_hide();
		repl_lost(r, &d);
		lineedit_return();
	}
}

/* READ_LINE: nothing of interest, go on typing. */
static enum repl_read on_signals(struct repl *r)
{
	int sig;

	while ((sig = signals_take()) != 0) {
		if (sig == SIGWINCH) {
			lineedit_resized();
		} else if (sig == SIGTSTP) {
			lineedit_pause();
			signals_stop();
			lineedit_resume();
		} else if (sig == SIGINT) {
			lineedit_cancel();
			return READ_CANCELLED;
		} else if (signals_are_fatal(sig)) {
			lineedit_end();
			r->sig = sig;
			repl_finish(r, STATUS_LOST);
			return READ_END;
		}
	}
	return READ_LINE;
}

/* --- Tab --- */

/* What the server is asked about: the lines before, and this one up to the cursor. *base: where that begins. */
static int typed_so_far(const struct repl *r, struct buf *source, size_t *base)
{
	size_t len;
	const char *line = lineedit_typed(&len);
	struct span before = buf_span(&r->input);
	int rc = buf_put(source, before.data, before.len);

	if (rc == 0 && r->more)
		rc = buf_put(source, "\n", 1);
	*base = buf_len(source);
	return rc == 0 ? buf_put(source, line, len) : rc;
}

/* The second Tab in the same place. */
static int is_asked_again(const struct repl *r, const struct buf *source)
{
	return buf_len(source) > 0 && buf_len(source) == buf_len(&r->unasked) &&
	       memcmp(buf_bytes(source), buf_bytes(&r->unasked), buf_len(source)) == 0;
}

static void insert_common(const struct complete *c, size_t base, size_t typed)
{
	size_t n = complete_common(c);
	char *text;

	if (c->count == 0 || c->from < base || n == 0 || (c->count > 1 && n <= typed - c->from))
		return;
	text = strndup(c->matches[0], n);
	if (text != NULL)
		lineedit_replace(c->from - base, text);
	free(text);
}

static void show_matches(struct repl *r, const struct complete *c)
{
	int rows, columns;

	if (c->count < 2 && c->signature == NULL && c->trouble == NULL && !(c->count == 0 && c->unasked))
		return;
	lineedit_size(&rows, &columns);
	lineedit_leave();
	complete_show(c, r->out, columns, rows, r->settings.color);
	out_flush(r->out);
	lineedit_return();
}

/* What needs no server. 1 when it was that. */
static int complete_here(struct repl *r)
{
	struct complete c;
	size_t len;
	const char *line = lineedit_typed(&len);

	if (r->more || !complete_local(&c, (struct span){(const uint8_t *)line, len}))
		return 0;
	insert_common(&c, 0, len);
	show_matches(r, &c);
	complete_free(&c);
	return 1;
}

/* READ_LINE: go on typing. */
static enum repl_read on_tab(struct repl *r)
{
	struct complete c;
	struct buf source;
	struct diag d = {0};
	size_t base = 0;
	int rc, again;

	if (complete_here(r))
		return READ_LINE;
	buf_init(&source, MSG_TEXT_MAX);
	/* Nobody is there to be asked. */
	if (r->lost || typed_so_far(r, &source, &base) != 0) {
		buf_free(&source);
		return READ_LINE;
	}
	again = is_asked_again(r, &source);
	rc = complete_ask(&c, r->c, r->next_id++, buf_span(&source), again, &r->sig, &d);
	buf_clear(&r->unasked);
	if (c.unasked && !again)
		(void)buf_put(&r->unasked, buf_bytes(&source), buf_len(&source));
	else
		c.unasked = 0;
	if (rc >= 0 && rc != COMPLETE_SIGNAL) {
		insert_common(&c, base, buf_len(&source));
		show_matches(r, &c);
	}
	complete_free(&c);
	buf_free(&source);
	if (rc >= 0 && rc != COMPLETE_SIGNAL)
		return READ_LINE;
	if (rc < 0) {
		lineedit_leave();
		repl_lost(r, &d);
		lineedit_return();
		return READ_LINE;
	}
	lineedit_end();
	repl_finish(r, STATUS_LOST);
	return READ_END;
}

/* Waits for a key, a signal or the server. An error is of poll(2) itself. */
static int wait_for_event(struct repl *r, struct pollfd *more, nfds_t count, struct diag *d)
{
	if (!r->lost)
		return connect_wait(r->c, more, count, CONNECT_NEVER, d);
	if (poll(more, count, -1) >= 0 || errno == EINTR)
		return 0;
	return diag_set(d, PYSTUCK_ESYS, errno, "poll: %s", strerror(errno));
}

static enum repl_read wait_for_line(struct repl *r)
{
	struct diag d;

	for (;;) {
		struct pollfd more[] = {{.fd = STDIN_FILENO, .events = POLLIN},
			{.fd = signals_fd(), .events = POLLIN}};
		enum repl_read signals;
		int rc;

		/* What came together with the last answer is here already: no poll tells of it. */
		drain(r);
		rc = wait_for_event(r, more, 2, &d);

		if (rc == PYSTUCK_ESYS) {
			lineedit_end();
			repl_finish(r, status_fail(&d, 0));
			return READ_END;
		}
		if (rc != 0)
			drain(r);
		signals = signals_pending() ? on_signals(r) : READ_LINE;
		if (signals != READ_LINE)
			return signals;
		if (more[0].revents == 0)
			continue;
		switch (lineedit_feed()) {
		case LINEEDIT_LINE:
			return READ_LINE;
		case LINEEDIT_EOF:
			return READ_EOF;
		case LINEEDIT_TAB:
			if (on_tab(r) == READ_END)
				return READ_END;
			break;
		case LINEEDIT_MORE:
		default:
			break;
		}
	}
}

enum repl_read repl_read_line(struct repl *r)
{
	int n = snprintf(r->prompt, sizeof r->prompt, "In [%u]: ", r->cell);

	/* As wide as the first prompt: what is typed stands in one column. */
	if (r->more)
		snprintf(r->prompt, sizeof r->prompt, "%*s", n, "...: ");
	out_end_line(r->out);
	out_flush(r->out);
	lineedit_begin(r->prompt, r->settings.color ? COLOR_IN : "", r->more ? r->indent : "");
	r->typing = 1;
	enum repl_read result = wait_for_line(r);
	r->typing = 0;
	return result;
}
