/*
 * text.c: makes text from the other side safe for a terminal, a log or a JSON file. It knows UTF-8
 * and which characters cannot be seen; it knows no locale, no width and no colours.
 *
 * The rule: what a terminal would obey, or would draw as nothing, is written out. That is C0, DEL,
 * C1, every format character (category Cf), every default-ignorable character (variation selectors,
 * fillers, tags), line and paragraph separators, noncharacters, and private use, whose look depends
 * on the reader's font. Whatever else is a character passes, combining marks, spaces and characters
 * younger than this table included. The backslash passes too: the result is safe to look at, but it
 * is no encoding that could be undone.
 */
#include "text.h"

#include <string.h>

#define UNIT_MAX 12 /* bytes of the longest way to write one character: two \uNNNN in JSON */
#define INVALID 0 /* decode: no character starts here */

struct range {
	uint32_t first, last;
};

/* Sorted. Surrogates are not here: the decoder refuses them. The last two of each plane: is_hidden.
 */
static const struct range hidden[] = {
	{0x0000, 0x001f}, /* C0 */
	{0x007f, 0x009f}, /* DEL, C1 */
	{0x00ad, 0x00ad}, /* soft hyphen */
	{0x034f, 0x034f}, /* combining grapheme joiner */
	{0x0600, 0x0605}, /* Arabic number signs */
	{0x061c, 0x061c}, /* Arabic letter mark (bidirectional) */
	{0x06dd, 0x06dd}, {0x070f, 0x070f}, {0x0890, 0x0891}, {0x08e2, 0x08e2},
	{0x115f, 0x1160}, /* Hangul fillers */
	{0x17b4, 0x17b5}, /* Khmer inherent vowels */
	{0x180b, 0x180f}, /* Mongolian variation selectors */
	{0x200b, 0x200f}, /* zero-width, left-to-right and right-to-left marks */
	{0x2028, 0x202e}, /* line and paragraph separators, bidirectional embeddings */
	{0x2060, 0x206f}, /* word joiner, invisible operators, bidirectional isolates */
	{0x3164, 0x3164}, /* Hangul filler */
	{0xe000, 0xf8ff}, /* private use */
	{0xfdd0, 0xfdef}, /* noncharacters */
	{0xfe00, 0xfe0f}, /* variation selectors */
	{0xfeff, 0xfeff}, /* byte order mark */
	{0xffa0, 0xffa0}, /* halfwidth Hangul filler */
	{0xfff0, 0xfffb}, /* reserved, interlinear annotation */
	{0x110bd, 0x110bd}, {0x110cd, 0x110cd},
	{0x13430, 0x1343f}, /* Egyptian hieroglyph controls */
	{0x1bca0, 0x1bca3}, /* shorthand controls */
	{0x1d173, 0x1d17a}, /* musical controls */
	{0xe0000, 0xe0fff}, /* tags, variation selectors supplement */
	{0xf0000, 0x10ffff}, /* private use */
};

static int is_hidden(uint32_t c)
{
	size_t low = 0, high = sizeof hidden / sizeof hidden[0];

	if ((c & 0xfffe) == 0xfffe)
		return 1; /* noncharacter */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (c > hidden[middle].last)
			low = middle + 1;
		else if (c < hidden[middle].first)
			high = middle;
		else
			return 1;
	}
	return 0;
}

/* How many bytes the character has that begins with this byte; INVALID if none does. */
static size_t sequence_len(uint8_t lead)
{
	if (lead < 0x80)
		return 1;
	if (lead >= 0xc2 && lead <= 0xdf)
		return 2;
	if (lead >= 0xe0 && lead <= 0xef)
		return 3;
	if (lead >= 0xf0 && lead <= 0xf4)
		return 4;
	return INVALID;
}

/* Whether `byte` may follow the lead: the second byte is where overlong forms, surrogates and
 * 110000 and up show. */
static int may_be_second(uint8_t lead, uint8_t byte)
{
	switch (lead) {
	case 0xe0:
		return byte >= 0xa0 && byte <= 0xbf;
	case 0xed:
		return byte >= 0x80 && byte <= 0x9f;
	case 0xf0:
		return byte >= 0x90 && byte <= 0xbf;
	case 0xf4:
		return byte >= 0x80 && byte <= 0x8f;
	default:
		return byte >= 0x80 && byte <= 0xbf;
	}
}

/*
 * How many bytes at p (at least 1, at most n) are right so far as the character of `need` bytes
 * that begins there.
 */
static size_t right_so_far(const uint8_t *p, size_t n, size_t need)
{
	size_t i;

	for (i = 1; i < need && i < n; i++)
		if (i == 1 ? !may_be_second(p[0], p[1]) : (p[i] & 0xc0) != 0x80)
			break;
	return i;
}

/* The character at p (n > 0 bytes): its length in bytes, with *c set; or INVALID. */
static size_t decode(const uint8_t *p, size_t n, uint32_t *c)
{
	static const uint8_t lead_bits[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	size_t need = sequence_len(p[0]);
	size_t i;

	if (need == INVALID || right_so_far(p, n, need) != need)
		return INVALID;
	*c = p[0] & lead_bits[need];
	for (i = 1; i < need; i++)
		*c = *c << 6 | (p[i] & 0x3f);
	return need;
}

/* Writes a backslash, a letter and `digits` hex digits; returns how many bytes. */
static size_t escape(uint8_t *out, char letter, uint32_t value, size_t digits)
{
	size_t i;

	out[0] = '\\';
	out[1] = (uint8_t)letter;
	for (i = 0; i < digits; i++)
		out[2 + i] = (uint8_t) "0123456789abcdef"[value >> 4 * (digits - 1 - i) & 0xf];
	return 2 + digits;
}

static size_t escape_json(uint8_t *out, uint32_t c)
{
	if (c < 0x10000)
		return escape(out, 'u', c, 4);
	c -= 0x10000;
	return escape(out, 'u', 0xd800 + (c >> 10), 4) +
	       escape(out + 6, 'u', 0xdc00 + (c & 0x3ff), 4);
}

/* One character that was decoded from `len` bytes at p, as it is to be shown. Returns how many
 * bytes are in out. */
static size_t show(
	uint8_t out[static UNIT_MAX], const uint8_t *p, size_t len, uint32_t c, enum text_mode mode)
{
	if (mode == TEXT_JSON && (c == '"' || c == '\\')) {
		out[0] = '\\';
		out[1] = (uint8_t)c;
		return 2;
	}
	if (!is_hidden(c) || (mode == TEXT_BLOCK && (c == '\n' || c == '\t'))) {
		memcpy(out, p, len);
		return len;
	}
	if (mode == TEXT_JSON)
		return escape_json(out, c);
	if (c < 0x80)
		return escape(out, 'x', c, 2);
	return c < 0x10000 ? escape(out, 'u', c, 4) : escape(out, 'U', c, 8);
}

/* The next unit of `in` from *at on, which moves past it. Returns how many bytes of out it takes.
 */
static size_t next_unit(
	uint8_t out[static UNIT_MAX], struct span in, size_t *at, enum text_mode mode)
{
	const uint8_t *p = in.data + *at;
	uint32_t c = 0;
	size_t len = decode(p, in.len - *at, &c);

	if (len != INVALID) {
		*at += len;
		return show(out, p, len, c, mode);
	}
	*at += 1;
	if (mode != TEXT_JSON)
		return escape(out, 'x', *p, 2);
	memcpy(out, "\xef\xbf\xbd", 3);
	return 3;
}

/* Bytes below a space, and above it, that are (or are not) their own result in a mode. Every byte from 0x7f on is looked at closely. */
struct plain {
	uint8_t newline, tab;     /* pass; a space where they do not */
	uint8_t quote, backslash; /* do not pass; 0xff where they do */
};

static struct plain plain_of(enum text_mode mode)
{
	return (struct plain){.newline = mode == TEXT_BLOCK ? '\n' : ' ',
		.tab = mode == TEXT_BLOCK ? '\t' : ' ',
		.quote = mode == TEXT_JSON ? '"' : 0xff,
		.backslash = mode == TEXT_JSON ? '\\' : 0xff};
}

/* Without a branch, so that compilers take many bytes at once. */
static inline unsigned stops(uint8_t byte, struct plain plain)
{
	return (unsigned)((byte < 0x20) & (byte != plain.newline) & (byte != plain.tab)) | (byte >= 0x7f) | (byte == plain.quote) |
	       (byte == plain.backslash);
}

#define MANY 64 /* bytes that are looked at together */

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))
/* Whether a byte of w is 0: exact when no byte has its top bit set. */
#define HAS_ZERO(w) (((w)-EACH(0x01)) & ~(w)&EACH(0x80))

/* 1 when all eight bytes pass. It may say 0 in doubt. For short texts, as names are. */
static int eight_pass(const uint8_t *p, enum text_mode mode)
{
	uint64_t w;

	memcpy(&w, p, sizeof w);
	if (w & EACH(0x80) || (w - EACH(0x20)) & EACH(0x80) || HAS_ZERO(w ^ EACH(0x7f)))
		return 0;
	return mode != TEXT_JSON || !(HAS_ZERO(w ^ EACH('"')) || HAS_ZERO(w ^ EACH('\\')));
}

/* For long ones. */
static int many_pass(const uint8_t *p, struct plain plain)
{
	uint8_t stop = 0;

	for (int i = 0; i < MANY; i++)
		stop |= (uint8_t)stops(p[i], plain);
	return !stop;
}

/* The end of the run of bytes from `at` on that are their own result. Nearly all text is one such
 * run: worth being fast. */
static size_t plain_until(struct span in, size_t at, enum text_mode mode)
{
	struct plain plain = plain_of(mode);

	while (in.len - at >= MANY && many_pass(in.data + at, plain))
		at += MANY;
	while (in.len - at >= 8 && eight_pass(in.data + at, mode))
		at += 8;
	while (at < in.len && !stops(in.data[at], plain))
		at++;
	return at;
}

/* Writes the whole of `in` to out, or only counts when out is NULL. Returns the number of bytes. */
static size_t render(uint8_t *out, struct span in, enum text_mode mode)
{
	uint8_t unit[UNIT_MAX];
	size_t at = 0, total = 0, n;

	while (at < in.len) {
		n = plain_until(in, at, mode) - at;
		if (out && n)
			memcpy(out + total, in.data + at, n);
		at += n;
		total += n;
		if (at == in.len)
			break;
		n = next_unit(unit, in, &at, mode);
		if (out)
			memcpy(out + total, unit, n);
		total += n;
	}
	return total;
}

int text_append(struct buf *out, struct span in, enum text_mode mode)
{
	uint8_t *where;
	size_t n;
	int r;

	if (in.len == 0)
		return 0;
	if (plain_until(in, 0, mode) == in.len)
		return buf_put(out, in.data, in.len);
	n = render(NULL, in, mode);
	r = buf_reserve(out, n, &where);
	if (r)
		return r;
	buf_added(out, render(where, in, mode));
	return 0;
}

char *text_copy(char *out, size_t size, struct span in, enum text_mode mode)
{
	uint8_t unit[UNIT_MAX];
	size_t at = 0, used = 0, n;

	if (size == 0)
		return out;
	while (at < in.len) {
		n = next_unit(unit, in, &at, mode);
		if (n >= size - used)
			break;
		memcpy(out + used, unit, n);
		used += n;
	}
	out[used] = '\0';
	return out;
}

size_t text_whole(struct span in, size_t most)
{
	size_t n = in.len < most ? in.len : most;
	size_t back, need, known;

	/* Only one of the last three bytes can begin a character that goes on past n. */
	for (back = 1; back <= 3 && back <= n; back++) {
		const uint8_t *p = in.data + n - back;

		if ((*p & 0xc0) == 0x80)
			continue;
		need = sequence_len(*p);
		if (need <= back)
			return n;
		/* Stray bytes are in the middle of nothing: all that is there must be right, past n
		 * too. */
		known = back + in.len - n;
		if (known > need)
			known = need;
		return right_so_far(p, known, need) == known ? n - back : n;
	}
	return n;
}
