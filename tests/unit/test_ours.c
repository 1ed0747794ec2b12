/*
 * test_ours.c: the list of pystuck's own threads. The python room is not linked into unit tests;
 * this file of it needs no Python.
 */
#include "../../src/python/ours.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int forget(void **state)
{
	(void)state;
	ours_forget();
	return 0;
}

static void test_ours_knows_those_that_were_added(void **state)
{
	(void)state;
	assert_false(ours_has(41));
	ours_add(41);
	ours_add(42);
	assert_true(ours_has(41));
	assert_true(ours_has(42));
	assert_false(ours_has(43));
}

static void test_ours_forgets_those_that_were_removed(void **state)
{
	(void)state;
	ours_add(41);
	ours_add(42);
	ours_remove(41);
	assert_false(ours_has(41));
	assert_true(ours_has(42));
	ours_remove(41);
	ours_remove(4711);
	assert_true(ours_has(42));
}

static void test_ours_adding_twice_is_adding_once(void **state)
{
	(void)state;
	ours_add(41);
	ours_add(41);
	ours_remove(41);
	assert_false(ours_has(41));
}

static void test_ours_takes_no_ids_that_are_none(void **state)
{
	(void)state;
	ours_add(0);
	ours_add(-1);
	assert_false(ours_has(0));
	assert_false(ours_has(-1));
	ours_remove(0);
	for (pid_t tid = 1; tid <= OURS_MAX; tid++)
		ours_add(tid);
	assert_true(ours_has(OURS_MAX));
}

static void test_ours_when_full_leaves_the_others_alone(void **state)
{
	(void)state;
	for (pid_t tid = 1; tid <= OURS_MAX + 10; tid++)
		ours_add(tid);
	assert_true(ours_has(1));
	assert_true(ours_has(OURS_MAX));
	assert_false(ours_has(OURS_MAX + 1));
	ours_remove(7);
	ours_add(OURS_MAX + 1);
	assert_true(ours_has(OURS_MAX + 1));
	assert_true(ours_has(OURS_MAX));
}

static void test_ours_has_the_net_thread_and_does_not_list_it(void **state)
{
	pid_t tids[2];

	(void)state;
	ours_add(41);
	ours_set_net(42);
	assert_true(ours_has(42));
	assert_int_equal(ours_list(tids, 2), 1);
	assert_int_equal(tids[0], 41);
	ours_set_net(0);
	assert_false(ours_has(42));
	assert_false(ours_has(0));
	ours_remove(41);
}

static void test_ours_in_a_forked_child_is_nobody(void **state)
{
	(void)state;
	ours_set_net(OURS_MAX + 1);
	for (pid_t tid = 1; tid <= OURS_MAX; tid++)
		ours_add(tid);
	ours_forget();
	for (pid_t tid = 1; tid <= OURS_MAX; tid++)
		assert_false(ours_has(tid));
	assert_false(ours_has(OURS_MAX + 1));
}

#define ROUNDS 20000
#define WORKERS 4

static void *come_and_go(void *arg)
{
	pid_t tid = (pid_t)(intptr_t)arg;
	intptr_t wrong = 0;

	for (int i = 0; i < ROUNDS; i++) {
		ours_add(tid);
		wrong += !ours_has(tid);
		ours_remove(tid);
		wrong += ours_has(tid);
	}
	return (void *)wrong;
}

static void test_ours_threads_that_come_and_go_do_not_disturb_each_other(void **state)
{
	pthread_t workers[WORKERS];
	void *wrong = NULL;

	(void)state;
	ours_add(4711);
	for (intptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(
			pthread_create(&workers[i], NULL, come_and_go, (void *)(i + 1)), 0);
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i], &wrong), 0);
		assert_null(wrong);
	}
	assert_true(ours_has(4711));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_ours_knows_those_that_were_added, forget),
		cmocka_unit_test_setup(test_ours_forgets_those_that_were_removed, forget),
		cmocka_unit_test_setup(test_ours_adding_twice_is_adding_once, forget),
		cmocka_unit_test_setup(test_ours_takes_no_ids_that_are_none, forget),
		cmocka_unit_test_setup(test_ours_when_full_leaves_the_others_alone, forget),
		cmocka_unit_test_setup(test_ours_has_the_net_thread_and_does_not_list_it, forget),
		cmocka_unit_test_setup(test_ours_in_a_forked_child_is_nobody, forget),
		cmocka_unit_test_setup(
			test_ours_threads_that_come_and_go_do_not_disturb_each_other, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
