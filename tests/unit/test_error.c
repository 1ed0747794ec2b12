/*
 * test_error.c: the phrases of the codes and the sentence of a diag.
 */
#include "error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_error_every_code_has_its_own_phrase(void **state)
{
	(void)state;
	for (int a = PYSTUCK_ENOENT; a <= 0; a++) {
		assert_string_not_equal(error_text(a), "unknown error");
		for (int b = a + 1; b <= 0; b++)
			assert_string_not_equal(error_text(a), error_text(b));
	}
}

static void test_error_a_number_that_is_no_code_is_told(void **state)
{
	(void)state;
	assert_string_equal(error_text(1), "unknown error");
	assert_string_equal(error_text(PYSTUCK_ENOENT - 1), "unknown error");
	assert_string_equal(error_text(-2147483647 - 1), "unknown error");
}

static void test_error_diag_holds_code_errno_and_sentence(void **state)
{
	struct diag d;

	(void)state;
	errno = EXDEV;
	assert_int_equal(diag_set(&d, PYSTUCK_ESYS, EACCES, "socket %s", "/run/x"), PYSTUCK_ESYS);
	assert_int_equal(d.code, PYSTUCK_ESYS);
	assert_int_equal(d.sys, EACCES);
	assert_string_equal(d.text, "socket /run/x");
	assert_int_equal(errno, EXDEV);
}

static void test_error_diag_has_errno_only_for_system_calls(void **state)
{
	struct diag d;

	(void)state;
	diag_set(&d, PYSTUCK_EUNSAFE, EACCES, "x");
	assert_int_equal(d.sys, 0);
}

static void test_error_diag_without_an_error_is_empty(void **state)
{
	struct diag d;

	(void)state;
	memset(&d, 'x', sizeof d);
	assert_int_equal(diag_set(&d, 0, 0, "nothing"), 0);
	assert_int_equal(d.code, 0);
	assert_string_equal(d.text, "");
}

static void test_error_diag_may_be_null(void **state)
{
	(void)state;
	assert_int_equal(diag_set(NULL, PYSTUCK_EINVAL, 0, "x"), PYSTUCK_EINVAL);
}

static void test_error_diag_lets_no_control_byte_through(void **state)
{
	struct diag d;

	(void)state;
	diag_set(&d, PYSTUCK_EINVAL, 0, "path %s", "a\nb\x1b[31m\x7f\xc2\x9b\t");
	for (const char *p = d.text; *p != '\0'; p++)
		assert_in_range((unsigned char)*p, ' ', '~');
	assert_memory_equal(d.text, "path a", 6);
}

static void test_error_diag_cuts_a_long_sentence(void **state)
{
	char path[2 * DIAG_TEXT];
	struct diag d;

	(void)state;
	memset(path, '\x01', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	diag_set(&d, PYSTUCK_EINVAL, 0, "%s", path);
	assert_in_range(strlen(d.text), DIAG_TEXT - 8, DIAG_TEXT - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_every_code_has_its_own_phrase),
		cmocka_unit_test(test_error_a_number_that_is_no_code_is_told),
		cmocka_unit_test(test_error_diag_holds_code_errno_and_sentence),
		cmocka_unit_test(test_error_diag_has_errno_only_for_system_calls),
		cmocka_unit_test(test_error_diag_without_an_error_is_empty),
		cmocka_unit_test(test_error_diag_may_be_null),
		cmocka_unit_test(test_error_diag_lets_no_control_byte_through),
		cmocka_unit_test(test_error_diag_cuts_a_long_sentence),
	};

	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
