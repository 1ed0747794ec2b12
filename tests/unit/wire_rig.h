/*
 * wire_rig.h: the client's side of a connection, for tests of port, session and server: a channel,
 * messages said and heard, every wait bounded.
 */
#ifndef TEST_WIRE_RIG_H
#define TEST_WIRE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "error.h"
#include "msg.h"
#include "port.h"

#ifndef MAYBE_UNUSED
#define MAYBE_UNUSED __attribute__((unused))
#endif
#define PATIENCE_MS 20000 /* far more than anything takes, also under valgrind */

MAYBE_UNUSED static uint64_t rig_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A connected pair of non-blocking Unix sockets with small buffers. */
MAYBE_UNUSED static void rig_pair(int fds[2], int buffer)
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	for (int i = 0; i < 2 && buffer > 0; i++)
		assert_int_equal(
			setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)), 0);
}

MAYBE_UNUSED static int rig_poll(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, ms) > 0 ? p.revents : 0;
}

/* Says it, as far as the other side reads; 0 or what channel_flush found. */
MAYBE_UNUSED static int rig_flush(struct channel *ch)
{
	int rc;

	while ((rc = channel_flush(ch)) == PYSTUCK_EAGAIN)
		if (rig_poll(channel_fd(ch), POLLOUT, PATIENCE_MS) == 0)
			return PYSTUCK_ETIME;
	return rc;
}

MAYBE_UNUSED static int rig_say(struct channel *ch, const struct msg *m)
{
	struct buf b;
	int rc;

	buf_init(&b, MSG_MAX);
	rc = msg_encode(&b, m);
	if (rc == 0)
		rc = channel_put(ch, buf_span(&b));
	buf_free(&b);
	return rc == 0 ? rig_flush(ch) : rc;
}

/* 1: a message; 0: the end; or an error. The spans live until the next call. */
MAYBE_UNUSED static int rig_hear_within(struct channel *ch, struct msg *m, int ms)
{
	struct span bytes;
	int rc;

	for (;;) {
		rc = channel_next(ch, &bytes);
		if (rc == 1)
			return msg_decode(m, bytes) == 0 ? 1 : PYSTUCK_EFORMAT;
		if (rc < 0)
			return rc;
		rc = channel_fill(ch);
		if (rc == PYSTUCK_EAGAIN && rig_poll(channel_fd(ch), POLLIN, ms) == 0)
			return PYSTUCK_ETIME;
		if (rc == 0)
			return channel_partial(ch) ? PYSTUCK_ETRUNC : 0;
		if (rc < 0 && rc != PYSTUCK_EAGAIN)
			return errno == ECONNRESET ? 0 : rc;
	}
}

MAYBE_UNUSED static void rig_hear(struct channel *ch, struct msg *m, enum msg_type type)
{
	int rc = rig_hear_within(ch, m, PATIENCE_MS);

	if (rc != 1)
		fail_msg("expected %s, got %s", msg_type_name((int)type), error_text(rc));
	if (m->type != type)
		fail_msg("expected %s, got %s", msg_type_name((int)type),
			msg_type_name((int)m->type));
}

MAYBE_UNUSED static void rig_hear_end(struct channel *ch)
{
	struct msg m;
	int rc = rig_hear_within(ch, &m, PATIENCE_MS);

	if (rc != 0)
		fail_msg("expected the end, got %s",
			rc == 1 ? msg_type_name((int)m.type) : error_text(rc));
}

MAYBE_UNUSED static struct msg rig_output(uint32_t id, struct span text)
{
	struct msg m = {.type = MSG_OUTPUT};

	m.output = (struct msg_output){.id = id, .stream = 1, .text = text};
	return m;
}

MAYBE_UNUSED static struct msg rig_result(uint32_t id)
{
	struct msg m = {.type = MSG_RESULT};

	m.result = (struct msg_result){
		.id = id, .status = RESULT_VALUE, .total = 1, .text = span_text("2")};
	return m;
}

/* port_answer_framed with these bytes, which stay. */
MAYBE_UNUSED static int rig_answer_bytes(struct port *p, const uint8_t *bytes, size_t len)
{
	struct buf run;
	int rc;

	buf_init(&run, len);
	assert_int_equal(buf_put(&run, bytes, len), 0);
	rc = port_answer_framed(p, &run);
	buf_free(&run);
	return rc;
}

#endif
