/*
 * test_server_thread.c: the net thread: its name and signals, that it sleeps, parks, forks and ends
 * at any moment.
 *
 * LINK: -Wl,--wrap=pthread_create
 */
#include <dirent.h>

#include "server_rig.h"

static int create_fails; /* errno of pthread_create */
static int create_times;

int __real_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

int __wrap_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	if (create_times > 0) {
		create_times--;
		return create_fails;
	}
	return __real_pthread_create(t, attr, start, arg);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* How many threads have the net thread's name, and the signals that it blocks. */
static size_t net_threads(uint64_t *blocked)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *e;
	size_t n = 0;

	assert_non_null(tasks);
	while ((e = readdir(tasks)) != NULL) {
		char path[300], line[200];
		int named = 0;
		FILE *f;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		while (fgets(line, sizeof(line), f) != NULL) {
			if (strcmp(line, "Name:\t" SERVER_THREAD_NAME "\n") == 0)
				named = 1;
			if (named && strncmp(line, "SigBlk:", 7) == 0)
				*blocked = strtoull(line + 7, NULL, 16);
		}
		fclose(f);
		n += (size_t)named;
	}
	closedir(tasks);
	return n;
}

static void test_server_has_one_thread_with_its_name_and_all_signals_blocked(void **state)
{
	uint64_t blocked = 0;
	sigset_t mine;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	serve();
	/* It has its name when it has come back from its first poll. */
	while (server_turns(server) == 0)
		pause_ms(1);
	assert_int_equal(net_threads(&blocked), 1);
	/* All but SIGKILL and SIGSTOP, which nobody can block. */
	assert_int_equal(blocked & 0x7fffffffu, 0x7fffffffu & ~0x40100u);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mine), 0);
	assert_int_equal(sigismember(&mine, SIGUSR1), 0);
	assert_int_equal(server_running(server), 1);
	server_park(server);
	server_park(server);
	assert_int_equal(server_running(server), 0);
	/* Joined is not yet gone from /proc. */
	while (net_threads(&blocked) > 0)
		pause_ms(1);
}

static void test_server_runs_without_listeners_and_takes_them_later(void **state)
{
	struct channel *ch;

	(void)state;
	serve();
	while (server_turns(server) == 0)
		pause_ms(1);
	server_park(server);
	add_unix("a.sock", NULL);
	serve();
	ch = dial("a.sock");
	greet(ch);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

/* What is still under way comes to its end; a thread that never sleeps does not get past this. */
static void await_sleep(void)
{
	uint64_t before;
	int tries = 0;

	do {
		assert_in_range(++tries, 1, 200);
		before = server_turns(server);
		pause_ms(50);
	} while (server_turns(server) != before);
}

static void test_server_sleeps_when_there_is_nothing_to_do(void **state)
{
	struct channel *ch;
	uint64_t before;

	(void)state;
	add_unix("a.sock", NULL);
	add_tcp();
	serve();
	await_sleep();
	before = server_turns(server);
	pause_ms(300);
	assert_int_equal(server_turns(server), before);
	/* Nor with a client that has nothing to say. */
	ch = dial("a.sock");
	greet(ch);
	asks(ch, 1);
	await_sleep();
	before = server_turns(server);
	pause_ms(300);
	assert_int_equal(server_turns(server), before);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

/* As os.closerange() does in the program, while the thread sleeps: poll does not notice. */
static void test_server_parks_though_the_program_has_closed_all_its_fds(void **state)
{
	(void)state;
	add_unix("a.sock", NULL);
	add_tcp();
	serve();
	while (server_turns(server) == 0)
		pause_ms(1);
	pause_ms(20);
	assert_int_equal(close(server->wake.in.fd), 0);
	assert_int_equal(close(server->wake.out.fd), 0);
	for (size_t i = 0; i < server->count; i++)
		assert_int_equal(close(server->listeners[i]->socket.fd), 0);
	server_park(server);
	assert_int_equal(server_running(server), 0);
	/* And again, with a thread that finds out by itself. */
	serve();
	server_park(server);
	assert_int_equal(server_running(server), 0);
}

static void test_server_tries_a_larger_stack_and_says_when_there_is_no_thread(void **state)
{
	sigset_t mine;

	(void)state;
	add_unix("a.sock", NULL);
	create_fails = EINVAL;
	create_times = 3;
	serve();
	server_park(server);
	create_fails = EAGAIN;
	create_times = 1;
	assert_int_equal(server_resume(server, &d), PYSTUCK_ESYS);
	assert_int_equal(d.sys, EAGAIN);
	assert_int_equal(server_running(server), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mine), 0);
	assert_int_equal(sigismember(&mine, SIGUSR1), 0);
	create_fails = EINVAL;
	create_times = 100;
	assert_int_equal(server_resume(server, &d), PYSTUCK_ESYS);
	create_times = 0;
	serve();
}

static void test_server_parked_keeps_its_clients_waiting_and_then_answers(void **state)
{
	struct channel *ch, *later;
	struct msg m;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	ch = dial("a.sock");
	greet(ch);
	server_park(server);
	say(ch, rig_dump(1, 0));
	later = dial("a.sock");
	say(later, rig_hello());
	assert_int_equal(rig_hear_within(ch, &m, 50), PYSTUCK_ETIME);
	serve();
	rig_hear(ch, &m, MSG_DUMP_BEGIN);
	rig_hear(ch, &m, MSG_DUMP_END);
	rig_hear(later, &m, MSG_WELCOME);
	channel_free(ch);
	channel_free(later);
	fake_await(&fake.closes, 2);
}

static atomic_int parking;

static void *park_and_resume(void *arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++) {
		server_park(server);
		if (server_resume(server, NULL) != 0)
			break;
	}
	atomic_store(&parking, 0);
	return NULL;
}

static void test_server_parks_at_any_moment_and_nothing_is_lost(void **state)
{
	struct channel *ch;
	pthread_t other;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	ch = dial("a.sock");
	greet(ch);
	atomic_store(&parking, 1);
	assert_int_equal(pthread_create(&other, NULL, park_and_resume, NULL), 0);
	for (uint32_t id = 1; atomic_load(&parking); id++)
		asks(ch, id);
	pthread_join(other, NULL);
	asks(ch, 1);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* What is left open of the parent's sockets, pipes of the test aside. */
static int open_sockets(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode))
			n++;
	}
	return n;
}

static void test_server_a_forked_child_closes_all_and_removes_nothing(void **state)
{
	int before = open_sockets();
	int hold[2], status = -1;
	struct channel *ch, *tcp;
	struct msg m;
	pid_t child;

	(void)state;
	add_unix("a.sock", NULL);
	add_tcp();
	serve();
	ch = dial("a.sock");
	tcp = dial_tcp();
	greet(ch);
	greet(tcp);
	assert_int_equal(pipe(hold), 0);
	server_park(server);
	child = fork();
	if (child == 0) {
		char byte;

		channel_free(ch);
		channel_free(tcp);
		server_forget(server);
		close(hold[1]);
		/* The two by which its thread is woken are gone too. */
		if (open_sockets() != before - 2 || fake.closes != 0)
			_exit(2);
		(void)!read(hold[0], &byte, 1);
		/* No leak check here: what was in use in the parent is left alone, on purpose. */
		(void)raise(SIGKILL);
	}
	serve();
	asks(ch, 1);
	asks(tcp, 1);
	/* The child lives; when the parent's server ends, its clients know. */
	server_park(server);
	(void)server_remove(server, unix_id);
	(void)server_remove(server, tcp_id);
	rig_hear(ch, &m, MSG_BYE);
	rig_hear_end(ch);
	rig_hear(tcp, &m, MSG_BYE);
	rig_hear_end(tcp);
	assert_int_equal(dial_fd("a.sock"), -1);
	close(hold[1]);
	close(hold[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	channel_free(ch);
	channel_free(tcp);
}

static void test_server_free_ends_everything_at_any_moment(void **state)
{
	for (int i = 0; i < 100; i++) {
		struct channel *ch[4];

		add_unix("a.sock", NULL);
		serve();
		for (int j = 0; j < 4; j++) {
			ch[j] = dial("a.sock");
			say(ch[j], rig_hello());
			if (j % 2)
				say(ch[j], rig_eval(1));
		}
		if (i % 2)
			pause_ms(i % 7);
		server_free(server);
		assert_int_equal(inode_of(in_place("a.sock")), 0);
		for (int j = 0; j < 4; j++)
			channel_free(ch[j]);
		fake_reset();
		assert_int_equal(place_remove(state), 0);
		assert_int_equal(setup(state), 0);
	}
	server_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_has_one_thread_with_its_name_and_all_signals_blocked),
		T(test_server_runs_without_listeners_and_takes_them_later),
		T(test_server_sleeps_when_there_is_nothing_to_do),
		T(test_server_parks_though_the_program_has_closed_all_its_fds),
		T(test_server_tries_a_larger_stack_and_says_when_there_is_no_thread),
		T(test_server_parked_keeps_its_clients_waiting_and_then_answers),
		T(test_server_parks_at_any_moment_and_nothing_is_lost),
		T(test_server_a_forked_child_closes_all_and_removes_nothing),
		T(test_server_free_ends_everything_at_any_moment),
	};

	alarm(110);
	return cmocka_run_group_tests_name("server_thread", tests, NULL, NULL);
}
