/*
 * connect.c: a connection to one server, from the first message to the goodbye. How a socket is dialled
 * and how its owner is checked is in dial.c, the handshake on TCP in handshake.c; what is asked is in dump.c and eval.c.
 */
#include "connect_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "keyfile.h"
#include "noise.h"
#include "text.h"
#include "version.h"

#define CONNECT_TEXT 300 /* bytes of a sentence of the server in one of ours */
#define CONNECT_WELCOME_MAX (16u * 1024)

int64_t connect_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int connect_left(int64_t deadline)
{
	if (deadline == CONNECT_NEVER)
		return -1;
	int64_t left = deadline - connect_clock();

	/* One more: the clock was rounded down, and a poll that ends too early would spin. */
	if (left < 0)
		return 0;
	return left < INT32_MAX ? (int)left + 1 : INT32_MAX;
}

/*
 * The rest of a sentence, made safe, with a colon before it; "" when the server had nothing to say.
 */
static const char *said(char out[static CONNECT_TEXT], struct span text)
{
	if (text.len == 0)
		return "";
	memcpy(out, ": ", 2);
	text_copy(out + 2, CONNECT_TEXT - 2, text, TEXT_LINE);
	return out;
}

/* What is known of the end: "process 4242 has gone (exit in mid-evaluation)". 0: nothing. */
static int say_gone(struct connection *c, int code, struct diag *d)
{
	char words[GONE_TEXT];

	if (gone_words(&c->gone, c->stopping, c->doing, words) == 0)
		return 0;
	diag_set(d, code, 0, "%s", words);
	return 1;
}

static int ended(struct connection *c, int code, struct diag *d)
{
	c->over = code;
	if (say_gone(c, code, d))
		return code;
	if (code == PYSTUCK_ETRUNC)
		return diag_set(
			d, code, 0, "%s: connection lost in the middle of the answer", c->where);
	return diag_set(d, code, 0,
		"%s: connection lost: the program has ended or stopped its server", c->where);
}

int connect_truncated(struct connection *c, struct diag *d)
{
	return ended(c, PYSTUCK_ETRUNC, d);
}

int connect_queue(struct connection *c, const struct msg *m, struct diag *d)
{
	struct buf b;
	int rc = c->over;

	if (rc != 0)
		return ended(c, rc, d);
	buf_init(&b, MSG_MAX);
	rc = msg_encode(&b, m);
	if (rc == 0)
		rc = channel_put(c->channel, buf_span(&b));
	buf_free(&b);
	if (rc == PYSTUCK_ETOOBIG)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"the input is too long: at most %u bytes can be sent", MSG_TEXT_MAX);
	if (rc != 0)
		return diag_set(d, rc, 0, "%s: %s", c->where, error_text(rc));
	return 0;
}

int connect_flush(struct connection *c, struct diag *d)
{
	if (c->over != 0)
		return ended(c, c->over, d);
	int rc = channel_flush(c->channel);

	/*
	 * A server that refuses closes at once: its reason is still to be read, and reading finds
	 * the end too.
	 */
	if (rc == 0 || rc == PYSTUCK_EAGAIN || rc == PYSTUCK_ECLOSED || rc == PYSTUCK_ESYS)
		return 0;
	return ended(c, rc, d);
}

int connect_wait(
	struct connection *c, struct pollfd *more, nfds_t count, int64_t deadline, struct diag *d)
{
	struct pollfd fds[1 + CONNECT_POLL_MORE];
	int rc = connect_flush(c, d);

	if (rc != 0)
		return rc;
	fds[0] = (struct pollfd){.fd = channel_fd(c->channel), .events = POLLIN};
	if (channel_pending(c->channel) > 0)
		fds[0].events |= POLLOUT;
	for (nfds_t i = 0; i < count; i++)
		fds[1 + i] = more[i];
	int n = poll(fds, 1 + count, connect_left(deadline));

	for (nfds_t i = 0; i < count; i++)
		more[i].revents = n > 0 ? fds[1 + i].revents : 0;
	if (n < 0 && errno != EINTR)
		return diag_set(d, PYSTUCK_ESYS, errno, "poll: %s", strerror(errno));
	if (n == 0)
		return PYSTUCK_ETIME;
	return n > 0 && (fds[0].revents & ~POLLOUT) != 0;
}

/* Turns the end of the stream or a failed read into one of two errors. */
static int no_more_bytes(struct connection *c, struct diag *d)
{
	return ended(c, channel_partial(c->channel) ? PYSTUCK_ETRUNC : PYSTUCK_ECLOSED, d);
}

static int bad_message(struct connection *c, int code, struct diag *d)
{
	c->over = code;
	if (code == PYSTUCK_EAUTH)
		return diag_set(d, code, 0, "%s: bytes were changed on the way: connection closed",
			c->where);
	if (code == PYSTUCK_ENOMEM)
		return diag_set(d, code, 0, "%s: %s", c->where, error_text(code));
	return diag_set(d, PYSTUCK_EFORMAT, 0,
		"%s: what came back is not an answer of a pystuck server", c->where);
}

/* msg.c reads as much of a later version's answer as is needed to tell. */
static int check_version(const struct connection *c, const struct msg *m, struct diag *d)
{
	unsigned version = PROTOCOL_VERSION;

	if (m->type == MSG_WELCOME)
		version = m->welcome.version;
	else if (m->type == MSG_REFUSED)
		version = m->refused.version;
	if (version == PROTOCOL_VERSION)
		return 0;
	return diag_set(d, PYSTUCK_EFORMAT, 0,
		"%s: the server speaks protocol version %u, this client %d: "
		"use the pystuck client that belongs to the server",
		c->where, version, PROTOCOL_VERSION);
}

static int goodbye(struct connection *c, const struct msg_bye *bye, struct diag *d)
{
	char text[CONNECT_TEXT];

	c->over = PYSTUCK_ECLOSED;
	c->stopping = bye->reason == REASON_STOPPING;
	if (c->stopping && say_gone(c, PYSTUCK_ECLOSED, d))
		return PYSTUCK_ECLOSED;
	return diag_set(d, PYSTUCK_ECLOSED, 0, "%s: the server ended the connection%s", c->where,
		said(text, bye->text));
}

int connect_abandon(struct connection *c, uint32_t id)
{
	if (c->abandoned_count == CONNECT_ABANDON_MAX)
		return PYSTUCK_EAGAIN;
	c->abandoned[c->abandoned_count++] = id;
	return 0;
}

/* Ends the wait for an abandoned dump. 1 when there was one with this id. */
static int settle_abandoned(struct connection *c, uint32_t id)
{
	for (size_t i = 0; i < c->abandoned_count; i++) {
		if (c->abandoned[i] == id) {
			c->abandoned[i] = c->abandoned[--c->abandoned_count];
			return 1;
		}
	}
	return 0;
}

/* Is the message a part of the answer to an abandoned dump? The server answers dumps in their
 * order. */
static int is_abandoned(struct connection *c, const struct msg *m)
{
	if (c->abandoned_count == 0)
		return 0;
	if (m->type == MSG_ERROR)
		return settle_abandoned(c, m->error.id);
	if (m->type == MSG_DUMP_END)
		(void)settle_abandoned(c, m->dump_end.id);
	return msg_is_of_dump(m->type);
}

static int next_message(struct connection *c, struct msg *m, struct diag *d)
{
	struct span bytes;

	if (c->over != 0)
		return ended(c, c->over, d);
	for (;;) {
		int rc = channel_next(c->channel, &bytes);

		if (rc < 0)
			return bad_message(c, rc, d);
		if (rc == 1)
			break;
		rc = channel_fill(c->channel);
		if (rc == PYSTUCK_EAGAIN)
			return 0;
		if (rc == 0 || rc == PYSTUCK_ESYS)
			return no_more_bytes(c, d);
		if (rc < 0)
			return bad_message(c, rc, d);
	}
	if (msg_decode(m, bytes) != 0)
		return bad_message(c, PYSTUCK_EFORMAT, d);
	int rc = check_version(c, m, d);
	if (rc != 0) {
		c->over = rc;
		return rc;
	}
	if (m->type == MSG_BYE)
		return goodbye(c, &m->bye, d);
	return 1;
}

void connect_doing(struct connection *c, const char *doing)
{
	c->doing = doing;
}

int connect_fd(const struct connection *c)
{
	return channel_fd(c->channel);
}

pid_t connect_process(const struct connection *c)
{
	return c->gone.pid;
}

void connect_set_taker(struct connection *c, connect_taker *taker, void *context)
{
	c->taker = taker;
	c->taker_context = context;
}

int connect_next(struct connection *c, struct msg *m, struct diag *d)
{
	int rc;

	do
		rc = next_message(c, m, d);
	while (rc == 1 && (is_abandoned(c, m) || (c->taker != NULL && c->taker(c->taker_context, m))));
	return rc;
}

int connect_receive(
	struct connection *c, struct msg *m, int64_t deadline, const char *what, struct diag *d)
{
	for (;;) {
		int rc = connect_next(c, m, d);

		if (rc != 0)
			return rc;
		rc = connect_wait(c, NULL, 0, deadline, d);
		if (rc == PYSTUCK_ETIME) {
			c->over = rc;
			return diag_set(d, rc, 0, "%s: no %s", c->where, what);
		}
		if (rc < 0)
			return rc;
	}
}

int connect_hello(struct connection *c, struct diag *d)
{
	struct msg m = {.type = MSG_HELLO};

	m.hello.magic = span_text(PROTOCOL_MAGIC);
	m.hello.version = PROTOCOL_VERSION;
	m.hello.client = span_text(PYSTUCK_VERSION);
	return connect_queue(c, &m, d);
}

static int refused(struct connection *c, const struct msg_refused *r, struct diag *d)
{
	char text[CONNECT_TEXT];

	c->over = PYSTUCK_EPERM;
	if (r->reason == REASON_DENIED || r->reason == REASON_VETO)
		return diag_set(
			d, PYSTUCK_EPERM, 0, "%s: refused%s", c->where, said(text, r->text));
	/* Full, stopping: not a question of who asks. */
	return diag_set(d, PYSTUCK_EPERM, 0, "%s: the server can't take another client now (%s)%s",
		c->where, reason_name(r->reason), said(text, r->text));
}

/* WELCOME is kept: its spans point into the channel only until the next message. */
static int keep_welcome(struct connection *c, const struct msg *m, struct diag *d)
{
	struct msg copy;
	int rc = msg_encode(&c->welcome_bytes, m);

	if (rc == 0)
		rc = msg_decode(&copy, buf_span(&c->welcome_bytes));
	if (rc != 0)
		return bad_message(c, rc, d);
	c->welcome = copy.welcome;
	if (c->addr.kind == ADDR_UNIX)
		gone_watch(&c->gone, channel_fd(c->channel), (pid_t)c->welcome.pid);
	return 0;
}

int connect_welcome(struct connection *c, int64_t deadline, struct diag *d)
{
	struct msg m = {.type = MSG_BYE};
	/* Nothing can have come yet: send first. */
	int rc = connect_wait(c, NULL, 0, deadline, d);

	if (rc >= 0 || rc == PYSTUCK_ETIME)
		rc = connect_receive(c, &m, deadline,
			"answer: the program is stopped, or this is no pystuck server", d);

	if (rc < 0)
		return rc;
	if (m.type == MSG_REFUSED)
		return refused(c, &m.refused, d);
	if (m.type != MSG_WELCOME)
		return bad_message(c, PYSTUCK_EFORMAT, d);
	return keep_welcome(c, &m, d);
}

const struct msg_welcome *connect_peer(const struct connection *c)
{
	return &c->welcome;
}

const struct addr *connect_address(const struct connection *c)
{
	return &c->addr;
}

struct keyring *connect_keys(const char *path, struct diag *d)
{
	struct keyring *ring = NULL;

	if (noise_init() != 0) {
		diag_set(d, PYSTUCK_EINVAL, 0, "no random numbers to be had from the system");
		return NULL;
	}
	ring = keyfile_load(path, d);
	if (ring == NULL && d->code == PYSTUCK_ENOENT)
		diag_set(d, PYSTUCK_EINVAL, 0,
			"key file %s is not there: a TCP server needs the key that it was given: "
			"name a copy of its key file with --key (pystuck --keygen FILE makes a new "
			"key)",
			path);
	else if (ring == NULL)
		d->code = PYSTUCK_EINVAL;
	return ring;
}

int connect_open(struct connection **out, int fd, const struct addr *a, const uint8_t *key,
	int64_t deadline, struct diag *d)
{
	struct connection *c = calloc(1, sizeof *c);
	int rc = 0;

	*out = NULL;
	if (c != NULL)
		c->channel = channel_new(fd, MSG_MAX, a->kind == ADDR_TCP);
	if (c == NULL || c->channel == NULL) {
		close(fd);
		free(c);
		return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	}
	buf_init(&c->welcome_bytes, CONNECT_WELCOME_MAX);
	c->gone.pidfd = -1;
	c->addr = *a;
	addr_format(a, c->where);
	if (a->kind == ADDR_TCP)
		rc = handshake_run(c, key, deadline, d);
	if (rc != 0) {
		c->over = rc;
		connect_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

void connect_close(struct connection *c)
{
	struct msg bye = {.type = MSG_BYE};

	if (c == NULL)
		return;
	if (c->over == 0 && connect_queue(c, &bye, NULL) == 0)
		(void)channel_flush(c->channel);
	channel_free(c->channel);
	gone_unwatch(&c->gone);
	buf_free(&c->welcome_bytes);
	free(c);
}
