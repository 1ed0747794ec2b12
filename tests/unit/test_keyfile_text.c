/*
 * test_keyfile_text.c: claims about the format of key files in wire/keyfile.c, and about the
 * messages.
 */
#include "keyfile_fixture.h"

static void test_keyfile_refuses_an_empty_file(void **state)
{
	(void)state;
	write_file("", 0, 0600);
	assert_load_fails(path, PYSTUCK_EFORMAT);
	assert_parse_fails("", 0, PYSTUCK_EFORMAT);
	assert_parse_fails(NULL, 0, PYSTUCK_EFORMAT);
	assert_parse_fails("\n", 1, PYSTUCK_EFORMAT);
	assert_parse_fails("# nothing\n", 10, PYSTUCK_EFORMAT);
}

static size_t many_keys(char *text, size_t size, int count)
{
	uint8_t key[NOISE_KEY] = {1};
	char base64[64];
	size_t n = 0;
	int i;

	for (i = 0; i < count; i++) {
		key[31] = (uint8_t)i;
		sodium_bin2base64(
			base64, sizeof base64, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
		n += (size_t)snprintf(text + n, size - n, "pystuck-key-1 key%d %s\n", i, base64);
	}
	return n;
}

static void test_keyfile_stops_at_the_number_of_keys(void **state)
{
	char text[KEYFILE_MAX];
	struct keyring *ring;

	(void)state;
	ring = parse(text, many_keys(text, sizeof text, KEYRING_MAX), NULL);
	assert_non_null(ring);
	assert_int_equal(keyring_count(ring), KEYRING_MAX);
	assert_string_equal(keyring_name(ring, KEYRING_MAX - 1), "key15");
	keyring_free(ring);
	assert_parse_fails(text, many_keys(text, sizeof text, KEYRING_MAX + 1), PYSTUCK_ETOOBIG);
}

static void test_keyfile_refuses_duplicate_names_and_keys(void **state)
{
	static const char names[] = LINE_1 "pystuck-key-1 ops " KEY_2 "\n";
	static const char keys[] = LINE_1 "pystuck-key-1 other " KEY_1 "\n";
	static const char prefix[] = LINE_1 "pystuck-key-1 op " KEY_2 "\n";
	struct keyring *ring;

	(void)state;
	assert_parse_fails(names, sizeof names - 1, PYSTUCK_EFORMAT);
	assert_parse_fails(keys, sizeof keys - 1, PYSTUCK_EFORMAT);
	ring = parse(prefix, sizeof prefix - 1, NULL);
	assert_non_null(ring);
	keyring_free(ring);
}

static void test_keyfile_takes_a_role_behind_the_key(void **state)
{
	static const struct {
		const char *tail;
		int role; /* -1: refused */
	} lines[] = {
		{"", ROLE_EVAL},
		{" role=none", ROLE_NONE},
		{" role=stacks", ROLE_STACKS},
		{" role=locals", ROLE_LOCALS},
		{" role=eval", ROLE_EVAL},
		{" ", -1},
		{" role=", -1},
		{" role=root", -1},
		{" role=Stacks", -1},
		{" role=stacks ", -1},
		{" role=stackss", -1},
		{"  role=stacks", -1},
		{" role=stacks role=eval", -1},
		{" ROLE=stacks", -1},
		{" stacks", -1},
		{"\trole=stacks", -1},
		{" role=stacks\r", -1},
		{" role=stackseverythingandmuchmorethanthat", -1},
	};
	static const char nul[] = "pystuck-key-1 ops " KEY_1 " role=stacks\0\n";
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		int n = snprintf(text, sizeof text, "pystuck-key-1 ops " KEY_1 "%s\n" LINE_2,
			lines[i].tail);
		struct keyring *ring = parse(text, (size_t)n, NULL);

		assert_int_equal(ring != NULL, lines[i].role >= 0);
		if (ring) {
			assert_int_equal(keyring_role(ring, 0), lines[i].role);
			assert_int_equal(keyring_role(ring, 1), ROLE_EVAL);
			assert_int_equal(keyring_role(ring, 2), ROLE_NONE);
		}
		keyring_free(ring);
	}
	assert_parse_fails(nul, sizeof nul - 1, PYSTUCK_EFORMAT);
}

static void test_keyfile_refuses_bad_names(void **state)
{
	static const char *const bad[] = {"", "a b", "a\tb", "a/b", "a:b", "@a", "\xc3\xa9",
		"a\x1b[0m", "a,b", "123456789012345678901234567890123"};
	static const char *const good[] = {"a", ".", "A-b_c.9", "12345678901234567890123456789012"};
	char text[256];
	struct keyring *ring;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		n = snprintf(text, sizeof text, "pystuck-key-1 %s " KEY_1 "\n", bad[i]);
		assert_parse_fails(text, (size_t)n, PYSTUCK_EFORMAT);
	}
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		n = snprintf(text, sizeof text, "pystuck-key-1 %s " KEY_1 "\n", good[i]);
		ring = parse(text, (size_t)n, NULL);
		assert_non_null(ring);
		assert_string_equal(keyring_name(ring, 0), good[i]);
		keyring_free(ring);
	}
}

#define BAD(text)                                                                                  \
	{                                                                                          \
		text, sizeof text - 1                                                              \
	}

static void test_keyfile_refuses_anything_but_the_format(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} bad[] = {
		BAD("pystuck-key-1 ops " KEY_1 "\r\n"),
		BAD("pystuck-key-1 ops " KEY_1 "\r"),
		BAD("pystuck-key-1 ops " KEY_1 " \n"),
		BAD("pystuck-key-1 ops " KEY_1 "x\n"),
		BAD("pystuck-key-1 ops " KEY_1 " # mine\n"),
		BAD("pystuck-key-1 ops  " KEY_1 "\n"),
		BAD("pystuck-key-1  ops " KEY_1 "\n"),
		BAD("pystuck-key-1\tops\t" KEY_1 "\n"),
		BAD(" pystuck-key-1 ops " KEY_1 "\n"),
		BAD(" \n" LINE_1),
		BAD(" # comment\n" LINE_1),
		BAD("pystuck-key-2 ops " KEY_1 "\n"),
		BAD("Pystuck-key-1 ops " KEY_1 "\n"),
		BAD("pystuck-key-1 ops\n"),
		BAD("pystuck-key-1 ops \n"),
		BAD("pystuck-key-1 " KEY_1 "\n"),
		BAD(KEY_1 "\n"),
		BAD("pystuck-key-1 ops\0" KEY_1 "\n"),
		BAD("pystuck-key-1 o\0s " KEY_1 "\n"),
		BAD("\0" LINE_1),
		BAD(LINE_1 "\0"),
		BAD(LINE_1 "\0\n"),
		BAD("\xef\xbb\xbf" LINE_1),
		/* base64: cut, unpadded, too much padding, two bytes of it, URL-safe, inner
		   newline, 31, 33 bytes */
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n"),
		BAD("pystuck-key-1 ops -_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoL\nDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops AAEC wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops AAEC=wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops ============================================\n"),
		BAD("pystuck-key-1 ops " ZERO_KEY "\n"),
		BAD(LINE_1 "pystuck-key-1 zero " ZERO_KEY "\n"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_parse_fails(bad[i].text, bad[i].len, PYSTUCK_EFORMAT);
}

static void test_keyfile_refuses_other_spellings_of_a_key(void **state)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[] = LINE_1;
	char *last = text + strlen(text) -
		     3; /* the character before the padding: 4 of its 6 bits count */
	struct keyring *ring;
	size_t i, taken = 0;

	(void)state;
	for (i = 0; i < 64; i++) {
		*last = digits[i];
		ring = parse(text, sizeof text - 1, NULL);
		assert_true((ring != NULL) == (i % 4 == 0));
		taken += ring != NULL;
		keyring_free(ring);
	}
	assert_int_equal(taken, 16);
}

static void test_keyfile_messages_never_show_key_material(void **state)
{
	static const char *const bad[] = {KEY_1 "\n", "pystuck-key-1 " KEY_1 "\n",
		"pystuck-key-1 " KEY_1 " ops\n", "pystuck-key-1 ops " KEY_1 "x\n",
		"pystuck-key-1 ops " KEY_1, "pystuck-key-1 ops " KEY_1 "\r\n",
		"pystuck-key-9 ops " KEY_1 "\n", LINE_1 "pystuck-key-1 ops " KEY_1 "\n"};
	char piece[7];
	struct diag d;
	size_t i, at;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_null(parse(bad[i], strlen(bad[i]), &d));
		for (at = 0; at + 6 <= strlen(KEY_1); at++) {
			memcpy(piece, &KEY_1[at], 6);
			piece[6] = '\0';
			assert_null(strstr(d.text, piece));
		}
	}
}

static void test_keyfile_messages_name_file_line_and_remedy(void **state)
{
	static const char text[] = "# one\n" LINE_1 "pystuck-key-1 ops " KEY_2 "\n";
	struct diag d;

	(void)state;
	assert_null(keyfile_parse(
		(struct span){(const uint8_t *)text, sizeof text - 1}, "/etc/\x1b[2Jx", &d));
	assert_string_equal(d.text, "key file /etc/\\x1b[2Jx: line 3: an earlier line has this "
				    "name or this key already");
}

static void test_keyfile_messages_tell_windows_line_ends(void **state)
{
	static const char text[] = "pystuck-key-1 ops " KEY_1 "\r\n";
	struct diag d;

	(void)state;
	assert_null(parse(text, sizeof text - 1, &d));
	assert_non_null(strstr(d.text, "line 1: a carriage return in it"));
}

static void test_keyfile_messages_survive_a_long_path(void **state)
{
	char longest[4000];
	struct diag d;

	(void)state;
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	longest[0] = '/';
	assert_null(keyfile_parse((struct span){(const uint8_t *)"#\n", 2}, longest, &d));
	assert_non_null(strstr(d.text, "no key in it; make one with pystuck --keygen"));
	assert_null(keyfile_load(longest, &d));
	assert_int_equal(d.code, PYSTUCK_ESYS); /* ENAMETOOLONG */
	assert_int_equal(d.sys, ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_keyfile_refuses_an_empty_file),
		CLAIM(test_keyfile_stops_at_the_number_of_keys),
		CLAIM(test_keyfile_refuses_duplicate_names_and_keys),
		CLAIM(test_keyfile_takes_a_role_behind_the_key),
		CLAIM(test_keyfile_refuses_bad_names),
		CLAIM(test_keyfile_refuses_anything_but_the_format),
		CLAIM(test_keyfile_refuses_other_spellings_of_a_key),
		CLAIM(test_keyfile_messages_never_show_key_material),
		CLAIM(test_keyfile_messages_name_file_line_and_remedy),
		CLAIM(test_keyfile_messages_tell_windows_line_ends),
		CLAIM(test_keyfile_messages_survive_a_long_path),
	};

	return cmocka_run_group_tests_name("keyfile text", tests, set_up_all, tear_down_all);
}
