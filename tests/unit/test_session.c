/*
 * test_session.c: who is let in, and what a client on a Unix socket may ask and gets.
 * Back-pressure, deadlines and ends: test_session_flow.c; the handshake: test_session_auth.c.
 *
 * LINK: -Wl,--wrap=getsockopt
 */
#include "session_rig.h"

static int fail_getsockopt;

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	if (fail_getsockopt && option == SO_PEERCRED) {
		errno = EPERM;
		return -1;
	}
	return __real_getsockopt(fd, level, option, value, len);
}

/* ---- hello ----------------------------------------------------------------------------------- */

static void test_session_welcomes_with_role_and_process(void **state)
{
	struct msg m;

	(void)state;
	connect_with(0);
	assert_int_equal(session_state(session), SESSION_HELLO);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	assert_int_equal(m.welcome.version, PROTOCOL_VERSION);
	assert_int_equal(m.welcome.role, ROLE_EVAL);
	assert_int_equal(m.welcome.pid, 4242);
	assert_true(span_equals(m.welcome.python, "3.11.2"));
	assert_int_equal(door.clients, 1);
	assert_int_equal(fake.who.uid, geteuid());
	assert_int_equal(fake.who.pid, getpid());
	assert_int_equal(fake.who.role, ROLE_EVAL);
	assert_non_null(strstr(fake.who.text, "uid "));
	assert_string_equal(fake.who.key, "");
}

static void test_session_a_user_without_a_role_is_told_so_before_any_byte(void **state)
{
	(void)state;
	assert_int_equal(policy_add_uid(&policy, geteuid(), "none", NULL), 0);
	connect_with(0);
	assert_int_equal(session_state(session), SESSION_CLOSING);
	hears_refusal(REASON_DENIED, "has no role here");
	assert_int_equal(fake.opens, 0);
}

static void test_session_without_credentials_everybody_is_denied(void **state)
{
	(void)state;
	fail_getsockopt = 1;
	connect_with(0);
	fail_getsockopt = 0;
	hears_refusal(REASON_DENIED, "who you are");
	assert_int_equal(fake.opens, 0);
}

static void test_session_a_refused_user_is_never_heard(void **state)
{
	(void)state;
	assert_int_equal(policy_add_uid(&policy, geteuid(), "none", NULL), 0);
	connect_with(0);
	say(client, rig_hello());
	say(client, rig_dump(1, 0));
	turns(5);
	hears_refusal(REASON_DENIED, "has no role here");
	assert_int_equal(fake.opens, 0);
	assert_int_equal(fake.dumps, 0);
}

static void test_session_refuses_another_version_and_says_its_own(void **state)
{
	const uint16_t versions[] = {0, 2, 65535};

	for (size_t i = 0; i < 3; i++) {
		struct msg m = rig_hello();

		m.hello.version = versions[i];
		connect_with(0);
		say(client, m);
		turn();
		hears_refusal(REASON_VERSION, "version 1");
		assert_int_equal(fake.opens, 0);
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_session_refuses_a_hello_of_the_future_that_has_other_fields(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 512);
	buf_put_u8(&b, MSG_HELLO);
	buf_put_string(&b, span_text(PROTOCOL_MAGIC));
	buf_put_u16(&b, 9);
	buf_put_u64(&b, 1234567);
	connect_with(0);
	assert_int_equal(channel_put(client, buf_span(&b)), 0);
	buf_free(&b);
	assert_int_equal(rig_flush(client), 0);
	turn();
	hears_refusal(REASON_VERSION, "version 1");
}

static void test_session_a_wrong_magic_gets_no_byte(void **state)
{
	struct msg m = rig_hello();

	(void)state;
	m.hello.magic = span_text("pystack");
	connect_with(0);
	say(client, m);
	turn();
	closed_without_a_byte();
}

static void test_session_anything_but_hello_first_gets_no_byte(void **state)
{
	const struct msg first[] = {rig_dump(1, 0), rig_eval(1), rig_interrupt(1), rig_detach(1),
		rig_bye(), rig_result(1)};

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		connect_with(0);
		say(client, first[i]);
		turn();
		closed_without_a_byte();
		assert_int_equal(fake.dumps + fake.evals + fake.interrupts, 0);
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_session_a_first_message_over_512_bytes_gets_no_byte(void **state)
{
	const uint8_t header[] = {0, 0, 2, 1};

	(void)state;
	connect_with(0);
	assert_int_equal(send(channel_fd(client), header, 4, 0), 4);
	turn();
	closed_without_a_byte();
}

static void test_session_foreign_protocols_get_no_byte(void **state)
{
	const char *first[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "SSH-2.0-OpenSSH_9.2\r\n", "help\n"};

	for (size_t i = 0; i < 4; i++) {
		connect_with(0);
		assert_true(send(channel_fd(client), first[i], strlen(first[i]), 0) > 0);
		turn();
		closed_without_a_byte();
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_session_as_many_clients_as_allowed(void **state)
{
	(void)state;
	door.max_clients = 1;
	door.clients = 1;
	connect_with(0);
	say(client, rig_hello());
	turn();
	hears_refusal(REASON_FULL, "as many as allowed");
	assert_int_equal(door.clients, 1);
	door.clients = 0;
	session_free(session);
	channel_free(client);
	welcome();
	assert_int_equal(door.clients, 1);
}

static void test_session_a_service_without_memory_refuses(void **state)
{
	(void)state;
	fake.refuse_open = 1;
	connect_with(0);
	say(client, rig_hello());
	turn();
	hears_refusal(REASON_LIMIT, "memory");
	assert_int_equal(door.clients, 0);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void test_session_answers_requests_that_came_together_with_hello(void **state)
{
	struct msg m;

	(void)state;
	connect_with(0);
	say(client, rig_hello());
	say(client, rig_dump(1, 0));
	say(client, rig_eval(2));
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	hears_dump(1, DUMP_HOW_GIL);
	hears_result(2);
}

static void test_session_takes_a_long_message_right_behind_hello(void **state)
{
	static char source[100000];
	struct msg m = rig_eval(1);

	(void)state;
	memset(source, ' ', sizeof(source));
	m.eval.source = (struct span){(uint8_t *)source, sizeof(source)};
	connect_with(0);
	say(client, rig_hello());
	say(client, m);
	turns(100);
	rig_hear(client, &m, MSG_WELCOME);
	hears_result(1);
}

static void test_session_a_role_gets_what_it_may_and_nothing_more(void **state)
{
	for (int role = ROLE_STACKS; role <= ROLE_EVAL; role++) {
		welcome_as((enum role)role);
		say(client, rig_dump(1, 0));
		turn();
		hears_dump(1, DUMP_HOW_GIL);
		say(client, rig_dump(2, DUMP_LOCALS));
		turn();
		if (role >= ROLE_LOCALS)
			hears_dump(2, DUMP_HOW_GIL);
		else
			hears_error(2, REASON_DENIED);
		say(client, rig_eval(3));
		turn();
		if (role == ROLE_EVAL)
			hears_result(3);
		else
			hears_error(3, REASON_DENIED);
		say(client, rig_interrupt(4));
		say(client, rig_detach(4));
		turns(2);
		if (role != ROLE_EVAL) {
			hears_error(4, REASON_DENIED);
			hears_error(4, REASON_DENIED);
			assert_int_equal(fake.evals + fake.interrupts + fake.detaches, 0);
		}
		assert_int_equal(session_state(session), SESSION_OPEN);
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_session_where_eval_is_switched_off_it_says_so(void **state)
{
	(void)state;
	policy.ceiling = ROLE_LOCALS;
	welcome();
	assert_int_equal(fake.who.role, ROLE_LOCALS);
	say(client, rig_eval(1));
	turn();
	hears_error(1, REASON_DISABLED);
	assert_int_equal(fake.evals, 0);
	session_free(session);
	channel_free(client);
	/* Who may not evaluate anyway is only told that. */
	welcome_as(ROLE_STACKS);
	say(client, rig_eval(1));
	turn();
	hears_error(1, REASON_DENIED);
}

static void test_session_a_dump_that_waits_for_the_gil_is_answered_without_it(void **state)
{
	(void)state;
	fake.dump_mode = FAKE_HOLD;
	welcome();
	say(client, rig_dump(5, 0));
	turn();
	assert_int_equal(fake.dumps, 1);
	assert_true(session_deadline(session) == now + 1000 * MS);
	now += 999 * MS;
	turn();
	assert_int_equal(fake.dumps_late, 0);
	now += 1 * MS;
	turn();
	assert_int_equal(fake.dumps_late, 1);
	assert_int_equal(fake.waited_us, 1000000);
	hears_dump(5, DUMP_HOW_OS);
	assert_int_equal(port_claim(fake.port, PORT_DUMP, 5), PYSTUCK_ETIME);
	assert_int_equal(session_state(session), SESSION_OPEN);
	assert_true(session_deadline(session) == UINT64_MAX);
	turn();
	assert_int_equal(fake.dumps_late, 1);
}

static void test_session_a_late_dump_is_answered_by_who_comes_first_and_in_the_end_by_the_net_thread(void **state)
{
	(void)state;
	fake.dump_mode = FAKE_HOLD;
	fake.slow_late = 1;
	welcome();
	for (uint32_t id = 5; id <= 6; id++) {
		say(client, rig_dump(id, 0));
		turn();
		now += 1000 * MS;
		turn();
		assert_int_equal(fake.waited_us, 1000000);
		assert_true(session_deadline(session) == now + 3000 * MS);
		if (id == 5) {
			/* The worker has got the GIL after all. */
			assert_int_equal(port_claim(fake.port, PORT_DUMP, id), 0);
			fake_answer_dump(fake.port, id, DUMP_HOW_GIL);
			port_done(fake.port, PORT_DUMP, id);
			hears_dump(id, DUMP_HOW_GIL);
		}
		now += 3000 * MS;
		turn();
	}
	assert_int_equal(fake.dumps_late, 3);
	assert_int_equal(fake.waited_us, 4000000);
	hears_dump(6, DUMP_HOW_OS);
	assert_true(session_deadline(session) == UINT64_MAX);
	assert_int_equal(session_state(session), SESSION_OPEN);
}

static void test_session_an_eval_that_waits_for_the_gil_is_answered_with_an_error(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_HOLD;
	welcome();
	say(client, rig_eval(6));
	turn();
	now += 1000 * MS;
	turn();
	assert_int_equal(fake.evals_late, 1);
	hears_error(6, REASON_GIL);
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 6), PYSTUCK_ETIME);
	fake.eval_mode = FAKE_ANSWER;
	say(client, rig_eval(7));
	turn();
	hears_result(7);
}

static void test_session_with_a_time_of_zero_every_answer_is_late_and_the_session_lives(
	void **state)
{
	(void)state;
	door.gil_timeout_ms = 0;
	fake.dump_mode = FAKE_HOLD;
	welcome();
	say(client, rig_dump(1, 0));
	turns(2);
	hears_dump(1, DUMP_HOW_OS);
	assert_int_equal(session_state(session), SESSION_OPEN);
}

static void test_session_a_claimed_request_has_all_the_time_it_needs(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(6));
	turn();
	assert_true(session_deadline(session) == UINT64_MAX);
	now += 3600000 * MS;
	turn();
	assert_int_equal(fake.evals_late, 0);
	assert_int_equal(session_state(session), SESSION_OPEN);
}

static void test_session_a_second_evaluation_is_one_too_many(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	say(client, rig_eval(2));
	turn();
	hears_error(2, REASON_BUSY);
	assert_int_equal(fake.evals, 1);
	say(client, rig_dump(3, 0));
	turn();
	hears_dump(3, DUMP_HOW_GIL);
}

static void test_session_an_evaluation_that_comes_right_after_a_result_is_not_one_too_many(
	void **state)
{
	struct msg m = rig_result(1);

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	/* The worker has sent the result, and is not back yet. */
	assert_int_equal(port_answer(fake.port, &m), 0);
	hears_result(1);
	fake.eval_mode = FAKE_ANSWER;
	say(client, rig_eval(2));
	turn();
	hears_nothing();
	assert_int_equal(session_events(session) & POLLIN, 0);
	port_done(fake.port, PORT_EVAL, 1);
	assert_int_equal(rig_poll(wake.in.fd, POLLIN, 0), POLLIN);
	turn();
	hears_result(2);
}

static void test_session_dumps_wait_for_each_other(void **state)
{
	(void)state;
	fake.dump_mode = FAKE_CLAIM;
	welcome();
	for (uint32_t id = 1; id <= 4; id++)
		say(client, rig_dump(id, 0));
	turns(3);
	assert_int_equal(fake.dumps, 1);
	for (uint32_t id = 1; id <= 4; id++) {
		assert_int_equal(fake.dump_id, id);
		fake_answer_dump(fake.port, id, DUMP_HOW_GIL);
		hears_dump(id, DUMP_HOW_GIL);
		port_done(fake.port, PORT_DUMP, id);
		assert_int_equal(rig_poll(wake.in.fd, POLLIN, 0), POLLIN);
		turn();
		assert_int_equal(fake.dumps, id < 4 ? (int)id + 1 : 4);
	}
}

static void test_session_interrupt_and_detach_reach_the_evaluation(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	say(client, rig_interrupt(1));
	turn();
	assert_int_equal(fake.interrupts, 1);
	assert_int_equal(fake.interrupt_id, 1);
	say(client, rig_detach(9));
	turn();
	assert_int_equal(fake.detaches, 0);
	say(client, rig_detach(1));
	turn();
	assert_int_equal(fake.detaches, 1);
	/* The next one may come, under another id. */
	fake.eval_mode = FAKE_ANSWER;
	say(client, rig_eval(1));
	turn();
	hears_error(1, REASON_UNKNOWN);
	say(client, rig_eval(2));
	turn();
	hears_result(2);
	say(client, rig_detach(2));
	turn();
	assert_int_equal(fake.detaches, 1);
}

static void test_session_one_in_the_background_still_answers_and_the_next_may_come(void **state)
{
	struct msg m = {.type = MSG_RESULT, .result = {.id = 1}};

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome_as(ROLE_EVAL);
	say(client, rig_eval(1));
	turn();
	say(client, rig_background(9));
	turn();
	assert_int_equal(fake.backgrounds, 0);
	say(client, rig_background(1));
	fake.eval_mode = FAKE_ANSWER;
	say(client, rig_eval(2));
	turns(2);
	assert_int_equal(fake.backgrounds, 1);
	hears_result(2);
	assert_int_equal(port_answer(fake.port, &m), 0);
	port_done(fake.port, PORT_EVAL, 1);
	hears_result(1);
	say(client, rig_eval(1));
	turn();
	hears_error(1, REASON_UNKNOWN);
}

static void test_session_an_evaluation_detached_before_its_claim_still_runs(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_HOLD;
	welcome();
	say(client, rig_eval(1));
	say(client, rig_detach(1));
	fake.eval_mode = FAKE_HOLD;
	say(client, rig_eval(2));
	turn();
	assert_int_equal(fake.evals, 1);
	hears_nothing();
	fake.eval_mode = FAKE_ANSWER;
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 1), 0);
	turn();
	hears_result(2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_welcomes_with_role_and_process),
		T(test_session_a_user_without_a_role_is_told_so_before_any_byte),
		T(test_session_without_credentials_everybody_is_denied),
		T(test_session_a_refused_user_is_never_heard),
		T(test_session_refuses_another_version_and_says_its_own),
		T(test_session_refuses_a_hello_of_the_future_that_has_other_fields),
		T(test_session_a_wrong_magic_gets_no_byte),
		T(test_session_anything_but_hello_first_gets_no_byte),
		T(test_session_a_first_message_over_512_bytes_gets_no_byte),
		T(test_session_foreign_protocols_get_no_byte),
		T(test_session_as_many_clients_as_allowed),
		T(test_session_a_service_without_memory_refuses),
		T(test_session_answers_requests_that_came_together_with_hello),
		T(test_session_takes_a_long_message_right_behind_hello),
		T(test_session_a_role_gets_what_it_may_and_nothing_more),
		T(test_session_where_eval_is_switched_off_it_says_so),
		T(test_session_a_dump_that_waits_for_the_gil_is_answered_without_it),
		T(test_session_a_late_dump_is_answered_by_who_comes_first_and_in_the_end_by_the_net_thread),
		T(test_session_an_eval_that_waits_for_the_gil_is_answered_with_an_error),
		T(test_session_with_a_time_of_zero_every_answer_is_late_and_the_session_lives),
		T(test_session_a_claimed_request_has_all_the_time_it_needs),
		T(test_session_a_second_evaluation_is_one_too_many),
		T(test_session_an_evaluation_that_comes_right_after_a_result_is_not_one_too_many),
		T(test_session_dumps_wait_for_each_other),
		T(test_session_interrupt_and_detach_reach_the_evaluation),
		T(test_session_one_in_the_background_still_answers_and_the_next_may_come),
		T(test_session_an_evaluation_detached_before_its_claim_still_runs),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
