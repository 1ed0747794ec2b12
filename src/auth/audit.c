/*
 * audit.c: which events are logged, how many of them, and what is told of those that were not. The
 * words are audit_text.c's, the system's log audit_syslog.c's.
 */
#include "audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_private.h"
#include "error.h"

#define SECOND 1000000000u /* ns */

/* Who can cause the event, and thus how many of them there may be. */
enum kind { KIND_STRANGER, KIND_CLIENT, KIND_ALWAYS, KINDS };

struct window {
	uint64_t since; /* when the second began */
	unsigned count;
	uint64_t left_out;
};

struct audit {
	char listener[ADDR_TEXT];
	struct audit_syslog log; /* when there is no call */
	audit_call_fn *call;
	void *context;
	struct window windows[KINDS];
	uint64_t lost; /* could not be handed over, and nobody has been told */
};

static const unsigned most[KINDS] = {
	[KIND_STRANGER] = AUDIT_STRANGERS_PER_S,
	[KIND_CLIENT] = AUDIT_CLIENTS_PER_S,
};

static struct audit *new_audit(const char *listener)
{
	struct audit *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	audit_text_init();
	(void)snprintf(a->listener, sizeof(a->listener), "%s", listener);
	a->log.own.fd = -1;
	return a;
}

struct audit *audit_syslog_at(const char *listener, const char *journal, const char *devlog)
{
	struct audit *a = new_audit(listener);

	if (a != NULL)
		audit_syslog_init(&a->log, journal, devlog);
	return a;
}

struct audit *audit_syslog(const char *listener)
{
	return audit_syslog_at(listener, AUDIT_JOURNAL, AUDIT_DEVLOG);
}

struct audit *audit_call(const char *listener, audit_call_fn *call, void *context)
{
	struct audit *a = new_audit(listener);

	if (a != NULL) {
		a->call = call;
		a->context = context;
	}
	return a;
}

static enum kind kind_of(enum audit_action action)
{
	switch (action) {
	case AUDIT_EVAL:
	case AUDIT_VETO:
	case AUDIT_KEYS:
	case AUDIT_LISTEN:
	case AUDIT_LOST:
		return KIND_ALWAYS;
	case AUDIT_OPEN:
	case AUDIT_DENY:
	case AUDIT_LATE:
	case AUDIT_DISCONNECT:
		return KIND_CLIENT;
	default:
		return KIND_STRANGER;
	}
}

static int hand_over(struct audit *a, const struct audit_event *e)
{
	struct audit_event copy = *e;

	copy.listener = a->listener;
	return a->call != NULL ? a->call(a->context, &copy) : audit_syslog_send(&a->log, &copy);
}

static int tell(struct audit *a, uint64_t count, const char *why)
{
	struct audit_event e = {
		.action = AUDIT_LOST, .uid = (uid_t)-1, .lost = count, .reason = span_text(why)};

	return hand_over(a, &e);
}

/* First of all what is still untold: the order of the log is the order of events. */
static int tell_lost(struct audit *a)
{
	int rc;

	if (a->lost == 0)
		return 0;
	rc = tell(a, a->lost, "could not be handed over: the log was full, or nobody was there");
	if (rc == 0)
		a->lost = 0;
	return rc;
}

static void tell_left_out(struct audit *a, enum kind kind)
{
	struct window *w = &a->windows[kind];
	char why[96];

	if (w->left_out == 0)
		return;
	(void)snprintf(why, sizeof(why), "left out: of %s at most %u in a second are logged",
		kind == KIND_STRANGER ? "strangers" : "clients", most[kind]);
	if (tell_lost(a) != 0 || tell(a, w->left_out, why) != 0)
		a->lost += w->left_out;
	w->left_out = 0;
}

/* 1 when the event is to be left out. */
static int is_too_much(struct audit *a, enum kind kind, uint64_t now)
{
	struct window *w = &a->windows[kind];

	if (kind == KIND_ALWAYS)
		return 0;
	if (w->count == 0 || now >= w->since + SECOND) {
		tell_left_out(a, kind);
		w->since = now;
		w->count = 0;
	}
	if (w->count < most[kind]) {
		w->count++;
		return 0;
	}
	w->left_out++;
	return 1;
}

int audit_put(struct audit *a, const struct audit_event *e, uint64_t now)
{
	int rc;

	if (a == NULL || is_too_much(a, kind_of(e->action), now))
		return 0;
	rc = tell_lost(a);
	if (rc == 0)
		rc = hand_over(a, e);
	if (rc != 0)
		a->lost++;
	return rc;
}

uint64_t audit_deadline(const struct audit *a)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; a != NULL && i < KINDS; i++)
		if (a->windows[i].left_out > 0 && a->windows[i].since + SECOND < next)
			next = a->windows[i].since + SECOND;
	return next;
}

void audit_tick(struct audit *a, uint64_t now)
{
	for (size_t i = 0; a != NULL && i < KINDS; i++)
		if (now >= a->windows[i].since + SECOND)
			tell_left_out(a, (enum kind)i);
}

void audit_free(struct audit *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < KINDS; i++)
		tell_left_out(a, (enum kind)i);
	(void)tell_lost(a);
	audit_syslog_close(&a->log);
	free(a);
}

void audit_forget(struct audit *a)
{
	if (a == NULL)
		return;
	audit_syslog_close(&a->log);
	free(a);
}
