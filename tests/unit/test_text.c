/*
 * test_text.c: claims about wire/text.c: what passes, what is made visible, where text is cut.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"
#include "text.h"

#define LIMIT 100000
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct example {
	const char *in;
	size_t in_len;
	const char *out;
};

#define EXAMPLE(in, out)                                                                           \
	{                                                                                          \
		in, sizeof in - 1, out                                                             \
	}

static struct span span(const void *bytes, size_t len)
{
	return (struct span){bytes, len};
}

static void assert_shows(const void *in, size_t len, enum text_mode mode, const char *out)
{
	char fixed[4096];
	struct buf b;

	buf_init(&b, LIMIT);
	assert_int_equal(text_append(&b, span(in, len), mode), 0);
	assert_int_equal(buf_len(&b), strlen(out));
	assert_memory_equal(buf_bytes(&b), out, strlen(out));
	buf_free(&b);
	assert_ptr_equal(text_copy(fixed, sizeof fixed, span(in, len), mode), fixed);
	assert_string_equal(fixed, out);
}

static void assert_all(const struct example *e, size_t n, enum text_mode mode)
{
	size_t i;

	for (i = 0; i < n; i++)
		assert_shows(e[i].in, e[i].in_len, mode, e[i].out);
}

/* The encoding as the standard has it, without any check. */
static size_t encode(uint8_t out[4], uint32_t c)
{
	if (c < 0x80) {
		out[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (uint8_t)(0xc0 | c >> 6);
		out[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (uint8_t)(0xe0 | c >> 12);
		out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | c >> 18);
	out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

static void test_text_passes_printable_text(void **state)
{
	static const struct example same[] = {
		EXAMPLE("", ""), EXAMPLE("~/a b 'c' \"d\" \\e", "~/a b 'c' \"d\" \\e"),
		EXAMPLE("na\xc3\xafve", "na\xc3\xafve"),
		EXAMPLE("\xe4\xb8\xad\xe6\x96\x87", "\xe4\xb8\xad\xe6\x96\x87"),
		EXAMPLE("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d"),
		EXAMPLE("\xf0\x9f\x90\x8d", "\xf0\x9f\x90\x8d"),
		EXAMPLE("e\xcc\x81", "e\xcc\x81"), /* a combining accent */
		EXAMPLE("a\xc2\xa0"
			"b",
			"a\xc2\xa0"
			"b"), /* no-break space: a blank is seen */
		EXAMPLE("\xef\xbf\xbd", "\xef\xbf\xbd"), /* U+FFFD that was in the text */
	};

	(void)state;
	assert_all(same, COUNT(same), TEXT_LINE);
	assert_all(same, COUNT(same), TEXT_BLOCK);
}

static void test_text_shows_control_bytes(void **state)
{
	char in, out[8];
	int c;

	(void)state;
	for (c = 0; c < 0x80; c++) {
		in = (char)c;
		if (c >= 0x20 && c < 0x7f)
			snprintf(out, sizeof out, "%c", c);
		else
			snprintf(out, sizeof out, "\\x%02x", (unsigned)c);
		assert_shows(&in, 1, TEXT_LINE, out);
		if (c == '\n' || c == '\t')
			snprintf(out, sizeof out, "%c", c);
		assert_shows(&in, 1, TEXT_BLOCK, out);
	}
}

static void test_text_disarms_terminal_sequences(void **state)
{
	static const struct example hostile[] = {
		EXAMPLE("\x1b[2J\x1b]0;title\a", "\\x1b[2J\\x1b]0;title\\x07"),
		EXAMPLE("\xc2\x9b"
			"31m",
			"\\u009b31m"), /* CSI as one C1 character */
		EXAMPLE("\x9b"
			"31m",
			"\\x9b31m"), /* and as a bare byte */
		EXAMPLE("safe\rEVIL", "safe\\x0dEVIL"),
		EXAMPLE("a\b\bbc\x7f", "a\\x08\\x08bc\\x7f"),
		EXAMPLE("line\nfeed", "line\\x0afeed"),
		EXAMPLE("user\xe2\x80\xae"
			"gpj.exe",
			"user\\u202egpj.exe"),
		EXAMPLE("nul\0byte", "nul\\x00byte"),
	};

	(void)state;
	assert_all(hostile, COUNT(hostile), TEXT_LINE);
}

static void test_text_shows_every_invalid_byte(void **state)
{
	static const struct example bad[] = {
		EXAMPLE("\x80", "\\x80"),
		EXAMPLE("\xff\xfe", "\\xff\\xfe"),
		EXAMPLE("\xc0\x80", "\\xc0\\x80"), /* overlong NUL */
		EXAMPLE("\xc1\xbf", "\\xc1\\xbf"), /* overlong DEL */
		EXAMPLE("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"), /* overlong U+07FF */
		EXAMPLE("\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"), /* overlong U+FFFF */
		EXAMPLE("\xe0\x80\x9b", "\\xe0\\x80\\x9b"), /* overlong CSI */
		EXAMPLE("\xed\xa0\x80", "\\xed\\xa0\\x80"), /* U+D800 */
		EXAMPLE("\xed\xbf\xbf", "\\xed\\xbf\\xbf"), /* U+DFFF */
		EXAMPLE("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"), /* U+110000 */
		EXAMPLE("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"),
		EXAMPLE("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"), /* five bytes */
		EXAMPLE("\xe2\x82", "\\xe2\\x82"), /* cut */
		EXAMPLE("\xf0\x9f\x90", "\\xf0\\x9f\\x90"),
		EXAMPLE("\xc3", "\\xc3"),
		EXAMPLE("\xe2\x82(", "\\xe2\\x82("), /* what follows stands for itself */
		EXAMPLE("\xe2\xc3\xa9", "\\xe2\xc3\xa9"),
		EXAMPLE("\xc3\x1b[m", "\\xc3\\x1b[m"),
		EXAMPLE("\xc3\xa9\xa9", "\xc3\xa9\\xa9"),
	};

	(void)state;
	assert_all(bad, COUNT(bad), TEXT_LINE);
	assert_all(bad, COUNT(bad), TEXT_BLOCK);
}

static void test_text_decodes_the_edges_of_each_length(void **state)
{
	static const struct example edges[] = {
		EXAMPLE("\xc2\xa1", "\xc2\xa1"),
		EXAMPLE("\xdf\xbf", "\xdf\xbf"),
		EXAMPLE("\xe0\xa0\x80", "\xe0\xa0\x80"),
		EXAMPLE("\xed\x9f\xbf", "\xed\x9f\xbf"),
		EXAMPLE("\xee\x80\x80", "\\ue000"),
		EXAMPLE("\xef\xbf\xbc", "\xef\xbf\xbc"),
		EXAMPLE("\xf0\x90\x80\x80", "\xf0\x90\x80\x80"),
		EXAMPLE("\xf4\x8f\xbf\xbf", "\\U0010ffff"),
	};

	(void)state;
	assert_all(edges, COUNT(edges), TEXT_LINE);
}

/* Single characters of each kind that must never come out as they are. */
static const uint32_t unseen[] = {0x80, 0x85, 0x9b, 0x9f, 0xad, 0x34f, 0x600, 0x605, 0x61c, 0x6dd,
	0x70f, 0x890, 0x891, 0x8e2, 0x115f, 0x1160, 0x17b4, 0x17b5, 0x180b, 0x180e, 0x180f, 0x200b,
	0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e,
	0x2060, 0x2061, 0x2064, 0x2066, 0x2067, 0x2068, 0x2069, 0x206a, 0x206f, 0x3164, 0xe000,
	0xf8ff, 0xfdd0, 0xfdef, 0xfe00, 0xfe0f, 0xfeff, 0xffa0, 0xfff9, 0xfffb, 0xfffe, 0xffff,
	0x110bd, 0x110cd, 0x13430, 0x1343f, 0x1bca0, 0x1bca3, 0x1d173, 0x1d17a, 0x1fffe, 0x1ffff,
	0x2fffe, 0xe0001, 0xe0020, 0xe007f, 0xe0100, 0xe01ef, 0xeffff, 0xf0000, 0xffffd, 0xfffff,
	0x100000, 0x10fffd, 0x10fffe, 0x10ffff};

/* Their nearest neighbours that can be seen. */
static const uint32_t seen[] = {0xa0, 0xac, 0xae, 0x34e, 0x350, 0x5ff, 0x606, 0x61b, 0x61d, 0x6dc,
	0x6de, 0x88f, 0x892, 0x8e1, 0x8e3, 0x115e, 0x1161, 0x17b3, 0x17b6, 0x180a, 0x1810, 0x200a,
	0x2010, 0x2027, 0x202f, 0x205f, 0x2070, 0x3163, 0x3165, 0xd7ff, 0xf900, 0xfdcf, 0xfdf0,
	0xfe10, 0xfefe, 0xff00, 0xff9f, 0xffa1, 0xffef, 0xfffc, 0xfffd, 0x110bc, 0x110be, 0x1342f,
	0x13440, 0x1bc9f, 0x1bca4, 0x1d172, 0x1d17b, 0x1fffd, 0x20000, 0xdfffd, 0xe1000};

static void test_text_shows_what_cannot_be_seen(void **state)
{
	uint8_t in[4];
	char out[16], json[16];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(unseen); i++) {
		uint32_t c = unseen[i], v = c - 0x10000;

		n = encode(in, c);
		snprintf(out, sizeof out, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
		snprintf(json, sizeof json, "%s", out);
		if (c >= 0x10000)
			snprintf(json, sizeof json, "\\u%04x\\u%04x", 0xd800 + (v >> 10),
				0xdc00 + (v & 0x3ff));
		assert_shows(in, n, TEXT_LINE, out);
		assert_shows(in, n, TEXT_BLOCK, out);
		assert_shows(in, n, TEXT_JSON, json);
	}
}

static void test_text_passes_their_neighbours(void **state)
{
	char in[5];
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(seen); i++) {
		n = encode((uint8_t *)in, seen[i]);
		in[n] = '\0';
		assert_shows(in, n, TEXT_LINE, in);
		assert_shows(in, n, TEXT_JSON, in);
	}
}

/* Every code point there is, surrogates too: the result is plain ASCII or the character itself. */
static void test_text_lets_no_control_character_through(void **state)
{
	uint8_t in[4];
	char out[32];
	uint32_t c;
	size_t n, i;

	(void)state;
	for (c = 0; c <= 0x110000; c++) {
		n = encode(in, c);
		text_copy(out, sizeof out, span(in, n), TEXT_LINE);
		if (strlen(out) == n && memcmp(out, in, n) == 0) {
			assert_true(c >= 0x20 && (c < 0x7f || c > 0x9f));
			assert_true((c < 0xd800 || c > 0xdfff) && c < 0x110000);
			continue;
		}
		for (i = 0; out[i]; i++)
			assert_true(out[i] >= 0x20 && out[i] < 0x7f);
		assert_int_equal(out[0], '\\');
	}
}

static void test_text_json_escapes_what_json_needs(void **state)
{
	static const struct example json[] = {
		EXAMPLE("plain", "plain"),
		EXAMPLE("\"q\" \\b", "\\\"q\\\" \\\\b"),
		EXAMPLE("a\nb\tc\0d", "a\\u000ab\\u0009c\\u0000d"),
		EXAMPLE("\x1b\x7f", "\\u001b\\u007f"),
		EXAMPLE("\xe2\x80\xa8", "\\u2028"),
		EXAMPLE("\xf0\x9f\x90\x8d", "\xf0\x9f\x90\x8d"),
		EXAMPLE("\xf3\xa0\x80\x81", "\\udb40\\udc01"), /* U+E0001 */
		EXAMPLE("\xf4\x8f\xbf\xbf", "\\udbff\\udfff"), /* U+10FFFF */
		EXAMPLE("a\xff\xc0"
			"b",
			"a\xef\xbf\xbd\xef\xbf\xbd"
			"b"),
		EXAMPLE("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"),
		EXAMPLE("/", "/"),
	};

	(void)state;
	assert_all(json, COUNT(json), TEXT_JSON);
}

/* `c` at this place of so many plain ones. */
static void assert_found(uint8_t c, size_t at, size_t len, enum text_mode mode)
{
	char in[200], plain[200], expected[220], one[16];

	memset(in, 'x', len);
	memset(plain, 'x', sizeof plain);
	in[at] = (char)c;
	text_copy(one, sizeof one, span(in + at, 1), mode);
	snprintf(expected, sizeof expected, "%.*s%s%.*s", (int)at, plain, one, (int)(len - at - 1), plain);
	assert_shows(in, len, mode, expected);
}

/* Eight bytes, or 64, are looked at in one step: one of them must not hide behind the others. */
static void test_text_finds_one_byte_among_plain_ones(void **state)
{
	static const enum text_mode modes[] = {TEXT_LINE, TEXT_BLOCK, TEXT_JSON};
	static const size_t far[] = {0, 15, 16, 63, 64, 100, 127, 128, 135, 136};
	size_t m, at;
	int c;

	(void)state;
	for (m = 0; m < COUNT(modes); m++)
		for (c = 0; c < 256; c++) {
			for (at = 0; at < 20; at++)
				assert_found((uint8_t)c, at, 20 + at % 13, modes[m]);
			for (at = 0; at < COUNT(far); at++)
				assert_found((uint8_t)c, far[at], 137, modes[m]);
		}
}

static void test_text_append_changes_nothing_over_the_limit(void **state)
{
	static const enum text_mode modes[] = {TEXT_LINE, TEXT_BLOCK, TEXT_JSON};
	struct buf b;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(modes); i++) {
		buf_init(&b, 8);
		assert_int_equal(buf_put(&b, "abc", 3), 0);
		assert_int_equal(text_append(&b, span_text("123456"), modes[i]), PYSTUCK_ETOOBIG);
		assert_int_equal(
			text_append(&b, span_text("1\x1b\x1b"), modes[i]), PYSTUCK_ETOOBIG);
		assert_int_equal(buf_len(&b), 3);
		assert_int_equal(text_append(&b, span_text("12345"), modes[i]), 0);
		assert_memory_equal(buf_bytes(&b), "abc12345", 8);
		assert_int_equal(text_append(&b, span(NULL, 0), modes[i]), 0);
		buf_free(&b);
	}
}

static void test_text_grows_at_most_six_times(void **state)
{
	static const enum text_mode modes[] = {TEXT_LINE, TEXT_BLOCK, TEXT_JSON};
	uint8_t in[64];
	struct buf b;
	size_t i, m, n;
	unsigned seed = 1;
	int round;

	(void)state;
	for (round = 0; round < 3000; round++) {
		for (i = 0; i < sizeof in; i++)
			in[i] = (uint8_t)(rand_r(&seed) >> 7);
		n = (size_t)rand_r(&seed) % sizeof in;
		for (m = 0; m < COUNT(modes); m++) {
			buf_init(&b, 6 * n);
			assert_int_equal(text_append(&b, span(in, n), modes[m]), 0);
			buf_free(&b);
		}
	}
}

static void test_text_copy_cuts_at_a_whole_unit(void **state)
{
	static const char in[] = "a\xc3\xa9\x1b\xf0\x9f\x90\x8d";
	static const char *const cut[] = {"", "a", "a", "a\xc3\xa9", "a\xc3\xa9", "a\xc3\xa9",
		"a\xc3\xa9", "a\xc3\xa9\\x1b", "a\xc3\xa9\\x1b", "a\xc3\xa9\\x1b", "a\xc3\xa9\\x1b",
		"a\xc3\xa9\\x1b\xf0\x9f\x90\x8d"};
	char out[16];
	size_t size;

	(void)state;
	for (size = 1; size <= COUNT(cut); size++) {
		memset(out, '#', sizeof out);
		text_copy(out, size, span_text(in), TEXT_LINE);
		assert_string_equal(out, cut[size - 1]);
		assert_int_equal(out[size], '#');
	}
	out[0] = '#';
	assert_ptr_equal(text_copy(out, 0, span_text(in), TEXT_LINE), out);
	assert_int_equal(out[0], '#');
}

static void test_text_copy_of_its_own_result_changes_nothing(void **state)
{
	char once[64], twice[64];

	(void)state;
	text_copy(once, sizeof once, span_text("\x1b[m \xe2\x80\xae \xc3\xa9 \\"), TEXT_LINE);
	text_copy(twice, sizeof twice, span_text(once), TEXT_LINE);
	assert_string_equal(once, twice);
}

static void test_text_whole_never_cuts_a_character(void **state)
{
	static const char in[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d.";
	static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
	size_t most;

	(void)state;
	for (most = 0; most < COUNT(whole); most++) {
		/* A limit in a longer text, and a text that ends there, are the same. */
		assert_int_equal(text_whole(span_text(in), most), whole[most]);
		assert_int_equal(text_whole(span(in, most), LIMIT), whole[most]);
	}
	assert_int_equal(text_whole(span_text(in), SIZE_MAX), 11);
	assert_int_equal(text_whole(span(NULL, 0), 5), 0);
}

static void test_text_whole_does_not_wait_for_stray_bytes(void **state)
{
	static const struct {
		const char *in;
		size_t most, whole;
	} stray[] = {
		{"\x80\x80\x80", 3, 3},
		{"ab\xff", 3, 3},
		{"ab\xc0", 3, 3},
		{"ab\xe2(", 3, 3}, /* the next byte shows that it is stray */
		{"ab\xe2\x82(", 4, 4},
		{"ab\xe2\x82(", 3, 3},
		{"ab\xe0\x80", 4, 4}, /* overlong */
		{"ab\xed\xa0", 4, 4}, /* surrogate */
		{"ab\xf4\x90", 4, 4},
		{"ab\xf0\x9f\x90\x8d\x80", 7, 7},
		{"\xc3\xa9\x80\x80\x80", 4, 4},
		{"ab\xe2", 3, 2}, /* this one may yet become a character */
		{"ab\xf0\x9f\x90", 5, 2},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(stray); i++)
		assert_int_equal(text_whole(span_text(stray[i].in), stray[i].most), stray[i].whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_passes_printable_text),
		cmocka_unit_test(test_text_shows_control_bytes),
		cmocka_unit_test(test_text_disarms_terminal_sequences),
		cmocka_unit_test(test_text_shows_every_invalid_byte),
		cmocka_unit_test(test_text_decodes_the_edges_of_each_length),
		cmocka_unit_test(test_text_shows_what_cannot_be_seen),
		cmocka_unit_test(test_text_passes_their_neighbours),
		cmocka_unit_test(test_text_lets_no_control_character_through),
		cmocka_unit_test(test_text_json_escapes_what_json_needs),
		cmocka_unit_test(test_text_finds_one_byte_among_plain_ones),
		cmocka_unit_test(test_text_append_changes_nothing_over_the_limit),
		cmocka_unit_test(test_text_grows_at_most_six_times),
		cmocka_unit_test(test_text_copy_cuts_at_a_whole_unit),
		cmocka_unit_test(test_text_copy_of_its_own_result_changes_nothing),
		cmocka_unit_test(test_text_whole_never_cuts_a_character),
		cmocka_unit_test(test_text_whole_does_not_wait_for_stray_bytes),
	};

	alarm(100);
	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
