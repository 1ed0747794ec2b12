/*
 * test_deadlock.c: circles among those who wait for each other.
 * SOURCES: src/client/deadlock.c
 */
#include "../../src/client/deadlock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NO DEADLOCK_NOBODY
#define COUNT(a) (sizeof(a) / sizeof *(a))

static void check(const struct deadlocks *d, const uint32_t *members, size_t count, const uint32_t *led, size_t led_count)
{
	assert_int_equal(d->count > 0 ? d->ends[d->count - 1] : 0, count);
	assert_int_equal(d->led_count, led_count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(d->members[i], members[i]);
	for (size_t i = 0; i < led_count; i++)
		assert_int_equal(d->led_into[i], led[i]);
}

/* The whole answer about a graph with so many circles. */
static void finds(const uint32_t *to, size_t n, size_t circles, const uint32_t *members, size_t count, const uint32_t *led,
	size_t led_count)
{
	struct deadlocks d;

	assert_int_equal(deadlock_find(&d, to, n), 0);
	assert_int_equal(d.count, circles);
	check(&d, members, count, led, led_count);
	deadlock_free(&d);
}

static void test_deadlock_nobody_waits(void **state)
{
	const uint32_t to[] = {NO, NO, NO};

	(void)state;
	finds(to, COUNT(to), 0, NULL, 0, NULL, 0);
	finds(to, 0, 0, NULL, 0, NULL, 0);
}

static void test_deadlock_a_chain_that_ends_is_none(void **state)
{
	const uint32_t to[] = {1, 2, 3, NO, 3, 0};

	(void)state;
	finds(to, COUNT(to), 0, NULL, 0, NULL, 0);
}

static void test_deadlock_of_two_and_who_is_led_into_it(void **state)
{
	const uint32_t to[] = {2, 4, 0, 2, 3, NO};
	const uint32_t members[] = {0, 2}, led[] = {1, 3, 4};

	(void)state;
	finds(to, COUNT(to), 1, members, COUNT(members), led, COUNT(led));
}

static void test_deadlock_who_waits_for_himself(void **state)
{
	const uint32_t to[] = {NO, 1, 1};
	const uint32_t members[] = {1}, led[] = {2};

	(void)state;
	finds(to, COUNT(to), 1, members, COUNT(members), led, COUNT(led));
}

static void test_deadlock_several_circles_are_kept_apart(void **state)
{
	/* 0 leads into the second, which begins at its smallest: 1 -> 5 -> 3 -> 1. */
	const uint32_t to[] = {3, 5, 4, 1, 2, 3, NO, 7, 6};
	const uint32_t members[] = {1, 5, 3, 2, 4, 7}, led[] = {0};
	struct deadlocks d;

	(void)state;
	finds(to, COUNT(to), 3, members, COUNT(members), led, COUNT(led));
	assert_int_equal(deadlock_find(&d, to, COUNT(to)), 0);
	assert_int_equal(d.ends[0], 3);
	assert_int_equal(d.ends[1], 5);
	deadlock_free(&d);
}

/* By the definition: i is in a circle when following it long enough comes back to it. */
static void test_deadlock_agrees_with_the_definition(void **state)
{
	enum { N = 12, ROUNDS = 20000 };
	uint32_t to[N];
	struct deadlocks d;

	(void)state;
	srand(1);
	for (int round = 0; round < ROUNDS; round++) {
		size_t members = 0, led = 0;

		for (int i = 0; i < N; i++)
			to[i] = rand() % 3 == 0 ? NO : (uint32_t)(rand() % N);
		assert_int_equal(deadlock_find(&d, to, N), 0);
		for (uint32_t i = 0; i < N; i++) {
			uint32_t at = to[i];
			int back = at == i;

			for (int steps = 0; at != NO && steps < N; steps++) {
				at = to[at];
				back |= at == i;
			}
			members += (size_t)back;
			led += at != NO && !back;
		}
		assert_int_equal(d.count > 0 ? d.ends[d.count - 1] : 0, members);
		assert_int_equal(d.led_count, led);
		deadlock_free(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deadlock_nobody_waits),
		cmocka_unit_test(test_deadlock_a_chain_that_ends_is_none),
		cmocka_unit_test(test_deadlock_of_two_and_who_is_led_into_it),
		cmocka_unit_test(test_deadlock_who_waits_for_himself),
		cmocka_unit_test(test_deadlock_several_circles_are_kept_apart),
		cmocka_unit_test(test_deadlock_agrees_with_the_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
