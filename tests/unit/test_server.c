/*
 * test_server.c: the server with real sockets: whom it serves, and its listeners' coming and going.
 * The thread itself: test_server_thread.c; limits and mishaps: test_server_loop.c.
 */
#include "server_rig.h"

/* ---- serving --------------------------------------------------------------------------------- */

static void test_server_serves_a_unix_client(void **state)
{
	struct channel *ch;

	(void)state;
	add_unix("a.sock", NULL);
	serve();
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
	serve();
	ch = dial_tcp();
	greet(ch);
	for (uint32_t id = 1; id < 100; id++)
		asks(ch, id);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	assert_non_null(strstr(fake.who.text, "key key0 from 127.0.0.1:"));
}

static void test_server_serves_many_listeners_with_one_thread(void **state)
{
	struct channel *a, *b, *c;

	(void)state;
	add_unix("a.sock", NULL);
	add_unix("b.sock", NULL);
	add_tcp();
	assert_int_equal(server_count(server), 3);
	serve();
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
	serve();
	ch = dial("a.sock");
	greet(ch);
	say(ch, rig_dump(1, 0));
	rig_hear(ch, &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.how, DUMP_HOW_OS);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	assert_true(fake.waited_us >= 30000);
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
	serve();
	ch = dial("a.sock");
	greet(ch);
	for (uint32_t i = 1; i <= 50; i++) {
		say(ch, rig_eval(1));
		fake_await(&fake.evals, (int)i);
		assert_int_equal(
			pthread_create(&worker, NULL, late_worker, port_ref(fake.port)), 0);
		rig_hear(ch, &m, MSG_RESULT);
		pthread_join(worker, NULL);
	}
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
	serve();
	a = dial("a.sock");
	b = dial("b.sock");
	greet(a);
	greet(b);
	assert_null(server_remove(server, id_a)); /* not while it runs */
	server_park(server);
	assert_ptr_equal(server_remove(server, id_a), &context_a);
	assert_null(server_remove(server, id_a));
	assert_int_equal(server_count(server), 1);
	serve();
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

static void test_server_its_thread_says_that_it_begins_and_ends(void **state)
{
	(void)state;
	add_unix("a.sock", NULL);
	for (int i = 1; i <= 2; i++) {
		struct channel *ch;

		serve();
		ch = dial("a.sock");
		greet(ch);
		assert_int_equal(fake_get(&fake.net_tid), server_tid(server));
		server_park(server);
		assert_int_equal(fake.net_tid, 0);
		channel_free(ch);
	}
}

static void test_server_remove_never_waits_for_a_client_that_does_not_read(void **state)
{
	static uint8_t megabyte[1u << 20];
	struct channel *ch;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	add_unix("a.sock", NULL);
	serve();
	ch = dial("a.sock");
	greet(ch);
	say(ch, rig_eval(1));
	fake_await(&fake.evals, 1);
	assert_int_equal(rig_answer_bytes(fake.port, megabyte, sizeof(megabyte)), 0);
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
	serve();
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
	/* Below the sticky /tmp only a private directory will do: opened again when it has been
	 * checked. */
	assert_int_equal(addr_unix(&o.addr, in_place("a.sock"), &d), 0);
	assert_int_equal(listen_open(&options.socket, &o, &d), PYSTUCK_EUNSAFE);
	assert_int_equal(chmod(place, 0700), 0);
	assert_int_equal(listen_open(&options.socket, &o, &d), 0);
	assert_int_equal(chmod(place, 0711), 0);
	assert_int_equal(server_add(server, &options, &unix_id, &d), 0);
	serve();
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
		channel_free(ch);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(fake_get(&fake.opens), 0);
}

static void test_server_without_an_eval_service_gives_nobody_that_role(void **state)
{
	struct service without = fake_service;
	struct channel *ch;
	struct msg m;

	(void)state;
	without.eval = NULL;
	without.complete = NULL;
	without.interrupt = NULL;
	without.detach = NULL;
	without.eval_late = NULL;
	server_free(server);
	server = server_new(&without, &d);
	assert_non_null(server);
	add_unix("a.sock", NULL);
	serve();
	ch = dial("a.sock");
	say(ch, rig_hello());
	rig_hear(ch, &m, MSG_WELCOME);
	assert_int_equal(m.welcome.role, ROLE_LOCALS);
	say(ch, rig_eval(1));
	say(ch, rig_complete(1, 0));
	say(ch, rig_interrupt(1));
	say(ch, rig_detach(1));
	for (int i = 0; i < 4; i++) {
		rig_hear(ch, &m, MSG_ERROR);
		assert_int_equal(m.error.reason, REASON_DISABLED);
		assert_true(span_equals(m.error.text, "this server was built without evaluation"));
	}
	say(ch, rig_dump(2, 0));
	rig_hear(ch, &m, MSG_DUMP_BEGIN);
	rig_hear(ch, &m, MSG_DUMP_END);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	server_free(server);
	server = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_serves_a_unix_client),
		T(test_server_serves_a_tcp_client_with_the_key),
		T(test_server_serves_many_listeners_with_one_thread),
		T(test_server_answers_late_requests_by_the_clock),
		T(test_server_answers_of_other_threads_arrive),
		T(test_server_remove_says_goodbye_and_leaves_the_others),
		T(test_server_its_thread_says_that_it_begins_and_ends),
		T(test_server_remove_never_waits_for_a_client_that_does_not_read),
		T(test_server_add_refuses_what_makes_no_sense),
		T(test_server_without_an_eval_service_gives_nobody_that_role),
		T(test_server_another_uid_is_refused_even_if_the_mode_lets_it_connect),
	};

	alarm(110);
	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
