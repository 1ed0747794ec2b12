/*
 * test_audit_text.c: an event as a line, as fields of the journal, as a line of syslog: nothing that
 * a client, a hook or a name may hold forges one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "../../src/auth/audit_private.h"
#include "journal_fields.h"

#define FIELDS 32
#define HUGE_LEN 100000u

static struct buf out;

static int setup(void **state)
{
	(void)state;
	audit_text_init();
	buf_init(&out, AUDIT_DATAGRAM_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_free(&out);
	return 0;
}

static struct audit_event full(enum audit_action action)
{
	return (struct audit_event){.action = action,
		.session = 7,
		.uid = 1000,
		.pid = 4242,
		.key = "ci",
		.address = "10.0.0.7:5123",
		.listener = "/run/app.sock",
		.role = ROLE_EVAL,
		.reason = span_text("a reason"),
		.source = span_text("1+1"),
		.duration_us = 12345678,
		.evals = 3,
		.dumps = 1,
		.lost = 9};
}

static const char *line(const struct audit_event *e)
{
	buf_clear(&out);
	assert_int_equal(audit_text(&out, e, AUDIT_LINE_SOURCE), 0);
	assert_int_equal(buf_put_u8(&out, 0), 0);
	return (const char *)buf_bytes(&out);
}

static int journal(const struct audit_event *e, struct journal_field fields[FIELDS])
{
	int n;

	buf_clear(&out);
	assert_int_equal(audit_text_journal(&out, e, AUDIT_SOURCE_MAX), 0);
	n = journal_fields(buf_span(&out), fields, FIELDS);
	assert_true(n > 0);
	return n;
}

static void has(const struct journal_field *fields, int n, const char *name, const char *value)
{
	struct span got = journal_value(fields, n, name);

	if (got.data == NULL || !span_equals(got, value))
		fail_msg("%s is \"%.*s\", not \"%s\"", name, (int)got.len,
			got.data != NULL ? (const char *)got.data : "", value);
}

static void test_audit_text_says_each_event_in_words(void **state)
{
	struct audit_event e = full(AUDIT_EVAL);

	(void)state;
	e.key = e.address = NULL;
	e.reason.len = 0;
	assert_string_equal(line(&e), "eval: uid 1000, pid 4242, role eval, session 7: 1+1");
	e = full(AUDIT_REFUSE);
	e.uid = (uid_t)-1;
	e.pid = 0;
	e.key = NULL;
	e.role = ROLE_NONE;
	assert_string_equal(line(&e), "refuse: 10.0.0.7:5123, session 7: a reason");
	e.key = "ci";
	assert_string_equal(line(&e), "refuse: key ci from 10.0.0.7:5123, session 7: a reason");
	e.action = AUDIT_DISCONNECT;
	e.role = ROLE_STACKS;
	assert_string_equal(line(&e),
		"disconnect: key ci from 10.0.0.7:5123, role stacks, session 7, after 12.345 s, "
		"3 evaluations, 1 dumps: a reason");
	e = (struct audit_event){
		.action = AUDIT_LOST, .uid = (uid_t)-1, .lost = 9, .reason = span_text("why")};
	assert_string_equal(line(&e), "lost: 9 events: why");
}

static void test_audit_text_has_every_field_of_the_journal(void **state)
{
	struct journal_field fields[FIELDS];
	struct audit_event e = full(AUDIT_EVAL);
	int n = journal(&e, fields);

	(void)state;
	has(fields, n, "PRIORITY", "5");
	has(fields, n, "SYSLOG_FACILITY", "10");
	has(fields, n, "SYSLOG_IDENTIFIER", "pystuck");
	has(fields, n, "PYSTUCK_ACTION", "eval");
	has(fields, n, "PYSTUCK_SESSION", "7");
	has(fields, n, "PYSTUCK_UID", "1000");
	has(fields, n, "PYSTUCK_PID", "4242");
	has(fields, n, "PYSTUCK_KEY", "ci");
	has(fields, n, "PYSTUCK_ADDRESS", "10.0.0.7:5123");
	has(fields, n, "PYSTUCK_LISTENER", "/run/app.sock");
	has(fields, n, "PYSTUCK_ROLE", "eval");
	has(fields, n, "PYSTUCK_REASON", "a reason");
	has(fields, n, "PYSTUCK_SOURCE", "1+1");
	has(fields, n, "PYSTUCK_SOURCE_BYTES", "3");
	assert_int_equal(n, 15); /* and MESSAGE */
	e.action = AUDIT_DISCONNECT;
	n = journal(&e, fields);
	has(fields, n, "PYSTUCK_DURATION_US", "12345678");
	has(fields, n, "PYSTUCK_EVALS", "3");
	has(fields, n, "PYSTUCK_DUMPS", "1");
	assert_null(journal_value(fields, n, "PYSTUCK_SOURCE").data);
	e.action = AUDIT_LOST;
	n = journal(&e, fields);
	has(fields, n, "PYSTUCK_LOST", "9");
	/* What is not known is not said: uid -1 least of all. */
	e = (struct audit_event){.action = AUDIT_CONNECT, .uid = (uid_t)-1};
	n = journal(&e, fields);
	assert_int_equal(n, 5);
}

/* What somebody may try to get into the log. */
static const char *const evil[] = {
	"\n",
	"x\nPYSTUCK_UID=0\n",
	"x\n\nMESSAGE=root came\n",
	"PYSTUCK_ROLE=eval",
	"\nPYSTUCK_ROLE\n\x04\0\0\0\0\0\0\0eval\n",
	"x\r<0>kernel: root came",
	"\x1b[2J\x1b]0;owned\x07",
	"\x9b"
	"2J\xc2\x9b",
	"\xff\xfe\xc0\xaf\xed\xa0\x80",
	"\xe2\x80\xae"
	"dlrow\xe2\x80\xa8",
	"\x7f\x08\x08\x08",
	"%s%n%s",
	"",
};

enum field { IN_KEY, IN_ADDRESS, IN_LISTENER, IN_REASON, IN_SOURCE, INS };

static void put_into(struct audit_event *e, enum field where, const char *text, size_t len)
{
	struct span raw = {(const uint8_t *)text, len};

	if (where == IN_KEY)
		e->key = text;
	else if (where == IN_ADDRESS)
		e->address = text;
	else if (where == IN_LISTENER)
		e->listener = text;
	else if (where == IN_REASON)
		e->reason = raw;
	else
		e->source = raw;
}

/* The same fields, once each and in the same order, as an event with harmless text has. */
static void forges_nothing(const struct audit_event *e)
{
	struct journal_field want[FIELDS], got[FIELDS];
	struct audit_event tame = full(e->action);
	struct span names[FIELDS];
	char copy[4096];
	size_t used = 0;
	int n = journal(&tame, want);
	int i = 0, m;

	for (int k = 0; k < n; k++) {
		memcpy(copy + used, want[k].name.data, want[k].name.len);
		names[k] = (struct span){(uint8_t *)copy + used, want[k].name.len};
		used += want[k].name.len;
	}
	m = journal(e, got);
	for (int k = 0; k < m; k++) {
		/* What is empty, or cut, adds or takes away a field of its own and no other. */
		while (i < n && (names[i].len != got[k].name.len ||
				       memcmp(names[i].data, got[k].name.data, names[i].len) != 0))
			i++;
		if (i == n && !span_equals(got[k].name, "PYSTUCK_SOURCE_BLAKE2B"))
			fail_msg("a field too many: %.*s", (int)got[k].name.len,
				(const char *)got[k].name.data);
		assert_true(journal_is_safe(
			got[k].value, span_equals(got[k].name, "PYSTUCK_SOURCE")));
	}
	has(got, m, "PYSTUCK_UID", "1000");
	has(got, m, "PYSTUCK_ROLE", "eval");
	assert_non_null(journal_value(got, m, "MESSAGE").data);
	buf_clear(&out);
	assert_int_equal(audit_text_syslog(&out, e, 77), 0);
	assert_true(journal_is_safe(buf_span(&out), 0));
	assert_memory_equal(buf_bytes(&out) + 4, "pystuck[77]: ", 13);
}

static void test_audit_text_nothing_in_any_field_forges_a_line_or_a_field(void **state)
{
	(void)state;
	for (int action = 0; action < AUDIT_ACTIONS; action++)
		for (int where = 0; where < INS; where++)
			for (size_t i = 0; i < sizeof(evil) / sizeof(evil[0]); i++) {
				struct audit_event e = full((enum audit_action)action);
				size_t len = i == 4 ? 28 : strlen(evil[i]);

				put_into(&e, (enum field)where, evil[i], len);
				forges_nothing(&e);
			}
}

static void test_audit_text_a_huge_text_in_any_field_is_cut(void **state)
{
	static char huge[HUGE_LEN + 1];
	const char fill[] = {'x', '\n', '\x1b', '\xff', '\xc3'};

	(void)state;
	for (size_t f = 0; f < sizeof(fill); f++)
		for (int where = 0; where < INS; where++) {
			struct audit_event e = full(AUDIT_EVAL);

			memset(huge, fill[f], HUGE_LEN);
			put_into(&e, (enum field)where, huge, HUGE_LEN);
			forges_nothing(&e);
		}
}

static void test_audit_text_the_worst_event_fits_into_a_datagram(void **state)
{
	static char huge[HUGE_LEN + 1];
	struct audit_event e = full(AUDIT_EVAL);

	(void)state;
	memset(huge, '\x1b', HUGE_LEN);
	for (int where = 0; where < INS; where++)
		put_into(&e, (enum field)where, huge, HUGE_LEN);
	forges_nothing(&e);
}

static void test_audit_text_a_source_of_several_lines_stays_one_in_the_journal(void **state)
{
	struct journal_field fields[FIELDS];
	struct audit_event e = full(AUDIT_EVAL);
	const char *source = "def f():\n\treturn 1\nPYSTUCK_UID=0\n";
	int n;

	(void)state;
	e.source = span_text(source);
	n = journal(&e, fields);
	has(fields, n, "PYSTUCK_SOURCE", source);
	has(fields, n, "PYSTUCK_UID", "1000");
	assert_non_null(strstr(line(&e), "def f():\\x0a\\x09return 1\\x0aPYSTUCK_UID=0\\x0a"));
}

static void test_audit_text_of_a_long_source_there_are_the_beginning_the_length_and_the_hash(
	void **state)
{
	static uint8_t source[AUDIT_SOURCE_MAX + 1];
	struct journal_field fields[FIELDS];
	struct audit_event e = full(AUDIT_EVAL);
	uint8_t hash[AUDIT_HASH];
	char hex[2 * AUDIT_HASH + 1];
	int n;

	(void)state;
	memset(source, 'a', sizeof(source));
	e.source = (struct span){source, AUDIT_SOURCE_MAX};
	n = journal(&e, fields);
	assert_int_equal(journal_value(fields, n, "PYSTUCK_SOURCE").len, AUDIT_SOURCE_MAX);
	assert_null(journal_value(fields, n, "PYSTUCK_SOURCE_BLAKE2B").data);
	e.source.len = sizeof(source);
	n = journal(&e, fields);
	assert_int_equal(journal_value(fields, n, "PYSTUCK_SOURCE").len, AUDIT_SOURCE_MAX);
	has(fields, n, "PYSTUCK_SOURCE_BYTES", "4097");
	crypto_generichash(hash, sizeof(hash), source, sizeof(source), NULL, 0);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	has(fields, n, "PYSTUCK_SOURCE_BLAKE2B", hex);
	assert_non_null(strstr(line(&e), hex));
	assert_true(strlen(line(&e)) < 2 * AUDIT_LINE_SOURCE);
	/* The hash of "abc", by another program. */
	e.source = span_text("abc");
	audit_source_hash(&e, 2, hex);
	assert_string_equal(
		hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_audit_text_says_each_event_in_words),
		T(test_audit_text_has_every_field_of_the_journal),
		T(test_audit_text_nothing_in_any_field_forges_a_line_or_a_field),
		T(test_audit_text_a_huge_text_in_any_field_is_cut),
		T(test_audit_text_the_worst_event_fits_into_a_datagram),
		T(test_audit_text_a_source_of_several_lines_stays_one_in_the_journal),
		T(test_audit_text_of_a_long_source_there_are_the_beginning_the_length_and_the_hash),
	};

	return cmocka_run_group_tests_name("audit_text", tests, NULL, NULL);
}
