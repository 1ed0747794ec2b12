/*
 * test_ownfd.c: an fd is ours as long as it is the file that we opened, whatever the program does with its number.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "error.h"
#include "ownfd.h"

#define MANY 300

static int fresh(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static int is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_ownfd_is_ours_until_it_is_closed(void **state)
{
	struct ownfd o;
	int fd = fresh();

	(void)state;
	assert_int_equal(ownfd_take(&o, fd), 0);
	assert_true(ownfd_is(&o));
	ownfd_close(&o);
	assert_false(is_open(fd));
	assert_int_equal(o.fd, -1);
	assert_false(ownfd_is(&o));
	ownfd_close(&o);
}

static void test_ownfd_a_number_that_is_another_file_now_is_left_alone(void **state)
{
	struct ownfd o;
	int fd = fresh();

	(void)state;
	assert_int_equal(ownfd_take(&o, fd), 0);
	close(fd);
	assert_false(ownfd_is(&o));
	assert_int_equal(fresh(), fd);
	errno = 77;
	assert_false(ownfd_is(&o));
	assert_int_equal(errno, 77);
	ownfd_close(&o);
	assert_true(is_open(fd));
	close(fd);
}

static void test_ownfd_drop_says_whose_it_is_and_closes_nothing(void **state)
{
	struct ownfd o;
	int fd = fresh();

	(void)state;
	assert_int_equal(ownfd_take(&o, fd), 0);
	assert_true(ownfd_drop(&o));
	assert_true(is_open(fd));
	assert_int_equal(ownfd_take(&o, fd), 0);
	close(fd);
	assert_false(ownfd_drop(&o));
}

static void test_ownfd_takes_nothing_that_is_not_open(void **state)
{
	struct ownfd o;

	(void)state;
	assert_int_equal(ownfd_take(&o, -1), PYSTUCK_ESYS);
	assert_false(ownfd_is(&o));
	assert_false(ownfd_drop(&o));
}

/* More than a chunk, so that the table has grown; some have become the program's meanwhile. */
static void test_ownfd_close_all_closes_ours_and_nothing_else(void **state)
{
	static struct ownfd o[MANY];
	int strange = fresh();
	pid_t pid;
	int status;

	(void)state;
	for (int i = 0; i < MANY; i++)
		assert_int_equal(ownfd_take(&o[i], fresh()), 0);
	assert_int_equal(dup2(strange, o[7].fd), o[7].fd);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		ownfd_close_all();
		for (int i = 0; i < MANY; i++)
			if (is_open(o[i].fd) != (i == 7))
				_exit(1);
		/* What is left of the parent's owners does no harm to those who come now. */
		struct ownfd mine;
		int fd = fresh();

		if (ownfd_take(&mine, fd) != 0)
			_exit(2);
		for (int i = 0; i < MANY; i++)
			ownfd_close(&o[i]);
		ownfd_close_all();
		_exit(is_open(fd) ? 3 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (int i = 0; i < MANY; i++) {
		int fd = o[i].fd;

		ownfd_close(&o[i]);
		assert_int_equal(is_open(fd), i == 7);
		if (i == 7)
			close(fd);
	}
	close(strange);
}

static void *take_and_close(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		struct ownfd o;

		if (ownfd_take(&o, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) != 0 || !ownfd_is(&o))
			return &errno;
		ownfd_close(&o);
	}
	return NULL;
}

static void test_ownfd_threads_do_not_take_each_others_slots(void **state)
{
	pthread_t threads[4];
	void *failed;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_close, NULL), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ownfd_is_ours_until_it_is_closed),
		cmocka_unit_test(test_ownfd_a_number_that_is_another_file_now_is_left_alone),
		cmocka_unit_test(test_ownfd_drop_says_whose_it_is_and_closes_nothing),
		cmocka_unit_test(test_ownfd_takes_nothing_that_is_not_open),
		cmocka_unit_test(test_ownfd_close_all_closes_ours_and_nothing_else),
		cmocka_unit_test(test_ownfd_threads_do_not_take_each_others_slots),
	};

	alarm(60);
	return cmocka_run_group_tests_name("ownfd", tests, NULL, NULL);
}
