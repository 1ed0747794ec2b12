/*
 * test_server_loop.c: the net thread is not brought down by who comes, who does not read, a lack of
 * fds, or a program that closes what is ours.
 *
 * LINK: -Wl,--wrap=accept4
 */
#include <malloc.h>

#include "server_rig.h"

static atomic_int accept_sys;   /* errno that accept4 fails with */
static atomic_int accept_times; /* how often it still does */

int __real_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags);

int __wrap_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	if (atomic_load(&accept_times) > 0) {
		atomic_fetch_sub(&accept_times, 1);
		errno = atomic_load(&accept_sys);
		return -1;
	}
	return __real_accept4(fd, from, len, flags);
}

/* ---- strangers and limits -------------------------------------------------------------------- */

static void test_server_past_the_cap_the_oldest_stranger_goes(void **state)
{
	struct channel *ch;
	int fds[SERVER_STRANGERS_MAX + 1];
	char byte;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
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
	serve();
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

static void test_server_looks_after_the_service_when_it_is_due(void **state)
{
	struct channel *ch;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	fake.due_ms = 5;
	fake_set_eval_mode(FAKE_HOLD);
	ch = dial("a.sock");
	greet(ch);
	say(ch, rig_eval(1));
	fake_await(&fake.ticks, 1);
	assert_int_equal(fake_get(&fake.evals_late), 0);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	assert_int_equal(fake_get(&fake.ticks), 1);
}

/* Their HELLO may be on its way, for as long as it takes: only others like them push them out. */
static void test_server_a_flood_pushes_out_nobody_who_has_proved_a_key(void **state)
{
	struct channel *proved[9];
	int fds[100];

	(void)state;
	add_tcp();
	serve();
	for (int i = 0; i < 8; i++)
		proved[i] = dial_tcp();
	for (int i = 0; i < 100; i++)
		fds[i] = dial_tcp_fd();
	/* Who came last is looked at last: by then all have been. */
	proved[8] = dial_tcp();
	assert_int_equal(count_of(SESSION_HELLO), 9);
	assert_int_equal(count_of(SESSION_HANDSHAKE), SERVER_STRANGERS_MAX - 9);
	for (int i = 0; i < 9; i++)
		greet(proved[i]);
	for (int i = 0; i < 100; i++)
		close(fds[i]);
	for (int i = 0; i < 9; i++)
		channel_free(proved[i]);
	fake_await(&fake.closes, 9);
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
	serve();
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
	serve();
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
	serve();
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
	serve();
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
	serve();
	for (int i = 0; i < 20; i++) {
		int fd = dial_tcp_fd();

		assert_true(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0);
		assert_true(rig_poll(fd, POLLIN, PATIENCE_MS) != 0);
		assert_true(recv(fd, &byte, 1, 0) <= 0);
		close(fd);
	}
	assert_int_equal(fake_get(&fake.opens), 0);
}

/* Bytes that malloc has given out; where only the GNU C library could tell, the pages that it has got. */
static size_t memory_in_use(void)
{
#ifdef __GLIBC__
	return mallinfo2().uordblks;
#else
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*s %*s %*s %*s %*s %zu", &pages), 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
#endif
}

static size_t allocated(void)
{
	size_t bytes;

	server_park(server);
	bytes = memory_in_use();
	serve();
	return bytes;
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
	serve();
	connect_in_vain(200);
	before = allocated();
	connect_in_vain(4000);
	/* 16 bytes for each connection would be found; less is what the allocator keeps at hand. */
	assert_true(allocated() <= before + 4000 * 16 / 2);
}

/* ---- when accept fails ----------------------------------------------------------------------- */

static void test_server_without_fds_does_not_spin_and_goes_on_later(void **state)
{
	const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS, EDOM};

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct channel *ch;
		uint64_t begin = rig_now();
		uint64_t turns = server_turns(server);

		atomic_store(&accept_sys, errors[i]);
		atomic_store(&accept_times, 2);
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
	serve();
	ch = dial("a.sock");
	greet(ch);
	atomic_store(&accept_sys, EMFILE);
	atomic_store(&accept_times, 1000);
	waiting = dial_fd("a.sock");
	for (uint32_t id = 1; id < 50; id++)
		asks(ch, id);
	atomic_store(&accept_times, 0);
	close(waiting);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_a_connection_that_fails_is_not_the_listeners_fault(void **state)
{
	const int errors[] = {ECONNABORTED, EINTR, EPROTO, EPERM};

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct channel *ch;

		atomic_store(&accept_sys, errors[i]);
		atomic_store(&accept_times, 40);
		ch = dial("a.sock");
		greet(ch);
		channel_free(ch);
		fake_await(&fake.closes, (int)i + 1);
		/* Nobody had to wait for the next try, as where there are no fds. */
		server_park(server);
		assert_int_equal(server->listeners[0]->paused_until, 0);
		serve();
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
	other = server->listeners[0]->socket.fd;
	add_unix("b.sock", NULL);
	serve();
	ch = dial("b.sock");
	greet(ch);
	server_park(server);
	close(other);
	serve();
	asks(ch, 1);
	turns = server_turns(server);
	pause_ms(100);
	assert_true(server_turns(server) - turns < 5);
	asks(ch, 2);
	channel_free(ch);
	fake_await(&fake.closes, 1);
}

static void test_server_can_be_parked_when_its_own_fds_are_closed_behind_its_back(void **state)
{
	struct channel *ch;
	uint64_t turns;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
	ch = dial("a.sock");
	greet(ch);
	server_park(server);
	close(server->wake.in.fd);
	close(server->wake.out.fd);
	serve();
	asks(ch, 1);
	turns = server_turns(server);
	pause_ms(250);
	assert_true(server_turns(server) - turns < 10);
	server_park(server);
	serve();
	asks(ch, 2);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	server_park(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_past_the_cap_the_oldest_stranger_goes),
		T(test_server_a_silent_flood_leaves_room_for_who_belongs),
		T(test_server_looks_after_the_service_when_it_is_due),
		T(test_server_a_flood_pushes_out_nobody_who_has_proved_a_key),
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
		T(test_server_can_be_parked_when_its_own_fds_are_closed_behind_its_back),
	};

	alarm(110);
	return cmocka_run_group_tests_name("server_loop", tests, NULL, NULL);
}
