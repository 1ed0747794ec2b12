/*
 * session_request.c: what a client may ask, and the beginning of each request. When messages are
 * read, and the rule of back-pressure that makes one wait, stand in session.c.
 */
#include "session_private.h"

#define MS 1000000u /* ns */
#define COMPLETE_MS 200 /* a completion that waits longer for the GIL is of no use to anybody */

/* ---- what may be said ------------------------------------------------------------------------ */

struct rule {
	enum session_state state;
	int type;
	uint8_t flags; /* the rule counts when the message has one of these; 0: always */
	enum role least;
};

/* Whatever is not here ends the session. */
static const struct rule rules[] = {
	{SESSION_HELLO, MSG_HELLO, 0, ROLE_NONE}, /* even who has no role may ask, and is refused */
	{SESSION_OPEN, MSG_DUMP, 0, ROLE_STACKS},
	{SESSION_OPEN, MSG_DUMP, DUMP_LOCALS, ROLE_LOCALS},
	{SESSION_OPEN, MSG_EVAL, 0, ROLE_EVAL},
	{SESSION_OPEN, MSG_COMPLETE, 0, ROLE_EVAL},
	{SESSION_OPEN, MSG_INTERRUPT, 0, ROLE_EVAL},
	{SESSION_OPEN, MSG_DETACH, 0, ROLE_EVAL},
	{SESSION_OPEN, MSG_WHERE, 0, ROLE_EVAL},
	{SESSION_OPEN, MSG_BACKGROUND, 0, ROLE_EVAL},
	{SESSION_OPEN, MSG_BYE, 0, ROLE_STACKS},
};

enum session_verdict session_request_judge(
	enum session_state state, enum role role, int type, uint8_t flags)
{
	enum session_verdict verdict = SESSION_BREAK;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		if (r->state != state || r->type != type)
			continue;
		if (r->flags != 0 && (r->flags & flags) == 0)
			continue;
		if (role < r->least)
			return SESSION_DENY;
		verdict = SESSION_ALLOW;
	}
	return verdict;
}

/* ---- requests -------------------------------------------------------------------------------- */

static int is_over(const struct session *s)
{
	struct port_load load;

	port_load(s->port, &load);
	return load.bytes >= PORT_HIGH_WATER;
}

static uint64_t gil_deadline(const struct session *s)
{
	return s->now + (uint64_t)s->door->gil_timeout_ms * MS;
}

/* 1 when the dump has been started. */
static int start_dump(struct session *s, const struct msg_dump *request)
{
	if (is_over(s) || port_request(s->port, PORT_DUMP) != PORT_FREE)
		return 0;
	s->dumps++;
	s->dump = *request;
	s->dump_since = s->now;
	s->dump_late = 0;
	port_expect(s->port, PORT_DUMP, request->id, gil_deadline(s));
	s->door->service->dump(s->handle, &s->dump);
	return 1;
}

/* As take: 0 when it cannot be taken now. */
static int take_dump(struct session *s, const struct msg_dump *request)
{
	if (s->has_aside)
		return 0;
	if (!start_dump(s, request)) {
		s->aside = *request;
		s->has_aside = 1;
	}
	return 1;
}

enum begin { BEGIN_NOW, BEGIN_LATER, BEGIN_ANSWERED };

/* May a request for the session's evaluation thread begin now? If not it has been answered, or is to come again. */
static enum begin may_begin(struct session *s, uint32_t id)
{
	if (is_over(s))
		return BEGIN_LATER;
	switch (port_request(s->port, PORT_EVAL)) {
	case PORT_ENDING:
		return BEGIN_LATER;
	case PORT_EXPECTED:
	case PORT_CLAIMED:
		session_error(s, id, REASON_BUSY,
			"an evaluation is running in this session; interrupt or detach it first");
		return BEGIN_ANSWERED;
	case PORT_FREE:
		break;
	}
	/* The one that was let go of may still be running, and could be taken for this one. */
	if (s->has_detached && id == s->detached_id) {
		session_error(s, id, REASON_UNKNOWN,
			"this id belongs to an evaluation that was detached; use a fresh one");
		return BEGIN_ANSWERED;
	}
	return BEGIN_NOW;
}

/* What runs code of the program is logged first. 1: it has been refused, since it could not be. */
static int is_unlogged(struct session *s, uint32_t id, struct span source)
{
	if (session_audit_eval(s, source) == 0 || !s->door->audit_required)
		return 0;
	session_error(s, id, REASON_DENIED,
		"not evaluated: it could not be logged, and this server evaluates nothing that is not");
	return 1;
}

static void expect_eval(struct session *s, uint32_t id, uint64_t deadline)
{
	s->eval_id = id;
	s->eval_since = s->now;
	session_lead_asked(s);
	port_expect(s->port, PORT_EVAL, id, deadline);
}

static int take_eval(struct session *s, const struct msg_eval *request)
{
	enum begin begin = may_begin(s, request->id);

	if (begin != BEGIN_NOW)
		return begin == BEGIN_ANSWERED;
	if (is_unlogged(s, request->id, request->source))
		return 1;
	s->evals++;
	expect_eval(s, request->id, gil_deadline(s));
	s->door->service->eval(s->handle, request);
	return 1;
}

static int take_complete(struct session *s, const struct msg_complete *request)
{
	enum begin begin = may_begin(s, request->id);
	uint64_t soon = s->now + COMPLETE_MS * (uint64_t)MS, deadline = gil_deadline(s);

	if (begin != BEGIN_NOW)
		return begin == BEGIN_ANSWERED;
	if ((request->flags & COMPLETE_ASK) != 0 && is_unlogged(s, request->id, request->source))
		return 1;
	expect_eval(s, request->id, soon < deadline ? soon : deadline);
	s->door->service->complete(s->handle, request);
	return 1;
}

static void take_detach(struct session *s, uint32_t id)
{
	if (id != s->eval_id || port_request(s->port, PORT_EVAL) == PORT_FREE)
		return;
	/* First the worker, so that it says no more; then the next one may come. */
	s->door->service->detach(s->handle, id);
	port_detach(s->port, PORT_EVAL, id);
	/* Its thread is the session's no more. */
	session_unlead(s);
	s->detached_id = id;
	s->has_detached = 1;
}

/* As a detach, but that what comes of it still goes to the client. */
static void take_background(struct session *s, uint32_t id)
{
	if (id != s->eval_id || port_request(s->port, PORT_EVAL) == PORT_FREE)
		return;
	s->door->service->background(s->handle, id);
	port_detach(s->port, PORT_EVAL, id);
	s->detached_id = id;
	s->has_detached = 1;
}

static uint32_t id_of(const struct msg *m)
{
	switch (m->type) {
	case MSG_DUMP:
		return m->dump.id;
	case MSG_EVAL:
		return m->eval.id;
	case MSG_COMPLETE:
		return m->complete.id;
	case MSG_INTERRUPT:
		return m->interrupt.id;
	case MSG_DETACH:
		return m->detach.id;
	case MSG_WHERE:
		return m->where.id;
	case MSG_BACKGROUND:
		return m->background.id;
	default:
		return 0;
	}
}

static void deny(struct session *s, const struct msg *m, enum reason reason, const char *text)
{
	session_audit_deny(s, m->type, text);
	session_error(s, id_of(m), reason, text);
}

static int take_denied(struct session *s, const struct msg *m)
{
	if (is_over(s))
		return 0;
	if (session_request_judge(s->state, s->uncapped, (int)m->type, 0) == SESSION_ALLOW &&
		m->type != MSG_DUMP)
		deny(s, m, REASON_DISABLED,
			s->door->service->eval != NULL
				? "evaluation is switched off in this server"
				: "this server was built without evaluation");
	else
		deny(s, m, REASON_DENIED, "your role does not allow this");
	return 1;
}

/* Acts on a message of an open session. 0 when it cannot be taken now: it comes again. */
static int take_request(struct session *s, const struct msg *m)
{
	switch (m->type) {
	case MSG_DUMP:
		return take_dump(s, &m->dump);
	case MSG_EVAL:
		return take_eval(s, &m->eval);
	case MSG_COMPLETE:
		return take_complete(s, &m->complete);
	case MSG_INTERRUPT:
		s->door->service->interrupt(s->handle, m->interrupt.id);
		return 1;
	case MSG_DETACH:
		take_detach(s, m->detach.id);
		return 1;
	case MSG_WHERE:
		if (is_over(s))
			return 0;
		s->door->service->where(s->handle, m->where.id);
		return 1;
	case MSG_BACKGROUND:
		take_background(s, m->background.id);
		return 1;
	case MSG_BYE:
		session_why(s, "the client said goodbye");
		session_move(s, SESSION_CLOSING);
		return 1;
	default:
		session_move(s, SESSION_CLOSED);
		return 1;
	}
}

int session_request_take(struct session *s, struct span bytes)
{
	struct msg m;

	if (msg_decode(&m, bytes) != 0) {
		session_break(s, REASON_UNKNOWN, "a message that is not part of the protocol");
		return 1;
	}
	/* Whose key has been taken away asks in vain. */
	if (s->key_id != 0 && m.type != MSG_BYE) {
		session_auth_renew(s);
		session_auth_recheck(s);
		if (s->state != SESSION_HELLO && s->state != SESSION_OPEN)
			return 1;
	}
	switch (session_request_judge(
		s->state, s->who.role, (int)m.type, m.type == MSG_DUMP ? m.dump.flags : 0)) {
	case SESSION_ALLOW:
		break;
	case SESSION_DENY:
		return take_denied(s, &m);
	default:
		session_break(s, REASON_UNKNOWN, "a message that has no place here");
		return 1;
	}
	if (s->state == SESSION_OPEN)
		return take_request(s, &m);
	session_auth_hello(s, &m.hello);
	return 1;
}

void session_request_aside(struct session *s)
{
	if (s->state == SESSION_OPEN && s->has_aside && start_dump(s, &s->aside))
		s->has_aside = 0;
}
