/*
 * eval.c: waits for an evaluation while listening for Ctrl-C. The first Ctrl-C asks the server to
 * interrupt it; when that has no effect within EVAL_GRACE_MS the user is told, and the next one
 * lets go of it.
 */
#include "eval.h"

#include <signal.h>

#include "out.h"
#include "signals.h"
#include "text.h"

#define EVAL_TEXT 300

enum phase {
	RUNNING,
	INTERRUPTED, /* MSG_INTERRUPT is out; -> ASKED when the grace is over */
	ASKED,       /* MSG_WHERE is out; -> STUBBORN with the answer, or without it */
	STUBBORN,    /* the user knows that it goes on */
};

struct wait {
	enum phase phase;
	int64_t grace_ends; /* while INTERRUPTED or ASKED */
	int late;           /* interrupted by the deadline, not by the user */
};

int eval_ask(struct connection *c, uint32_t id, uint8_t flags, uint32_t cell, struct span source,
	struct diag *d)
{
	struct msg m = {.type = MSG_EVAL};

	m.eval.id = id;
	m.eval.flags = flags;
	m.eval.cell = cell;
	m.eval.source = source;
	return connect_queue(c, &m, d);
}

static int interrupt(struct connection *c, const struct eval *e, struct wait *w, struct diag *d)
{
	struct msg m = {.type = MSG_INTERRUPT};

	m.interrupt.id = e->id;
	w->phase = INTERRUPTED;
	w->grace_ends = connect_clock() + EVAL_GRACE_MS;
	return connect_queue(c, &m, d);
}

static int detach(struct connection *c, const struct eval *e, int end, struct diag *d)
{
	struct msg m = {.type = MSG_DETACH};

	m.detach.id = e->id;
	int rc = connect_queue(c, &m, d);

	if (rc == 0)
		rc = connect_flush(c, d);
	return rc != 0 ? rc : end;
}

/* The user is told, and may decide. */
static void say_stubborn(const struct eval *e, struct wait *w, struct span place)
{
	char where[EVAL_TEXT];

	text_copy(where, sizeof where, place, TEXT_LINE);
	out_notice(e->at_prompt ? "still running%s%s; Ctrl-C again to let go of it"
				: "still running%s%s; Ctrl-C again to end the client",
		*where != '\0' ? " in " : ", and does not let the GIL go", where);
	w->phase = STUBBORN;
}

/* Let go of by a user at a prompt it goes on beside what comes next; by a deadline it is nobody's. */
static int leave(struct connection *c, const struct eval *e, struct diag *d)
{
	struct msg m = {.type = MSG_BACKGROUND};

	m.background.id = e->id;
	int rc = connect_queue(c, &m, d);

	if (rc == 0)
		rc = connect_flush(c, d);
	return rc != 0 ? rc : EVAL_DETACHED;
}

static int ask_where(struct connection *c, const struct eval *e, struct wait *w, struct diag *d)
{
	struct msg m = {.type = MSG_WHERE};

	m.where.id = e->id;
	w->phase = ASKED;
	w->grace_ends = connect_clock() + EVAL_WHERE_MS;
	return connect_queue(c, &m, d);
}

static int refused(const struct msg_error *m, struct diag *d)
{
	char text[EVAL_TEXT];

	text_copy(text, sizeof text, m->text, TEXT_LINE);
	if (m->reason == REASON_DENIED || m->reason == REASON_DISABLED || m->reason == REASON_VETO)
		diag_set(d, PYSTUCK_EPERM, 0, "not evaluated: %s", text);
	else
		diag_set(d, PYSTUCK_EAGAIN, 0, "not evaluated (%s): %s", reason_name(m->reason),
			text);
	return EVAL_REFUSED;
}

/* PYSTUCK_EAGAIN: not the end yet. */
static int accept_message(struct eval *e, struct wait *w, const struct msg *m, struct diag *d)
{
	switch (m->type) {
	case MSG_OUTPUT:
		if (m->output.id == e->id &&
			e->output(e->context, m->output.stream, m->output.text) != 0)
			return EVAL_UNREAD;
		return PYSTUCK_EAGAIN;
	case MSG_RESULT:
		if (m->result.id != e->id)
			return PYSTUCK_EAGAIN;
		e->result = m->result;
		return w->late ? EVAL_TIMED_OUT : EVAL_ENDED;
	case MSG_ERROR:
		/*
		 * Interrupting what has just ended may be answered with an error: its result is on
		 * the way.
		 */
		if ((m->error.id != e->id && m->error.id != 0) ||
			(w->phase != RUNNING && m->error.reason == REASON_UNKNOWN))
			return PYSTUCK_EAGAIN;
		return refused(&m->error, d);
	case MSG_PLACE:
		if (m->place.id == e->id && w->phase == ASKED)
			say_stubborn(e, w, m->place.text);
		return PYSTUCK_EAGAIN;
	case MSG_RAISED:
		if (m->raised.id == e->id && e->raised != NULL)
			e->raised(e->context, &m->raised);
		return PYSTUCK_EAGAIN;
	case MSG_MATCHES:
		/* Of a completion that was let go of. */
		return PYSTUCK_EAGAIN;
	default:
		return diag_set(d, PYSTUCK_EFORMAT, 0,
			"the server's answer makes no sense: a message of type %s",
			msg_type_name((int)m->type));
	}
}

/* Signals that have come meanwhile. PYSTUCK_EAGAIN: go on waiting. */
static int on_signals(struct connection *c, struct eval *e, struct wait *w, struct diag *d)
{
	int rc, sig;

	while ((sig = signals_take()) != 0) {
		if (signals_are_fatal(sig) ||
			(sig == SIGINT && w->phase != RUNNING && !e->at_prompt)) {
			e->signal = sig;
			return EVAL_SIGNAL;
		}
		if (sig == SIGTSTP)
			signals_stop();
		if (sig != SIGINT)
			continue;
		if (e->interrupted != NULL)
			e->interrupted(e->context);
		if (w->phase == STUBBORN)
			return leave(c, e, d);
		/* It has been interrupted, and what comes of that is waited for. */
		if (w->phase == ASKED)
			continue;
		rc = interrupt(c, e, w, d);
		if (rc != 0)
			return rc;
	}
	return PYSTUCK_EAGAIN;
}

/* The deadline of what is waited for now has passed. PYSTUCK_EAGAIN: go on waiting. */
static int on_time(struct connection *c, struct eval *e, struct wait *w, struct diag *d)
{
	if (w->phase == RUNNING) {
		w->late = 1;
		int rc = interrupt(c, e, w, d);
		return rc != 0 ? rc : PYSTUCK_EAGAIN;
	}
	if (w->late) {
		e->result = (struct msg_result){.id = e->id, .status = RESULT_INTERRUPTED};
		return detach(c, e, EVAL_TIMED_OUT, d);
	}
	if (w->phase == ASKED) {
		say_stubborn(e, w, (struct span){NULL, 0});
		return PYSTUCK_EAGAIN;
	}
	int rc = ask_where(c, e, w, d);
	return rc != 0 ? rc : PYSTUCK_EAGAIN;
}

static int64_t next_deadline(const struct eval *e, const struct wait *w)
{
	switch (w->phase) {
	case RUNNING:
		return e->deadline;
	case INTERRUPTED:
	case ASKED:
		return w->grace_ends;
	case STUBBORN:
	default:
		return CONNECT_NEVER;
	}
}

static int wait_more(struct connection *c, struct eval *e, const struct wait *w, struct diag *d)
{
	struct pollfd sig = {.fd = signals_fd(), .events = POLLIN};

	if (e->idle(e->context) != 0)
		return EVAL_UNREAD;
	int rc = connect_wait(c, &sig, 1, next_deadline(e, w), d);
	return rc < 0 && rc != PYSTUCK_ETIME ? rc : PYSTUCK_EAGAIN;
}

static int await_end(struct connection *c, struct eval *e, struct diag *d)
{
	struct wait w = {.phase = RUNNING};
	struct msg m;

	for (;;) {
		int rc = PYSTUCK_EAGAIN, got = connect_next(c, &m, d);

		if (got < 0)
			return got;
		if (got == 1)
			rc = accept_message(e, &w, &m, d);
		if (rc != PYSTUCK_EAGAIN)
			return rc;
		/* Looked at also while messages pour in: Ctrl-C must stop a flood. */
		if (signals_pending())
			rc = on_signals(c, e, &w, d);
		else if (connect_left(next_deadline(e, &w)) == 0)
			rc = on_time(c, e, &w, d);
		else if (got == 0)
			rc = wait_more(c, e, &w, d);
		if (rc != PYSTUCK_EAGAIN)
			return rc;
	}
}

int eval_await(struct connection *c, struct eval *e, struct diag *d)
{
	connect_doing(c, "mid-evaluation");
	int rc = await_end(c, e, d);

	connect_doing(c, NULL);
	return rc;
}
