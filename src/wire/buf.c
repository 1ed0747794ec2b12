/*
 * buf.c: a bounded byte buffer, and taking integers and strings from the front of a span. Knows
 * nothing of messages.
 */
#include "buf.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

#define BUF_FIRST 256	/* bytes of the first allocation, where the limit allows it */

struct span span_text(const char *text)
{
	struct span s = { (const uint8_t *)text, text != NULL ? strlen(text) : 0 };

	return s;
}

int span_equals(struct span s, const char *text)
{
	size_t len = text != NULL ? strlen(text) : 0;

	return s.len == len && (len == 0 || memcmp(s.data, text, len) == 0);
}

int span_ends_with(struct span s, const char *end)
{
	size_t len = strlen(end);

	return s.len >= len && (len == 0 || memcmp(s.data + s.len - len, end, len) == 0);
}

void buf_init(struct buf *b, size_t limit)
{
	*b = (struct buf){ .limit = limit };
}

void buf_free(struct buf *b)
{
	if (b == NULL)
		return;
	if (b->data != NULL)
		explicit_bzero(b->data, b->capacity);
	free(b->data);
	buf_init(b, b->limit);
}

void buf_clear(struct buf *b)
{
	if (b->end > 0)
		explicit_bzero(b->data, b->end);
	b->start = b->end = 0;
}

size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

const uint8_t *buf_bytes(const struct buf *b)
{
	static const uint8_t none[1];

	return b->data != NULL ? b->data + b->start : none;
}

struct span buf_span(const struct buf *b)
{
	struct span s = { buf_bytes(b), buf_len(b) };

	return s;
}

/* Moves the content to new memory: twice as much, so that many small appends cost little. */
static int grow(struct buf *b, size_t need)
{
	size_t len = buf_len(b);
	size_t capacity = b->capacity <= b->limit / 2 ? b->capacity * 2 : b->limit;
	uint8_t *data;

	if (capacity < BUF_FIRST)
		capacity = b->limit < BUF_FIRST ? b->limit : BUF_FIRST;
	if (capacity < need)
		capacity = need;
	data = malloc(capacity);
	if (data == NULL)
		return PYSTUCK_ENOMEM;
	if (b->data != NULL) {
		memcpy(data, b->data + b->start, len);
		/* Not realloc: what it leaves behind could not be wiped. */
		explicit_bzero(b->data, b->capacity);
		free(b->data);
	}
	b->data = data;
	b->start = 0;
	b->end = len;
	b->capacity = capacity;
	return 0;
}

int buf_reserve(struct buf *b, size_t n, uint8_t **where)
{
	static uint8_t nowhere[1];
	size_t len = buf_len(b);
	int rc;

	if (len > b->limit || n > b->limit - len)
		return PYSTUCK_ETOOBIG;
	if (n > b->capacity - b->end) {
		/* Moving down must gain much, or each small append would move all the content. */
		int worth = b->start >= b->capacity / 4 || b->capacity >= b->limit;

		if (worth && n <= b->capacity - len) {
			memmove(b->data, b->data + b->start, len);
			b->start = 0;
			b->end = len;
		} else {
			rc = grow(b, len + n);
			if (rc != 0)
				return rc;
		}
	}
	*where = b->data != NULL ? b->data + b->end : nowhere;
	return 0;
}

void buf_added(struct buf *b, size_t n)
{
	b->end += n;
}

void buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}

int buf_put(struct buf *b, const void *bytes, size_t n)
{
	uint8_t *at = NULL;
	int rc;

	if (n == 0)
		return 0;
	rc = buf_reserve(b, n, &at);
	if (rc != 0)
		return rc;
	memcpy(at, bytes, n);
	buf_added(b, n);
	return 0;
}

int buf_put_u8(struct buf *b, uint8_t v)
{
	return buf_put(b, &v, 1);
}

int buf_put_u16(struct buf *b, uint16_t v)
{
	uint8_t bytes[2];

	be16_put(bytes, v);
	return buf_put(b, bytes, sizeof bytes);
}

int buf_put_u32(struct buf *b, uint32_t v)
{
	uint8_t bytes[4];

	be32_put(bytes, v);
	return buf_put(b, bytes, sizeof bytes);
}

int buf_put_u64(struct buf *b, uint64_t v)
{
	uint8_t bytes[8];

	be64_put(bytes, v);
	return buf_put(b, bytes, sizeof bytes);
}

int buf_put_string(struct buf *b, struct span s)
{
	uint8_t *at = NULL;
	int rc;

	if (s.len > UINT32_MAX || s.len > SIZE_MAX - 4)
		return PYSTUCK_ETOOBIG;
	rc = buf_reserve(b, s.len + 4, &at);
	if (rc != 0)
		return rc;
	be32_put(at, (uint32_t)s.len);
	if (s.len > 0)
		memcpy(at + 4, s.data, s.len);
	buf_added(b, s.len + 4);
	return 0;
}

static void span_skip(struct span *s, size_t n)
{
	s->data += n;
	s->len -= n;
}

int span_get_u8(struct span *s, uint8_t *v)
{
	if (s->len < 1)
		return PYSTUCK_EFORMAT;
	*v = s->data[0];
	span_skip(s, 1);
	return 0;
}

int span_get_u16(struct span *s, uint16_t *v)
{
	if (s->len < 2)
		return PYSTUCK_EFORMAT;
	*v = be16_get(s->data);
	span_skip(s, 2);
	return 0;
}

int span_get_u32(struct span *s, uint32_t *v)
{
	if (s->len < 4)
		return PYSTUCK_EFORMAT;
	*v = be32_get(s->data);
	span_skip(s, 4);
	return 0;
}

int span_get_u64(struct span *s, uint64_t *v)
{
	if (s->len < 8)
		return PYSTUCK_EFORMAT;
	*v = be64_get(s->data);
	span_skip(s, 8);
	return 0;
}

int span_get_string(struct span *s, struct span *v)
{
	uint32_t len;

	if (s->len < 4)
		return PYSTUCK_EFORMAT;
	len = be32_get(s->data);
	if (len > s->len - 4)
		return PYSTUCK_EFORMAT;
	*v = (struct span){ s->data + 4, len };
	span_skip(s, 4 + (size_t)len);
	return 0;
}

void be16_put(uint8_t at[static 2], uint16_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

void be32_put(uint8_t at[static 4], uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

void be64_put(uint8_t at[static 8], uint64_t v)
{
	for (int i = 0; i < 8; i++)
		at[i] = (uint8_t)(v >> (56 - 8 * i));
}

uint16_t be16_get(const uint8_t at[static 2])
{
	return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

uint32_t be32_get(const uint8_t at[static 4])
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 8 | at[i];
	return v;
}

uint64_t be64_get(const uint8_t at[static 8])
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | at[i];
	return v;
}
