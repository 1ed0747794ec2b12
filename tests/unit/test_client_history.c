/*
 * test_client_history.c: the file of what was typed at the prompt. The line editor is tested end to
 * end, in a terminal.
 * SOURCES: src/client/history.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/client/history.h"

#define SEEN_MAX 16

struct place {
	char dir[64], file[128];
};

static char *seen[SEEN_MAX];
static size_t seen_count;

static void see(const char *entry)
{
	if (seen_count < SEEN_MAX)
		seen[seen_count] = strdup(entry);
	seen_count++;
}

static void forget(void)
{
	for (size_t i = 0; i < seen_count && i < SEEN_MAX; i++)
		free(seen[i]);
	seen_count = 0;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	assert_non_null(p);
	strcpy(p->dir, "/tmp/pystuck-history-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->file, sizeof p->file, "%s/pystuck/history", p->dir);
	assert_int_equal(setenv("XDG_STATE_HOME", p->dir, 1), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char dir[128];

	history_close();
	forget();
	unlink(p->file);
	snprintf(dir, sizeof dir, "%s/pystuck", p->dir);
	rmdir(dir);
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

static void make_directory(const struct place *p)
{
	char dir[128];

	snprintf(dir, sizeof dir, "%s/pystuck", p->dir);
	assert_int_equal(mkdir(dir, 0700), 0);
}

#define LINE 10 /* bytes of one below */

/* A file of numbered lines. */
static void write_file(const char *path, int lines)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	for (int i = 0; i < lines; i++)
		fprintf(f, "%09d\n", i);
	assert_int_equal(fclose(f), 0);
}

static void test_history_escape_and_unescape_are_inverse(void **state)
{
	static const char *const entries[] = {
		"", "x", "a\nb", "\n\n", "\\", "\\n", "a\\\nb\\", "for x in y:\n    print('\\n')"};

	(void)state;
	for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
		char *line = history_escape(entries[i]);

		assert_non_null(line);
		assert_null(strchr(line, '\n'));
		history_unescape(line);
		assert_string_equal(line, entries[i]);
		free(line);
	}
}

static void test_history_unescape_stays_inside_a_broken_line(void **state)
{
	char lone[] = "a\\", odd[] = "\\x\\";

	(void)state;
	history_unescape(lone);
	assert_string_equal(lone, "a\\");
	history_unescape(odd);
	assert_string_equal(odd, "x\\");
}

static void test_history_keeps_entries_in_order_for_the_next_client(void **state)
{
	(void)state;
	history_open(see);
	history_add("first");
	history_add("if a:\n    b");
	history_add(" secret");
	history_add("");
	history_close();
	assert_int_equal(seen_count, 0);
	history_open(see);
	assert_int_equal(seen_count, 2);
	assert_string_equal(seen[0], "first");
	assert_string_equal(seen[1], "if a:\n    b");
}

static void test_history_is_0600_whatever_the_umask(void **state)
{
	const struct place *p = *state;
	struct stat st;
	mode_t before = umask(0);

	history_open(see);
	umask(before);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_history_takes_rights_of_others_away(void **state)
{
	const struct place *p = *state;
	struct stat st;

	make_directory(p);
	write_file(p->file, 1);
	assert_int_equal(chmod(p->file, 0644), 0);
	history_open(see);
	assert_int_equal(seen_count, 1);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_history_leaves_a_symlink_alone(void **state)
{
	const struct place *p = *state;
	char target[128];
	struct stat st;

	make_directory(p);
	snprintf(target, sizeof target, "%s/target", p->dir);
	write_file(target, 1);
	assert_int_equal(symlink(target, p->file), 0);
	history_open(see);
	history_add("x");
	assert_int_equal(seen_count, 0);
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, LINE);
	assert_int_equal(unlink(target), 0);
}

static void test_history_leaves_a_second_name_of_a_file_alone(void **state)
{
	const struct place *p = *state;
	char target[128];
	struct stat st;

	make_directory(p);
	snprintf(target, sizeof target, "%s/target", p->dir);
	write_file(target, 1);
	assert_int_equal(link(target, p->file), 0);
	history_open(see);
	history_add("x");
	assert_int_equal(stat(target, &st), 0);
	assert_int_equal(st.st_size, LINE);
	assert_int_equal(unlink(target), 0);
}

static void test_history_leaves_a_fifo_alone_and_does_not_wait(void **state)
{
	const struct place *p = *state;

	make_directory(p);
	assert_int_equal(mkfifo(p->file, 0600), 0);
	history_open(see);
	history_add("x");
	assert_int_equal(seen_count, 0);
}

static void test_history_is_shortened_to_its_bound(void **state)
{
	const struct place *p = *state;
	struct stat st;

	make_directory(p);
	write_file(p->file, HISTORY_MAX + 2000);
	history_open(see);
	assert_int_equal(seen_count, HISTORY_MAX);
	assert_string_equal(seen[0], "000002000");
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_size, HISTORY_MAX * LINE);
}

static void test_history_without_a_home_is_none(void **state)
{
	(void)state;
	assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
	assert_int_equal(unsetenv("HOME"), 0);
	history_open(see);
	history_add("x");
	assert_int_equal(seen_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_history_escape_and_unescape_are_inverse),
		cmocka_unit_test(test_history_unescape_stays_inside_a_broken_line),
		cmocka_unit_test_setup_teardown(
			test_history_keeps_entries_in_order_for_the_next_client, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_is_0600_whatever_the_umask, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_takes_rights_of_others_away, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_leaves_a_symlink_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_leaves_a_second_name_of_a_file_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_leaves_a_fifo_alone_and_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_is_shortened_to_its_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_history_without_a_home_is_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
