/*
 * test_client_complete.c: the list of what could go on, and what is completed without a server. Asking one is tested end to end.
 * SOURCES: src/client/complete.c src/client/complete_local.c src/client/out.c src/client/signals.c src/client/connect.c
 * SOURCES: src/client/gone.c src/client/handshake.c src/client/procs.c
 */
#include "place.h"

#include <fcntl.h>
#include <locale.h>

#include "../../src/client/complete_local.h"

static struct complete of(const char *const *matches)
{
	struct complete c = {.from = 0};

	for (; *matches != NULL; matches++)
		assert_int_equal(complete_add(&c, *matches), 0);
	c.total = c.count;
	return c;
}

static void test_complete_common_ends_at_a_whole_character(void **state)
{
	static const char *const some[] = {"print", "property", NULL}, *const umlauts[] = {"x\xc3\xa4", "x\xc3\xb6", NULL};
	struct complete c = of(some);

	(void)state;
	assert_int_equal(complete_common(&c), 2);
	complete_free(&c);
	c = of(umlauts);
	assert_int_equal(complete_common(&c), 1);
	complete_free(&c);
	assert_int_equal(complete_common(&c), 0);
}

static void assert_list(const struct complete *c, int columns, int rows, const char *expected)
{
	struct out o;
	char text[512];

	out_init(&o, -1);
	complete_show(c, &o, columns, rows, 0);
	snprintf(text, sizeof text, "%.*s", (int)buf_len(&o.buf), (const char *)buf_bytes(&o.buf));
	assert_string_equal(text, expected);
	out_free(&o);
}

static void test_complete_the_list_stands_in_columns(void **state)
{
	static const char *const names[] = {"a", "bb", "ccc", "\xe4\xb8\xad\xe6\x96\x87", "/usr/lib/", NULL};
	struct complete c = of(names);

	(void)state;
	assert_list(&c, 80, 24, "a     bb    ccc   \xe4\xb8\xad\xe6\x96\x87  lib/\n");
	assert_list(&c, 13, 24, "a     \xe4\xb8\xad\xe6\x96\x87\nbb    lib/\nccc\n");
	assert_list(&c, 4, 24, "a\nbb\nccc\n\xe4\xb8\xad\xe6\x96\x87\nlib/\n");
	assert_list(&c, 4, 8, "a\nbb\n... 2 of 5: type more of it\n");
	complete_free(&c);
}

/* `line` gives these, with a space between them; NULL: it is for the server. */
static void assert_local(const char *line, size_t from, const char *expected)
{
	struct complete c = {.from = 0};
	char text[512] = "";
	int ours = complete_local(&c, span_text(line));

	assert_int_equal(ours, expected != NULL);
	for (size_t i = 0; i < c.count; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s|", c.matches[i]);
	if (expected != NULL)
		assert_string_equal(text, expected);
	assert_int_equal(c.from, from);
	complete_free(&c);
}

static void test_complete_local_knows_commands_and_their_words(void **state)
{
	(void)state;
	assert_local("modules", 0, NULL);
	assert_local("", 0, NULL);
	assert_local("%th", 0, "%threads|");
	assert_local("  %re", 2, "%reconnect|%reset|");
	assert_local("%nonsense", 0, "");
	assert_local("%stacks wor", 0, NULL);
	assert_local("%time os.", 0, NULL);
	assert_local("%set c", 5, "color |");
	assert_local("%set color a", 11, "always|auto|");
	assert_local("%jobs s", 6, "stop |");
	assert_local("%tee st", 5, "stderr |stdout |");
	assert_local("%tee stdout of", 12, "off|");
}

static void touch(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void test_complete_local_lists_files_of_this_side(void **state)
{
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof before));
	assert_int_equal(chdir(place), 0);
	touch("look.py");
	touch("log");
	touch(".hidden");
	touch("lo\x1b[2J");
	assert_int_equal(mkdir("lots of", 0700), 0);
	touch("lots of/it.py");
	assert_local("%run lo", 5, "log|look.py|lots of/|");
	assert_local("%edit .h", 6, ".hidden|");
	assert_local("%run lots of/", 5, "lots of/it.py|");
	assert_local("%run /nonexistent/x", 5, "");
	assert_local("%log o", 5, "off|");
	assert_int_equal(chdir(before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_complete_common_ends_at_a_whole_character),
		cmocka_unit_test(test_complete_the_list_stands_in_columns),
		cmocka_unit_test(test_complete_local_knows_commands_and_their_words),
		cmocka_unit_test_setup_teardown(test_complete_local_lists_files_of_this_side, place_make, place_remove),
	};

	setlocale(LC_CTYPE, "C.UTF-8");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
