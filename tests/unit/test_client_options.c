/*
 * test_client_options.c: the command line: defaults, and what contradicts itself. What the options
 * do is tested end to end.
 * SOURCES: src/client/options.c src/client/options_check.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <getopt.h>

#include <cmocka.h>

#include "../../src/client/options.h"

#define ARGS_MAX 8

/* options_parse of "pystuck" and the words given, up to NULL. */
static int parse(struct options *o, struct diag *d, ...)
{
	static char name[] = "pystuck";
	char *argv[ARGS_MAX + 2] = {name};
	int argc = 1;
	va_list words;
	char *word;

	memset(d, 0, sizeof *d);
	va_start(words, d);
	while (argc <= ARGS_MAX && (word = va_arg(words, char *)) != NULL)
		argv[argc++] = word;
	va_end(words);
	optind = 0; /* glibc: start anew */
	return options_parse(o, argc, argv, d);
}

static void test_options_default_to_stacks_and_a_prompt(void **state)
{
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(parse(&o, &d, NULL), 0);
	assert_int_equal(o.action, OPTIONS_CONNECT);
	assert_true(o.stacks && o.repl && !o.locals && !o.json && !o.timeout_given);
	assert_null(o.host);
	assert_null(o.socket);
	assert_int_equal(o.timeout_ms, 10000);
}

static void test_options_of_the_original_still_work(void **state)
{
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(
		parse(&o, &d, "localhost", "--no-ipython", "7777", "--no-stacks", NULL), 0);
	assert_string_equal(o.host, "localhost");
	assert_int_equal(o.port, 7777);
	assert_true(!o.stacks && !o.repl);
	assert_int_equal(parse(&o, &d, "localhost", NULL), 0);
	assert_int_equal(o.port, 6666);
}

static void test_options_a_command_prints_no_stacks_and_opens_no_prompt(void **state)
{
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(parse(&o, &d, "-c", "1+1", NULL), 0);
	assert_string_equal(o.command, "1+1");
	assert_true(!o.stacks && !o.repl);
	assert_int_equal(parse(&o, &d, "--json", NULL), 0);
	assert_true(o.stacks && !o.repl && o.json);
	assert_int_equal(parse(&o, &d, "--json", "--no-stacks", NULL), 0);
	assert_true(!o.stacks && o.repl && o.json);
}

static void test_options_timeout_takes_fractions_and_has_bounds(void **state)
{
	static char *const bad[] = {"", "x", "0", "-1", "nan", "inf", "1e9", "1 s"};
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(parse(&o, &d, "--timeout", "0.25", NULL), 0);
	assert_int_equal(o.timeout_ms, 250);
	assert_true(o.timeout_given);
	assert_int_equal(parse(&o, &d, "--timeout=0.0001", NULL), 0);
	assert_int_equal(o.timeout_ms, 1);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(parse(&o, &d, "--timeout", bad[i], NULL), PYSTUCK_EINVAL);
}

static void test_options_a_lone_port_is_told_from_a_host(void **state)
{
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(parse(&o, &d, "6666", NULL), PYSTUCK_EINVAL);
	assert_non_null(strstr(d.text, "pystuck 127.0.0.1 6666"));
	assert_int_equal(parse(&o, &d, "10.0.0.1", "6666", NULL), 0);
}

static void test_options_that_contradict_each_other_are_refused(void **state)
{
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(parse(&o, &d, "--socket", "s", "--pid", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--socket", "s", "host", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--pid", "1", "host", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--inject", "1", "--pid", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--unit", "app", "--pid", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--unit", "app", "--list", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--list", "host", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--list", "-c", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--keygen", "k", "host", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--key-name", "n", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--role", "stacks", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--add", "host", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--key-name", "n", "host", NULL), 0);
	assert_int_equal(parse(&o, &d, "--keygen", "k", "--add", "--role", "eval", NULL), 0);
	assert_int_equal(parse(&o, &d, "--json", "--no-stacks", "--no-repl", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--locals", "--no-stacks", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--locals", "-c", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--json", "-c", "1", "--no-stacks", NULL), 0);
	assert_int_equal(parse(&o, &d, "--children", "host", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--children", "-c", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--children", "--no-stacks", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--all", "--pid", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--all", "--children", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--all", "--list", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--children", "--locals", "--unit", "app", NULL), 0);
	assert_true(o.children && o.stacks && !o.repl);
	assert_int_equal(parse(&o, &d, "--watch", "2", "--children", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--watch", "0", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--diff", "a", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--merge", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--merge", "a", "--watch", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--merge", "a", "b", "c", NULL), 0);
	assert_true(o.action == OPTIONS_MERGE && o.file_count == 3 && o.host == NULL);
	assert_int_equal(parse(&o, &d, "--watch", "2", "-c", "1", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--watch", "0.01", NULL), 0);
	assert_true(o.watch_ms == 100 && !o.repl);
}

static void test_options_mistakes_name_the_word_and_the_help(void **state)
{
	struct options o;
	struct diag d;

	(void)state;
	assert_int_equal(parse(&o, &d, "--nonsense", NULL), PYSTUCK_EINVAL);
	assert_string_equal(d.text, "unknown option --nonsense; see pystuck --help");
	assert_int_equal(parse(&o, &d, "-hx", NULL), 0);
	assert_int_equal(o.action, OPTIONS_HELP);
	assert_int_equal(parse(&o, &d, "-x", NULL), PYSTUCK_EINVAL);
	assert_string_equal(d.text, "unknown option -x; see pystuck --help");
	assert_int_equal(parse(&o, &d, "--socket", NULL), PYSTUCK_EINVAL);
	assert_string_equal(d.text, "--socket needs a value; see pystuck --help");
	assert_int_equal(parse(&o, &d, "--json=1", NULL), PYSTUCK_EINVAL);
	assert_string_equal(d.text, "--json=1 takes no value; see pystuck --help");
	assert_int_equal(parse(&o, &d, "a", "1", "b", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--color=blue", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--pid", "12x", NULL), PYSTUCK_EINVAL);
	assert_int_equal(parse(&o, &d, "--inject", "0", NULL), PYSTUCK_EINVAL);
}

static void test_options_help_fits_a_small_terminal(void **state)
{
	size_t lines = 0, width = 0;

	(void)state;
	for (const char *p = options_help(); *p != '\0'; p++) {
		width = *p == '\n' ? 0 : width + 1;
		lines += *p == '\n';
		assert_true(width < 80);
	}
	assert_true(lines <= 39); /* of 40: one is left for the next prompt */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_default_to_stacks_and_a_prompt),
		cmocka_unit_test(test_options_of_the_original_still_work),
		cmocka_unit_test(test_options_a_command_prints_no_stacks_and_opens_no_prompt),
		cmocka_unit_test(test_options_timeout_takes_fractions_and_has_bounds),
		cmocka_unit_test(test_options_a_lone_port_is_told_from_a_host),
		cmocka_unit_test(test_options_that_contradict_each_other_are_refused),
		cmocka_unit_test(test_options_mistakes_name_the_word_and_the_help),
		cmocka_unit_test(test_options_help_fits_a_small_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
