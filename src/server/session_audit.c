/*
 * session_audit.c: what the audit log is told of a session. When each thing happens, session.c and
 * its kin know; how it is written and where it goes, audit.h.
 */
#include <stdio.h>
#include <string.h>

#include "audit.h"
#include "session_private.h"

static struct audit_event event(const struct session *s, enum audit_action action)
{
	return (struct audit_event){.action = action,
		.session = s->number,
		.uid = s->who.uid,
		.pid = s->who.pid,
		.key = s->who.key,
		.address = s->address,
		.role = s->who.role};
}

static void put(const struct session *s, enum audit_action action, const char *reason)
{
	struct audit_event e = event(s, action);

	e.reason = span_text(reason);
	(void)audit_put(s->door->audit, &e, s->now);
}

void session_why(struct session *s, const char *text)
{
	if (s->why[0] == '\0')
		(void)snprintf(s->why, sizeof(s->why), "%s", text);
}

void session_audit_connect(const struct session *s)
{
	struct audit_event e = event(s, AUDIT_CONNECT);

	e.role = ROLE_NONE;
	(void)audit_put(s->door->audit, &e, s->now);
}

static void disconnect(const struct session *s)
{
	struct audit_event e = event(s, AUDIT_DISCONNECT);

	e.reason = span_text(s->why[0] != '\0' ? s->why : "the client closed the connection");
	e.duration_us = s->now > s->opened ? (s->now - s->opened) / 1000 : 0;
	e.evals = s->evals;
	e.dumps = s->dumps;
	(void)audit_put(s->door->audit, &e, s->now);
}

void session_audit_move(struct session *s, enum session_state from)
{
	if (s->state == SESSION_OPEN) {
		s->opened = s->now;
		put(s, AUDIT_OPEN, NULL);
	} else if (from == SESSION_OPEN) {
		session_audit_veto(s);
		disconnect(s);
	} else if ((s->state == SESSION_CLOSING || s->state == SESSION_CLOSED) &&
		   from != SESSION_CLOSING) {
		put(s, AUDIT_REFUSE,
			s->why[0] != '\0' ? s->why
					  : "it closed the connection before it was let in");
	}
}

void session_audit_deny(const struct session *s, enum msg_type type, const char *text)
{
	char reason[160];

	(void)snprintf(reason, sizeof(reason), "%s: %s",
		type == MSG_DUMP ? "dump with locals" : "evaluation", text);
	put(s, AUDIT_DENY, reason);
}

int session_audit_eval(const struct session *s, struct span source)
{
	struct audit_event e = event(s, AUDIT_EVAL);

	e.source = source;
	return audit_put(s->door->audit, &e, s->now);
}

void session_audit_late(const struct session *s)
{
	put(s, AUDIT_LATE, "nothing was run: the GIL could not be had in time");
}

void session_audit_veto(const struct session *s)
{
	char text[PORT_VETO_MAX + 1];
	uint32_t id;

	if (port_vetoed(s->port, PORT_EVAL, &id, text))
		put(s, AUDIT_VETO, text);
}

void session_audit_keys(const struct session *s, const char *trouble)
{
	struct audit_event e = {.action = AUDIT_KEYS, .uid = (uid_t)-1};
	char text[DIAG_TEXT + 64];

	if (trouble != NULL)
		(void)snprintf(
			text, sizeof(text), "the keys that it had stay in force: %s", trouble);
	else
		(void)snprintf(
			text, sizeof(text), "%zu keys in it now", keyring_count(s->door->keys));
	e.reason = span_text(text);
	(void)audit_put(s->door->audit, &e, s->now);
}
