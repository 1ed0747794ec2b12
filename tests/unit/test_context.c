/*
 * test_context.c: what is being typed at the end of a text. What there is to complete it with is Python's to say and tested end
 * to end. The file under test is included whole: the python room is not linked with the unit tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../src/python/context.c"

static char *copy;
static struct context found;

/* Looks at a copy without a byte after it, so that sanitizers see a read too far. */
static void look(const char *text)
{
	size_t len = strlen(text);

	free(copy);
	copy = malloc(len > 0 ? len : 1);
	assert_non_null(copy);
	memcpy(copy, text, len);
	context_find(&found, copy, len);
	assert_true(found.from <= len);
}

static void part_is(struct context_part part, const char *expected)
{
	assert_int_equal(part.len, strlen(expected));
	assert_memory_equal(copy + part.at, expected, part.len);
}

/* The kind, the object, and the word that is replaced. */
static void is(const char *text, enum context_kind kind, const char *object, const char *word)
{
	look(text);
	assert_int_equal(found.kind, kind);
	assert_string_equal(text + found.from, word);
	if (object != NULL)
		part_is(found.object, object);
}

static int finish(void **state)
{
	(void)state;
	free(copy);
	copy = NULL;
	return 0;
}

static void test_context_of_names(void **state)
{
	(void)state;
	is("", CONTEXT_NAME, NULL, "");
	is("ab", CONTEXT_NAME, NULL, "ab");
	is("x = foo(1) + b_2", CONTEXT_NAME, NULL, "b_2");
	is("if x:\n    y", CONTEXT_NAME, NULL, "y");
	is("gr\xc3\xb6", CONTEXT_NAME, NULL, "gr\xc3\xb6");
	is("12", CONTEXT_NOTHING, NULL, "12");
	is("x  # com", CONTEXT_NOTHING, NULL, "");
	is("x  # com\ny", CONTEXT_NAME, NULL, "y");
}

static void test_context_of_attributes(void **state)
{
	(void)state;
	is("os.", CONTEXT_ATTRIBUTE, "os", "");
	is("f(os.path.ex", CONTEXT_ATTRIBUTE, "os.path", "ex");
	is("-modules['os'].getp", CONTEXT_ATTRIBUTE, "modules['os']", "getp");
	is("a[0][\"k]\"].b.c", CONTEXT_ATTRIBUTE, "a[0][\"k]\"].b", "c");
	is("'abc'.up", CONTEXT_ATTRIBUTE, "'abc'", "up");
	is("f().x", CONTEXT_NOTHING, NULL, "x");
	is("1.x", CONTEXT_NOTHING, NULL, "x");
	is(".x", CONTEXT_NOTHING, NULL, "x");
	is("b'x'.de", CONTEXT_NOTHING, NULL, "de");
}

static void test_context_of_keys(void **state)
{
	(void)state;
	is("d['us", CONTEXT_KEY, "d", "us");
	assert_int_equal(found.quote, '\'');
	is("d[ \"us er", CONTEXT_KEY, "d", "us er");
	assert_int_equal(found.quote, '"');
	is("m.d[", CONTEXT_KEY, "m.d", "");
	assert_int_equal(found.quote, 0);
	is("d[3", CONTEXT_KEY, "d", "3");
	is("d[x.y", CONTEXT_ATTRIBUTE, "x", "y");
	is("d['a']['b", CONTEXT_KEY, "d['a']", "b");
	is("['us", CONTEXT_FILE, NULL, "us");
	is("d[f'us", CONTEXT_FILE, NULL, "us");
	is("d[1, 'us", CONTEXT_FILE, NULL, "us");
}

static void test_context_of_strings(void **state)
{
	(void)state;
	is("open('/etc/pa", CONTEXT_FILE, NULL, "/etc/pa");
	is("open(\"\"\"/etc", CONTEXT_FILE, NULL, "/etc");
	is("open('''/", CONTEXT_FILE, NULL, "/");
	is("'it\\'s", CONTEXT_FILE, NULL, "it\\'s");
	is("''", CONTEXT_NAME, NULL, "");
	is("'''", CONTEXT_FILE, NULL, "");
	is("'ends\nx", CONTEXT_NAME, NULL, "x");
	is("'\\", CONTEXT_FILE, NULL, "\\");
}

static void test_context_of_imports(void **state)
{
	(void)state;
	is("import o", CONTEXT_IMPORT, NULL, "o");
	is("import os, xml.d", CONTEXT_IMPORT, NULL, "xml.d");
	is("from xml.d", CONTEXT_IMPORT, NULL, "xml.d");
	is("from os.path import ex", CONTEXT_FROM, "os.path", "ex");
	is("from os import (a, b", CONTEXT_FROM, "os", "b");
	is("x = 1; import o", CONTEXT_IMPORT, NULL, "o");
	is("important", CONTEXT_NAME, NULL, "important");
	is("from_here", CONTEXT_NAME, NULL, "from_here");
}

static void test_context_of_calls(void **state)
{
	(void)state;
	look("f(");
	assert_true(found.has_call);
	part_is(found.callee, "f");
	look("g(1)(a.b.h(x, [1, (2, 3)], y");
	assert_true(found.has_call);
	part_is(found.callee, "a.b.h");
	look("f(x)");
	assert_false(found.has_call);
	look("f(1, (2,");
	assert_false(found.has_call);
	look("%time f(a");
	assert_true(found.has_call);
	part_is(found.callee, "f");
}

static void test_context_of_commands(void **state)
{
	(void)state;
	is("%stacks Main", CONTEXT_ARGUMENT, "%stacks", "Main");
	is("%frame a ", CONTEXT_ARGUMENT, "%frame", "");
	is("%sta", CONTEXT_NOTHING, NULL, "");
	is("%time os.pa", CONTEXT_ATTRIBUTE, "os", "pa");
	is("  %main x", CONTEXT_NAME, NULL, "x");
	is("a %stacks", CONTEXT_NAME, NULL, "stacks");
}

static void steps_are(const char *row, const char *expected)
{
	const char *at = row, *end = row + strlen(row);
	struct context_step step;
	char text[200] = "";
	int rc, first = 1;

	while ((rc = context_step(&step, &at, end, first)) == 1) {
		char one[64];

		if (step.kind == CONTEXT_STEP_INDEX)
			snprintf(one, sizeof one, "<%ld>", step.index);
		else
			snprintf(one, sizeof one, "%c%.*s", "nkis"[step.kind], (int)step.len, step.text);
		strcat(text, one);
		strcat(text, " ");
		first = 0;
	}
	strcat(text, rc == 0 ? "end" : "no");
	assert_string_equal(text, expected);
}

static void test_context_steps(void **state)
{
	(void)state;
	steps_are("a", "na end");
	steps_are("a.bc['d e'][-3][ \"x\" ]", "na nbc kd e <-3> kx end");
	steps_are("'s'.x", "ss nx end");
	steps_are("a['b\\n']", "na no");
	steps_are("a[1:2]", "na no");
	steps_are("a[b]", "na no");
	steps_are("a[99999999999999999999]", "na no");
	steps_are("a.", "na no");
	steps_are("", "end");
}

static void test_context_of_what_is_deeper_than_it_counts(void **state)
{
	char text[400] = "";

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(text, "(");
	strcat(text, "f(a.b");
	is(text, CONTEXT_ATTRIBUTE, "a", "b");
	assert_true(found.has_call);
	part_is(found.callee, "f");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_context_of_names, finish),
		cmocka_unit_test_teardown(test_context_of_attributes, finish),
		cmocka_unit_test_teardown(test_context_of_keys, finish),
		cmocka_unit_test_teardown(test_context_of_strings, finish),
		cmocka_unit_test_teardown(test_context_of_imports, finish),
		cmocka_unit_test_teardown(test_context_of_calls, finish),
		cmocka_unit_test_teardown(test_context_of_commands, finish),
		cmocka_unit_test(test_context_steps),
		cmocka_unit_test_teardown(test_context_of_what_is_deeper_than_it_counts, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
