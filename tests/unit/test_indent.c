/*
 * test_indent.c: the indentation of the line after an unfinished input. Whether an input is
 * unfinished is Python's to say and tested end to end. The file under test is included whole: the
 * python room is not linked with the unit tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/python/indent.c"

/* Scans a copy without a byte after it, so that sanitizers see a read too far. */
static void next_is(const char *text, const char *expected)
{
	size_t len = strlen(text);
	char *copy = malloc(len > 0 ? len : 1);
	struct indent end;
	char out[64];

	assert_non_null(copy);
	memcpy(copy, text, len);
	indent_scan(&end, copy, len);
	indent_next(&end, out, sizeof out);
	assert_string_equal(out, expected);
	free(copy);
}

static void test_indent_grows_after_a_block_opener(void **state)
{
	(void)state;
	next_is("if x:", "    ");
	next_is("if x:  # why", "    ");
	next_is("def f(a,\n      b):", "          ");
	next_is("while 1:\n  if 2:", "      ");
	next_is("for i in x:\n\tif y:", "\t\t");
}

static void test_indent_stays_inside_a_block(void **state)
{
	(void)state;
	next_is("", "");
	next_is("@decorated", "");
	next_is("if x:\n    y", "    ");
	next_is("if x:\n    y\n", "");
	next_is("x = \\", "");
}

static void test_indent_colon_in_brackets_opens_no_block(void **state)
{
	(void)state;
	next_is("x = {1:", "");
	next_is("x[1:", "");
	next_is("x = {1: 2}\nif x:", "    ");
	next_is(")))if x:", "    ");
}

static void test_indent_colon_in_string_or_comment_opens_no_block(void **state)
{
	(void)state;
	next_is("x = 'a:'", "");
	next_is("x # y:", "");
	next_is("  '''text:", "");
	next_is("'''\n  text:", "");
	next_is("'''a\\''':", "");
	next_is("'it\\'s:", "");
	next_is("'unfinished:\nif x:", "    ");
	next_is("'''done''' if x else y:", "    ");
	next_is("'\\", "");
}

static void test_indent_is_cut_to_the_room_there_is(void **state)
{
	static const char text[] = "          if x:";
	struct indent end;
	char out[8] = "1234567";

	(void)state;
	indent_scan(&end, text, sizeof text - 1);
	indent_next(&end, out, sizeof out);
	assert_string_equal(out, "       ");
	indent_next(&end, out, 1);
	assert_string_equal(out, "");
}

static void test_indent_knows_whether_the_last_line_is_indented(void **state)
{
	struct indent end;

	(void)state;
	indent_scan(&end, "if x:\n  y", 9);
	assert_true(end.indented);
	indent_scan(&end, "if x:\n  y\n", 10);
	assert_false(end.indented);
	indent_scan(&end, "if x:\n  y\n  ", 12);
	assert_false(end.indented);
	indent_scan(&end, "x", 1);
	assert_false(end.indented);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_indent_grows_after_a_block_opener),
		cmocka_unit_test(test_indent_stays_inside_a_block),
		cmocka_unit_test(test_indent_colon_in_brackets_opens_no_block),
		cmocka_unit_test(test_indent_colon_in_string_or_comment_opens_no_block),
		cmocka_unit_test(test_indent_is_cut_to_the_room_there_is),
		cmocka_unit_test(test_indent_knows_whether_the_last_line_is_indented),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
