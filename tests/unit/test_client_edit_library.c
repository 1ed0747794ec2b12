/*
 * test_client_edit_library.c: a machine without the prompt's library.
 */
#undef EDIT_SONAME
#define EDIT_SONAME "libpystuck-has-none.so.0"
#include "../../src/client/edit_library.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_edit_library_says_which_one_is_not_there(void **state)
{
	const char *why = NULL;

	(void)state;
	/* Also the second time. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(edit_library_load(&why), -1);
		assert_non_null(why);
		assert_non_null(strstr(why, EDIT_SONAME));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edit_library_says_which_one_is_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
