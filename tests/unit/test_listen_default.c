/*
 * test_listen_default.c: where to listen when nobody said.
 */
#include "listen.h"

#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

#include "place.h"

static struct addr a;
static struct diag d;
static int per_process;

static int setup(void **state)
{
	memset(&a, 0, sizeof(a));
	memset(&d, 0, sizeof(d));
	unsetenv("PYSTUCK_SOCKET");
	unsetenv("RUNTIME_DIRECTORY");
	unsetenv("XDG_RUNTIME_DIR");
	return place_make(state);
}

static void finds(const char *path, int with_pid)
{
	per_process = -1;
	if (listen_default(&a, &per_process, &d) != 0)
		fail_msg("refused: %s", d.text);
	assert_int_equal(a.kind, ADDR_UNIX);
	assert_string_equal(a.path, path);
	assert_int_equal(per_process, with_pid);
}

static const char *with_pid(const char *dir)
{
	static char path[PLACE_PATH];

	(void)snprintf(path, sizeof(path), "%s/%d.sock", dir, (int)getpid());
	return path;
}

static void test_listen_default_the_variable_comes_first(void **state)
{
	char expected[PLACE_PATH];

	(void)state;
	setenv("RUNTIME_DIRECTORY", place, 1);
	setenv("XDG_RUNTIME_DIR", place, 1);
	setenv("PYSTUCK_SOCKET", in_place("mine.sock"), 1);
	finds(in_place("mine.sock"), 0);
	setenv("PYSTUCK_SOCKET", in_place("app-{pid}.sock"), 1);
	(void)snprintf(expected, sizeof(expected), "%s/app-%d.sock", place, (int)getpid());
	finds(expected, 1);
	/* What was asked for is never replaced by something else. */
	setenv("PYSTUCK_SOCKET", in_place("{uid}.sock"), 1);
	assert_int_equal(listen_default(&a, &per_process, &d), PYSTUCK_EINVAL);
}

static void test_listen_default_then_the_services_runtime_directory(void **state)
{
	char two[PLACE_PATH];

	(void)state;
	setenv("PYSTUCK_SOCKET", "", 1);
	setenv("XDG_RUNTIME_DIR", place, 1);
	setenv("RUNTIME_DIRECTORY", place, 1);
	finds(in_place("pystuck.sock"), 1);
	(void)snprintf(two, sizeof(two), "%s:/run/other", in_place("first"));
	setenv("RUNTIME_DIRECTORY", two, 1);
	finds(in_place("first/pystuck.sock"), 1);
	setenv("RUNTIME_DIRECTORY", "app", 1);
	assert_int_equal(listen_default(&a, &per_process, &d), PYSTUCK_EINVAL);
	assert_says(&d, PYSTUCK_EINVAL, "absolute");
	memset(two, 'x', 120);
	two[0] = '/';
	two[120] = '\0';
	setenv("RUNTIME_DIRECTORY", two, 1);
	assert_int_equal(listen_default(&a, &per_process, &d), PYSTUCK_ETOOBIG);
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, 8) != 0)
		return -1;
	return fd;
}

static void test_listen_default_where_a_sibling_listens_the_next_path_has_the_pid(void **state)
{
	char expected[PLACE_PATH], byte;
	int ready[2], fd;
	pid_t sibling;

	(void)state;
	setenv("RUNTIME_DIRECTORY", place, 1);
	finds(in_place("pystuck.sock"), 1);
	assert_int_equal(listen_default_next(&a), 0);
	assert_int_equal(pipe(ready), 0);
	sibling = fork();
	if (sibling == 0) {
		if (listen_at(in_place("pystuck.sock")) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	make_dead_socket(in_place("pystuck-2147483646.sock"));
	(void)snprintf(expected, sizeof(expected), "%s/pystuck-%d.sock", place, (int)getpid());
	assert_int_equal(listen_default_next(&a), 1);
	assert_string_equal(a.path, expected);
	assert_int_equal(inode_of(in_place("pystuck-2147483646.sock")), 0);
	make_dead_socket(in_place("pystuck-2147483646.sock"));
	make_dead_socket(in_place("other.sock"));
	listen_default_sweep(&a);
	assert_int_equal(inode_of(in_place("pystuck-2147483646.sock")), 0);
	assert_int_not_equal(inode_of(in_place("other.sock")), 0);
	/* There is none behind that one. */
	assert_int_equal(listen_default_next(&a), 0);
	/* A place that was asked for has no next one. */
	setenv("PYSTUCK_SOCKET", in_place("pystuck.sock"), 1);
	finds(in_place("pystuck.sock"), 0);
	assert_int_equal(listen_default_next(&a), 0);
	unsetenv("PYSTUCK_SOCKET");
	/* Where it is gone its place is free, and where we listen ourselves it is ours. */
	kill(sibling, SIGKILL);
	assert_int_equal(waitpid(sibling, NULL, 0), sibling);
	finds(in_place("pystuck.sock"), 1);
	assert_int_equal(listen_default_next(&a), 0);
	assert_int_equal(unlink(in_place("pystuck.sock")), 0);
	fd = listen_at(in_place("pystuck.sock"));
	assert_true(fd >= 0);
	assert_int_equal(listen_default_next(&a), 0);
	close(fd);
}

static void test_listen_default_then_a_private_directory_in_the_users_runtime_directory(
	void **state)
{
	(void)state;
	setenv("XDG_RUNTIME_DIR", place, 1);
	finds(with_pid(in_place("pystuck")), 1);
	assert_int_equal(mode_of(in_place("pystuck")), 0700);
	/* It is there now, and serves again. */
	finds(with_pid(in_place("pystuck")), 1);
}

/* Fallbacks depend on the machine: here only that the bad place is not taken, and nothing made in
 * it. */
static void passes_over(const char *xdg)
{
	setenv("XDG_RUNTIME_DIR", xdg, 1);
	per_process = -1;
	if (listen_default(&a, &per_process, &d) == 0) {
		assert_int_not_equal(strncmp(a.path, place, strlen(place)), 0);
		assert_int_equal(per_process, 1);
	}
}

static void test_listen_default_passes_over_a_runtime_directory_that_is_not_safe(void **state)
{
	(void)state;
	make_dir("open", 0777);
	passes_over(in_place("open"));
	assert_int_equal(inode_of(in_place("open/pystuck")), 0);
	passes_over(in_place("missing"));
	passes_over("relative");
	passes_over("");
	make_file("file");
	passes_over(in_place("file"));
	make_dir("occupied", 0700);
	make_file("occupied/pystuck");
	passes_over(in_place("occupied"));
	make_dir("shared", 0700);
	make_dir("shared/pystuck", 0770);
	passes_over(in_place("shared"));
}

static void test_listen_default_passes_over_another_users_runtime_directory(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make_dir("theirs", 0700);
	assert_int_equal(chown(in_place("theirs"), PLACE_STRANGER, (gid_t)-1), 0);
	passes_over(in_place("theirs"));
	assert_int_equal(inode_of(in_place("theirs/pystuck")), 0);
}

static pid_t dead_pid(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	return child;
}

static void test_listen_default_sweeps_dead_sockets_of_processes_that_are_gone(void **state)
{
	char dead[64], answers[64], unknown[64];
	int listener;

	(void)state;
	make_dir("pystuck", 0700);
	(void)snprintf(dead, sizeof(dead), "pystuck/%d.sock", (int)dead_pid());
	(void)snprintf(answers, sizeof(answers), "pystuck/%d.sock", (int)dead_pid());
	(void)snprintf(unknown, sizeof(unknown), "pystuck/%d.sock.old", (int)dead_pid());
	make_dead_socket(in_place(dead));
	make_dead_socket(in_place(unknown));
	make_dead_socket(in_place("pystuck/1.sock")); /* that process lives */
	make_dead_socket(in_place("pystuck/app.sock"));
	make_dead_socket(in_place("pystuck/0.sock"));
	make_dead_socket(in_place("pystuck/99999999999.sock"));
	make_file("pystuck/123.sock.txt");
	/* A process of another container: its pid means nothing here, and it answers. */
	listener = bind_at(in_place(answers), SOCK_STREAM);
	assert_int_equal(listen(listener, 1), 0);
	setenv("XDG_RUNTIME_DIR", place, 1);
	finds(with_pid(in_place("pystuck")), 1);
	assert_int_equal(inode_of(in_place(dead)), 0);
	assert_int_not_equal(inode_of(in_place(answers)), 0);
	assert_int_not_equal(inode_of(in_place(unknown)), 0);
	assert_int_not_equal(inode_of(in_place("pystuck/1.sock")), 0);
	assert_int_not_equal(inode_of(in_place("pystuck/app.sock")), 0);
	assert_int_not_equal(inode_of(in_place("pystuck/0.sock")), 0);
	assert_int_not_equal(inode_of(in_place("pystuck/99999999999.sock")), 0);
	assert_int_not_equal(inode_of(in_place("pystuck/123.sock.txt")), 0);
	close(listener);
}

static void test_listen_default_sweep_leaves_files_with_the_name_of_a_socket(void **state)
{
	char file[64], link[64];

	(void)state;
	make_dir("pystuck", 0700);
	(void)snprintf(file, sizeof(file), "pystuck/%d.sock", (int)dead_pid());
	(void)snprintf(link, sizeof(link), "pystuck/%d.sock", (int)dead_pid());
	make_file(file);
	assert_int_equal(symlink("/dev/null", in_place(link)), 0);
	setenv("XDG_RUNTIME_DIR", place, 1);
	finds(with_pid(in_place("pystuck")), 1);
	assert_int_not_equal(inode_of(in_place(file)), 0);
	assert_int_not_equal(inode_of(in_place(link)), 0);
}

/* Uid of nobody in particular, without a directory in /run/user: the last resort. */
#define LONELY 61234

static void lonely_child(void)
{
	struct addr mine;
	int with;

	if (setgroups(0, NULL) != 0 || setgid(LONELY) != 0 || setuid(LONELY) != 0)
		_exit(2);
	if (listen_default(&mine, &with, &d) != 0) {
		dprintf(STDERR_FILENO, "%s\n", d.text);
		_exit(3);
	}
	if (strcmp(mine.path, with_pid("/tmp/pystuck-61234")) != 0 || with != 1)
		_exit(4);
	if (mode_of("/tmp/pystuck-61234") != 0700)
		_exit(5);
	_exit(0);
}

static int status_of_lonely_child(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		lonely_child();
	assert_int_equal(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void test_listen_default_at_last_a_private_directory_in_tmp(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	(void)rmdir("/tmp/pystuck-61234");
	assert_int_equal(status_of_lonely_child(), 0);
	assert_int_equal(rmdir("/tmp/pystuck-61234"), 0);
	/* Somebody was there first: refused, not used. */
	assert_int_equal(mkdir("/tmp/pystuck-61234", 0777), 0);
	assert_int_equal(status_of_lonely_child(), 3);
	assert_int_equal(chown("/tmp/pystuck-61234", LONELY, LONELY), 0);
	assert_int_equal(chmod("/tmp/pystuck-61234", 0755), 0);
	assert_int_equal(status_of_lonely_child(), 3);
	assert_int_equal(rmdir("/tmp/pystuck-61234"), 0);
	assert_int_equal(symlink(place, "/tmp/pystuck-61234"), 0);
	assert_int_equal(status_of_lonely_child(), 3);
	assert_int_equal(unlink("/tmp/pystuck-61234"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_listen_default_the_variable_comes_first),
		T(test_listen_default_then_the_services_runtime_directory),
		T(test_listen_default_where_a_sibling_listens_the_next_path_has_the_pid),
		T(test_listen_default_then_a_private_directory_in_the_users_runtime_directory),
		T(test_listen_default_passes_over_a_runtime_directory_that_is_not_safe),
		T(test_listen_default_passes_over_another_users_runtime_directory),
		T(test_listen_default_sweeps_dead_sockets_of_processes_that_are_gone),
		T(test_listen_default_sweep_leaves_files_with_the_name_of_a_socket),
		T(test_listen_default_at_last_a_private_directory_in_tmp),
	};

	alarm(60);
	return cmocka_run_group_tests_name("listen_default", tests, NULL, NULL);
}
