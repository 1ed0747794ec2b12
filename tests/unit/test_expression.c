/*
 * test_expression.c: which object a piece of source code is about. The python room is not linked into unit tests; this file of it
 * needs no Python.
 */
#include "../../src/python/expression.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static struct span text(const char *s)
{
	return (struct span){(const uint8_t *)s, strlen(s)};
}

static void check(struct span got, const char *want)
{
	char copy[OBJECT_MAX + 1];

	assert_true(got.len <= OBJECT_MAX);
	memcpy(copy, got.data, got.len);
	copy[got.len] = '\0';
	assert_string_equal(copy, want);
}

static void test_expression_is_the_object_of_a_call_that_waits(void **state)
{
	static const char *const pairs[][2] = {
		{"lock.acquire()", "lock"},
		{"self._lock.acquire(timeout=5)", "self._lock"},
		{"d['a)b(']['.get('].acquire()", "d['a)b(']['.get(']"},
		{"pool.submit(f, (1, 2)).result()", "pool.submit(f, (1, 2))"},
		{"a.b.wait_for(lambda: f())", "a.b"},
		{"q.get(\"it's\")", "q"},
		{"lock", "lock"},
		{"self.pool.cond", "self.pool.cond"},
		{"iter(q.get, None)", ""},
		{"work()", ""},
		{"x.frobnicate()", ""},
		{"a if b else c", ""},
		{"acquire()", ""},
		{"(a or b).acquire()", "(a or b)"},
		{"", ""},
		{")", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		check(expression_object(text(pairs[i][0]), 0), pairs[i][1]);
}

static void test_expression_behind_a_with_is_itself(void **state)
{
	(void)state;
	check(expression_object(text("lock"), 1), "lock");
	check(expression_object(text(" self.locks[key] "), 1), "self.locks[key]");
	check(expression_object(text("get_lock(1)"), 1), "get_lock(1)");
	check(expression_object(text("self.lock.acquire()"), 1), "self.lock");
}

static void test_expression_in_a_line_is_said_only_when_it_is_clear(void **state)
{
	static const char *const pairs[][2] = {
		{"with lock:", "lock"},
		{"with lock: pass", "lock"},
		{"with self._lock as l:", "self._lock"},
		{"with d[1:2]: pass", "d[1:2]"},
		{"with a, b:", ""},
		{"with open(p, 'r') as f:", "open(p, 'r')"},
		{"if not lock.acquire(timeout=1):", "lock"},
		{"x = self.queue.get()", "self.queue"},
		{"a.acquire(); b.acquire()", ""},
		{"value = table['k'].acquire(False)", "table['k']"},
		{"nothing here", ""},
		{"with", ""},
		{"with ", ""},
		{".get(", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		check(expression_in_line(text(pairs[i][0])), pairs[i][1]);
}

static void test_expression_that_is_too_long_is_none(void **state)
{
	char line[1000];

	(void)state;
	memset(line, 'a', sizeof line);
	assert_int_equal(expression_object((struct span){(const uint8_t *)line, sizeof line}, 1).len, 0);
	assert_int_equal(expression_object((struct span){(const uint8_t *)line, OBJECT_MAX}, 1).len, OBJECT_MAX);
}

/* Bytes of all kinds, from memory of exactly their length: nothing is read behind it. */
static void test_expression_reads_no_further_than_the_text(void **state)
{
	static const char alphabet[] = "a.()[]{}'\"\\, :w";

	(void)state;
	srand(1);
	for (int round = 0; round < 50000; round++) {
		size_t len = (size_t)rand() % 24;
		uint8_t *s = malloc(len > 0 ? len : 1);

		assert_non_null(s);
		for (size_t i = 0; i < len; i++)
			s[i] = (uint8_t)alphabet[(size_t)rand() % (sizeof alphabet - 1)];
		assert_true(expression_object((struct span){s, len}, round & 1).len <= len);
		assert_true(expression_in_line((struct span){s, len}).len <= len);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expression_is_the_object_of_a_call_that_waits),
		cmocka_unit_test(test_expression_behind_a_with_is_itself),
		cmocka_unit_test(test_expression_in_a_line_is_said_only_when_it_is_clear),
		cmocka_unit_test(test_expression_that_is_too_long_is_none),
		cmocka_unit_test(test_expression_reads_no_further_than_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
