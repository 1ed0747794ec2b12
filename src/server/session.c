/*
 * session.c: one client's life: the states, what is read when, and the requests. Who the client is,
 * session_auth.c finds out; sending is port.c's, polling server.c's.
 *
 * Reading and back-pressure. A message that needs no answer (INTERRUPT, DETACH, BYE) is always
 * acted on. One that needs an answer is taken only while the outbox is below the high-water mark:
 * over it, or while a dump is open, one DUMP is set aside (it has a fixed size) and reading goes
 * on; the next message that cannot be taken stays where it is, and nothing behind it is read until
 * it can. So a client that does not read what its evaluation prints can still interrupt it, and a
 * client that only asks and never reads costs one outbox.
 *
 * End of input. A client that shuts down its writing side still gets the answers to what it asked,
 * and then the end. One that has closed altogether shows as POLLHUP on a Unix socket. On TCP it
 * looks the same as the former, so there an evaluation does not outlive the end of input.
 */
#include "session.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "session_private.h"

#define MS 1000000u  /* ns */
#define LATE_DUMP_MS 3000 /* for reading stacks without the GIL, before the net thread answers itself */
#define LOST "the connection was lost"
#define DISCARD 4096 /* bytes thrown away at a time */

static atomic_ullong connections; /* of all listeners of this process */

/* ---- states ---------------------------------------------------------------------------------- */

static void leave_open(struct session *s)
{
	void *handle = s->handle;

	s->handle = NULL;
	s->has_aside = 0;
	s->door->service->close(handle);
}

/* Its time was PAM's; what comes now has its own. */
static void leave_account(struct session *s)
{
	account_free(s->account);
	s->account = NULL;
	s->deadline = UINT64_MAX;
}

static int is_asked_about(enum session_state state)
{
	return state == SESSION_ACCOUNT || state == SESSION_ADMIT;
}

/*
 * The allowed moves:
 *
 *     HANDSHAKE -> HELLO              the key is known; still a stranger
 *     HELLO -> ACCOUNT                HELLO was accepted, PAM has been asked
 *     HELLO, ACCOUNT -> ADMIT         the program is being asked; it may answer at once
 *     HELLO, ACCOUNT, ADMIT -> OPEN   let in
 *     HELLO to OPEN -> CLOSING        last words have been queued
 *     any -> CLOSED
 *
 * Anything else is CLOSED too: nobody gains by a mistake of ours.
 */
static int may_move(enum session_state from, enum session_state to)
{
	switch (to) {
	case SESSION_CLOSED:
		return 1;
	case SESSION_HELLO:
		return from == SESSION_HANDSHAKE;
	case SESSION_ACCOUNT:
		return from == SESSION_HELLO;
	case SESSION_ADMIT:
		return from == SESSION_HELLO || from == SESSION_ACCOUNT;
	case SESSION_OPEN:
		return from == SESSION_HELLO || is_asked_about(from);
	case SESSION_CLOSING:
		return from == SESSION_HELLO || is_asked_about(from) || from == SESSION_OPEN;
	default:
		return 0;
	}
}

static int has_place(enum session_state state)
{
	return state == SESSION_ADMIT || state == SESSION_OPEN;
}

void session_move(struct session *s, enum session_state to)
{
	enum session_state from = s->state;

	if (from == SESSION_CLOSED)
		return;
	s->state = may_move(from, to) ? to : SESSION_CLOSED;
	if (has_place(s->state) && !has_place(from))
		s->door->clients++;
	else if (has_place(from) && !has_place(s->state))
		s->door->clients--;
	session_audit_move(s, from);
	if (from == SESSION_OPEN)
		leave_open(s);
	if (from == SESSION_ACCOUNT)
		leave_account(s);
	s->waiting = (struct span){NULL, 0};
	if (s->state == SESSION_OPEN) {
		s->deadline = UINT64_MAX;
	} else if (s->state == SESSION_ACCOUNT) {
		s->deadline = s->now + (uint64_t)s->door->times.account_ms * MS;
	} else if (s->state == SESSION_ADMIT) {
		s->deadline = s->now + (uint64_t)s->door->times.stranger_ms * MS;
	} else if (s->state == SESSION_CLOSING) {
		uint64_t linger = s->now + (uint64_t)s->door->times.linger_ms * MS;

		if (linger < s->deadline)
			s->deadline = linger;
	} else if (s->state == SESSION_CLOSED) {
		s->unfinished = port_request(s->port, PORT_EVAL) != PORT_FREE || s->has_detached;
		port_close(s->port);
		s->channel = NULL;
	}
}

int session_is_unfinished(struct session *s, uint64_t now)
{
	s->now = now;
	/* Whoever is at work on an evaluation has a reference to the port. */
	s->unfinished = s->unfinished && port_is_shared(s->port);
	session_audit_veto(s);
	return s->unfinished;
}

struct session **session_next(struct session *s)
{
	return &s->next;
}

static void lose(struct session *s, const char *why)
{
	session_why(s, why);
	session_move(s, SESSION_CLOSED);
}

/* ---- answers --------------------------------------------------------------------------------- */

/* There is no memory, or the client is gone: in both cases there is nothing more to say. */
static void answer(struct session *s, const struct msg *m)
{
	if (port_answer(s->port, m) != 0)
		session_move(s, SESSION_CLOSED);
}

void session_error(struct session *s, uint32_t id, enum reason reason, const char *text)
{
	struct msg m = {.type = MSG_ERROR};

	m.error = (struct msg_error){.id = id, .reason = (uint8_t)reason, .text = span_text(text)};
	answer(s, &m);
}

void session_refuse(struct session *s, enum reason reason, const char *text)
{
	struct msg m = {.type = MSG_REFUSED};

	m.refused = (struct msg_refused){
		.version = PROTOCOL_VERSION, .reason = (uint8_t)reason, .text = span_text(text)};
	session_why(s, text);
	answer(s, &m);
	session_move(s, SESSION_CLOSING);
}

/* A client that is known is told why; a stranger gets nothing. */
void session_break(struct session *s, enum reason reason, const char *text)
{
	struct msg m = {.type = MSG_BYE};

	session_why(s, text);
	if (s->state != SESSION_OPEN) {
		session_move(s, SESSION_CLOSED);
		return;
	}
	m.bye = (struct msg_bye){.reason = (uint8_t)reason, .text = span_text(text)};
	answer(s, &m);
	session_move(s, SESSION_CLOSING);
}

/* Takes whole messages until there are no more, or one has to wait. */
static void process(struct session *s)
{
	if (s->state == SESSION_HANDSHAKE)
		session_auth_handshake(s);
	session_auth_admit(s);
	session_request_aside(s);
	while (s->state == SESSION_HELLO || s->state == SESSION_OPEN) {
		if (s->waiting.len == 0) {
			int rc = channel_next(s->channel, &s->waiting);

			if (rc == 0)
				return;
			if (rc < 0) {
				/* Who changed bytes on the way is not told what we noticed. */
				if (rc == PYSTUCK_EAUTH)
					lose(s, "bytes that do not verify: replayed, or changed on the "
						"way");
				else
					session_break(s, REASON_LIMIT,
						"a message of a length that is not allowed");
				return;
			}
		}
		if (!session_request_take(s, s->waiting))
			return;
		s->waiting = (struct span){NULL, 0};
	}
}

/* ---- time ------------------------------------------------------------------------------------ */

/* It is open again, for whoever can answer it first: once for a while, and then for good. */
static void expire_dump(struct session *s)
{
	int last = s->dump_late;

	s->dump_late = 1;
	port_expect(s->port, PORT_DUMP, s->dump.id,
		last ? UINT64_MAX : s->now + (uint64_t)LATE_DUMP_MS * MS);
	s->door->service->dump_late(s->handle, &s->dump, (s->now - s->dump_since) / 1000, last);
}

static void expire(struct session *s)
{
	const struct service *service = s->door->service;

	if (s->state == SESSION_OPEN && port_expire(s->port, PORT_DUMP, s->now))
		expire_dump(s);
	if (s->state == SESSION_OPEN && port_expire(s->port, PORT_EVAL, s->now)) {
		session_audit_late(s);
		service->eval_late(s->handle, s->eval_id, (s->now - s->eval_since) / 1000);
	}
}

/* When a client that does not read is cut off. */
static uint64_t stall_deadline(const struct session *s)
{
	struct port_load load;

	port_load(s->port, &load);
	if (load.bytes == 0)
		return UINT64_MAX;
	return load.moved_ns + (uint64_t)s->door->times.stall_ms * MS;
}

/* When the session ends whatever its requests are doing. */
static uint64_t cut_deadline(const struct session *s)
{
	uint64_t stall = s->state == SESSION_OPEN ? stall_deadline(s) : UINT64_MAX;

	return stall < s->deadline ? stall : s->deadline;
}

uint64_t session_deadline(const struct session *s)
{
	uint64_t cut, request;

	if (s->state == SESSION_CLOSED)
		return UINT64_MAX;
	cut = cut_deadline(s);
	/* On the way out nobody waits for a request any more. */
	request = s->state != SESSION_CLOSING ? port_deadline(s->port) : UINT64_MAX;
	if (s->led && s->look_at < cut)
		cut = s->look_at;
	return request < cut ? request : cut;
}

/* ---- the connection -------------------------------------------------------------------------- */

/* Nothing that comes after the last words matters; reading it keeps TCP from taking them back. */
static int discard(struct session *s)
{
	uint8_t bytes[DISCARD];
	ssize_t n = 0;

	if (channel_has_fd(s->channel))
		n = recv(session_fd(s), bytes, sizeof(bytes), MSG_DONTWAIT);
	if (n == 0)
		s->eof = 1;
	return n > 0;
}

/* 1 when there may be more to read. */
static int receive(struct session *s)
{
	int n;

	if (s->state == SESSION_CLOSING)
		return discard(s);
	n = channel_fill(s->channel);
	if (n == 0)
		s->eof = 1;
	else if (n < 0 && n != PYSTUCK_EAGAIN)
		lose(s, LOST);
	return n > 0;
}

static int has_request(const struct session *s)
{
	return s->has_aside || s->waiting.len > 0 ||
	       port_request(s->port, PORT_DUMP) != PORT_FREE ||
	       port_request(s->port, PORT_EVAL) != PORT_FREE;
}

static void settle_eof(struct session *s, const struct port_load *load)
{
	if (is_asked_about(s->state))
		return; /* read before; what follows from it is seen when there is an answer */
	if (s->state != SESSION_OPEN)
		session_move(s, SESSION_CLOSED);
	else if (channel_partial(s->channel))
		lose(s, "it ended in the middle of a message");
	else if (s->door->keys != NULL && port_request(s->port, PORT_EVAL) != PORT_FREE)
		session_move(s, SESSION_CLOSED);
	else if (!has_request(s) && load->bytes == 0)
		session_move(s, SESSION_CLOSING);
}

/* What follows from the state of the connection. */
static void settle(struct session *s)
{
	struct port_load load;

	if (s->state == SESSION_CLOSED)
		return;
	port_load(s->port, &load);
	if (load.lost) {
		lose(s, LOST);
		return;
	}
	if (s->eof && s->state != SESSION_CLOSING)
		settle_eof(s, &load);
	if (s->state != SESSION_CLOSING || load.bytes > 0)
		return;
	if (s->eof)
		session_move(s, SESSION_CLOSED);
	else if (!s->shut && channel_has_fd(s->channel))
		s->shut = shutdown(session_fd(s), SHUT_WR) == 0;
}

/* Is the session waiting for something that a worker brings about? */
static int waits(const struct session *s)
{
	return s->state == SESSION_CLOSING || s->state == SESSION_ADMIT ||
	       (s->state == SESSION_OPEN && (s->eof || s->has_aside || s->waiting.len > 0));
}

void session_run(struct session *s, short revents, uint64_t now)
{
	int more = 0;
	int rc;

	if (s->state == SESSION_CLOSED)
		return;
	s->now = now;
	session_auth_recheck(s);
	if ((session_events(s) & POLLIN) != 0 && (revents & (POLLIN | POLLHUP | POLLERR)) != 0)
		more = receive(s);
	rc = port_pump(s->port);
	if (rc != 0 && rc != PYSTUCK_EAGAIN)
		lose(s, LOST);
	if (s->state == SESSION_OPEN)
		session_audit_veto(s);
	expire(s);
	if (s->state == SESSION_ACCOUNT)
		session_auth_account(s);
	process(s);
	settle(s);
	if (waits(s)) {
		/* Looked at again after the port has been told to call: nothing is missed. */
		port_watch(s->port);
		process(s);
		settle(s);
	}
	/* Who is gone altogether wants no answers; what they sent before that has been read. */
	if ((revents & (POLLHUP | POLLERR)) != 0 && !more)
		session_move(s, SESSION_CLOSED);
	if (now >= cut_deadline(s))
		lose(s, s->state == SESSION_OPEN ? "what was sent to it was left unread for too long"
							 : "it was silent for too long");
}

short session_events(const struct session *s)
{
	struct port_load load;
	short events = 0;

	if (s->state == SESSION_CLOSED)
		return 0;
	if (!s->eof && s->waiting.len == 0 && !is_asked_about(s->state))
		events |= POLLIN;
	port_load(s->port, &load);
	if (load.blocked)
		events |= POLLOUT;
	return events;
}

void session_cut(struct session *s, const char *why, uint64_t now)
{
	s->now = now;
	lose(s, why);
}

void session_goodbye(struct session *s, enum reason reason, const char *text, uint64_t now)
{
	s->now = now;
	session_break(s, reason, text);
	if (s->state != SESSION_CLOSED)
		port_finish(s->port);
	session_move(s, SESSION_CLOSED);
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct session *session_new(struct session_door *door, int fd, uint64_t now)
{
	struct session *s = calloc(1, sizeof(*s));
	struct channel *ch = NULL;

	fd = ownfd_raise(fd);
	if (s != NULL)
		ch = channel_new(fd, MSG_MAX_HELLO, door->keys != NULL);
	if (ch != NULL)
		s->port = port_new(ch, &door->wake);
	if (s == NULL || ch == NULL || s->port == NULL) {
		if (ch != NULL)
			channel_free(ch); /* closes fd */
		else
			close(fd);
		free(s);
		return NULL;
	}
	s->door = door;
	s->number = atomic_fetch_add(&connections, 1) + 1;
	s->channel = ch;
	if (door->turn != NULL)
		port_wait_for(s->port, s, door->turn);
	s->now = now;
	s->deadline = now + (uint64_t)door->times.stranger_ms * MS;
	s->who.uid = (uid_t)-1;
	if (door->keys != NULL) {
		s->state = SESSION_HANDSHAKE;
		session_auth_tcp(s);
	} else {
		s->state = SESSION_HELLO;
		session_auth_unix(s);
	}
	return s;
}

void session_free(struct session *s)
{
	if (s == NULL)
		return;
	session_move(s, SESSION_CLOSED);
	port_abandon(s->port);
	free(s);
}

void session_forget(struct session *s)
{
	/* The port is left to those who may still hold it: threads that do not exist here. */
	port_forget(s->port);
	account_free(s->account);
	free(s);
}

enum session_state session_state(const struct session *s)
{
	return s->state;
}

enum role session_role(const struct session *s)
{
	return s->who.role;
}

int session_fd(const struct session *s)
{
	return s->channel != NULL ? channel_fd(s->channel) : -1;
}

int session_account_fd(const struct session *s)
{
	return s->account != NULL ? account_fd(s->account) : -1;
}
