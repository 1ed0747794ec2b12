/*
 * test_listen_race.c: several servers want the same path at the same moment.
 */
#include "listen.h"

#include <sys/wait.h>

#include "place.h"

static struct listen_options o;
static struct listen_socket s;
static struct diag d;

static int setup(void **state)
{
	o = (struct listen_options){.mode = 0600, .group = (gid_t)-1};
	s = (struct listen_socket){.fd = -1};
	return place_make(state);
}

static void at(const char *path)
{
	assert_int_equal(addr_unix(&o.addr, path, &d), 0);
}

#define RACERS 6
#define ROUNDS 40

/* 0: this one serves, and it waits to be told to end; 1: the address is taken; 2: anything else. */
static void race(const char *path, int go, int tell, int end)
{
	char c = 'x';

	at(path);
	(void)!read(go, &c, 1);
	c = (char)('0' - listen_open(&s, &o, &d));
	(void)!write(tell, &c, 1);
	(void)!read(end, &c, 1);
	_exit(0); /* dies without closing: the next round finds a dead socket */
}

static void run_race(const char *path)
{
	int go[2], tell[2], end[2];
	int won = 0, lost = 0;
	char c;

	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(tell), 0);
	assert_int_equal(pipe(end), 0);
	for (int i = 0; i < RACERS; i++) {
		if (fork() == 0) {
			close(go[1]);
			close(end[1]);
			race(path, go[0], tell[1], end[0]);
		}
	}
	close(go[1]);
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(read(tell[0], &c, 1), 1);
		won += c == '0';
		lost += c == '0' - PYSTUCK_EINUSE;
	}
	assert_int_equal(won, 1);
	assert_int_equal(lost, RACERS - 1);
	assert_int_equal(try_connect(path), 0);
	close(end[1]);
	for (int i = 0; i < RACERS; i++)
		assert_true(wait(NULL) > 0);
	assert_int_equal(try_connect(path), ECONNREFUSED);
	close(go[0]);
	close(tell[0]);
	close(tell[1]);
	close(end[0]);
}

static void test_listen_of_many_servers_starting_at_once_one_wins(void **state)
{
	(void)state;
	make_dead_socket(in_place("a.sock"));
	for (int i = 0; i < ROUNDS; i++)
		run_race(in_place("a.sock"));
}

static size_t entries(void)
{
	size_t n = 0;
	char command[128];
	char line[256];
	FILE *f;

	(void)snprintf(command, sizeof(command), "ls -A %s", place);
	f = popen(command, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n++;
	pclose(f);
	return n;
}

static void test_listen_leaves_no_lock_file_behind(void **state)
{
	(void)state;
	make_dead_socket(in_place("a.sock"));
	at(in_place("a.sock"));
	assert_int_equal(listen_open(&s, &o, &d), 0);
	assert_int_equal(entries(), 1);
	listen_close(&s);
	assert_int_equal(entries(), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_listen_of_many_servers_starting_at_once_one_wins),
		T(test_listen_leaves_no_lock_file_behind),
	};

	alarm(110);
	return cmocka_run_group_tests_name("listen_race", tests, NULL, NULL);
}
