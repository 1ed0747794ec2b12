/*
 * buf.h: a bounded byte buffer with a read position, in the manner of SSH: big-endian integers, strings with a u32
 * length. The bound is given at the start and holds for good. The memory is wiped when it is given back.
 */
#ifndef PYSTUCK_BUF_H
#define PYSTUCK_BUF_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that somebody else owns. Not a C string: there may be NULs in it and none at its end. */
struct span {
	const uint8_t *data;
	size_t len;
};

struct span span_text(const char *text);	/* of a C string; NULL gives an empty span */
int span_equals(struct span s, const char *text);
int span_ends_with(struct span s, const char *end);

/* Held by value; the fields are for buf.c and for reading data and len. */
struct buf {
	uint8_t *data;		/* NULL until the first byte */
	size_t start;		/* bytes before it have been consumed */
	size_t end;		/* bytes from start to end are the content */
	size_t capacity;
	size_t limit;		/* end - start never exceeds it */
};

void buf_init(struct buf *b, size_t limit);	/* allocates nothing */
void buf_free(struct buf *b);			/* wipes; b is as after buf_init */
void buf_clear(struct buf *b);			/* content gone (wiped), memory kept */

size_t buf_len(const struct buf *b);
const uint8_t *buf_bytes(const struct buf *b);	/* buf_len(b) bytes; never NULL */
struct span buf_span(const struct buf *b);

/*
 * Room for n more bytes at the end: *where points to it, and buf_added() says how many were written. 0, PYSTUCK_ETOOBIG
 * (over the limit) or PYSTUCK_ENOMEM; on error nothing has changed.
 */
int buf_reserve(struct buf *b, size_t n, uint8_t **where);
void buf_added(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n);	/* n <= buf_len(b) */

/* Each appends, or returns PYSTUCK_ETOOBIG or PYSTUCK_ENOMEM and changes nothing. */
int buf_put(struct buf *b, const void *bytes, size_t n);
int buf_put_u8(struct buf *b, uint8_t v);
int buf_put_u16(struct buf *b, uint16_t v);
int buf_put_u32(struct buf *b, uint32_t v);
int buf_put_u64(struct buf *b, uint64_t v);
int buf_put_string(struct buf *b, struct span s);	/* u32 length, then the bytes */

/* Each takes from the front of *s and moves it on, or returns PYSTUCK_EFORMAT and changes nothing. */
int span_get_u8(struct span *s, uint8_t *v);
int span_get_u16(struct span *s, uint16_t *v);
int span_get_u32(struct span *s, uint32_t *v);
int span_get_u64(struct span *s, uint64_t *v);
int span_get_string(struct span *s, struct span *v);	/* v points into s: nothing is copied */

/* Big-endian integers at an address, for arrays inside a message and headers of frames. */
void be16_put(uint8_t at[static 2], uint16_t v);
void be32_put(uint8_t at[static 4], uint32_t v);
void be64_put(uint8_t at[static 8], uint64_t v);
uint16_t be16_get(const uint8_t at[static 2]);
uint32_t be32_get(const uint8_t at[static 4]);
uint64_t be64_get(const uint8_t at[static 8]);

#endif
