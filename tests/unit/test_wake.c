/*
 * test_wake.c: calling the net thread, also when the program has closed what it is called by.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../src/server/wake.h"

static struct wake wake;

static int setup(void **state)
{
	(void)state;
	return wake_open(&wake);
}

static int teardown(void **state)
{
	(void)state;
	wake_close(&wake);
	return 0;
}

static int is_called(void)
{
	struct pollfd p = {.fd = wake.in.fd, .events = POLLIN};

	return poll(&p, 1, 0);
}

static void test_wake_calls_are_counted_and_taken(void **state)
{
	(void)state;
	assert_int_equal(is_called(), 0);
	assert_int_equal(wake_drain(&wake), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(wake_call(&wake.out), 0);
	assert_int_equal(is_called(), 1);
	assert_int_equal(wake_drain(&wake), 3);
	assert_int_equal(is_called(), 0);
}

static void test_wake_never_blocks_however_often_it_is_called(void **state)
{
	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_int_equal(wake_call(&wake.out), 0);
	while (is_called())
		assert_true(wake_drain(&wake) > 0);
}

static void test_wake_writes_into_no_file_of_the_programs(void **state)
{
	struct wake w = wake;
	struct stat st;
	int file;

	(void)state;
	close(w.in.fd);
	close(w.out.fd);
	file = memfd_create("theirs", MFD_CLOEXEC);
	assert_true(file >= 0);
	assert_true(dup2(file, w.in.fd) >= 0 && dup2(file, w.out.fd) >= 0);
	assert_int_equal(write(file, "theirs", 6), 6);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	assert_int_equal(wake_call(&w.out), -1);
	assert_int_equal(wake_drain(&w), -1);
	wake_close(&wake);
	assert_int_equal(fstat(file, &st), 0);
	assert_int_equal(st.st_size, 6);
	assert_int_equal(lseek(file, 0, SEEK_CUR), 0);
	assert_int_equal(fcntl(w.in.fd, F_GETFD) >= 0, 1);
	assert_int_equal(fcntl(w.out.fd, F_GETFD) >= 0, 1);
	close(w.in.fd);
	if (w.out.fd != file)
		close(w.out.fd);
	close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_wake_calls_are_counted_and_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_wake_never_blocks_however_often_it_is_called, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_wake_writes_into_no_file_of_the_programs, setup, teardown),
	};

	alarm(60);
	return cmocka_run_group_tests_name("wake", tests, NULL, NULL);
}
