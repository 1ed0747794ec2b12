/*
 * test_client_inputs.c: what was run at the prompt: listed, saved, bounded.
 * SOURCES: src/client/inputs.c src/client/out.c src/client/signals.c
 */
#include "place.h"

#include "../../src/client/inputs.h"

static struct inputs three(void)
{
	struct inputs i = {NULL, 0};

	inputs_add(&i, 3, "x = 1");
	inputs_add(&i, 4, "if x:\n    y = '\x1b[2J'");
	inputs_add(&i, 7, "z");
	return i;
}

static void assert_shown(const struct inputs *i, size_t most, const char *expected)
{
	struct out o;

	out_init(&o, -1);
	inputs_show(i, &o, most);
	assert_int_equal(buf_len(&o.buf), strlen(expected));
	assert_memory_equal(buf_bytes(&o.buf), expected, strlen(expected));
	out_free(&o);
}

static void test_inputs_are_shown_with_their_numbers_and_made_safe(void **state)
{
	struct inputs i = three();

	(void)state;
	assert_shown(&i, 2, "4: if x:\n    y = '\\x1b[2J'\n7: z\n");
	assert_shown(&i, 1, "7: z\n");
	inputs_free(&i);
	assert_shown(&i, 5, "");
}

static void test_inputs_the_oldest_go_first(void **state)
{
	struct inputs i = {NULL, 0};

	(void)state;
	for (uint32_t n = 0; n < INPUTS_MAX + 3; n++)
		inputs_add(&i, n, "x");
	assert_int_equal(i.count, INPUTS_MAX);
	assert_int_equal(i.list[0].cell, 3);
	assert_int_equal(i.list[INPUTS_MAX - 1].cell, INPUTS_MAX + 2);
	inputs_free(&i);
}

static void assert_file(const char *path, const char *expected)
{
	char text[256];
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(text, expected);
}

static void test_inputs_are_saved_as_typed_to_a_new_file(void **state)
{
	struct inputs i = three();
	char path[128];
	size_t written = 0;
	struct diag d = {0};

	(void)state;
	snprintf(path, sizeof path, "%s/saved.py", place);
	assert_int_equal(inputs_save(&i, path, 4, 7, &written, &d), 0);
	assert_int_equal(written, 2);
	assert_file(path, "if x:\n    y = '\x1b[2J'\nz\n");
	assert_int_equal(inputs_save(&i, path, 3, 3, &written, &d), PYSTUCK_ESYS);
	assert_non_null(strstr(d.text, "File exists"));
	assert_file(path, "if x:\n    y = '\x1b[2J'\nz\n");
	unlink(path);
	inputs_free(&i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inputs_are_shown_with_their_numbers_and_made_safe),
		cmocka_unit_test(test_inputs_the_oldest_go_first),
		cmocka_unit_test_setup_teardown(test_inputs_are_saved_as_typed_to_a_new_file, place_make, place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
