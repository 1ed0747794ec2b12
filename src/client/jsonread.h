/*
 * jsonread.h: JSON from a file as one token after the other (RFC 8259; one value behind the other, as in lines of JSON, too). Keeps
 * a window of the file in memory, never the whole. Knows nothing of what the values mean.
 */
#ifndef PYSTUCK_CLIENT_JSONREAD_H
#define PYSTUCK_CLIENT_JSONREAD_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define JSONREAD_DEPTH 128             /* objects and arrays inside each other */
#define JSONREAD_TOKEN (16u << 20)     /* bytes of a string or a number */

enum jsonread_token {
	JSONREAD_ERROR = -1, /* jsonread_why says it; so do all calls from then on */
	JSONREAD_END,        /* of the file, after a whole value or before the first one */
	JSONREAD_OBJECT,
	JSONREAD_OBJECT_END,
	JSONREAD_ARRAY,
	JSONREAD_ARRAY_END,
	JSONREAD_KEY,
	JSONREAD_STRING,
	JSONREAD_NUMBER,
	JSONREAD_TRUE,
	JSONREAD_FALSE,
	JSONREAD_NULL,
};

struct jsonread;

/* NULL: no memory. The fd stays the caller's. One reader can read several files, one after the other: jsonread_open begins a new one. */
struct jsonread *jsonread_new(void);
void jsonread_free(struct jsonread *r);
void jsonread_open(struct jsonread *r, int fd);

enum jsonread_token jsonread_next(struct jsonread *r);
/*
 * Of a key, a string or a number: its text, without escapes, not terminated; until the next call. Bytes that are not UTF-8 pass: text.c
 * makes them visible.
 */
struct span jsonread_text(const struct jsonread *r);
/* Of a number, as far as it is one of 64 bits without a sign: 0 for all others. */
uint64_t jsonread_number(const struct jsonread *r);
/* After a token that begins a value: to the end of that value. 0, or -1 after an error. */
int jsonread_skip(struct jsonread *r, enum jsonread_token token);
/*
 * Short cuts, for texts that come again and again. jsonread_offset: where in the file the reader is; jsonread_since: the bytes from there
 * up to here, if they are still there as they were; else an empty span. jsonread_take: in an array, 1 and behind it when the next value
 * is, byte for byte, this text, which is that of a whole value; else 0, and nothing has been read.
 */
uint64_t jsonread_offset(const struct jsonread *r);
struct span jsonread_since(const struct jsonread *r, uint64_t offset);
int jsonread_take(struct jsonread *r, struct span value);
/* How many objects and arrays are open. */
unsigned jsonread_depth(const struct jsonread *r);
/* "byte 1234: not JSON: ..."; "" when there was no error. */
const char *jsonread_why(const struct jsonread *r);

#endif
