/*
 * test_client_jobs.c: what goes on in the background: whose output it is, whole lines, how it ends.
 * SOURCES: src/client/jobs.c src/client/out.c src/client/signals.c src/client/connect.c
 * SOURCES: src/client/gone.c src/client/handshake.c src/client/procs.c
 */
#include "../../src/client/jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"

static char shown[8192]; /* "1|line\n" for each */

static void show(void *context, int stream, struct span line)
{
	size_t len = strlen(shown);

	assert_ptr_equal(context, shown);
	snprintf(shown + len, sizeof shown - len, "%d|%.*s\n", stream, (int)line.len, (const char *)line.data);
}

static struct jobs *fresh(void)
{
	shown[0] = '\0';
	return jobs_new(show, shown);
}

static int output(struct jobs *j, uint32_t id, int stream, const char *text)
{
	struct msg m = {.type = MSG_OUTPUT, .output = {.id = id, .stream = (uint8_t)stream, .text = span_text(text)}};

	return jobs_take(j, &m);
}

static int result(struct jobs *j, uint32_t id, int status, const char *text)
{
	struct msg m = {.type = MSG_RESULT, .result = {.id = id, .status = (uint8_t)status, .text = span_text(text)}};

	return jobs_take(j, &m);
}

static void test_jobs_output_is_shown_in_whole_lines(void **state)
{
	struct jobs *j = fresh();

	(void)state;
	assert_int_equal(jobs_add(j, 7, span_text("first()\nsecond()")), 1);
	assert_int_equal(output(j, 7, 1, "one\ntw"), 1);
	assert_int_equal(output(j, 7, 2, "err\n"), 1);
	assert_string_equal(shown, "1|[job 1] one\n2|[job 1] err\n");
	assert_int_equal(output(j, 7, 1, "o\n\n"), 1);
	assert_string_equal(shown, "1|[job 1] one\n2|[job 1] err\n1|[job 1] two\n1|[job 1] \n");
	assert_int_equal(output(j, 8, 1, "another's\n"), 0);
	jobs_free(j);
}

static void test_jobs_end_with_what_was_held_back_and_their_value(void **state)
{
	struct jobs *j = fresh();

	(void)state;
	assert_int_equal(jobs_add(j, 7, span_text("f()")), 1);
	assert_int_equal(jobs_add(j, 9, span_text("g()")), 2);
	output(j, 7, 1, "no newline");
	assert_int_equal(result(j, 7, RESULT_VALUE, "42"), 1);
	assert_int_equal(result(j, 9, RESULT_RAISED, "Traceback\nE: x"), 1);
	assert_string_equal(shown, "1|[job 1] no newline\n1|[job 1] has ended: 42\n"
				   "2|[job 2] has ended: Traceback\n2|[job 2] E: x\n");
	/* They are nobody's any more. */
	assert_int_equal(output(j, 7, 1, "late\n"), 0);
	assert_int_equal(jobs_find(j, 1), 0);
	assert_int_equal(jobs_add(j, 11, span_text("h()")), 3);
	assert_int_equal(jobs_find(j, 3), 11);
	jobs_free(j);
}

static void test_jobs_a_line_without_an_end_does_not_grow_without_one(void **state)
{
	struct jobs *j = fresh();
	char text[4096];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	jobs_add(j, 7, span_text("f()"));
	for (int i = 0; i < 4; i++)
		output(j, 7, 1, text);
	assert_string_equal(shown, "");
	output(j, 7, 1, text);
	assert_int_equal(strncmp(shown, "1|[job 1] xxx", 13), 0);
	jobs_free(j);
}

static void test_jobs_have_room_for_so_many(void **state)
{
	struct jobs *j = fresh();

	(void)state;
	for (uint32_t i = 1; i <= JOBS_MAX; i++)
		assert_int_equal(jobs_add(j, i, span_text("x")), i);
	assert_int_equal(jobs_add(j, 1000, span_text("x")), 0);
	assert_int_equal(jobs_tee(j, 1000, 1, -1), PYSTUCK_ETOOBIG);
	jobs_forget(j);
	assert_int_equal(jobs_add(j, 1000, span_text("x")), JOBS_MAX + 1);
	jobs_free(j);
}

static void test_jobs_a_tee_is_marked_and_outlives_its_request(void **state)
{
	struct jobs *j = fresh();

	(void)state;
	assert_int_equal(jobs_tee(j, 7, 1, -1), 0);
	assert_int_equal(jobs_tee(j, 8, 2, -1), 0);
	/* The end of the request is for who made it. */
	assert_int_equal(result(j, 7, RESULT_NONE, ""), 0);
	assert_int_equal(output(j, 7, 1, "out\nrest"), 1);
	assert_int_equal(output(j, 8, 2, "err\n"), 1);
	/* It has no number, and takes none away. */
	assert_int_equal(jobs_find(j, 0), 0);
	assert_int_equal(jobs_add(j, 9, span_text("f()")), 1);
	jobs_untee(j, 1);
	assert_string_equal(shown, "1|[stdout] out\n2|[stderr] err\n1|[stdout] rest\n");
	assert_int_equal(output(j, 7, 1, "late\n"), 0);
	jobs_untee(j, JOBS_BOTH);
	assert_int_equal(output(j, 8, 2, "late\n"), 0);
	jobs_free(j);
}

static void test_jobs_a_tee_to_a_file_is_made_safe(void **state)
{
	struct jobs *j = fresh();
	int fd = memfd_create("tee", 0), other = dup(fd);
	char text[64] = "";

	(void)state;
	assert_int_equal(jobs_tee(j, 7, 1, fd), 0);
	output(j, 7, 1, "a\x1b[2J\nb");
	jobs_untee(j, JOBS_BOTH);
	assert_true(pread(other, text, sizeof text - 1, 0) > 0);
	assert_string_equal(text, "a\\x1b[2J\nb");
	assert_string_equal(shown, "");
	/* It was taken over, and is closed. */
	assert_int_equal(close(fd), -1);
	close(other);
	jobs_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs_output_is_shown_in_whole_lines),
		cmocka_unit_test(test_jobs_end_with_what_was_held_back_and_their_value),
		cmocka_unit_test(test_jobs_a_line_without_an_end_does_not_grow_without_one),
		cmocka_unit_test(test_jobs_have_room_for_so_many),
		cmocka_unit_test(test_jobs_a_tee_is_marked_and_outlives_its_request),
		cmocka_unit_test(test_jobs_a_tee_to_a_file_is_made_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
