/*
 * test_cpu_clock.c: threads' own clocks. The python room is not linked into unit tests; this file of it needs no Python.
 */
#include "../../src/python/cpu_clock.c"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 100

static void *wait_for_end(void *end)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);

	pthread_barrier_wait(end);
	return (void *)(intptr_t)tid;
}

/* The id of a thread that may not have run yet: its clock has it. */
static pid_t tid_of(pthread_t thread)
{
	clockid_t clock;

	assert_int_equal(pthread_getcpuclockid(thread, &clock), 0);
	return (pid_t)~(clock >> KIND_BITS);
}

static void on_one_processor(void)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	assert_true(cpu >= 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
}

/* On our own processor, each of them is still to run for the first time when it is looked at: the kernel says 0 then. */
static void test_cpu_clock_is_told_of_a_thread_that_has_not_run_yet(void **state)
{
	pthread_t threads[THREADS];
	pthread_barrier_t end;
	pid_t tids[THREADS];
	cpu_set_t before;
	int untold = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
	on_one_processor();
	assert_int_equal(pthread_barrier_init(&end, NULL, THREADS + 1), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_end, &end), 0);
		tids[i] = tid_of(threads[i]);
		untold += cpu_clock_ns(tids[i]) == 0;
	}
	assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
	pthread_barrier_wait(&end);
	for (int i = 0; i < THREADS; i++) {
		void *own;

		assert_int_equal(pthread_join(threads[i], &own), 0);
		assert_int_equal((pid_t)(intptr_t)own, tids[i]);
	}
	pthread_barrier_destroy(&end);
	assert_int_equal(untold, 0);
}

static void test_cpu_clock_goes_on_while_a_thread_runs(void **state)
{
	pid_t self = (pid_t)syscall(SYS_gettid);
	uint64_t before = cpu_clock_ns(self), now = before;

	(void)state;
	assert_true(before != 0);
	for (long i = 0; i < 1000000000 && now == before; i++)
		now = cpu_clock_ns(self);
	assert_true(now > before);
}

static void test_cpu_clock_of_nobody_and_of_other_processes_is_not_told(void **state)
{
	(void)state;
	assert_int_equal(cpu_clock_ns(0), 0);
	assert_int_equal(cpu_clock_ns(-1), 0);
	assert_int_equal(cpu_clock_ns(getppid()), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpu_clock_is_told_of_a_thread_that_has_not_run_yet),
		cmocka_unit_test(test_cpu_clock_goes_on_while_a_thread_runs),
		cmocka_unit_test(test_cpu_clock_of_nobody_and_of_other_processes_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
