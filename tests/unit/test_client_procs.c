/*
 * test_client_procs.c: names of units, and which unit a path of /proc/PID/cgroup means. Real units
 * are in tests/systemd.
 * SOURCES: src/client/procs.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sched.h>

#include <cmocka.h>

#include "../../src/client/procs.h"

#define UID 1000

static void test_unit_names_are_completed(void **state)
{
	static const char *const words[][2] = {{"app", "app.service"},
		{"app.service", "app.service"}, {"app@1", "app@1.service"},
		{"app@", "app@.service"}, {"app.v2", "app.v2.service"},
		{"docker-0a.scope", "docker-0a.scope"}, {"a\\x2db:c_d", "a\\x2db:c_d.service"}};
	char name[PROCS_UNIT];
	struct diag d;

	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		assert_int_equal(procs_unit_name(name, words[i][0], &d), 0);
		assert_string_equal(name, words[i][1]);
	}
}

static void test_what_is_no_unit_with_processes_is_refused(void **state)
{
	static const char *const words[] = {"", ".service", "../app", "a b", "app\n", "app.socket",
		"app.slice", "app.timer", "\xc3\xa4"};
	char name[PROCS_UNIT], longest[PROCS_UNIT + 1];
	struct diag d;

	(void)state;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		assert_int_equal(procs_unit_name(name, words[i], &d), PYSTUCK_EINVAL);
	memset(longest, 'a', sizeof longest);
	longest[PROCS_UNIT - sizeof ".service"] = '\0';
	assert_int_equal(procs_unit_name(name, longest, &d), 0);
	longest[PROCS_UNIT - sizeof ".service"] = 'a';
	longest[PROCS_UNIT - sizeof ".service" + 1] = '\0';
	assert_int_equal(procs_unit_name(name, longest, &d), PYSTUCK_EINVAL);
}

static void assert_units(const char *path, const char *system, const char *own)
{
	char is_system[PROCS_UNIT], is_own[PROCS_UNIT];

	procs_path_units(is_system, is_own, path, UID);
	assert_string_equal(is_system, system);
	assert_string_equal(is_own, own);
}

static void test_the_unit_of_a_path_is_the_outermost_one(void **state)
{
	(void)state;
	assert_units("/system.slice/app.service", "app.service", "");
	assert_units("/app.service", "app.service", "");
	assert_units("/system.slice/system-app.slice/app@1.service", "app@1.service", "");
	assert_units("/system.slice/app.service/worker/x.service", "app.service", "");
	assert_units(
		"/system.slice/docker-0a.scope/system.slice/app.service", "docker-0a.scope", "");
	assert_units("/user.slice/user-1000.slice/session-3.scope", "session-3.scope", "");
	assert_units("/../../system.slice/app.service", "app.service", "");
	assert_units("/system.slice/_cpu.service", "cpu.service", "");
}

static void test_what_systemd_did_not_name_has_no_unit(void **state)
{
	(void)state;
	assert_units("", "", "");
	assert_units("/", "", "");
	assert_units("/docker/0a/app.service", "", "");
	assert_units("/system.slice", "", "");
	assert_units("/.service", "", "");
	assert_units("/system.slice//", "", "");
}

static void test_only_the_users_own_manager_names_units_for_him(void **state)
{
	(void)state;
	assert_units("/user.slice/user-1000.slice/user@1000.service/app.slice/app.service",
		"user@1000.service", "app.service");
	assert_units("/user.slice/user-1000.slice/user@1000.service/init.scope",
		"user@1000.service", "init.scope");
	assert_units("/user.slice/user-1000.slice/user@1000.service", "user@1000.service", "");
	assert_units("/user.slice/user-1001.slice/user@1001.service/app.slice/app.service",
		"user@1001.service", "");
}

static void test_a_name_too_long_for_a_unit_names_nothing(void **state)
{
	char path[2 * PROCS_UNIT] = "/", system[PROCS_UNIT], own[PROCS_UNIT];

	(void)state;
	memset(path + 1, 'a', PROCS_UNIT);
	strcpy(path + 1 + PROCS_UNIT - 8, ".service");
	procs_path_units(system, own, path, UID);
	assert_string_equal(system, "");
	strcpy(path + PROCS_UNIT - 8, ".service"); /* one shorter: 255 bytes */
	procs_path_units(system, own, path, UID);
	assert_int_equal(strlen(system), PROCS_UNIT - 1);
}

static void test_a_template_means_each_of_its_instances(void **state)
{
	(void)state;
	assert_true(procs_unit_is("app@1.service", "app@.service"));
	assert_true(procs_unit_is("app@1.2.service", "app@.service"));
	assert_true(procs_unit_is("app@1.service", "app@1.service"));
	assert_false(procs_unit_is("app@1.service", "app@2.service"));
	assert_false(procs_unit_is("app.service", "app@.service"));
	assert_false(procs_unit_is("other@1.service", "app@.service"));
	assert_false(procs_unit_is("app@1.scope", "app@.service"));
	assert_false(procs_unit_is("", "app@.service"));
	assert_false(procs_unit_is("app2.service", "app.service"));
}

static void test_where_nobody_is_in_a_container_the_told_number_counts(void **state)
{
	(void)state;
	assert_int_equal(procs_here(getpid(), getpid()), getpid());
	assert_int_equal(procs_here(getpid(), 1), 1);
	assert_int_equal(procs_here(0, 7), 0);
}

/* A process that is number 1 in a namespace of its own is told by its number here. */
static void test_a_process_in_a_container_is_known_by_its_number_here(void **state)
{
	int pipes[2];
	char c = 0;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	pid_t maker = fork();
	if (maker == 0) {
		/* As root, or with a user namespace of its own. */
		int there =
			unshare(CLONE_NEWPID) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0;
		pid_t inner = there ? fork() : -1;

		if (inner == 0) {
			close(pipes[0]);
			pause();
			_exit(0);
		}
		dprintf(pipes[1], "%ld\n", (long)inner);
		if (inner > 0)
			waitpid(inner, NULL, 0);
		_exit(0);
	}
	char text[16] = "";
	size_t n = 0;
	while (n < sizeof text - 1 && read(pipes[0], &c, 1) == 1 && c != '\n')
		text[n++] = c;
	pid_t inner = (pid_t)strtol(text, NULL, 10);
	close(pipes[0]);
	close(pipes[1]);
	if (inner <= 0) {
		waitpid(maker, NULL, 0);
		skip();
	}
	pid_t here = procs_here(inner, 1), unknown = procs_here(inner, 4242);
	kill(inner, SIGKILL);
	waitpid(maker, NULL, 0);
	assert_int_equal(here, inner);
	assert_int_equal(unknown, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit_names_are_completed),
		cmocka_unit_test(test_what_is_no_unit_with_processes_is_refused),
		cmocka_unit_test(test_the_unit_of_a_path_is_the_outermost_one),
		cmocka_unit_test(test_what_systemd_did_not_name_has_no_unit),
		cmocka_unit_test(test_only_the_users_own_manager_names_units_for_him),
		cmocka_unit_test(test_a_name_too_long_for_a_unit_names_nothing),
		cmocka_unit_test(test_a_template_means_each_of_its_instances),
		cmocka_unit_test(test_where_nobody_is_in_a_container_the_told_number_counts),
		cmocka_unit_test(test_a_process_in_a_container_is_known_by_its_number_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
