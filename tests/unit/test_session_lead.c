/*
 * test_session_lead.c: sessions whose evaluation thread reads their requests itself: from when on, what it
 * may do in the net thread's place, who watches meanwhile, and how it gives that back. The test is both
 * threads in turn; both at once are in test_server_lead.c.
 */
#include "session_rig.h"

#include "../../src/server/turn.h"

#define LOOK (20 * MS) /* as in session_lead.c */

static struct turn *turn_of_ours;

static int setup_led(void **state)
{
	if (setup(state) != 0)
		return -1;
	turn_of_ours = turn_new();
	if (turn_of_ours == NULL)
		return -1;
	turn_of_ours->parked = 0;
	turn_of_ours->until = UINT64_MAX;
	door.turn = turn_of_ours;
	return 0;
}

static int teardown_led(void **state)
{
	int rc = teardown(state);

	turn_unref(turn_of_ours);
	return rc;
}

/* How often the net thread was called since the last time. */
static int calls(void)
{
	int n = wake_drain(&wake);

	assert_true(n >= 0);
	return n;
}

/* The evaluation thread's wait, where something is there already. */
static int wait_request(void)
{
	return port_wait_request(fake.port);
}

static void evaluates(uint32_t id)
{
	say(client, rig_eval(id));
	turn();
	hears_result(id);
}

/* A session whose evaluation thread reads; the net thread knows. */
static void lead(void)
{
	welcome();
	evaluates(1);
	evaluates(2);
	assert_true(session_lead(session));
	assert_int_equal(calls(), 1);
	now = rig_now();
	turn_of_ours->until = UINT64_MAX;
}

static void led(uint32_t id)
{
	say(client, rig_eval(id));
	assert_int_equal(wait_request(), 0);
	hears_result(id);
}

/* Bytes of a message without the rest. */
static void say_some(const struct msg *m, size_t from, size_t to)
{
	struct buf b;

	buf_init(&b, MSG_MAX);
	assert_int_equal(channel_frame(&b, m), 0);
	assert_true(to <= buf_len(&b) || to == SIZE_MAX);
	if (to == SIZE_MAX)
		to = buf_len(&b);
	assert_int_equal(send(channel_fd(client), buf_bytes(&b) + from, to - from, 0), to - from);
	buf_free(&b);
}

/* Both in one packet. */
static void say_both(struct msg a, struct msg b)
{
	struct buf both;

	buf_init(&both, MSG_MAX);
	assert_int_equal(channel_frame(&both, &a), 0);
	assert_int_equal(channel_frame(&both, &b), 0);
	assert_int_equal(channel_put_framed(client, buf_span(&both)), 0);
	assert_int_equal(rig_flush(client), 0);
	buf_free(&both);
}

/* ---- from when on ---------------------------------------------------------------------------- */

static void test_lead_begins_with_the_second_evaluation(void **state)
{
	(void)state;
	welcome();
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	evaluates(1);
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	assert_false(session_is_led(session));
	evaluates(2);
	say(client, rig_eval(3));
	assert_int_equal(wait_request(), 0);
	hears_result(3);
	assert_true(session_is_led(session));
}

static void test_lead_needs_a_turn(void **state)
{
	(void)state;
	door.turn = NULL;
	welcome();
	evaluates(1);
	evaluates(2);
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	port_wait_end(fake.port);
}

/* Its second evaluation is open. */
static void evaluates_on(void)
{
	welcome();
	evaluates(1);
	fake.eval_mode = FAKE_CLAIM;
	say(client, rig_eval(2));
	turn();
}

static void test_lead_does_not_begin_beside_an_open_evaluation(void **state)
{
	(void)state;
	evaluates_on();
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	port_done(fake.port, PORT_EVAL, 2);
	assert_true(session_lead(session));
}

static void test_lead_does_not_begin_while_parked(void **state)
{
	(void)state;
	welcome();
	evaluates(1);
	evaluates(2);
	turn_of_ours->parked = 1;
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	assert_int_equal(calls(), 0);
}

static void test_lead_does_not_begin_after_the_end_of_input(void **state)
{
	(void)state;
	evaluates_on();
	assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
	turn();
	port_done(fake.port, PORT_EVAL, 2);
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
}

/* ---- what comes ------------------------------------------------------------------------------ */

static void test_lead_evaluates_without_a_call_while_the_net_thread_looks(void **state)
{
	(void)state;
	lead();
	led(3);
	/* It slept for good. */
	assert_int_equal(calls(), 1);
	assert_true(turn_of_ours->until <= rig_now() + LOOK);
	turn_of_ours->until = 0;
	for (uint32_t id = 4; id < 104; id++)
		led(id);
	assert_int_equal(calls(), 0);
	assert_int_equal(fake.evals, 103);
}

static void test_lead_checks_what_comes_as_the_net_thread_does(void **state)
{
	struct msg m;

	(void)state;
	lead();
	say(client, rig_hello());
	assert_int_equal(wait_request(), 0);
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_UNKNOWN);
	assert_int_equal(session_state(session), SESSION_CLOSING);
	assert_int_equal(fake.closes, 1);
	assert_false(session_is_led(session));
	assert_true(calls() > 0);
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
}

static void test_lead_gives_requests_their_deadlines(void **state)
{
	(void)state;
	door.gil_timeout_ms = 5;
	fake.eval_mode = FAKE_ANSWER;
	lead();
	fake.eval_mode = FAKE_HOLD;
	say(client, rig_eval(3));
	assert_int_equal(wait_request(), 0);
	assert_true(calls() > 0);
	assert_true(session_deadline(session) <= rig_now() + 5 * MS);
	now = rig_now() + 5 * MS;
	turn();
	hears_error(3, REASON_GIL);
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 3), PYSTUCK_ETIME);
}

static void test_lead_hands_dumps_on_and_keeps_the_order(void **state)
{
	(void)state;
	lead();
	say_both(rig_eval(3), rig_dump(4, 0));
	assert_int_equal(wait_request(), 0);
	hears_result(3);
	hears_dump(4, DUMP_HOW_GIL);
	say_both(rig_dump(5, 0), rig_eval(6));
	assert_int_equal(wait_request(), 0);
	hears_dump(5, DUMP_HOW_GIL);
	hears_result(6);
	assert_true(session_is_led(session));
}

static void test_lead_refuses_a_second_evaluation_in_the_same_packet(void **state)
{
	(void)state;
	lead();
	fake.eval_mode = FAKE_CLAIM;
	say_both(rig_eval(3), rig_eval(4));
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.eval_id, 3);
	hears_error(4, REASON_BUSY);
}

static void test_lead_takes_an_interrupt_in_the_same_packet(void **state)
{
	(void)state;
	lead();
	fake.eval_mode = FAKE_CLAIM;
	say_both(rig_eval(3), rig_interrupt(3));
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.interrupts, 1);
	assert_int_equal(fake.interrupt_id, 3);
}

static void test_lead_ends_with_a_detach(void **state)
{
	(void)state;
	lead();
	fake.eval_mode = FAKE_CLAIM;
	say_both(rig_eval(3), rig_detach(3));
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.detaches, 1);
	/* That thread is busy with what nobody waits for. */
	assert_false(session_is_led(session));
	assert_true(calls() > 0);
}

static void test_lead_is_not_held_by_half_a_message(void **state)
{
	const struct msg m = rig_eval(3);

	(void)state;
	lead();
	say_some(&m, 0, 7);
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.evals, 2);
	assert_int_equal(port_rouse(fake.port), 0);
	assert_int_equal(wait_request(), 0);
	say_some(&m, 7, SIZE_MAX);
	assert_int_equal(wait_request(), 0);
	hears_result(3);
}

static void test_lead_sees_the_client_go(void **state)
{
	(void)state;
	lead();
	channel_free(client);
	client = NULL;
	assert_int_equal(wait_request(), 0);
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.closes, 1);
	/* Which has to drop the session. */
	assert_true(calls() > 0);
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
}

static void test_lead_ends_when_the_client_goes_behind_a_request(void **state)
{
	(void)state;
	lead();
	fake.eval_mode = FAKE_CLAIM;
	say(client, rig_eval(3));
	channel_free(client);
	client = NULL;
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.evals, 3);
	/* What comes of the hang-up is not to wait for the end of the evaluation. */
	assert_false(session_is_led(session));
	assert_true(calls() > 0);
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
}

static void test_lead_ends_with_a_goodbye(void **state)
{
	(void)state;
	lead();
	say(client, rig_bye());
	assert_int_equal(wait_request(), 0);
	assert_int_equal(session_state(session), SESSION_CLOSING);
	assert_true(calls() > 0);
	turn();
	rig_hear_end(client);
}

/* ---- who watches ----------------------------------------------------------------------------- */

static void test_look_takes_back_what_has_run_for_long(void **state)
{
	uint64_t began;

	(void)state;
	lead();
	fake.eval_mode = FAKE_CLAIM;
	began = rig_now();
	say(client, rig_eval(3));
	assert_int_equal(wait_request(), 0);
	assert_true(session_deadline(session) <= rig_now() + LOOK);
	/* Too young at the first look. */
	session_look(session, session_deadline(session) - MS);
	assert_true(session_is_led(session));
	session_look(session, rig_now() + LOOK);
	assert_false(session_is_led(session));
	assert_true(began <= rig_now());
	/* And from here on as ever. */
	say(client, rig_interrupt(3));
	turn();
	assert_int_equal(fake.interrupts, 1);
	port_done(fake.port, PORT_EVAL, 3);
	assert_true(session_lead(session));
}

static void test_look_goes_on_while_evaluations_come_and_then_sleeps(void **state)
{
	(void)state;
	lead();
	assert_int_equal(session_deadline(session), UINT64_MAX);
	led(3);
	now = session_deadline(session);
	assert_int_not_equal(now, UINT64_MAX);
	session_look(session, now);
	assert_int_equal(session_deadline(session), now + LOOK);
	now += LOOK;
	session_look(session, now);
	assert_int_equal(session_deadline(session), UINT64_MAX);
	assert_true(session_is_led(session));
}

static void test_look_sees_what_the_net_thread_has_read_itself(void **state)
{
	(void)state;
	lead();
	fake.eval_mode = FAKE_CLAIM;
	/* It has not been told yet, and polls the fd. */
	say(client, rig_eval(3));
	turn();
	assert_int_equal(fake.evals, 3);
	assert_true(session_is_led(session));
	assert_int_equal(session_deadline(session), now + LOOK);
	session_look(session, now + LOOK);
	assert_false(session_is_led(session));
}

static void test_look_lets_young_evaluations_be(void **state)
{
	uint64_t first;

	(void)state;
	lead();
	led(3);
	first = session_deadline(session);
	fake.eval_mode = FAKE_CLAIM;
	say(client, rig_eval(4));
	assert_int_equal(wait_request(), 0);
	session_look(session, first);
	assert_true(session_is_led(session));
	assert_true(session_deadline(session) >= first);
	assert_true(session_deadline(session) <= rig_now() + LOOK);
}

static void test_a_led_session_whose_socket_is_full_is_the_net_threads(void **state)
{
	static uint8_t much[200000];
	struct msg m;

	(void)state;
	lead();
	assert_true(session_is_led(session));
	m = rig_output(3, (struct span){much, sizeof(much)});
	for (int i = 0; i < 64 && (session_events(session) & POLLOUT) == 0; i++)
		assert_int_equal(port_answer(fake.port, &m), 0);
	assert_true(calls() > 0);
	assert_false(session_is_led(session));
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
}

static void test_unlead_leaves_the_request_to_the_net_thread(void **state)
{
	(void)state;
	lead();
	turn_of_ours->parked = 1;
	session_unlead(session);
	assert_true(calls() > 0);
	say(client, rig_eval(3));
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	assert_int_equal(fake.evals, 2);
	turn_of_ours->parked = 0;
	turn();
	hears_result(3);
}

static void test_a_thread_that_ends_gives_the_session_back(void **state)
{
	(void)state;
	lead();
	port_wait_end(fake.port);
	assert_false(session_is_led(session));
	assert_int_equal(calls(), 1);
	evaluates(3);
}

/* ---- calling --------------------------------------------------------------------------------- */

static void test_rouse_before_the_wait_is_not_missed(void **state)
{
	(void)state;
	lead();
	assert_int_equal(port_rouse(fake.port), 0);
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.evals, 2);
	/* And it is over with that. */
	led(3);
}

static void test_rouse_between_two_waits_is_not_missed(void **state)
{
	(void)state;
	lead();
	led(3);
	assert_int_equal(port_rouse(fake.port), 0);
	assert_int_equal(port_rouse(fake.port), 0);
	assert_int_equal(wait_request(), 0);
	assert_int_equal(fake.evals, 3);
	say(client, rig_eval(4));
	/* What is left of the calls is at most one more look. */
	while (fake.evals < 4)
		assert_int_equal(wait_request(), 0);
	hears_result(4);
}

static void *wait_main(void *arg)
{
	*(int *)arg = port_wait_request(fake.port);
	return NULL;
}

static void test_rouse_ends_a_wait(void **state)
{
	pthread_t thread;
	int rc = 1;

	(void)state;
	lead();
	assert_int_equal(pthread_create(&thread, NULL, wait_main, &rc), 0);
	assert_int_equal(port_rouse(fake.port), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(rc, 0);
	assert_true(session_is_led(session));
}

/* The fds of ours in this process, and what they are taken for. */
static void close_all_sockets_but(int keep)
{
	for (int fd = 512; fd < 560; fd++)
		if (fd != keep)
			close(fd);
}

static void test_a_thread_that_cannot_be_called_does_not_wait(void **state)
{
	(void)state;
	lead();
	led(3);
	/* As a program that closes all that it finds. */
	close_all_sockets_but(session_fd(session));
	assert_int_equal(wait_request(), PYSTUCK_EAGAIN);
	assert_false(session_is_led(session));
	assert_int_equal(port_rouse(fake.port), PYSTUCK_ECLOSED);
}

#define L(f) cmocka_unit_test_setup_teardown(f, setup_led, teardown_led)

int main(void)
{
	const struct CMUnitTest tests[] = {
		L(test_lead_begins_with_the_second_evaluation),
		L(test_lead_needs_a_turn),
		L(test_lead_does_not_begin_beside_an_open_evaluation),
		L(test_lead_does_not_begin_while_parked),
		L(test_lead_does_not_begin_after_the_end_of_input),
		L(test_lead_evaluates_without_a_call_while_the_net_thread_looks),
		L(test_lead_checks_what_comes_as_the_net_thread_does),
		L(test_lead_gives_requests_their_deadlines),
		L(test_lead_hands_dumps_on_and_keeps_the_order),
		L(test_lead_refuses_a_second_evaluation_in_the_same_packet),
		L(test_lead_takes_an_interrupt_in_the_same_packet),
		L(test_lead_ends_with_a_detach),
		L(test_lead_is_not_held_by_half_a_message),
		L(test_lead_sees_the_client_go),
		L(test_lead_ends_when_the_client_goes_behind_a_request),
		L(test_lead_ends_with_a_goodbye),
		L(test_look_takes_back_what_has_run_for_long),
		L(test_look_goes_on_while_evaluations_come_and_then_sleeps),
		L(test_look_sees_what_the_net_thread_has_read_itself),
		L(test_look_lets_young_evaluations_be),
		L(test_a_led_session_whose_socket_is_full_is_the_net_threads),
		L(test_unlead_leaves_the_request_to_the_net_thread),
		L(test_a_thread_that_ends_gives_the_session_back),
		L(test_rouse_before_the_wait_is_not_missed),
		L(test_rouse_between_two_waits_is_not_missed),
		L(test_rouse_ends_a_wait),
		L(test_a_thread_that_cannot_be_called_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
