/*
 * test_replays.c: first messages that have been used up are known again, in bounded memory.
 */
#include "../../src/server/replays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

static void test_replays_knows_what_was_noted_and_nothing_else(void **state)
{
	struct replays *r = replays_new();
	uint8_t noted[64][REPLAYS_KEY], other[REPLAYS_KEY];

	(void)state;
	assert_non_null(r);
	for (size_t i = 0; i < 64; i++) {
		randombytes_buf(noted[i], REPLAYS_KEY);
		noted[i][0] = (uint8_t)i; /* each in a place of its own */
		noted[i][1] = 0;
		assert_false(replays_has(r, noted[i]));
		replays_note(r, noted[i]);
	}
	for (size_t i = 0; i < 64; i++) {
		assert_true(replays_has(r, noted[i]));
		memcpy(other, noted[i], REPLAYS_KEY);
		other[8] ^= 1;
		assert_false(replays_has(r, other));
	}
	replays_free(r);
}

static void test_replays_the_last_one_in_a_place_stays(void **state)
{
	struct replays *r = replays_new();
	uint8_t first[REPLAYS_KEY] = {1, 2, [8] = 3}, second[REPLAYS_KEY] = {1, 2, [8] = 4};

	(void)state;
	replays_note(r, first);
	replays_note(r, second);
	assert_false(replays_has(r, first));
	assert_true(replays_has(r, second));
	replays_free(r);
}

static void test_replays_without_a_table_nothing_is_known(void **state)
{
	const uint8_t key[REPLAYS_KEY] = {1, [8] = 1};

	(void)state;
	replays_note(NULL, key);
	assert_false(replays_has(NULL, key));
	replays_free(NULL);
}

static void test_replays_an_empty_table_knows_no_key_of_zeros(void **state)
{
	const uint8_t zeros[REPLAYS_KEY] = {0};
	struct replays *r = replays_new();

	(void)state;
	assert_false(replays_has(r, zeros));
	replays_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replays_knows_what_was_noted_and_nothing_else),
		cmocka_unit_test(test_replays_the_last_one_in_a_place_stays),
		cmocka_unit_test(test_replays_without_a_table_nothing_is_known),
		cmocka_unit_test(test_replays_an_empty_table_knows_no_key_of_zeros),
	};

	return cmocka_run_group_tests_name("replays", tests, NULL, NULL);
}
