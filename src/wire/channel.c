/*
 * channel.c: messages over one fd: frames, records, and what is queued in each direction. Knows no
 * message by its content, has no clock and never waits.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "msg.h"
#include "ownfd.h"

#define FRAME_HEADER 4
#define RECORD_HEADER 2
#define RECORD_PLAIN (NOISE_RECORD_MAX - NOISE_TAG)	/* the longest plaintext of a record */
#define READ_MIN 4096u		/* one read: as much as the last ones brought, between these */
#define READ_MAX 65536u
#define KEEP_OUT 65536u		/* memory that a sending queue keeps when it is empty */
#define QUEUE_MAX (64u << 20)	/* bytes that may wait to be sent; a server stops long before */
#define DIRECT_MIN 16384u	/* a run of this length is sent without a copy where possible */
#define FIRST_PLAIN 1024u	/* plaintext of the record that has the frame's header */

enum transport { HANDSHAKE, PLAIN, SEALED };

struct channel {
	struct ownfd fd;
	enum transport transport;
	struct receiving {
		size_t limit;		/* of one message */
		size_t chunk;		/* of the next read */
		size_t taken;		/* bytes of `stream` that are lent out */
		size_t record_taken;	/* bytes of `records` that are lent out */
		struct buf stream;	/* frames in the clear */
		struct buf records;	/* as they came; not used when plain */
		struct noise_cipher cipher;
	} in;
	struct sending {
		int failed;		/* a part of the stream was lost: nothing may follow */
		struct buf queue;	/* ready for the fd */
		struct noise_cipher cipher;
	} out;
};

struct channel *channel_new(int fd, size_t limit_in, int handshake)
{
	struct channel *ch = calloc(1, sizeof *ch);

	if (ch == NULL)
		return NULL;
	if (ownfd_take(&ch->fd, fd) != 0) {
		free(ch);
		return NULL;
	}
	ch->transport = handshake ? HANDSHAKE : PLAIN;
	ch->in.chunk = READ_MIN;
	/* An incomplete message, and the record that brings its rest and others behind it. */
	buf_init(&ch->in.stream, FRAME_HEADER + MSG_MAX + NOISE_RECORD_MAX);
	buf_init(&ch->in.records, RECORD_HEADER + NOISE_RECORD_MAX);
	buf_init(&ch->out.queue, QUEUE_MAX);
	channel_limit_in(ch, limit_in);
	return ch;
}

void channel_free(struct channel *ch)
{
	if (ch == NULL)
		return;
	buf_free(&ch->in.stream);
	buf_free(&ch->in.records);
	buf_free(&ch->out.queue);
	noise_cipher_wipe(&ch->in.cipher);
	noise_cipher_wipe(&ch->out.cipher);
	ownfd_close(&ch->fd);
	free(ch);
}

void channel_forget(struct channel *ch)
{
	ownfd_close(&ch->fd);
}

int channel_fd(const struct channel *ch)
{
	return ch->fd.fd;
}

int channel_has_fd(const struct channel *ch)
{
	return ownfd_is(&ch->fd);
}

void channel_limit_in(struct channel *ch, size_t limit_in)
{
	ch->in.limit = limit_in < MSG_MAX ? limit_in : MSG_MAX;
}

/* The longest record that is accepted now: before a client is known, no longer than its HELLO. */
static size_t record_max(const struct channel *ch)
{
	size_t most = FRAME_HEADER + ch->in.limit + NOISE_TAG;

	if (ch->transport == HANDSHAKE)
		return NOISE_MESSAGE;
	return most < NOISE_RECORD_MAX ? most : NOISE_RECORD_MAX;
}

/*
 * Gives back what a long message needed, once it is gone. The rest moves to fresh memory; when
 * there is none, everything stays as it is.
 */
static void shrink(struct buf *b, size_t chunk)
{
	struct buf small;

	if (b->capacity <= 4 * chunk || buf_len(b) > chunk)
		return;
	buf_init(&small, b->limit);
	if (buf_put(&small, buf_bytes(b), buf_len(b)) != 0)
		return;
	buf_free(b);
	*b = small;
}

/* Ends the loan of the last message or record. */
static void settle(struct receiving *in)
{
	if (in->taken > 0) {
		buf_consume(&in->stream, in->taken);
		in->taken = 0;
		shrink(&in->stream, in->chunk);
	}
	if (in->record_taken > 0) {
		buf_consume(&in->records, in->record_taken);
		in->record_taken = 0;
	}
}

int channel_take_record(struct channel *ch, size_t expected_len, struct span *record)
{
	struct receiving *in = &ch->in;
	struct span bytes;

	if (ch->transport != HANDSHAKE || expected_len > NOISE_MESSAGE)
		return PYSTUCK_EINVAL;
	settle(in);
	bytes = buf_span(&in->records);
	/* Told by its first byte, so that who talks something else is sent away at once. */
	if (bytes.len >= 1 && bytes.data[0] != (uint8_t)(expected_len >> 8))
		return PYSTUCK_EFORMAT;
	if (bytes.len < RECORD_HEADER)
		return PYSTUCK_EAGAIN;
	if (be16_get(bytes.data) != expected_len)
		return PYSTUCK_EFORMAT;
	if (bytes.len < RECORD_HEADER + expected_len)
		return PYSTUCK_EAGAIN;
	*record = (struct span){ bytes.data + RECORD_HEADER, expected_len };
	in->record_taken = RECORD_HEADER + expected_len;
	return 0;
}

int channel_put_record(struct channel *ch, struct span record)
{
	uint8_t *at = NULL;
	int rc;

	if (ch->transport != HANDSHAKE)
		return PYSTUCK_EINVAL;
	if (record.len > NOISE_RECORD_MAX)
		return PYSTUCK_ETOOBIG;
	rc = buf_reserve(&ch->out.queue, RECORD_HEADER + record.len, &at);
	if (rc != 0)
		return rc;
	be16_put(at, (uint16_t)record.len);
	if (record.len > 0)
		memcpy(at + RECORD_HEADER, record.data, record.len);
	buf_added(&ch->out.queue, RECORD_HEADER + record.len);
	return 0;
}

void channel_seal(struct channel *ch, struct noise_cipher *send, struct noise_cipher *receive)
{
	settle(&ch->in);
	ch->out.cipher = *send;
	ch->in.cipher = *receive;
	noise_cipher_wipe(send);
	noise_cipher_wipe(receive);
	ch->transport = SEALED;
}

/* How many more bytes b may take, when it may hold `most`. */
static size_t room(const struct buf *b, size_t most)
{
	return buf_len(b) < most ? most - buf_len(b) : 0;
}

/* Reads that filled their space are followed by longer ones, and the other way round. */
static void adapt(struct receiving *in, size_t space, size_t got)
{
	if (got == space && in->chunk < READ_MAX)
		in->chunk *= 2;
	else if (got < space && got < in->chunk / 4 && in->chunk > READ_MIN)
		in->chunk /= 2;
}

int channel_fill(struct channel *ch)
{
	struct receiving *in = &ch->in;
	struct buf *b = ch->transport == PLAIN ? &in->stream : &in->records;
	uint8_t *at = NULL;
	size_t space;
	ssize_t got;
	int rc;

	settle(in);
	if (!ownfd_is(&ch->fd))
		return PYSTUCK_ECLOSED;
	if (ch->transport == PLAIN)
		space = room(b, FRAME_HEADER + in->limit);
	else
		space = room(b, RECORD_HEADER + record_max(ch));
	if (space == 0)
		return PYSTUCK_EAGAIN;
	if (space > in->chunk)
		space = in->chunk;
	rc = buf_reserve(b, space, &at);
	if (rc != 0)
		return rc;
	do
		got = recv(ch->fd.fd, at, space, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? PYSTUCK_EAGAIN : PYSTUCK_ESYS;
	buf_added(b, (size_t)got);
	adapt(in, space, (size_t)got);
	return (int)got;
}

/* A whole message at the front of the stream: as channel_next. */
static int next_frame(struct receiving *in, struct span *message)
{
	struct span bytes = buf_span(&in->stream);
	uint32_t len;

	if (bytes.len < FRAME_HEADER)
		return 0;
	len = be32_get(bytes.data);
	if (len == 0)
		return PYSTUCK_EFORMAT;
	if (len > in->limit)
		return PYSTUCK_ETOOBIG;
	if (bytes.len - FRAME_HEADER < len)
		return 0;
	*message = (struct span){ bytes.data + FRAME_HEADER, len };
	in->taken = FRAME_HEADER + (size_t)len;
	return 1;
}

/* Opens the next record into the stream. 1, 0 when it is not whole yet, or an error. */
static int open_record(struct channel *ch)
{
	struct receiving *in = &ch->in;
	struct span bytes = buf_span(&in->records);
	uint8_t *at = NULL;
	size_t len;
	int rc;

	if (bytes.len < RECORD_HEADER)
		return 0;
	len = be16_get(bytes.data);
	if (len <= NOISE_TAG)
		return PYSTUCK_EFORMAT;
	if (len > record_max(ch))
		return PYSTUCK_ETOOBIG;
	if (bytes.len - RECORD_HEADER < len)
		return 0;
	rc = buf_reserve(&in->stream, len - NOISE_TAG, &at);
	if (rc == 0)
		rc = noise_open(&in->cipher, bytes.data + RECORD_HEADER, len, at);
	if (rc != 0)
		return rc;
	buf_added(&in->stream, len - NOISE_TAG);
	buf_consume(&in->records, RECORD_HEADER + len);
	shrink(&in->records, in->chunk);
	return 1;
}

int channel_next(struct channel *ch, struct span *message)
{
	int rc;

	if (ch->transport == HANDSHAKE)
		return PYSTUCK_EINVAL;
	settle(&ch->in);
	for (;;) {
		rc = next_frame(&ch->in, message);
		if (rc != 0 || ch->transport == PLAIN)
			return rc;
		rc = open_record(ch);
		if (rc <= 0)
			return rc;
	}
}

int channel_partial(const struct channel *ch)
{
	const struct receiving *in = &ch->in;

	return buf_len(&in->stream) > in->taken || buf_len(&in->records) > in->record_taken;
}

/* Seals one record into the queue, where room for it has been made. */
static int seal_record(struct sending *out, const uint8_t *plain, size_t len)
{
	uint8_t *at = NULL;
	int rc;

	rc = buf_reserve(&out->queue, RECORD_HEADER + len + NOISE_TAG, &at);
	if (rc == 0)
		rc = noise_seal(&out->cipher, plain, len, at + RECORD_HEADER);
	if (rc != 0) {
		out->failed = rc;
		return rc;
	}
	be16_put(at, (uint16_t)(len + NOISE_TAG));
	buf_added(&out->queue, RECORD_HEADER + len + NOISE_TAG);
	return 0;
}

/*
 * Seals head (short, may be empty) and then bytes. Room for all of it comes first: a nonce that has
 * been used cannot be taken back.
 */
static int seal_run(struct sending *out, struct span head, struct span bytes)
{
	size_t records = 1 + (bytes.len + RECORD_PLAIN - 1) / RECORD_PLAIN;
	uint8_t first[FIRST_PLAIN];
	uint8_t *at = NULL;
	size_t n;
	int rc;

	if (bytes.len > QUEUE_MAX)
		return PYSTUCK_ETOOBIG;
	rc = buf_reserve(&out->queue,
		head.len + bytes.len + records * (RECORD_HEADER + NOISE_TAG), &at);
	if (rc != 0)
		return rc;
	if (head.len > 0) {
		n = bytes.len < sizeof first - head.len ? bytes.len : sizeof first - head.len;
		memcpy(first, head.data, head.len);
		memcpy(first + head.len, bytes.data, n);
		rc = seal_record(out, first, head.len + n);
		explicit_bzero(first, head.len + n);
		bytes = (struct span){ bytes.data + n, bytes.len - n };
	}
	while (rc == 0 && bytes.len > 0) {
		n = bytes.len < RECORD_PLAIN ? bytes.len : RECORD_PLAIN;
		rc = seal_record(out, bytes.data, n);
		bytes = (struct span){ bytes.data + n, bytes.len - n };
	}
	return rc;
}

/*
 * Sends what it can of a long run straight from the caller's memory, and returns how much that was.
 * An error is left for channel_flush to find again.
 */
static size_t send_direct(struct channel *ch, struct span bytes)
{
	size_t sent = 0;

	if (bytes.len < DIRECT_MIN || buf_len(&ch->out.queue) > 0 || !ownfd_is(&ch->fd))
		return 0;
	while (sent < bytes.len) {
		ssize_t n = send(ch->fd.fd, bytes.data + sent, bytes.len - sent,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	return sent;
}

int channel_put(struct channel *ch, struct span message)
{
	uint8_t header[FRAME_HEADER];
	uint8_t *at = NULL;
	int rc;

	if (ch->transport == HANDSHAKE || message.len == 0)
		return PYSTUCK_EINVAL;
	if (message.len > MSG_MAX)
		return PYSTUCK_ETOOBIG;
	if (ch->out.failed != 0)
		return ch->out.failed;
	be32_put(header, (uint32_t)message.len);
	if (ch->transport == SEALED)
		return seal_run(&ch->out, (struct span){ header, sizeof header }, message);
	rc = buf_reserve(&ch->out.queue, sizeof header + message.len, &at);
	if (rc != 0)
		return rc;
	memcpy(at, header, sizeof header);
	memcpy(at + sizeof header, message.data, message.len);
	buf_added(&ch->out.queue, sizeof header + message.len);
	return 0;
}

int channel_put_framed(struct channel *ch, struct span frames)
{
	struct span none = { NULL, 0 };
	uint8_t *at = NULL;
	size_t sent;
	int rc;

	if (ch->transport == HANDSHAKE)
		return PYSTUCK_EINVAL;
	if (ch->out.failed != 0)
		return ch->out.failed;
	if (ch->transport == SEALED)
		return seal_run(&ch->out, none, frames);
	/* Checked before anything goes out: half a run cannot be taken back. */
	if (frames.len > QUEUE_MAX - buf_len(&ch->out.queue))
		return PYSTUCK_ETOOBIG;
	sent = send_direct(ch, frames);
	rc = buf_reserve(&ch->out.queue, frames.len - sent, &at);
	if (rc != 0) {
		if (sent > 0)
			ch->out.failed = rc;
		return rc;
	}
	if (frames.len > sent)
		memcpy(at, frames.data + sent, frames.len - sent);
	buf_added(&ch->out.queue, frames.len - sent);
	return 0;
}

int channel_frame(struct buf *b, const struct msg *m)
{
	uint8_t *at = NULL;
	size_t size = 0;
	int rc;

	rc = msg_size(m, &size);
	if (rc == 0)
		rc = buf_reserve(b, FRAME_HEADER + size, &at);
	if (rc != 0)
		return rc;
	/* There is room for both: neither can fail half-way. */
	(void)buf_put_u32(b, (uint32_t)size);
	return msg_encode(b, m);
}

size_t channel_pending(const struct channel *ch)
{
	return buf_len(&ch->out.queue);
}

int channel_flush(struct channel *ch)
{
	struct buf *queue = &ch->out.queue;

	if (buf_len(queue) > 0 && !ownfd_is(&ch->fd))
		return PYSTUCK_ECLOSED;
	while (buf_len(queue) > 0) {
		ssize_t n = send(ch->fd.fd, buf_bytes(queue), buf_len(queue),
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			buf_consume(queue, (size_t)n);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
			return PYSTUCK_EAGAIN;
		else if (errno == EPIPE || errno == ECONNRESET)
			return PYSTUCK_ECLOSED;
		else if (errno != EINTR)
			return PYSTUCK_ESYS;
	}
	if (queue->capacity > KEEP_OUT)
		buf_free(queue);
	return ch->out.failed;
}
