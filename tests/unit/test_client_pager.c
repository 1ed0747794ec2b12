/*
 * test_client_pager.c: when a text goes through a pager, and which.
 * SOURCES: src/client/pager.c src/client/lend.c src/client/out.c src/client/signals.c
 */
#include "place.h"

#include "../../src/client/pager.h"

static char paged[128]; /* what the pager has read */

static int setup(void **state)
{
	char command[256];

	if (place_make(state) != 0)
		return -1;
	snprintf(paged, sizeof paged, "%s/paged", place);
	snprintf(command, sizeof command, "cat > %s", paged);
	return setenv("PAGER", command, 1);
}

/* What came out directly; *through: what went through the pager, or "". */
static void show(const char *text, int rows, char *direct, char *through, size_t size)
{
	struct out o;
	FILE *f;

	out_init(&o, -1);
	pager_show(&o, span_text(text), rows, NULL);
	snprintf(direct, size, "%.*s", (int)buf_len(&o.buf), (const char *)buf_bytes(&o.buf));
	out_free(&o);
	*through = '\0';
	f = fopen(paged, "re");
	if (f != NULL) {
		through[fread(through, 1, size - 1, f)] = '\0';
		fclose(f);
		unlink(paged);
	}
}

static void assert_shows(const char *text, int rows, const char *direct, const char *through)
{
	char a[256], b[256];

	show(text, rows, a, b, sizeof a);
	assert_string_equal(a, direct);
	assert_string_equal(b, through);
}

static void test_pager_is_for_what_is_longer_than_the_screen(void **state)
{
	(void)state;
	assert_shows("one\ntwo\n", 3, "one\ntwo\n", "");
	assert_shows("one\ntwo\n\x1b[2J\n", 3, "", "one\ntwo\n\\x1b[2J\n");
}

static void test_pager_none_cat_and_one_that_is_missing_mean_the_screen(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const none[] = {"", "cat", "/nonexistent/pager 2>/dev/null"};

		setenv("PAGER", none[i], 1);
		assert_shows("one\ntwo\n", 1, "one\ntwo\n", "");
	}
}

static void test_pager_that_was_set_is_used_instead(void **state)
{
	char command[256];

	(void)state;
	setenv("PAGER", "cat", 1);
	snprintf(command, sizeof command, "tr a-z A-Z > %s", paged);
	assert_int_equal(pager_set(command), 0);
	assert_shows("one\ntwo\n", 1, "", "ONE\nTWO\n");
	assert_int_equal(pager_set(""), 0);
	assert_shows("one\ntwo\n", 1, "one\ntwo\n", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pager_is_for_what_is_longer_than_the_screen, setup, place_remove),
		cmocka_unit_test_setup_teardown(test_pager_none_cat_and_one_that_is_missing_mean_the_screen, setup, place_remove),
		cmocka_unit_test_setup_teardown(test_pager_that_was_set_is_used_instead, setup, place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
