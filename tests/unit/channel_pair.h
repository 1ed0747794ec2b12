/*
 * channel_pair.h: two ends of a conversation for the tests of channel.c, and the calls that they
 * wrap: what the kernel may do to a call (EINTR, a short count) is played here. One program
 * includes it once.
 */
#ifndef PYSTUCK_TESTS_CHANNEL_PAIR_H
#define PYSTUCK_TESTS_CHANNEL_PAIR_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel.h"
#include "error.h"

#define TEST_TIMEOUT_S 100	/* for the whole program */

ssize_t __real_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __real_recv(int fd, void *bytes, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t n, int flags);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

/* What the wrapped calls do and saw. Not touched while threads run. */
static struct {
	int active;
	int interrupts;		/* so many calls fail with EINTR first */
	size_t most;		/* no call moves more bytes; 0: no such limit */
	int send_errno;		/* every send fails */
	int sends;		/* that reached the kernel */
	int without_nosignal;
	int fail_malloc;
	size_t largest;		/* allocation */
} world;

ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
	if (!world.active)
		return __real_send(fd, bytes, n, flags);
	if (!(flags & MSG_NOSIGNAL))
		world.without_nosignal = 1;
	if (world.interrupts > 0) {
		world.interrupts--;
		errno = EINTR;
		return -1;
	}
	if (world.send_errno != 0) {
		errno = world.send_errno;
		return -1;
	}
	world.sends++;
	return __real_send(fd, bytes, world.most > 0 && n > world.most ? world.most : n, flags);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t n, int flags)
{
	if (world.active && world.interrupts > 0) {
		world.interrupts--;
		errno = EINTR;
		return -1;
	}
	if (world.active && world.most > 0 && n > world.most)
		n = world.most;
	return __real_recv(fd, bytes, n, flags);
}

void *__wrap_malloc(size_t size)
{
	if (!world.active)
		return __real_malloc(size);
	if (world.fail_malloc)
		return NULL;
	if (size > world.largest)
		world.largest = size;
	return __real_malloc(size);
}

/* Two ends of one conversation; `raw` is the second end's fd where a test plays it by hand. */
struct pair {
	struct channel *a, *b;
	int raw;
};

static inline void make_sockets(int fds[2])
{
	int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

	assert_int_equal(socketpair(AF_UNIX, type, 0, fds), 0);
}

static inline void seal(struct channel *ch, uint8_t send_key, uint8_t receive_key)
{
	struct noise_cipher send = { .nonce = 0 }, receive = { .nonce = 0 };

	memset(send.key, send_key, sizeof send.key);
	memset(receive.key, receive_key, sizeof receive.key);
	channel_seal(ch, &send, &receive);
}

/* An end whose other end is a bare fd. */
static inline struct pair half(size_t limit_in, int sealed)
{
	struct pair p = { NULL, NULL, -1 };
	int fds[2];

	memset(&world, 0, sizeof world);
	world.active = 1;
	make_sockets(fds);
	p.a = channel_new(fds[0], limit_in, sealed);
	assert_non_null(p.a);
	if (sealed)
		seal(p.a, 1, 2);
	p.raw = fds[1];
	return p;
}

static inline struct pair both(size_t limit_in, int sealed)
{
	struct pair p = half(limit_in, sealed);

	p.b = channel_new(p.raw, limit_in, sealed);
	assert_non_null(p.b);
	if (sealed)
		seal(p.b, 2, 1);
	p.raw = -1;
	return p;
}

static inline void end(struct pair *p)
{
	channel_free(p->a);
	channel_free(p->b);
	if (p->raw >= 0)
		close(p->raw);
	assert_false(world.without_nosignal);
	world.active = 0;
}

static inline uint8_t *pattern(size_t n)
{
	uint8_t *bytes = __real_malloc(n > 0 ? n : 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	return bytes;
}

/* Moves bytes from `from` to `to` until a message is whole there, or an error. */
static inline int pump(struct channel *from, struct channel *to, struct span *message)
{
	for (int i = 0; i < 100000; i++) {
		int flushed = channel_flush(from);
		int rc = channel_next(to, message);

		if (rc != 0)
			return rc;
		assert_true(flushed == 0 || flushed == PYSTUCK_EAGAIN);
		rc = channel_fill(to);
		if (rc == PYSTUCK_EAGAIN && flushed == 0)
			return 0;
		assert_true(rc > 0 || rc == PYSTUCK_EAGAIN);
	}
	fail_msg("the message never came");
	return PYSTUCK_ETIME;
}

static inline void assert_arrives(struct channel *from, struct channel *to,
	const uint8_t *bytes, size_t n)
{
	struct span m = { NULL, 0 };

	assert_int_equal(pump(from, to, &m), 1);
	assert_int_equal(m.len, n);
	assert_memory_equal(m.data, bytes, n);
}

/* Reads to the end: what channel_next or channel_fill says last. */
static inline int drain(struct channel *ch, int *messages)
{
	struct span m;
	int rc;

	*messages = 0;
	for (;;) {
		while ((rc = channel_next(ch, &m)) == 1)
			++*messages;
		if (rc < 0)
			return rc;
		rc = channel_fill(ch);
		if (rc <= 0)
			return rc;
	}
}

/* What `put` calls have queued, as the bytes that go over the wire. */
static inline struct span wire_of(struct pair *p, uint8_t *space, size_t size)
{
	ssize_t n;

	assert_int_equal(channel_flush(p->a), 0);
	n = __real_recv(p->raw, space, size, 0);
	assert_true(n > 0);
	return (struct span){ space, (size_t)n };
}

static inline void write_raw(int fd, const void *bytes, size_t n)
{
	assert_int_equal(__real_send(fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

#endif
