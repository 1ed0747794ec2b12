/*
 * jsonread.c: a pull parser. The bytes behind the window's end are always a NUL, which no string and no number goes across, so that
 * the inner loops look at nothing but the byte.
 */
#include "jsonread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jsonescape.h"

#define WINDOW (256u * 1024)
#define WHY 200
#define ENDS_IN_VALUE "the file ends in the middle of a value"

/* Where in an object or an array the reader is. */
enum place { PLACE_FIRST, PLACE_VALUE, PLACE_MORE };

struct level {
	uint8_t is_object, place;
};

struct jsonread {
	int fd, eof, failed;
	uint8_t *bytes;
	size_t room;       /* one more is there, for the NUL */
	size_t at, end;
	uint64_t offset;   /* in the file, of bytes[0] */
	uint64_t changed;  /* up to there bytes may not be those of the file: escapes have been taken out */
	struct level levels[JSONREAD_DEPTH];
	unsigned depth;
	struct span text;
	char why[WHY];
};

struct jsonread *jsonread_new(void)
{
	struct jsonread *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->fd = -1;
	r->room = WINDOW;
	r->bytes = malloc(r->room + 1);
	if (r->bytes != NULL)
		return r;
	free(r);
	return NULL;
}

void jsonread_free(struct jsonread *r)
{
	if (r != NULL)
		free(r->bytes);
	free(r);
}

void jsonread_open(struct jsonread *r, int fd)
{
	r->fd = fd;
	r->eof = r->failed = 0;
	r->at = r->end = 0;
	r->bytes[0] = '\0';
	r->offset = r->changed = 0;
	r->depth = 0;
	r->text = (struct span){(const uint8_t *)"", 0};
	r->why[0] = '\0';
}

struct span jsonread_text(const struct jsonread *r)
{
	return r->text;
}

unsigned jsonread_depth(const struct jsonread *r)
{
	return r->depth;
}

const char *jsonread_why(const struct jsonread *r)
{
	return r->why;
}

static enum jsonread_token fail(struct jsonread *r, const char *what)
{
	if (!r->failed)
		snprintf(r->why, sizeof r->why, "byte %llu: %s", (unsigned long long)r->offset + r->at, what);
	r->failed = 1;
	return JSONREAD_ERROR;
}

/* --- the window --- */

/*
 * More bytes behind those from `from` on, which stay and are at *from afterwards; r->at goes along. 1; 0 at the end of the file, or after
 * an error.
 */
static int fill(struct jsonread *r, size_t *from)
{
	size_t kept = r->end - *from;
	ssize_t n;

	if (r->eof || r->failed)
		return 0;
	if (kept >= JSONREAD_TOKEN) {
		fail(r, "a text that is longer than any of a dump");
		return 0;
	}
	if (kept == r->room) {
		uint8_t *more = realloc(r->bytes, r->room * 2 + 1);

		if (more == NULL) {
			fail(r, "no memory for it");
			return 0;
		}
		r->bytes = more;
		r->room *= 2;
	}
	memmove(r->bytes, r->bytes + *from, kept);
	r->offset += *from;
	r->at -= *from;
	*from = 0;
	do
		n = read(r->fd, r->bytes + kept, r->room - kept);
	while (n < 0 && errno == EINTR);
	r->end = kept + (n > 0 ? (size_t)n : 0);
	r->bytes[r->end] = '\0';
	r->eof = n <= 0;
	if (n < 0)
		fail(r, strerror(errno));
	return n > 0;
}

static int is_space(uint8_t c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The next byte that is no space, without taking it; -1 at the end. */
static int peek(struct jsonread *r)
{
	for (;;) {
		while (is_space(r->bytes[r->at]))
			r->at++;
		if (r->at < r->end)
			return r->bytes[r->at];
		size_t from = r->at;
		if (!fill(r, &from))
			return -1;
	}
}

/* --- strings --- */

/* Whether a byte is one of a string as it stands: anything but a quote, a backslash and control characters. */
#define X4 0, 0, 0, 0
#define O4 1, 1, 1, 1
#define X16 X4, X4, X4, X4
#define O16 O4, O4, O4, O4
static const uint8_t is_plain[256] = {X16, X16, /* */ 1, 1, 0, 1, O4, O4, O4, /* */ O16, O16, /* */ O4, O4, O4, 0, 1, 1, 1, O16, O16, O16,
	O16, O16, O16, O16, O16, O16, O16};

/* The quote is at r->at. 0 or -1; r->text is what is inside. */
static int take_string(struct jsonread *r)
{
	size_t from = r->at + 1;
	int escaped = 0;

	for (r->at = from;;) {
		while (is_plain[r->bytes[r->at]])
			r->at++;
		if (r->at + 1 >= r->end && r->bytes[r->at] != '"') {
			/* An escape is looked at only as a whole. */
			if (!fill(r, &from)) {
				fail(r, "the file ends in the middle of a text");
				return -1;
			}
			continue;
		}
		if (r->bytes[r->at] == '"')
			break;
		if (r->bytes[r->at] != '\\') {
			fail(r, "not JSON: a control character in a text");
			return -1;
		}
		escaped = 1;
		r->at += 2;
	}
	uint8_t *text = r->bytes + from, *end = r->bytes + r->at;
	r->changed = escaped ? r->offset + r->at : r->changed;
	if (escaped && (end = jsonescape_take_out(text, end)) == NULL) {
		fail(r, "not JSON: an escape that is none");
		return -1;
	}
	r->text = (struct span){text, (size_t)(end - text)};
	r->at++;
	return 0;
}

/* --- numbers and words --- */

static int is_of_number(uint8_t c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)? ; the bytes end with one that is of no number. */
static int is_number(const uint8_t *at, const uint8_t *end)
{
	const uint8_t *digits;

	at += *at == '-';
	if (*at == '0')
		at++;
	else
		while (*at >= '0' && *at <= '9')
			at++;
	if (at[-1] < '0' || at[-1] > '9')
		return 0;
	if (at < end && *at == '.') {
		for (digits = ++at; at < end && *at >= '0' && *at <= '9'; at++)
			;
		if (at == digits)
			return 0;
	}
	if (at < end && (*at == 'e' || *at == 'E')) {
		at++;
		at += at < end && (*at == '-' || *at == '+');
		for (digits = at; at < end && *at >= '0' && *at <= '9'; at++)
			;
		if (at == digits)
			return 0;
	}
	return at == end;
}

static enum jsonread_token take_number(struct jsonread *r)
{
	size_t from = r->at;

	for (;;) {
		while (is_of_number(r->bytes[r->at]))
			r->at++;
		if (r->at < r->end || !fill(r, &from))
			break;
	}
	r->text = (struct span){r->bytes + from, r->at - from};
	if (r->failed || !is_number(r->text.data, r->text.data + r->text.len))
		return fail(r, r->at == r->end ? ENDS_IN_VALUE : "not JSON: a number that is none");
	return JSONREAD_NUMBER;
}

uint64_t jsonread_number(const struct jsonread *r)
{
	uint64_t v = 0;

	for (size_t i = 0; i < r->text.len; i++) {
		unsigned digit = (unsigned)r->text.data[i] - '0';

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return 0;
		v = v * 10 + digit;
	}
	return v;
}

static enum jsonread_token take_word(struct jsonread *r, const char *word, enum jsonread_token token)
{
	size_t len = strlen(word), from = r->at;

	while (r->end - r->at < len && fill(r, &from))
		;
	size_t there = r->end - r->at < len ? r->end - r->at : len;
	if (memcmp(r->bytes + r->at, word, there) != 0)
		return fail(r, "not JSON");
	if (there < len)
		return fail(r, ENDS_IN_VALUE);
	r->at += len;
	return token;
}

/* --- values --- */

static enum jsonread_token enter(struct jsonread *r, int is_object)
{
	if (r->depth == JSONREAD_DEPTH)
		return fail(r, "too many objects inside each other");
	r->levels[r->depth++] = (struct level){.is_object = (uint8_t)is_object, .place = PLACE_FIRST};
	r->at++;
	return is_object ? JSONREAD_OBJECT : JSONREAD_ARRAY;
}

static enum jsonread_token leave(struct jsonread *r, int is_object)
{
	r->depth--;
	r->at++;
	return is_object ? JSONREAD_OBJECT_END : JSONREAD_ARRAY_END;
}

static enum jsonread_token take_value(struct jsonread *r, int c)
{
	switch (c) {
	case '{':
		return enter(r, 1);
	case '[':
		return enter(r, 0);
	case '"':
		return take_string(r) == 0 ? JSONREAD_STRING : JSONREAD_ERROR;
	case 't':
		return take_word(r, "true", JSONREAD_TRUE);
	case 'f':
		return take_word(r, "false", JSONREAD_FALSE);
	case 'n':
		return take_word(r, "null", JSONREAD_NULL);
	case -1:
		return fail(r, ENDS_IN_VALUE);
	default:
		return c == '-' || (c >= '0' && c <= '9') ? take_number(r) : fail(r, "not JSON");
	}
}

static enum jsonread_token take_key(struct jsonread *r, struct level *l, int c)
{
	if (c != '"')
		return fail(r, c < 0 ? "the file ends in the middle of an object" : "not JSON: no name where one belongs");
	if (take_string(r) != 0)
		return JSONREAD_ERROR;
	/* The text must stay where it is: the colon is looked for before the window moves. */
	struct span text = r->text;
	size_t from = (size_t)(text.data - r->bytes);
	for (;;) {
		while (is_space(r->bytes[r->at]))
			r->at++;
		if (r->at < r->end || !fill(r, &from))
			break;
	}
	r->text = (struct span){r->bytes + from, text.len};
	if (r->bytes[r->at] != ':')
		return fail(r, r->at == r->end ? "the file ends in the middle of an object" : "not JSON: no colon behind a name");
	r->at++;
	l->place = PLACE_VALUE;
	return JSONREAD_KEY;
}

enum jsonread_token jsonread_next(struct jsonread *r)
{
	struct level *l = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
	int c;

	if (r->failed)
		return JSONREAD_ERROR;
	c = peek(r);
	if (r->failed)
		return JSONREAD_ERROR;
	if (l == NULL)
		return c < 0 ? JSONREAD_END : take_value(r, c);
	if (l->place != PLACE_VALUE && c == (l->is_object ? '}' : ']'))
		return leave(r, l->is_object);
	if (l->place == PLACE_MORE) {
		if (c != ',')
			return fail(r, c < 0 ? ENDS_IN_VALUE : "not JSON: no comma where one belongs");
		r->at++;
		c = peek(r);
		/* A comma is no end. */
		if (r->failed)
			return JSONREAD_ERROR;
	}
	if (l->is_object && l->place != PLACE_VALUE)
		return take_key(r, l, c);
	l->place = PLACE_MORE;
	return take_value(r, c);
}

int jsonread_skip(struct jsonread *r, enum jsonread_token token)
{
	unsigned depth = r->depth;

	if (token == JSONREAD_ERROR)
		return -1;
	if (token != JSONREAD_OBJECT && token != JSONREAD_ARRAY)
		return 0;
	while (r->depth >= depth)
		if (jsonread_next(r) == JSONREAD_ERROR)
			return -1;
	return 0;
}

/* --- short cuts --- */

uint64_t jsonread_offset(const struct jsonread *r)
{
	return r->offset + r->at;
}

struct span jsonread_since(const struct jsonread *r, uint64_t offset)
{
	if (offset < r->offset || offset < r->changed || r->failed)
		return (struct span){(const uint8_t *)"", 0};
	return (struct span){r->bytes + (offset - r->offset), r->at - (size_t)(offset - r->offset)};
}

int jsonread_take(struct jsonread *r, struct span value)
{
	struct level *l = r->depth > 0 ? &r->levels[r->depth - 1] : NULL;
	size_t at = r->at;

	if (l == NULL || l->is_object || r->failed)
		return 0;
	while (is_space(r->bytes[at]))
		at++;
	if (l->place == PLACE_MORE && r->bytes[at++] != ',')
		return 0;
	while (at < r->end && is_space(r->bytes[at]))
		at++;
	/* What is not in the window yet is read as anything else. */
	if (at > r->end || r->end - at < value.len || memcmp(r->bytes + at, value.data, value.len) != 0)
		return 0;
	r->at = at + value.len;
	l->place = PLACE_MORE;
	return 1;
}
