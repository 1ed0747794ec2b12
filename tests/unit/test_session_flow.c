/*
 * test_session_flow.c: sessions that do not go smoothly: clients that do not read, do not speak,
 * cut off, or leave.
 */
#include "session_rig.h"

/* ---- back-pressure --------------------------------------------------------------------------- */

static size_t fill_to_the_mark(void)
{
	static uint8_t block[8192];
	struct msg m = rig_output(1, (struct span){block, sizeof(block)});
	size_t n = 0;

	while (port_try_write(fake.port, &m) == 0) {
		n++;
		turn();
	}
	return n;
}

static size_t load_of(void)
{
	struct port_load load;

	port_load(fake.port, &load);
	return load.bytes;
}

static void test_session_interrupt_gets_through_to_who_does_not_read(void **state)
{
	struct msg m;
	size_t n;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	n = fill_to_the_mark();
	/* A dump is set aside, and what comes behind it is still heard. */
	say(client, rig_dump(2, 0));
	say(client, rig_interrupt(1));
	say(client, rig_detach(1));
	turn();
	assert_int_equal(fake.interrupts, 1);
	assert_int_equal(fake.detaches, 1);
	assert_int_equal(fake.dumps, 0);
	while (n-- > 0) {
		turn();
		rig_hear(client, &m, MSG_OUTPUT);
	}
	turn();
	hears_dump(2, DUMP_HOW_GIL);
}

static void test_session_bye_gets_through_to_who_does_not_read(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	(void)fill_to_the_mark();
	say(client, rig_bye());
	turn();
	assert_int_equal(fake.closes, 1);
	assert_int_not_equal(session_state(session), SESSION_OPEN);
}

static void test_session_over_the_mark_reading_stops_at_what_needs_an_answer(void **state)
{
	struct msg m;
	size_t n;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	n = fill_to_the_mark();
	say(client, rig_dump(2, 0));
	say(client, rig_dump(3, 0));
	say(client, rig_dump(4, 0));
	turns(3);
	assert_int_equal(fake.dumps, 0);
	assert_int_equal(session_events(session), POLLOUT);
	while (n-- > 0) {
		turn();
		rig_hear(client, &m, MSG_OUTPUT);
	}
	turns(3);
	for (uint32_t id = 2; id <= 4; id++)
		hears_dump(id, DUMP_HOW_GIL);
	assert_int_equal(session_events(session) & POLLIN, POLLIN);
}

static void test_session_who_asks_and_never_reads_costs_one_outbox(void **state)
{
	const struct msg asks[] = {rig_dump(1, 0), rig_eval(2)};

	(void)state;
	for (int refused = 0; refused < 2; refused++) {
		struct buf frames;

		if (refused)
			assert_int_equal(policy_add_uid(&policy, geteuid(), "stacks", NULL), 0);
		welcome();
		buf_init(&frames, 4096);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(channel_frame(&frames, &asks[i]), 0);
		/* As much as the socket takes, until nothing moves any more. */
		for (int idle = 0; idle < 10;) {
			ssize_t sent = send(channel_fd(client), buf_bytes(&frames),
				buf_len(&frames), MSG_DONTWAIT);

			assert_true(sent < 0 || (size_t)sent == buf_len(&frames));
			idle = sent < 0 ? idle + 1 : 0;
			turn();
		}
		assert_true(load_of() >= PORT_HIGH_WATER);
		assert_true(load_of() < PORT_HIGH_WATER + 4096);
		assert_int_equal(session_events(session), POLLOUT);
		buf_free(&frames);
		session_free(session);
		channel_free(client);
		session = NULL;
		client = NULL;
	}
}

static void test_session_a_reader_that_does_not_read_is_cut_off(void **state)
{
	struct port_load load;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	(void)fill_to_the_mark();
	port_load(fake.port, &load);
	assert_true(session_deadline(session) == load.moved_ns + 30000 * MS);
	now = load.moved_ns + 29999 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_OPEN);
	now = load.moved_ns + 30000 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.closes, 1);
	assert_int_equal(port_closed(fake.port), 1);
}

static void test_session_a_reader_that_has_read_everything_has_no_deadline(void **state)
{
	(void)state;
	welcome();
	assert_true(session_deadline(session) == UINT64_MAX);
	now += 86400000 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_OPEN);
}

/* ---- strangers ------------------------------------------------------------------------------- */

static void test_session_a_silent_stranger_is_cut_off_at_the_deadline(void **state)
{
	(void)state;
	connect_with(0);
	assert_true(session_deadline(session) == now + 5000 * MS);
	now += 4999 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_HELLO);
	now += 1 * MS;
	turn();
	closed_without_a_byte();
}

static void test_session_one_byte_a_second_does_not_move_the_deadline(void **state)
{
	struct buf frame;
	struct msg m = rig_hello();
	size_t sent = 0;

	(void)state;
	buf_init(&frame, 512);
	assert_int_equal(channel_frame(&frame, &m), 0);
	connect_with(0);
	while (session_state(session) != SESSION_CLOSED) {
		assert_int_equal(send(channel_fd(client), buf_bytes(&frame) + sent, 1, 0), 1);
		sent++;
		turn();
		now += 1000 * MS;
		turn();
	}
	assert_int_equal(sent, 5);
	closed_without_a_byte();
	buf_free(&frame);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_session_bye_ends_it(void **state)
{
	(void)state;
	welcome();
	say(client, rig_bye());
	say(client, rig_dump(1, 0));
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSING);
	assert_int_equal(fake.closes, 1);
	assert_int_equal(door.clients, 0);
	rig_hear_end(client);
	turns(3);
	assert_int_equal(fake.dumps, 0);
	channel_free(client);
	client = NULL;
	turns(2);
	assert_int_equal(session_state(session), SESSION_CLOSED);
}

static void test_session_a_request_has_no_deadline_any_more_after_the_end(void **state)
{
	(void)state;
	welcome();
	fake.eval_mode = FAKE_HOLD;
	say(client, rig_complete(1, 0));
	turn();
	now += 500 * MS;
	assert_true(session_deadline(session) < now + 1000 * MS);
	say(client, rig_bye());
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSING);
	assert_true(session_deadline(session) == now + 1000 * MS);
}

static void test_session_a_client_that_does_not_close_after_the_end_is_closed(void **state)
{
	(void)state;
	welcome();
	say(client, rig_bye());
	turn();
	assert_true(session_deadline(session) == now + 1000 * MS);
	/* However much it says. */
	for (int i = 0; i < 9; i++) {
		now += 100 * MS;
		say(client, rig_dump(1, 0));
		turn();
		assert_int_equal(session_state(session), SESSION_CLOSING);
	}
	now += 100 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
}

static void test_session_a_client_that_says_no_more_gets_its_answers_and_the_end(void **state)
{
	struct msg m = rig_result(2);

	(void)state;
	fake.dump_mode = FAKE_CLAIM;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_dump(1, 0));
	say(client, rig_eval(2));
	say(client, rig_dump(3, 0));
	assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
	turns(5);
	assert_int_equal(session_state(session), SESSION_OPEN);
	/* Nothing to poll for: the workers call. */
	assert_int_equal(session_events(session), 0);
	fake_answer_dump(fake.port, 1, DUMP_HOW_GIL);
	port_done(fake.port, PORT_DUMP, 1);
	assert_int_equal(rig_poll(wake.in.fd, POLLIN, 0), POLLIN);
	turn();
	assert_int_equal(fake.dumps, 2);
	fake_answer_dump(fake.port, 3, DUMP_HOW_GIL);
	port_done(fake.port, PORT_DUMP, 3);
	assert_int_equal(port_answer(fake.port, &m), 0);
	turn();
	assert_int_equal(session_state(session), SESSION_OPEN);
	port_done(fake.port, PORT_EVAL, 2);
	turn();
	hears_dump(1, DUMP_HOW_GIL);
	hears_dump(3, DUMP_HOW_GIL);
	hears_result(2);
	rig_hear_end(client);
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.closes, 1);
}

static void test_session_a_client_that_has_closed_is_noticed_at_once(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	channel_free(client);
	client = NULL;
	turns(2);
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.closes, 1);
	assert_int_equal(port_closed(fake.port), 1);
}

static void test_session_what_a_client_said_before_it_closed_is_heard(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	say(client, rig_detach(1));
	channel_free(client);
	client = NULL;
	turns(3);
	assert_int_equal(fake.evals, 1);
	assert_int_equal(fake.detaches, 1);
	assert_int_equal(session_state(session), SESSION_CLOSED);
}

static void test_session_a_client_that_closes_while_it_is_not_read_is_noticed(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	turn();
	(void)fill_to_the_mark();
	say(client, rig_eval(2));
	turn();
	assert_int_equal(session_events(session), POLLOUT);
	channel_free(client);
	client = NULL;
	turns(2);
	assert_int_equal(session_state(session), SESSION_CLOSED);
}

static void test_session_cut_in_a_message_ends_at_once_whatever_is_open(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	welcome();
	say(client, rig_eval(1));
	assert_int_equal(send(channel_fd(client), "\0\0", 2, 0), 2);
	assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
	turns(2);
	assert_int_equal(fake.evals, 1);
	assert_int_equal(session_state(session), SESSION_CLOSED);
}

static void test_session_cut_at_every_byte_nothing_half_is_acted_on(void **state)
{
	struct buf frames;
	const struct msg asks[] = {rig_hello(), rig_dump(1, 0), rig_eval(2)};
	size_t ends[3];

	buf_init(&frames, 4096);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(channel_frame(&frames, &asks[i]), 0);
		ends[i] = buf_len(&frames);
	}
	for (size_t cut = 0; cut < buf_len(&frames); cut++) {
		connect_with(0);
		assert_int_equal(send(channel_fd(client), buf_bytes(&frames), cut, 0), cut);
		assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
		turns(5);
		assert_int_equal(fake.opens, cut >= ends[0]);
		assert_int_equal(fake.dumps, cut >= ends[1]);
		assert_int_equal(fake.evals, 0);
		assert_int_equal(session_state(session), SESSION_CLOSED);
		(void)teardown(state);
		(void)setup(state);
	}
	buf_free(&frames);
}

static void test_session_byte_by_byte_is_the_same_as_at_once(void **state)
{
	const struct msg asks[] = {rig_hello(), rig_dump(1, 0), rig_eval(2), rig_bye()};
	struct buf frames;
	struct msg m;

	(void)state;
	buf_init(&frames, 4096);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(channel_frame(&frames, &asks[i]), 0);
	connect_with(0);
	for (size_t i = 0; i < buf_len(&frames); i++) {
		assert_int_equal(send(channel_fd(client), buf_bytes(&frames) + i, 1, 0), 1);
		turn();
	}
	buf_free(&frames);
	rig_hear(client, &m, MSG_WELCOME);
	hears_dump(1, DUMP_HOW_GIL);
	hears_result(2);
	rig_hear_end(client);
}

static void test_session_goodbye_tells_an_open_client_why(void **state)
{
	struct msg m;

	(void)state;
	welcome();
	session_goodbye(session, REASON_STOPPING, "the server is going away", now);
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.closes, 1);
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_STOPPING);
	rig_hear_end(client);
}

static void test_session_goodbye_tells_a_stranger_nothing(void **state)
{
	(void)state;
	connect_with(0);
	session_goodbye(session, REASON_STOPPING, "the server is going away", now);
	closed_without_a_byte();
}

static void test_session_forget_closes_the_fd_and_tells_nobody(void **state)
{
	int fd;

	(void)state;
	welcome();
	fd = session_fd(session);
	session_forget(session);
	session = NULL;
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_equal(fake.closes, 0);
	/* What nobody is left to do in a child. */
	port_unref(fake.port);
	fake_close(fake.handle);
	door.clients--;
	rig_hear_end(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_interrupt_gets_through_to_who_does_not_read),
		T(test_session_bye_gets_through_to_who_does_not_read),
		T(test_session_over_the_mark_reading_stops_at_what_needs_an_answer),
		T(test_session_who_asks_and_never_reads_costs_one_outbox),
		T(test_session_a_reader_that_does_not_read_is_cut_off),
		T(test_session_a_reader_that_has_read_everything_has_no_deadline),
		T(test_session_a_silent_stranger_is_cut_off_at_the_deadline),
		T(test_session_one_byte_a_second_does_not_move_the_deadline),
		T(test_session_bye_ends_it),
		T(test_session_a_client_that_does_not_close_after_the_end_is_closed),
		T(test_session_a_client_that_says_no_more_gets_its_answers_and_the_end),
		T(test_session_a_client_that_has_closed_is_noticed_at_once),
		T(test_session_what_a_client_said_before_it_closed_is_heard),
		T(test_session_a_client_that_closes_while_it_is_not_read_is_noticed),
		T(test_session_cut_in_a_message_ends_at_once_whatever_is_open),
		T(test_session_cut_at_every_byte_nothing_half_is_acted_on),
		T(test_session_byte_by_byte_is_the_same_as_at_once),
		T(test_session_a_request_has_no_deadline_any_more_after_the_end),
		T(test_session_goodbye_tells_an_open_client_why),
		T(test_session_goodbye_tells_a_stranger_nothing),
		T(test_session_forget_closes_the_fd_and_tells_nobody),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session_flow", tests, NULL, NULL);
}
