/*
 * test_listen_path.c: which directories above a socket are good enough. Making the socket:
 * test_listen.c.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <time.h>

#include "../../src/server/listen_path.h"
#include "place.h"

static struct diag d;

static int setup(void **state)
{
	memset(&d, 0, sizeof(d));
	return place_make(state);
}

static void accepts(const char *path)
{
	if (listen_path_check(path, LISTEN_PATH_PRIVATE, &d) != 0)
		fail_msg("refused: %s", d.text);
}

static void refuses(const char *path, int code, const char *words)
{
	memset(&d, 0, sizeof(d));
	assert_int_equal(listen_path_check(path, LISTEN_PATH_PRIVATE, &d), code);
	assert_says(&d, code, words);
}

static void test_listen_path_accepts_a_private_directory_below_tmp(void **state)
{
	(void)state;
	accepts(in_place("a.sock"));
	make_dir("sub", 0755);
	accepts(in_place("sub/a.sock"));
	accepts(in_place("sub/../a.sock"));
	accepts(in_place("./sub//./a.sock"));
}

static void test_listen_path_accepts_the_systems_own_directories(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	accepts("/a.sock");
	accepts("/run/a.sock");
	accepts("/var/run/a.sock");
}

static void test_listen_path_refuses_tmp_itself(void **state)
{
	(void)state;
	refuses("/tmp/a.sock", PYSTUCK_EUNSAFE, "/tmp");
	assert_int_equal(listen_path_check("/tmp/a.sock", LISTEN_PATH_STICKY, &d), 0);
}

static void test_listen_path_refuses_a_directory_that_all_may_write_anywhere_above(void **state)
{
	(void)state;
	make_dir("open", 0777);
	make_dir("open/sub", 0700);
	refuses(in_place("open/a.sock"), PYSTUCK_EUNSAFE, "open");
	refuses(in_place("open/sub/a.sock"), PYSTUCK_EUNSAFE, "0777");
	assert_says(&d, PYSTUCK_EUNSAFE, "chmod go-w");
}

static void test_listen_path_refuses_a_directory_that_its_group_may_write(void **state)
{
	(void)state;
	make_dir("group", 0770);
	refuses(in_place("group/a.sock"), PYSTUCK_EUNSAFE, "0770");
}

static void test_listen_path_a_sticky_directory_needs_a_private_one_below(void **state)
{
	(void)state;
	make_dir("sticky", 01777);
	make_dir("sticky/shared", 0755);
	make_dir("sticky/shared/private", 0700);
	refuses(in_place("sticky/a.sock"), PYSTUCK_EUNSAFE, "sticky");
	refuses(in_place("sticky/shared/a.sock"), PYSTUCK_EUNSAFE, "mkdir -m 700");
	accepts(in_place("sticky/shared/private/a.sock"));
}

static void test_listen_path_refuses_a_directory_of_another_user(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make_dir("theirs", 0755);
	make_dir("theirs/sub", 0700);
	assert_int_equal(chown(in_place("theirs"), PLACE_STRANGER, (gid_t)-1), 0);
	refuses(in_place("theirs/a.sock"), PYSTUCK_EUNSAFE, "uid 1001");
	refuses(in_place("theirs/sub/a.sock"), PYSTUCK_EUNSAFE, "uid 1001");
}

static void test_listen_path_follows_links_of_root_and_ours_and_checks_where_they_lead(void **state)
{
	(void)state;
	make_dir("real", 0700);
	make_dir("open", 0777);
	assert_int_equal(symlink(in_place("real"), in_place("absolute")), 0);
	assert_int_equal(symlink("real", in_place("relative")), 0);
	assert_int_equal(symlink("open", in_place("bad")), 0);
	assert_int_equal(symlink("/tmp", in_place("out")), 0);
	accepts(in_place("absolute/a.sock"));
	accepts(in_place("relative/a.sock"));
	refuses(in_place("bad/a.sock"), PYSTUCK_EUNSAFE, "open");
	refuses(in_place("out/a.sock"), PYSTUCK_EUNSAFE, "/tmp");
}

static void test_listen_path_refuses_another_users_link_in_a_sticky_directory(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make_dir("real", 0700);
	make_dir("sticky", 01777);
	assert_int_equal(symlink(in_place("real"), in_place("sticky/link")), 0);
	accepts(in_place("sticky/link/a.sock"));
	assert_int_equal(lchown(in_place("sticky/link"), PLACE_STRANGER, (gid_t)-1), 0);
	refuses(in_place("sticky/link/a.sock"), PYSTUCK_EUNSAFE, "link");
}

static void test_listen_path_links_that_lead_in_a_circle_end(void **state)
{
	(void)state;
	assert_int_equal(symlink("b", in_place("a")), 0);
	assert_int_equal(symlink("a", in_place("b")), 0);
	refuses(in_place("a/a.sock"), PYSTUCK_ETOOBIG, "too far");
}

static void test_listen_path_says_what_is_missing(void **state)
{
	(void)state;
	refuses(in_place("missing/a.sock"), PYSTUCK_ESYS, "missing");
	assert_int_equal(d.sys, ENOENT);
	make_file("file");
	refuses(in_place("file/a.sock"), PYSTUCK_ESYS, "not a directory");
}

static void test_listen_path_refuses_what_names_no_file(void **state)
{
	(void)state;
	refuses("a.sock", PYSTUCK_EINVAL, "absolute");
	refuses(in_place(""), PYSTUCK_EINVAL, "directory");
	refuses(in_place("."), PYSTUCK_EINVAL, "directory");
	refuses(in_place(".."), PYSTUCK_EINVAL, "directory");
}

static void test_listen_path_refuses_names_over_the_limits(void **state)
{
	static char path[PATH_MAX * 2];

	(void)state;
	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[NAME_MAX + 2] = '/';
	path[NAME_MAX + 10] = '\0';
	refuses(path, PYSTUCK_ETOOBIG, "too long");
	path[NAME_MAX + 10] = 'x';
	path[PATH_MAX + 100] = '/';
	refuses(path, PYSTUCK_ETOOBIG, "too long");
}

static void test_listen_path_look_tells_what_lies_there(void **state)
{
	int live, datagram;

	(void)state;
	assert_int_equal(listen_path_look(in_place("a")), LISTEN_PATH_NOTHING);
	make_file("file");
	assert_int_equal(listen_path_look(in_place("file")), LISTEN_PATH_OTHER);
	make_dead_socket(in_place("dead"));
	assert_int_equal(listen_path_look(in_place("dead")), LISTEN_PATH_DEAD);
	live = bind_at(in_place("live"), SOCK_STREAM);
	assert_int_equal(listen(live, 1), 0);
	assert_int_equal(listen_path_look(in_place("live")), LISTEN_PATH_LIVE);
	datagram = bind_at(in_place("datagram"), SOCK_DGRAM);
	assert_int_equal(listen_path_look(in_place("datagram")), LISTEN_PATH_LIVE);
	assert_int_equal(symlink("dead", in_place("link")), 0);
	assert_int_equal(listen_path_look(in_place("link")), LISTEN_PATH_OTHER);
	close(live);
	close(datagram);
}

static long ms_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

static void test_listen_path_lock_excludes_and_waits_no_longer_than_told(void **state)
{
	struct timespec start;
	int first, second;

	(void)state;
	first = listen_path_lock(in_place("a.sock"), 0);
	assert_true(first >= 0);
	assert_int_equal(fcntl(first, F_GETFD), FD_CLOEXEC);
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(listen_path_lock(in_place("b.sock"), 50), -1);
	assert_true(ms_since(&start) >= 50);
	close(first);
	second = listen_path_lock(in_place("b.sock"), 0);
	assert_true(second >= 0);
	close(second);
	assert_int_equal(listen_path_lock(in_place("missing/a.sock"), 0), -1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_listen_path_accepts_a_private_directory_below_tmp),
		T(test_listen_path_accepts_the_systems_own_directories),
		T(test_listen_path_refuses_tmp_itself),
		T(test_listen_path_refuses_a_directory_that_all_may_write_anywhere_above),
		T(test_listen_path_refuses_a_directory_that_its_group_may_write),
		T(test_listen_path_a_sticky_directory_needs_a_private_one_below),
		T(test_listen_path_refuses_a_directory_of_another_user),
		T(test_listen_path_follows_links_of_root_and_ours_and_checks_where_they_lead),
		T(test_listen_path_refuses_another_users_link_in_a_sticky_directory),
		T(test_listen_path_links_that_lead_in_a_circle_end),
		T(test_listen_path_says_what_is_missing),
		T(test_listen_path_refuses_what_names_no_file),
		T(test_listen_path_refuses_names_over_the_limits),
		T(test_listen_path_look_tells_what_lies_there),
		T(test_listen_path_lock_excludes_and_waits_no_longer_than_told),
	};

	alarm(60);
	return cmocka_run_group_tests_name("listen_path", tests, NULL, NULL);
}
