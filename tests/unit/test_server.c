/*
 * test_server.c: the net thread with real sockets: it serves, sleeps, parks, forks, and is not
 * brought down by who comes. What a session does: test_session.c.
 *
 * LINK: -Wl,--wrap=accept4 -Wl,--wrap=pthread_create
 */
#include <dirent.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../../src/server/server_private.h"
#include "place.h"
#undef MAYBE_UNUSED
#include "service_rig.h"

static struct {
	atomic_int sys;		/* errno that accept4 fails with */
	atomic_int times;	/* how often it still does */
	atomic_int calls;
	int create_fails;	/* errno of pthread_create */
	int create_times;
} world;

int __real_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);
int __real_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	atomic_fetch_add(&world.calls, 1);
	if (atomic_load(&world.times) > 0) {
		atomic_fetch_sub(&world.times, 1);
		errno = atomic_load(&world.sys);
		return -1;
	}
	return __real_accept4(fd, from, len, flags);
}

int __wrap_pthread_create(
	pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	if (world.create_times > 0) {
		world.create_times--;
		return world.create_fails;
	}
	return __real_pthread_create(t, attr, start, arg);
}

static struct server *server;
static struct server_listener_options options;
static struct diag d;
static uint32_t unix_id, tcp_id;
static uint16_t tcp_port;

static int setup(void **state)
{
	memset(&world, 0, sizeof(world));
	memset(&options, 0, sizeof(options));
	options.max_clients = 16;
	options.gil_timeout_ms = 1000;
	policy_init(&options.policy, geteuid(), 65534);
	server = server_new(&fake_service, &d);
	return server == NULL ? -1 : place_make(state);
}

static int teardown(void **state)
{
	server_free(server);
	server = NULL;
	fake_reset();
	return place_remove(state);
}

static void add_unix(const char *name, void *context)
{
	struct listen_options o = {.mode = 0600, .group = (gid_t)-1};

	assert_int_equal(addr_unix(&o.addr, in_place(name), &d), 0);
	if (listen_open(&options.socket, &o, &d) != 0)
		fail_msg("%s", d.text);
	options.keys = NULL;
	options.context = context;
	assert_int_equal(server_add(server, &options, &unix_id, &d), 0);
}

static void add_tcp(void)
{
	struct listen_options o = {.group = (gid_t)-1};

	assert_int_equal(addr_tcp(&o.addr, "127.0.0.1", 0, &d), 0);
	if (listen_open(&options.socket, &o, &d) != 0)
		fail_msg("%s", d.text);
	tcp_port = options.socket.addr.port;
	options.keys = rig_keys(1);
	assert_int_equal(server_add(server, &options, &tcp_id, &d), 0);
}

static void start(void)
{
	if (server_resume(server, &d) != 0)
		fail_msg("%s", d.text);
}

static int dial_fd(const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(to.sun_path, in_place(name), strlen(in_place(name)) + 1);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(fd);
		return -1;
	}
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static struct channel *dial(const char *name)
{
	int fd = dial_fd(name);

	assert_true(fd >= 0);
	return channel_new(fd, MSG_MAX, 0);
}

static int dial_tcp_fd(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(tcp_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static struct channel *dial_tcp(void)
{
	struct channel *ch = channel_new(dial_tcp_fd(), MSG_MAX, 1);
	struct noise_handshake hs;
	uint8_t first[NOISE_MESSAGE];

	rig_shake_begin(&hs, 0, first);
	assert_int_equal(channel_put_record(ch, (struct span){first, sizeof(first)}), 0);
	assert_int_equal(rig_flush(ch), 0);
	assert_int_equal(rig_shake_end(&hs, ch), 0);
	return ch;
}

static void greet(struct channel *ch)
{
	struct msg m;

	say(ch, rig_hello());
	rig_hear(ch, &m, MSG_WELCOME);
}

static void asks(struct channel *ch, uint32_t id)
{
	struct msg m;

	say(ch, rig_dump(id, 0));
	rig_hear(ch, &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.id, id);
	rig_hear(ch, &m, MSG_DUMP_END);
	say(ch, rig_eval(id));
	rig_hear(ch, &m, MSG_RESULT);
	assert_int_equal(m.result.id, id);
}

static void pause_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	nanosleep(&t, NULL);
}

/* Parked, so that it may be looked at. */
static size_t count_of(enum session_state state)
{
	size_t n;

	server_park(server);
	n = server_sessions(server, state);
	start();
	return n;
}

/* ---- serving --------------------------------------------------------------------------------- */

static void test_server_serves_a_unix_client(void **state)
{
	struct channel *ch;

	(void)state;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	for (uint32_t id = 1; id < 100; id++)
		asks(ch, id);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_serves_a_tcp_client_with_the_key(void **state)
{
	struct channel *ch;

	(void)state;
	add_tcp();
	start();
	ch = dial_tcp();
	greet(ch);
	for (uint32_t id = 1; id < 100; id++)
		asks(ch, id);
	assert_non_null(strstr(fake.who.text, "key key0 from 127.0.0.1:"));
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_serves_many_listeners_with_one_thread(void **state)
{
	struct channel *a, *b, *c;

	(void)state;
	add_unix("a.sock", NULL);
	add_unix("b.sock", NULL);
	add_tcp();
	assert_int_equal(server_count(server), 3);
	start();
	a = dial("a.sock");
	b = dial("b.sock");
	c = dial_tcp();
	greet(a);
	greet(b);
	greet(c);
	asks(b, 1);
	asks(a, 1);
	asks(c, 1);
	channel_free(a);
	channel_free(b);
	channel_free(c);
	fake_await(&fake.closes, 3);
}

static void test_server_answers_late_requests_by_the_clock(void **state)
{
	struct channel *ch;
	struct msg m;

	(void)state;
	options.gil_timeout_ms = 30;
	fake.dump_mode = FAKE_HOLD;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	say(ch, rig_dump(1, 0));
	rig_hear(ch, &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.how, DUMP_HOW_OS);
	assert_true(fake.waited_us >= 30000);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void *late_worker(void *arg)
{
	struct port *port = arg;
	struct msg m = rig_result(1);

	(void)port_answer(port, &m);
	port_done(port, PORT_EVAL, 1);
	port_unref(port);
	return NULL;
}

static void test_server_answers_of_other_threads_arrive(void **state)
{
	struct channel *ch;
	pthread_t worker;
	struct msg m;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	for (uint32_t i = 1; i <= 50; i++) {
		say(ch, rig_eval(1));
		fake_await(&fake.evals, (int)i);
		assert_int_equal(pthread_create(&worker, NULL, late_worker, port_ref(fake.port)), 0);
		rig_hear(ch, &m, MSG_RESULT);
		pthread_join(worker, NULL);
	}
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static size_t threads(char *last_signals, size_t size)
{
	DIR *tasks = opendir("/proc/self/task");
	const struct dirent *e;
	size_t n = 0;

	assert_non_null(tasks);
	while ((e = readdir(tasks)) != NULL) {
		char path[300], line[200], name[64] = "";
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		f = fopen(path, "re");
		if (f == NULL)
			continue;
		n++;
		while (fgets(line, sizeof(line), f) != NULL) {
			if (strncmp(line, "Name:", 5) == 0)
				(void)snprintf(name, sizeof(name), "%.63s", line + 6);
			if (strncmp(line, "SigBlk:", 7) == 0 &&
				strcmp(name, SERVER_THREAD_NAME "\n") == 0)
				(void)snprintf(last_signals, size, "%.63s", line + 8);
		}
		fclose(f);
	}
	closedir(tasks);
	return n;
}

static void test_server_has_one_thread_with_its_name_and_all_signals_blocked(void **state)
{
	size_t before = threads((char[64]){""}, 64);
	char blocked[64] = "";
	sigset_t mine;

	(void)state;
	add_unix("a.sock", NULL);
	start();
	start();
	/* It has its name when it has come back from its first poll. */
	while (server_turns(server) == 0)
		pause_ms(1);
	assert_int_equal(threads(blocked, sizeof(blocked)), before + 1);
	/* All but SIGKILL and SIGSTOP, and the two that the C library keeps for itself. */
	assert_int_equal(strtoull(blocked, NULL, 16) & 0x7fffffffull, 0x7fffffffull & ~0x40100ull);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mine), 0);
	assert_int_equal(sigismember(&mine, SIGUSR1), 0);
	assert_int_equal(server_running(server), 1);
	server_park(server);
	server_park(server);
	assert_int_equal(server_running(server), 0);
	assert_int_equal(threads(blocked, sizeof(blocked)), before);
}

static void test_server_sleeps_when_there_is_nothing_to_do(void **state)
{
	struct channel *ch;
	uint64_t before;

	(void)state;
	add_unix("a.sock", NULL);
	add_tcp();
	start();
	while (server_turns(server) == 0)
		pause_ms(1);
	before = server_turns(server);
	pause_ms(300);
	assert_int_equal(server_turns(server), before);
	/* Nor with a client that has nothing to say. */
	ch = dial("a.sock");
	greet(ch);
	asks(ch, 1);
	pause_ms(50);
	before = server_turns(server);
	pause_ms(300);
	assert_int_equal(server_turns(server), before);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_tries_a_larger_stack_and_says_when_there_is_no_thread(void **state)
{
	sigset_t mine;

	(void)state;
	add_unix("a.sock", NULL);
	world.create_fails = EINVAL;
	world.create_times = 3;
	start();
	server_park(server);
	world.create_fails = EAGAIN;
	world.create_times = 1;
	assert_int_equal(server_resume(server, &d), PYSTUCK_ESYS);
	assert_int_equal(d.sys, EAGAIN);
	assert_int_equal(server_running(server), 0);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mine), 0);
	assert_int_equal(sigismember(&mine, SIGUSR1), 0);
	world.create_fails = EINVAL;
	world.create_times = 100;
	assert_int_equal(server_resume(server, &d), PYSTUCK_ESYS);
	world.create_times = 0;
	start();
}

static void test_server_parked_keeps_its_clients_waiting_and_then_answers(void **state)
{
	struct channel *ch, *later;
	struct msg m;

	(void)state;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	server_park(server);
	say(ch, rig_dump(1, 0));
	later = dial("a.sock");
	say(later, rig_hello());
	assert_int_equal(rig_hear_within(ch, &m, 50), PYSTUCK_ETIME);
	start();
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
	start();
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

/* ---- listeners ------------------------------------------------------------------------------- */

static void test_server_remove_says_goodbye_and_leaves_the_others(void **state)
{
	struct channel *a, *b;
	int context_a = 0, context_b = 0;
	uint32_t id_a;
	struct msg m;

	(void)state;
	add_unix("a.sock", &context_a);
	id_a = unix_id;
	add_unix("b.sock", &context_b);
	start();
	a = dial("a.sock");
	b = dial("b.sock");
	greet(a);
	greet(b);
	assert_null(server_remove(server, id_a));	/* not while it runs */
	server_park(server);
	assert_ptr_equal(server_remove(server, id_a), &context_a);
	assert_null(server_remove(server, id_a));
	assert_int_equal(server_count(server), 1);
	start();
	rig_hear(a, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_STOPPING);
	rig_hear_end(a);
	assert_int_equal(fake_get(&fake.closes), 1);
	assert_int_equal(inode_of(in_place("a.sock")), 0);
	asks(b, 1);
	channel_free(a);
	channel_free(b);
	fake_await(&fake.closes, 2);
}

static void test_server_remove_never_waits_for_a_client_that_does_not_read(void **state)
{
	static uint8_t megabyte[1u << 20];
	struct channel *ch;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	say(ch, rig_eval(1));
	fake_await(&fake.evals, 1);
	assert_int_equal(port_answer_framed(fake.port, (struct span){megabyte, sizeof(megabyte)}), 0);
	server_park(server);
	(void)server_remove(server, unix_id);
	assert_int_equal(fake_get(&fake.closes), 1);
	channel_free(ch);
}

static void test_server_add_refuses_what_makes_no_sense(void **state)
{
	struct server_listener_options o = options;
	uint32_t id;

	(void)state;
	o.socket.fd = -1;
	o.socket.addr.kind = ADDR_UNIX;
	assert_int_equal(server_add(server, &o, &id, &d), PYSTUCK_EINVAL);
	o.socket.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	o.socket.addr.kind = ADDR_TCP;
	assert_int_equal(server_add(server, &o, &id, &d), PYSTUCK_EINVAL);
	assert_says(&d, PYSTUCK_EINVAL, "needs a key");
	o.keys = rig_keys(1);
	o.socket.addr.kind = ADDR_UNIX;
	assert_int_equal(server_add(server, &o, &id, &d), PYSTUCK_EINVAL);
	keyring_free(o.keys);
	o.keys = NULL;
	start();
	assert_int_equal(server_add(server, &o, &id, &d), PYSTUCK_EINVAL);
	server_park(server);
	close(o.socket.fd);
	for (int i = 0; i < SERVER_LISTENERS_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "%d.sock", i);
		add_unix(name, NULL);
	}
	o.socket.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(server_add(server, &o, &id, &d), PYSTUCK_ETOOBIG);
	close(o.socket.fd);
}

static void test_server_another_uid_is_refused_even_if_the_mode_lets_it_connect(void **state)
{
	struct listen_options o = {.mode = 0666, .group = (gid_t)-1, .open_to_all = 1};
	int status = -1;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(place, 0711), 0);
	make_dir("private", 0700);
	assert_int_equal(chmod(in_place("private"), 0711), 0);
	/* The way is safe: only ours to write; and open to walk through. */
	assert_int_equal(addr_unix(&o.addr, in_place("a.sock"), &d), 0);
	assert_int_equal(listen_open(&options.socket, &o, &d), PYSTUCK_EUNSAFE);
	assert_int_equal(chmod(place, 0700), 0);
	assert_int_equal(listen_open(&options.socket, &o, &d), 0);
	assert_int_equal(chmod(place, 0711), 0);
	assert_int_equal(server_add(server, &options, &unix_id, &d), 0);
	start();
	child = fork();
	if (child == 0) {
		struct channel *ch;
		struct msg m;

		if (setgid(PLACE_STRANGER) != 0 || setuid(PLACE_STRANGER) != 0)
			_exit(2);
		ch = dial("a.sock");
		if (rig_hear_within(ch, &m, PATIENCE_MS) != 1 || m.type != MSG_REFUSED)
			_exit(3);
		if (m.refused.reason != REASON_DENIED ||
			!span_equals(m.refused.text, "uid 1001 has no role here"))
			_exit(4);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(fake_get(&fake.opens), 0);
}

/* ---- strangers and limits -------------------------------------------------------------------- */

static void test_server_past_the_cap_the_oldest_stranger_goes(void **state)
{
	struct channel *ch;
	int fds[SERVER_STRANGERS_MAX + 1];
	char byte;

	(void)state;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	for (int i = 0; i < SERVER_STRANGERS_MAX; i++)
		fds[i] = dial_fd("a.sock");
	asks(ch, 1);
	assert_int_equal(count_of(SESSION_HELLO), SERVER_STRANGERS_MAX);
	assert_int_equal(rig_poll(fds[0], POLLIN, 0), 0);
	fds[SERVER_STRANGERS_MAX] = dial_fd("a.sock");
	assert_true(rig_poll(fds[0], POLLIN, PATIENCE_MS) != 0);
	assert_true(recv(fds[0], &byte, 1, 0) <= 0);
	assert_int_equal(rig_poll(fds[1], POLLIN, 0), 0);
	/* Who is authenticated was here before all of them, and stays. */
	asks(ch, 2);
	assert_int_equal(count_of(SESSION_HELLO), SERVER_STRANGERS_MAX);
	for (int i = 0; i <= SERVER_STRANGERS_MAX; i++)
		close(fds[i]);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_a_silent_flood_leaves_room_for_who_belongs(void **state)
{
	struct channel *known, *late;
	int fds[300];

	(void)state;
	add_tcp();
	start();
	known = dial_tcp();
	greet(known);
	for (int i = 0; i < 300; i++) {
		fds[i] = dial_tcp_fd();
		if (i % 50 == 0)
			asks(known, (uint32_t)i + 1);
	}
	late = dial_tcp();
	greet(late);
	asks(late, 1);
	asks(known, 1000);
	assert_true(count_of(SESSION_HANDSHAKE) <= SERVER_STRANGERS_MAX);
	for (int i = 0; i < 300; i++)
		close(fds[i]);
	channel_free(known);
	channel_free(late);
	fake_await(&fake.closes, 2);
}

static void test_server_silent_and_slow_strangers_are_cut_off_by_the_clock(void **state)
{
	const struct session_times times = {.stranger_ms = 150, .stall_ms = 1000, .linger_ms = 100};
	uint64_t begin = rig_now();
	int silent, slow;
	char byte = 0;

	(void)state;
	server_set_times(server, &times);
	add_tcp();
	start();
	silent = dial_tcp_fd();
	slow = dial_tcp_fd();
	/* The length of a first message, and then a byte now and then. */
	while (rig_poll(slow, POLLIN, 20) == 0 && rig_now() - begin < 10000000000u) {
		(void)send(slow, &byte, 1, MSG_NOSIGNAL);
		byte = byte == 0 ? NOISE_MESSAGE : 'x';
	}
	assert_true(rig_now() - begin >= 150000000u);
	assert_true(rig_now() - begin < 5000000000u);
	assert_true(recv(slow, &byte, 1, 0) <= 0);
	assert_true(rig_poll(silent, POLLIN, PATIENCE_MS) != 0);
	assert_int_equal(recv(silent, &byte, 1, 0), 0);
	close(silent);
	close(slow);
}

static void *write_until_cut(void *arg)
{
	static uint8_t block[4096];
	struct port *port = arg;
	struct msg m = rig_output(1, (struct span){block, sizeof(block)});
	size_t n = 0;

	while (port_write(port, &m) == 0)
		n++;
	port_unref(port);
	return (void *)n;
}

static void test_server_a_reader_that_does_not_read_is_cut_off_and_its_worker_let_go(void **state)
{
	const struct session_times times = {.stranger_ms = 5000, .stall_ms = 150, .linger_ms = 100};
	struct channel *ch;
	pthread_t worker;
	void *written;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	server_set_times(server, &times);
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	say(ch, rig_eval(1));
	fake_await(&fake.evals, 1);
	assert_int_equal(pthread_create(&worker, NULL, write_until_cut, port_ref(fake.port)), 0);
	pthread_join(worker, &written);
	fake_await(&fake.closes, 1);
	/* What the socket took and one outbox, no more. */
	assert_true((size_t)written * 4096 >= PORT_HIGH_WATER);
	assert_true((size_t)written * 4096 < 8u << 20);
	channel_free(ch);
}

static void test_server_a_reader_gets_all_of_a_long_output(void **state)
{
	struct channel *ch;
	pthread_t worker;
	size_t heard = 0;
	void *written;
	struct msg m;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	add_tcp();
	start();
	ch = dial_tcp();
	greet(ch);
	say(ch, rig_eval(1));
	fake_await(&fake.evals, 1);
	assert_int_equal(pthread_create(&worker, NULL, write_until_cut, port_ref(fake.port)), 0);
	while (heard++ < 2000)
		rig_hear(ch, &m, MSG_OUTPUT);
	channel_free(ch);
	pthread_join(worker, &written);
	assert_true((size_t)written >= 2000);
	fake_await(&fake.closes, 1);
}

static void test_server_as_many_clients_as_allowed(void **state)
{
	struct channel *first, *second;
	struct msg m;

	(void)state;
	options.max_clients = 1;
	add_unix("a.sock", NULL);
	start();
	first = dial("a.sock");
	greet(first);
	second = dial("a.sock");
	say(second, rig_hello());
	rig_hear(second, &m, MSG_REFUSED);
	assert_int_equal(m.refused.reason, REASON_FULL);
	rig_hear_end(second);
	channel_free(second);
	channel_free(first);
	fake_await(&fake.closes, 1);
	second = dial("a.sock");
	greet(second);
	channel_free(second);
	fake_await(&fake.closes, 2);
}

static void test_server_a_foreign_protocol_on_tcp_gets_no_byte(void **state)
{
	const char request[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
	char byte;

	(void)state;
	add_tcp();
	start();
	for (int i = 0; i < 20; i++) {
		int fd = dial_tcp_fd();

		assert_true(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0);
		assert_true(rig_poll(fd, POLLIN, PATIENCE_MS) != 0);
		assert_true(recv(fd, &byte, 1, 0) <= 0);
		close(fd);
	}
	assert_int_equal(fake_get(&fake.opens), 0);
}

static size_t allocated(void)
{
	struct mallinfo2 m;

	server_park(server);
	m = mallinfo2();
	start();
	return m.uordblks;
}

static void connect_in_vain(int n)
{
	uint8_t junk[100];

	for (int i = 0; i < n; i++) {
		int fd = dial_tcp_fd();

		randombytes_buf(junk, sizeof(junk));
		be16_put(junk, i % 2 ? NOISE_MESSAGE : 60000);
		(void)send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
		if (i % 8 == 0)
			(void)rig_poll(fd, POLLIN, PATIENCE_MS);
		close(fd);
	}
	while (count_of(SESSION_HANDSHAKE) > 0)
		pause_ms(1);
}

static void test_server_memory_is_flat_over_many_connections(void **state)
{
	size_t before;

	(void)state;
	add_tcp();
	start();
	connect_in_vain(200);
	before = allocated();
	connect_in_vain(4000);
	/* Without sanitizers to the byte; the slack is for what they and stdio keep. */
	assert_true(allocated() <= before + 4096);
}

/* ---- when accept fails ----------------------------------------------------------------------- */

static void test_server_without_fds_does_not_spin_and_goes_on_later(void **state)
{
	const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EDOM};

	(void)state;
	add_unix("a.sock", NULL);
	start();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct channel *ch;
		uint64_t begin = rig_now();
		uint64_t turns = server_turns(server);

		atomic_store(&world.sys, errors[i]);
		atomic_store(&world.times, 2);
		ch = dial("a.sock");
		greet(ch);
		/* Two pauses, and nothing but the clock and the client in between. */
		assert_true(rig_now() - begin >= 200000000u);
		assert_true(server_turns(server) - turns < 20);
		channel_free(ch);
		fake_await(&fake.closes, (int)i + 1);
	}
}

static void test_server_serves_its_clients_while_there_are_no_fds(void **state)
{
	struct channel *ch;
	int waiting;

	(void)state;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	atomic_store(&world.sys, EMFILE);
	atomic_store(&world.times, 1000);
	waiting = dial_fd("a.sock");
	for (uint32_t id = 1; id < 50; id++)
		asks(ch, id);
	atomic_store(&world.times, 0);
	close(waiting);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_a_connection_that_fails_is_not_the_listeners_fault(void **state)
{
	const int errors[] = {ECONNABORTED, EINTR, EPROTO, EPERM};

	(void)state;
	add_unix("a.sock", NULL);
	start();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct channel *ch;

		atomic_store(&world.sys, errors[i]);
		atomic_store(&world.times, 40);
		ch = dial("a.sock");
		greet(ch);
		channel_free(ch);
		fake_await(&fake.closes, (int)i + 1);
	}
}

/* ---- when the program closes what is ours ---------------------------------------------------- */

static void test_server_does_not_spin_when_its_listener_is_closed_behind_its_back(void **state)
{
	struct channel *ch;
	uint64_t turns;
	int other;

	(void)state;
	add_unix("a.sock", NULL);
	other = options.socket.fd;
	add_unix("b.sock", NULL);
	start();
	ch = dial("b.sock");
	greet(ch);
	server_park(server);
	close(other);
	start();
	asks(ch, 1);
	turns = server_turns(server);
	pause_ms(100);
	assert_true(server_turns(server) - turns < 5);
	asks(ch, 2);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_can_be_parked_when_its_eventfd_is_closed_behind_its_back(void **state)
{
	struct channel *ch;
	uint64_t turns;

	(void)state;
	add_unix("a.sock", NULL);
	start();
	ch = dial("a.sock");
	greet(ch);
	server_park(server);
	close(server->wake_fd);
	start();
	asks(ch, 1);
	turns = server_turns(server);
	pause_ms(250);
	assert_true(server_turns(server) - turns < 10);
	server_park(server);
	start();
	asks(ch, 2);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	server_park(server);
	server->wake_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
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
	start();
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
		if (open_sockets() != before || fake.closes != 0)
			_exit(2);
		(void)!read(hold[0], &byte, 1);
		_exit(0);
	}
	start();
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
	assert_int_equal(status, 0);
	channel_free(ch);
	channel_free(tcp);
}

static void test_server_free_ends_everything_at_any_moment(void **state)
{
	for (int i = 0; i < 100; i++) {
		struct channel *ch[4];

		add_unix("a.sock", NULL);
		start();
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_serves_a_unix_client),
		T(test_server_serves_a_tcp_client_with_the_key),
		T(test_server_serves_many_listeners_with_one_thread),
		T(test_server_answers_late_requests_by_the_clock),
		T(test_server_answers_of_other_threads_arrive),
		T(test_server_has_one_thread_with_its_name_and_all_signals_blocked),
		T(test_server_sleeps_when_there_is_nothing_to_do),
		T(test_server_tries_a_larger_stack_and_says_when_there_is_no_thread),
		T(test_server_parked_keeps_its_clients_waiting_and_then_answers),
		T(test_server_parks_at_any_moment_and_nothing_is_lost),
		T(test_server_remove_says_goodbye_and_leaves_the_others),
		T(test_server_remove_never_waits_for_a_client_that_does_not_read),
		T(test_server_add_refuses_what_makes_no_sense),
		T(test_server_another_uid_is_refused_even_if_the_mode_lets_it_connect),
		T(test_server_past_the_cap_the_oldest_stranger_goes),
		T(test_server_a_silent_flood_leaves_room_for_who_belongs),
		T(test_server_silent_and_slow_strangers_are_cut_off_by_the_clock),
		T(test_server_a_reader_that_does_not_read_is_cut_off_and_its_worker_let_go),
		T(test_server_a_reader_gets_all_of_a_long_output),
		T(test_server_as_many_clients_as_allowed),
		T(test_server_a_foreign_protocol_on_tcp_gets_no_byte),
		T(test_server_memory_is_flat_over_many_connections),
		T(test_server_without_fds_does_not_spin_and_goes_on_later),
		T(test_server_serves_its_clients_while_there_are_no_fds),
		T(test_server_a_connection_that_fails_is_not_the_listeners_fault),
		T(test_server_does_not_spin_when_its_listener_is_closed_behind_its_back),
		T(test_server_can_be_parked_when_its_eventfd_is_closed_behind_its_back),
		T(test_server_a_forked_child_closes_all_and_removes_nothing),
		T(test_server_free_ends_everything_at_any_moment),
	};

	(void)signal(SIGPIPE, SIG_DFL);
	alarm(115);
	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
