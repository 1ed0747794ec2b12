/*
 * fuzz_channel.c: any bytes, in pieces of any length, into a channel: plain, sealed, changed on the
 * way, or instead of a handshake. What comes out is compared with a parser of the whole input that
 * has no buffers. recv and send are played here: no socket is opened.
 *
 * The input: one byte says what is done, two are the seed of everything random, the rest is data.
 *
 * LINK: -Wl,--wrap=send -Wl,--wrap=recv
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "channel.h"
#include "error.h"
#include "msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t n, int flags);

#define KEY_BYTE 7	/* of the key of every sealed channel here */
#define WIRE_MAX (16u << 20)

static uint32_t seed;
static struct span incoming;	/* what recv has not yet given */
static struct buf outgoing;	/* what send has taken */
static int calls;		/* of recv */

static void require(int what)
{
	if (!what)
		abort();
}

static uint32_t chance(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t n, int flags)
{
	(void)fd;
	(void)flags;
	calls++;
	require(n > 0);
	if (chance(8) == 0) {
		errno = chance(2) ? EINTR : EAGAIN;
		return -1;
	}
	if (chance(3) > 0 && n > 9)
		n = 1 + chance(9);
	if (n > incoming.len)
		n = incoming.len;
	if (n > 0)
		memcpy(bytes, incoming.data, n);
	incoming = (struct span){ incoming.data + n, incoming.len - n };
	return (ssize_t)n;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t n, int flags)
{
	(void)fd;
	(void)flags;
	require(n > 0);
	if (chance(8) == 0) {
		errno = chance(2) ? EINTR : EAGAIN;
		return -1;
	}
	if (chance(2) && n > 99)
		n = 1 + chance(99);
	require(buf_put(&outgoing, bytes, n) == 0);
	return (ssize_t)n;
}

/* Of no use but to be the channel's own: sending and receiving are wrapped. */
static int own_fd(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	require(fd >= 0);
	return fd;
}

static struct channel *open_channel(size_t limit, int sealed)
{
	struct channel *ch = channel_new(own_fd(), limit, sealed);
	struct noise_cipher send = { .nonce = 0 }, receive = { .nonce = 0 };

	require(ch != NULL);
	if (sealed) {
		memset(send.key, KEY_BYTE, sizeof send.key);
		memset(receive.key, KEY_BYTE, sizeof receive.key);
		channel_seal(ch, &send, &receive);
	}
	return ch;
}

/* The next message of a stream, from the whole of it: as channel_next. */
static int expect(struct span *stream, size_t limit, struct span *message)
{
	uint32_t len;

	if (stream->len < 4)
		return 0;
	len = be32_get(stream->data);
	if (len == 0)
		return PYSTUCK_EFORMAT;
	if (len > limit)
		return PYSTUCK_ETOOBIG;
	if (len > stream->len - 4)
		return 0;
	*message = (struct span){ stream->data + 4, len };
	*stream = (struct span){ stream->data + 4 + len, stream->len - 4 - len };
	return 1;
}

/*
 * Reads from the channel until the end or an error, and compares with `stream`. Returns the last
 * word of the channel; *stream is what was not delivered.
 */
static int receive(struct channel *ch, size_t limit, struct span *stream)
{
	for (;;) {
		struct span got, wanted;
		int rc, before;

		while ((rc = channel_next(ch, &got)) == 1) {
			require(expect(stream, limit, &wanted) == 1);
			require(got.len == wanted.len);
			require(memcmp(got.data, wanted.data, got.len) == 0);
		}
		if (rc < 0)
			return rc;
		before = calls;
		rc = channel_fill(ch);
		/* A channel that wants more bytes must not say that it is full. */
		require(calls > before);
		if (rc == 0)
			return 0;
		require(rc > 0 || rc == PYSTUCK_EAGAIN);
	}
}

static void check_end(struct channel *ch, int last, size_t limit, struct span rest)
{
	struct span wanted;
	int rc = expect(&rest, limit, &wanted);

	require(rc == last);
	if (last == 0)
		require(channel_partial(ch) == (rest.len > 0));
}

static void plain(struct span data, size_t limit)
{
	struct channel *ch = open_channel(limit, 0);
	struct span rest = data;
	int last;

	incoming = data;
	last = receive(ch, limit, &rest);
	check_end(ch, last, limit, rest);
	channel_free(ch);
}

/* Bytes that nobody sealed: nothing may come out. */
static void forged(struct span data, size_t limit)
{
	struct channel *ch = open_channel(limit, 1);
	struct span nothing = { NULL, 0 };

	incoming = data;
	(void)receive(ch, limit, &nothing);
	channel_free(ch);
}

static void put_sealed(struct buf *wire, struct span stream, size_t limit)
{
	struct noise_cipher c = { .nonce = 0 };
	uint8_t *at = NULL;

	memset(c.key, KEY_BYTE, sizeof c.key);
	while (stream.len > 0) {
		size_t n = 1 + chance(chance(2) ? 20 : 2000);

		if (n > stream.len)
			n = stream.len;
		if (n > limit + 4)
			n = limit + 4;
		require(buf_reserve(wire, 2 + n + NOISE_TAG, &at) == 0);
		require(noise_seal(&c, stream.data, n, at + 2) == 0);
		be16_put(at, (uint16_t)(n + NOISE_TAG));
		buf_added(wire, 2 + n + NOISE_TAG);
		stream = (struct span){ stream.data + n, stream.len - n };
	}
	noise_cipher_wipe(&c);
}

/* Records cut anywhere. When `changed`, one byte of them is another: then there is no plain end. */
static void sealed(struct span data, size_t limit, int changed)
{
	struct channel *ch = open_channel(limit, 1);
	struct span rest = data;
	struct buf wire;
	size_t at;
	int last;

	buf_init(&wire, WIRE_MAX);
	put_sealed(&wire, data, limit);
	changed = changed && buf_len(&wire) > 0;
	if (changed) {
		at = wire.start + chance((uint32_t)buf_len(&wire));
		wire.data[at] ^= (uint8_t)(1 + chance(255));
	}
	incoming = buf_span(&wire);
	last = receive(ch, limit, &rest);
	if (changed)
		require(last < 0 || channel_partial(ch));
	else
		check_end(ch, last, limit, rest);
	buf_free(&wire);
	channel_free(ch);
}

static void handshake(struct span data, size_t limit)
{
	struct channel *ch = channel_new(own_fd(), limit, 1);
	struct span record;
	int rc;

	require(ch != NULL);
	incoming = data;
	while ((rc = channel_take_record(ch, NOISE_MESSAGE, &record)) == PYSTUCK_EAGAIN) {
		rc = channel_fill(ch);
		if (rc == 0)
			break;
	}
	if (rc == 0 && data.len >= 2 + NOISE_MESSAGE) {
		require(be16_get(data.data) == NOISE_MESSAGE && record.len == NOISE_MESSAGE);
		require(memcmp(record.data, data.data + 2, NOISE_MESSAGE) == 0);
		/* Not a byte more was taken from the socket. */
		require(incoming.len == data.len - 2 - NOISE_MESSAGE);
	} else if (rc < 0) {
		require(rc == PYSTUCK_EFORMAT);
		require(data.data[0] != 0 || be16_get(data.data) != NOISE_MESSAGE);
	}
	channel_free(ch);
}

static void there_and_back(struct span data, int is_sealed)
{
	struct channel *from = open_channel(MSG_MAX, is_sealed);
	struct channel *to = open_channel(MSG_MAX, is_sealed);
	struct span rest;
	struct buf stream;

	buf_init(&stream, WIRE_MAX);
	buf_init(&outgoing, WIRE_MAX);
	while (data.len > 0) {
		size_t n = 1 + chance((uint32_t)data.len), before = buf_len(&stream);
		struct span m = { data.data, n }, framed;

		require(buf_put_string(&stream, m) == 0);
		framed = (struct span){ buf_bytes(&stream) + before, n + 4 };
		if (chance(2))
			require(channel_put(from, m) == 0);
		else
			require(channel_put_framed(from, framed) == 0);
		(void)channel_flush(from);
		data = (struct span){ data.data + n, data.len - n };
	}
	while (channel_flush(from) == PYSTUCK_EAGAIN)
		;
	require(channel_pending(from) == 0);
	incoming = buf_span(&outgoing);
	rest = buf_span(&stream);
	require(receive(to, MSG_MAX, &rest) == 0);
	require(rest.len == 0 && !channel_partial(to));
	buf_free(&outgoing);
	buf_free(&stream);
	channel_free(from);
	channel_free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t limits[] = { 8, MSG_MAX_HELLO, 4000, MSG_MAX };
	struct span rest;
	size_t limit;

	if (size < 3 || noise_init() != 0)
		return 0;
	seed = be16_get(data + 1);
	limit = limits[(data[0] >> 3) % 4];
	rest = (struct span){ data + 3, size - 3 };
	switch (data[0] % 8) {
	case 0:
		plain(rest, limit);
		break;
	case 1:
		sealed(rest, limit, 0);
		break;
	case 2:
		sealed(rest, limit, 1);
		break;
	case 3:
		forged(rest, limit);
		break;
	case 4:
		handshake(rest, limit);
		break;
	case 5:
		there_and_back(rest, 0);
		break;
	case 6:
		there_and_back(rest, 1);
		break;
	default:
		break;
	}
	return 0;
}
