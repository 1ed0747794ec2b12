/*
 * test_port.c: the queue of answers and the claims of requests. Many threads: test_port_threads.c.
 */
#include "port_rig.h"

static void test_port_answer_is_sent_at_once_without_the_net_thread(void **state)
{
	struct msg m = rig_result(7);

	(void)state;
	assert_int_equal(port_answer(port, &m), 0);
	rig_hear(client, &m, MSG_RESULT);
	assert_int_equal(m.result.id, 7);
	assert_int_equal(wakes(), 0);
	assert_int_equal(pending(), 0);
}

static void test_port_answer_framed_sends_a_run_in_one_call(void **state)
{
	struct buf run;
	struct msg m;

	(void)state;
	buf_init(&run, MSG_MAX);
	for (uint32_t i = 0; i < 3; i++) {
		m = rig_result(i);
		assert_int_equal(channel_frame(&run, &m), 0);
	}
	assert_int_equal(port_answer_framed(port, &run), 0);
	buf_free(&run);
	for (uint32_t i = 0; i < 3; i++) {
		rig_hear(client, &m, MSG_RESULT);
		assert_int_equal(m.result.id, i);
	}
	assert_int_equal(rig_answer_bytes(port, kilobyte, 0), 0);
}

static void test_port_takes_a_run_and_copies_it_only_behind_another(void **state)
{
	struct buf run;
	struct msg m = rig_result(7);

	(void)state;
	buf_init(&run, MSG_MAX);
	assert_int_equal(channel_frame(&run, &m), 0);
	assert_int_equal(port_answer_framed(port, &run), 0);
	assert_int_equal(buf_len(&run), 0);
	rig_hear(client, &m, MSG_RESULT);
	assert_int_equal(write_kilobyte(1), 0);
	assert_int_equal(channel_frame(&run, &m), 0);
	assert_int_equal(port_answer_framed(port, &run), 0);
	buf_free(&run);
	rig_hear(client, &m, MSG_OUTPUT);
	rig_hear(client, &m, MSG_RESULT);
	assert_int_equal(m.result.id, 7);
}

static void test_port_try_write_only_queues_and_calls_the_net_thread_once(void **state)
{
	struct msg m;

	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(write_kilobyte(i), 0);
	assert_int_equal(rig_poll(fds[1], POLLIN, 0), 0);
	assert_int_equal(wakes(), 1);
	assert_int_equal(port_pump(port), 0);
	for (uint32_t i = 0; i < 5; i++) {
		rig_hear(client, &m, MSG_OUTPUT);
		assert_int_equal(m.output.id, i);
	}
	/* It has looked: the next one calls again. */
	assert_int_equal(write_kilobyte(5), 0);
	assert_int_equal(wakes(), 1);
}

static void test_port_output_stays_before_the_result(void **state)
{
	struct msg m = rig_result(1);

	(void)state;
	assert_int_equal(write_kilobyte(1), 0);
	assert_int_equal(port_answer(port, &m), 0);
	rig_hear(client, &m, MSG_OUTPUT);
	rig_hear(client, &m, MSG_RESULT);
}

static void test_port_try_write_stops_at_the_high_water_mark(void **state)
{
	size_t n = 0;

	(void)state;
	while (write_kilobyte(0) == 0)
		n++;
	assert_int_equal(write_kilobyte(0), PYSTUCK_EAGAIN);
	assert_true(n >= PORT_HIGH_WATER / 1100 && n <= PORT_HIGH_WATER / 1024 + 1);
	assert_true(pending() < PORT_HIGH_WATER + 2048);
	assert_int_equal(drain(), n);
	assert_int_equal(write_kilobyte(0), 0);
}

/* So that what may be dropped leaves room for what may not. */
static void test_port_copies_stop_at_half_the_mark(void **state)
{
	static uint8_t text[1024];
	struct msg m = rig_output(0, (struct span){text, sizeof text});
	size_t n = 0;

	(void)state;
	memset(text, 'x', sizeof text);
	while (port_try_copy(port, &m) == 0)
		n++;
	assert_int_equal(port_try_copy(port, &m), PYSTUCK_EAGAIN);
	assert_true(n >= PORT_HIGH_WATER / 2 / 1100 && n <= PORT_HIGH_WATER / 2 / 1024 + 1);
	assert_int_equal(write_kilobyte(0), 0);
	assert_int_equal(drain(), n + 1);
	assert_int_equal(port_try_copy(port, &m), 0);
}

static void test_port_answers_go_over_the_mark_but_not_over_the_limit(void **state)
{
	struct msg m = rig_result(1);
	static uint8_t megabyte[1u << 20];
	int rc = 0;
	size_t n = 0;

	(void)state;
	while (write_kilobyte(0) == 0)
		continue;
	assert_int_equal(port_answer(port, &m), 0);
	while (rc == 0 && n++ < 200)
		rc = rig_answer_bytes(port, megabyte, sizeof(megabyte));
	assert_int_equal(rc, PYSTUCK_ETOOBIG);
	assert_in_range(n, 40, 60);
}

static void test_port_the_longest_answer_finds_room_whatever_else_is_queued(void **state)
{
	uint8_t *longest = calloc(1, PORT_ANSWER_MAX);
	struct msg m = rig_output(0, (struct span){longest, MSG_TEXT_MAX});
	struct msg end = rig_result(1);

	(void)state;
	assert_non_null(longest);
	/* The socket is full, the queue at its mark, and one message over it has come. */
	while (!blocked()) {
		assert_int_equal(write_kilobyte(0), 0);
		(void)port_pump(port);
	}
	while (write_kilobyte(0) == 0)
		if (pending() + 2048 > PORT_HIGH_WATER)
			break;
	assert_int_equal(port_try_write(port, &m), 0);
	assert_int_equal(rig_answer_bytes(port, longest, PORT_ANSWER_MAX), 0);
	assert_int_equal(port_answer(port, &end), 0);
	free(longest);
}

static void test_port_a_full_socket_is_left_to_the_net_thread(void **state)
{
	struct msg m = rig_result(1);
	size_t n = 1;

	(void)state;
	while (!blocked()) {
		assert_int_equal(write_kilobyte(0), 0);
		n++;
		(void)port_pump(port);
	}
	(void)wakes();
	(void)port_pump(port);
	/* It polls for POLLOUT: nobody needs to call it. */
	assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(write_kilobyte(0), 0);
	assert_int_equal(wakes(), 0);
	assert_int_equal(drain(), n + 1);
	assert_false(blocked());
}

static void test_port_a_worker_that_finds_the_socket_full_calls_the_net_thread(void **state)
{
	struct msg m = rig_output(1, (struct span){kilobyte, sizeof(kilobyte)});

	(void)state;
	while (!blocked())
		assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(wakes(), 1);
}

static void test_port_load_tells_since_when_nothing_moves(void **state)
{
	struct port_load first, second;

	(void)state;
	while (!blocked()) {
		assert_int_equal(write_kilobyte(0), 0);
		(void)port_pump(port);
	}
	port_load(port, &first);
	assert_true(first.bytes > 0 && first.moved_ns > 0 && first.moved_ns <= rig_now());
	(void)port_pump(port);
	port_load(port, &second);
	assert_true(second.moved_ns == first.moved_ns);
	drain();
	port_load(port, &second);
	assert_true(second.moved_ns > first.moved_ns);
	assert_int_equal(second.bytes, 0);
}

static void test_port_finds_out_that_the_client_is_gone(void **state)
{
	struct msg m = rig_result(1);
	struct port_load load;

	(void)state;
	channel_free(client);
	client = NULL;
	assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(wakes(), 1);
	port_load(port, &load);
	assert_int_equal(load.lost, 1);
	assert_int_equal(port_closed(port), 1);
	assert_int_equal(port_answer(port, &m), PYSTUCK_ECLOSED);
	assert_int_equal(port_try_write(port, &m), PYSTUCK_ECLOSED);
	assert_int_equal(port_write(port, &m), PYSTUCK_ECLOSED);
	assert_int_equal(port_pump(port), PYSTUCK_ECLOSED);
}

static void test_port_never_touches_the_fd_after_close(void **state)
{
	struct msg m = rig_result(1);
	struct port *kept = port_ref(port);
	char byte = 0;
	int again[2];

	(void)state;
	assert_int_equal(write_kilobyte(1), 0);
	(void)wakes();
	port_close(port);
	assert_int_equal(fcntl(fds[0], F_GETFD), -1);
	/* Somebody else gets the number. */
	rig_pair(again, 0);
	assert_true(again[0] == fds[0] || again[1] == fds[0]);
	assert_int_equal(port_closed(kept), 1);
	assert_int_equal(port_answer(kept, &m), PYSTUCK_ECLOSED);
	assert_int_equal(rig_answer_bytes(kept, kilobyte, 10), PYSTUCK_ECLOSED);
	assert_int_equal(port_try_write(kept, &m), PYSTUCK_ECLOSED);
	assert_int_equal(port_write(kept, &m), PYSTUCK_ECLOSED);
	(void)port_pump(kept);
	assert_int_equal(recv(again[0], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(recv(again[1], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(pending(), 0);
	assert_int_equal(wakes(), 0);
	close(again[0]);
	close(again[1]);
	port_unref(kept);
}

/* A session that was kept for whoever was at work is over then, and the net thread sleeps. */
static void test_port_whoever_lets_go_of_it_last_but_one_calls_the_net_thread(void **state)
{
	struct port *worker = port_ref(port), *another = port_ref(port);

	(void)state;
	port_unref(another);
	assert_int_equal(wakes(), 0);
	port_unref(worker);
	assert_int_equal(wakes(), 1);
}

/* ---- claims ---------------------------------------------------------------------------------- */

static void test_port_claim_is_given_once_and_to_the_right_request(void **state)
{
	(void)state;
	assert_int_equal(port_claim(port, PORT_DUMP, 1), PYSTUCK_ETIME);
	port_expect(port, PORT_DUMP, 1, UINT64_MAX);
	assert_int_equal(port_request(port, PORT_DUMP), PORT_EXPECTED);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_FREE);
	assert_int_equal(port_claim(port, PORT_DUMP, 2), PYSTUCK_ETIME);
	assert_int_equal(port_claim(port, PORT_EVAL, 1), PYSTUCK_ETIME);
	assert_int_equal(port_claim(port, PORT_DUMP, 1), 0);
	assert_int_equal(port_claim(port, PORT_DUMP, 1), PYSTUCK_ETIME);
	assert_int_equal(port_request(port, PORT_DUMP), PORT_CLAIMED);
	port_done(port, PORT_DUMP, 2);
	assert_int_equal(port_request(port, PORT_DUMP), PORT_CLAIMED);
	port_done(port, PORT_DUMP, 1);
	assert_int_equal(port_request(port, PORT_DUMP), PORT_FREE);
}

static void test_port_a_late_request_is_taken_back_once(void **state)
{
	(void)state;
	assert_true(port_deadline(port) == UINT64_MAX);
	port_expect(port, PORT_EVAL, 1, 200);
	port_expect(port, PORT_DUMP, 1, 100);
	assert_int_equal(port_deadline(port), 100);
	assert_int_equal(port_expire(port, PORT_DUMP, 99), 0);
	assert_int_equal(port_expire(port, PORT_DUMP, 100), 1);
	assert_int_equal(port_expire(port, PORT_DUMP, 100), 0);
	assert_int_equal(port_claim(port, PORT_DUMP, 1), PYSTUCK_ETIME);
	assert_int_equal(port_deadline(port), 200);
	/* The late worker's port_done does not end the next request, which it did not claim. */
	port_expect(port, PORT_DUMP, 1, 300);
	port_done(port, PORT_DUMP, 1);
	assert_int_equal(port_request(port, PORT_DUMP), PORT_EXPECTED);
}

static void test_port_a_claimed_request_is_never_late(void **state)
{
	(void)state;
	port_expect(port, PORT_EVAL, 1, 100);
	assert_int_equal(port_claim(port, PORT_EVAL, 1), 0);
	assert_int_equal(port_expire(port, PORT_EVAL, UINT64_MAX), 0);
	assert_true(port_deadline(port) == UINT64_MAX);
}

static void test_port_claims_fail_when_the_client_is_gone(void **state)
{
	(void)state;
	port_expect(port, PORT_DUMP, 1, UINT64_MAX);
	port_close(port);
	assert_int_equal(port_claim(port, PORT_DUMP, 1), PYSTUCK_ETIME);
	assert_int_equal(port_expire(port, PORT_DUMP, UINT64_MAX), 0);
	port_done(port, PORT_DUMP, 1);
}

/* Who has heard the result may ask again before the worker gets to port_done. */
static void test_port_an_evaluation_is_ending_from_its_last_message_on(void **state)
{
	struct msg m = rig_result(1);

	(void)state;
	port_expect(port, PORT_EVAL, 1, UINT64_MAX);
	assert_int_equal(port_claim(port, PORT_EVAL, 1), 0);
	assert_int_equal(write_kilobyte(1), 0);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_CLAIMED);
	m.result.id = 2;
	assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_CLAIMED);
	m.result.id = 1;
	assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_ENDING);
	(void)port_pump(port);
	(void)wakes();
	port_watch(port);
	port_done(port, PORT_EVAL, 1);
	assert_int_equal(wakes(), 1);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_FREE);
}

/* Else a net thread that waits for something would call itself, again and again. */
static void test_port_does_not_call_the_net_thread_for_its_own_look_at_an_idle_port(void **state)
{
	(void)state;
	(void)port_pump(port);
	(void)wakes();
	port_watch(port);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(port_pump(port), 0);
		assert_int_equal(wakes(), 0);
	}
	/* What it watches for still calls it. */
	port_expect(port, PORT_EVAL, 1, UINT64_MAX);
	assert_int_equal(port_claim(port, PORT_EVAL, 1), 0);
	port_done(port, PORT_EVAL, 1);
	assert_int_equal(wakes(), 1);
}

static void test_port_detach_frees_a_claimed_request_at_once(void **state)
{
	(void)state;
	port_expect(port, PORT_EVAL, 1, UINT64_MAX);
	assert_int_equal(port_claim(port, PORT_EVAL, 1), 0);
	port_detach(port, PORT_EVAL, 2);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_CLAIMED);
	port_detach(port, PORT_EVAL, 1);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_FREE);
	port_detach(port, PORT_EVAL, 1);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_FREE);
}

static void test_port_detach_before_the_claim_lets_it_run_and_frees_it_then(void **state)
{
	(void)state;
	port_expect(port, PORT_EVAL, 1, 100);
	port_detach(port, PORT_EVAL, 1);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_ENDING);
	assert_int_equal(port_claim(port, PORT_EVAL, 1), 0);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_FREE);
	/* And when it is late it is late. */
	port_expect(port, PORT_EVAL, 2, 100);
	port_detach(port, PORT_EVAL, 2);
	assert_int_equal(port_expire(port, PORT_EVAL, 100), 1);
	port_expect(port, PORT_EVAL, 3, 100);
	assert_int_equal(port_request(port, PORT_EVAL), PORT_EXPECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_port_answer_is_sent_at_once_without_the_net_thread),
		T(test_port_answer_framed_sends_a_run_in_one_call),
		T(test_port_takes_a_run_and_copies_it_only_behind_another),
		T(test_port_try_write_only_queues_and_calls_the_net_thread_once),
		T(test_port_output_stays_before_the_result),
		T(test_port_try_write_stops_at_the_high_water_mark),
		T(test_port_copies_stop_at_half_the_mark),
		NARROW(test_port_answers_go_over_the_mark_but_not_over_the_limit),
		NARROW(test_port_the_longest_answer_finds_room_whatever_else_is_queued),
		NARROW(test_port_a_full_socket_is_left_to_the_net_thread),
		NARROW(test_port_a_worker_that_finds_the_socket_full_calls_the_net_thread),
		NARROW(test_port_load_tells_since_when_nothing_moves),
		T(test_port_finds_out_that_the_client_is_gone),
		T(test_port_never_touches_the_fd_after_close),
		T(test_port_claim_is_given_once_and_to_the_right_request),
		T(test_port_a_late_request_is_taken_back_once),
		T(test_port_a_claimed_request_is_never_late),
		T(test_port_claims_fail_when_the_client_is_gone),
		T(test_port_an_evaluation_is_ending_from_its_last_message_on),
		T(test_port_does_not_call_the_net_thread_for_its_own_look_at_an_idle_port),
		T(test_port_whoever_lets_go_of_it_last_but_one_calls_the_net_thread),
		T(test_port_detach_frees_a_claimed_request_at_once),
		T(test_port_detach_before_the_claim_lets_it_run_and_frees_it_then),
	};

	alarm(110);
	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
