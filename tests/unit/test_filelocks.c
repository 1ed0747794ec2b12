/*
 * test_filelocks.c: /proc/locks as text. The python room is not linked into unit tests; this file of it needs no Python.
 */
#include "../../src/python/filelocks.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static const char locks[] = "1: POSIX  ADVISORY  WRITE 100 fd:00:50 0 EOF\n"
			    "2: FLOCK  ADVISORY  WRITE 812 08:01:1234 0 EOF\n"
			    "2: -> FLOCK  ADVISORY  WRITE 900 08:01:1234 0 EOF\n"
			    "2: -> FLOCK  ADVISORY  WRITE 901 08:01:1234 0 EOF\n"
			    "3: POSIX  ADVISORY  WRITE 813 08:01:1234 0 9\n"
			    "4: POSIX  ADVISORY  WRITE 814 08:01:1234 10 19\n"
			    "4: -> POSIX  ADVISORY  READ 901 08:01:1234 15 15\n"
			    "5: OFDLCK ADVISORY  WRITE -1 08:01:77 0 EOF\n"
			    "5: -> POSIX  ADVISORY  WRITE 901 08:01:77 0 EOF\n";

static void test_filelocks_finds_who_stands_before_the_waiter(void **state)
{
	(void)state;
	assert_int_equal(filelocks_parse(locks, 900, 1234, 1), 812);
	assert_int_equal(filelocks_parse(locks, 901, 1234, 1), 812);
	assert_int_equal(filelocks_parse(locks, 901, 1234, 0), 814);
}

static void test_filelocks_does_not_guess(void **state)
{
	(void)state;
	assert_int_equal(filelocks_parse(locks, 902, 1234, 1), 0);
	assert_int_equal(filelocks_parse(locks, 900, 1234, 0), 0);
	assert_int_equal(filelocks_parse(locks, 900, 50, 1), 0);
	/* The lock of an open file belongs to no process. */
	assert_int_equal(filelocks_parse(locks, 901, 77, 0), 0);
}

static void test_filelocks_reads_nonsense_as_nothing(void **state)
{
	static const char *const odd[] = {"", "\n\n", "1", "1:", "1: -> ", "1: FLOCK", "1: FLOCK A W 1", "1: FLOCK A W 1 ",
		"1: FLOCK A W 1 x:y", "1: -> FLOCK A W 900 08:01:1234 0 EOF", "x: FLOCK A W 1 08:01:1234 0 EOF\n",
		"-> -> ->\n1: FLOCK A W 1 :::\n"};

	(void)state;
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
		assert_int_equal(filelocks_parse(odd[i], 900, 1234, 1), 0);
}

/* Parent holds, child waits; a pipe end that is closed says that it is about to. */
static void test_filelocks_finds_a_real_holder(void **state)
{
	char path[] = "filelocks.XXXXXX";
	int fd = mkstemp(path), status;
	struct stat st;
	uint32_t holder = 0;
	pid_t child;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	child = fork();
	if (child == 0) {
		int own = open(path, O_RDONLY | O_CLOEXEC);

		_exit(flock(own, LOCK_EX) == 0 ? 0 : 1);
	}
	for (int i = 0; i < 2000 && holder == 0; i++) {
		holder = filelocks_holder(child, (uint64_t)st.st_ino, 1);
		usleep(5000);
	}
	assert_int_equal(holder, getpid());
	assert_int_equal(flock(fd, LOCK_UN), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filelocks_finds_who_stands_before_the_waiter),
		cmocka_unit_test(test_filelocks_does_not_guess),
		cmocka_unit_test(test_filelocks_reads_nonsense_as_nothing),
		cmocka_unit_test(test_filelocks_finds_a_real_holder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
