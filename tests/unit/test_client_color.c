/*
 * test_client_color.c: what is painted in values and tracebacks. That nothing else comes out is fuzz_color.c's to show.
 * SOURCES: src/client/color.c
 */
#include "../../src/client/color.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The text with {s...} for a string, {n} a number, {c} a constant or keyword, {e} an exception, {m} marks, {f} a function. */
static void assert_painted(int (*color)(struct buf *, struct span), const char *text, const char *expected)
{
	static const struct {
		const char *sequence, *mark;
	} marks[] = {{"\033[32m", "{s"}, {"\033[36m", "{n"}, {"\033[35m", "{c"}, {"\033[1;31m", "{e"}, {"\033[31m", "{m"},
		{"\033[34m", "{f"}, {"\033[0m", "}"}};
	struct buf out, got;

	buf_init(&out, 4096);
	buf_init(&got, 4096);
	assert_int_equal(color(&out, span_text(text)), 0);
	assert_int_equal(buf_put(&out, "", 1), 0);
	for (const char *at = (const char *)buf_bytes(&out); *at != '\0';) {
		size_t i = 0, count = sizeof marks / sizeof marks[0];

		while (i < count && strncmp(at, marks[i].sequence, strlen(marks[i].sequence)) != 0)
			i++;
		if (i < count) {
			assert_int_equal(buf_put(&got, marks[i].mark, strlen(marks[i].mark)), 0);
			at += strlen(marks[i].sequence);
		} else {
			assert_int_equal(buf_put(&got, at++, 1), 0);
		}
	}
	assert_int_equal(buf_put(&got, "", 1), 0);
	assert_string_equal((const char *)buf_bytes(&got), expected);
	buf_free(&out);
	buf_free(&got);
}

static void test_color_values(void **state)
{
	(void)state;
	assert_painted(color_value, "", "");
	assert_painted(color_value, "{'a': [1, -2.5e-3, 0x7f], b: None}", "{{s'a'}: [{n1}, -{n2.5e-3}, {n0x7f}], b: {cNone}}");
	assert_painted(color_value, "Point(x=1, name_2='it\\'s', rest=inf)", "Point(x={n1}, name_2={s'it\\'s'}, rest={cinf})");
	assert_painted(color_value, "b'x' rb\"y\" bad'z'", "{sb'x'} {srb\"y\"} bad{s'z'}");
	assert_painted(color_value, "x1 1x Nones True", "x1 {n1x} Nones {cTrue}");
	assert_painted(color_value, "1-2", "{n1}-{n2}");
}

static void test_color_a_string_ends_with_its_line(void **state)
{
	(void)state;
	assert_painted(color_value, "['cut\n1, '", "[{s'cut}\n{n1}, {s'}");
	assert_painted(color_value, "'a\\", "{s'a\\}");
	assert_painted(color_value, "'a\\\n1", "{s'a\\}\n{n1}");
}

static void test_color_what_a_program_sends_is_never_obeyed(void **state)
{
	(void)state;
	assert_painted(color_value, "'\033[31m' \x9b", "{s'\\x1b[31m'} \\x9b");
}

static void test_color_tracebacks(void **state)
{
	(void)state;
	assert_painted(color_traceback,
		"Traceback (most recent call last):\n"
		"  File \"a \"b.py\", line 12, in f\n"
		"    return {}['k']  # 'why'\n"
		"           ~~^^^^^\n"
		"KeyError: 'k'\n",
		"Traceback (most recent call last):\n"
		"  File \"{na \"b.py}\", line {s12}, in {ff}\n"
		"    {creturn} {}[{s'k'}]  # 'why'\n"
		"{m           ~~^^^^^}\n"
		"{eKeyError}: 'k'\n");
	assert_painted(color_traceback, "json.decoder.JSONDecodeError: two\nlines: here\n",
		"{ejson.decoder.JSONDecodeError}: two\nlines: here\n");
	assert_painted(color_traceback, "KeyboardInterrupt", "{eKeyboardInterrupt}");
	assert_painted(color_traceback, "  File \"unfinished", "  File \"unfinished");
	assert_painted(color_traceback, "  |     raise E('x')\n  | E: x\n", "  |     {craise} E({s'x'})\n  | {eE}: x\n");
}

static void test_color_a_text_without_room_is_an_error(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 8);
	assert_int_not_equal(color_value(&out, span_text("'much too long'")), 0);
	buf_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_color_values),
		cmocka_unit_test(test_color_a_string_ends_with_its_line),
		cmocka_unit_test(test_color_what_a_program_sends_is_never_obeyed),
		cmocka_unit_test(test_color_tracebacks),
		cmocka_unit_test(test_color_a_text_without_room_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
