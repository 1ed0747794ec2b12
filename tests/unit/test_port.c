/*
 * test_port.c: answers from any thread, and the claims of requests.
 *
 * LINK: -Wl,--wrap=channel_pending
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#include "../../src/server/port_private.h"
#include "wire_rig.h"

static int fds[2];
static int wake_fd;
static struct port *port;
static struct channel *client;
static uint8_t kilobyte[1024];

static int setup_with(int buffer)
{
	rig_pair(fds, buffer);
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	port = port_new(channel_new(fds[0], MSG_MAX, 0), wake_fd);
	client = channel_new(fds[1], MSG_MAX, 0);
	memset(kilobyte, 'k', sizeof(kilobyte));
	return port == NULL || client == NULL || wake_fd < 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(0);
}

static int setup_narrow(void **state)
{
	(void)state;
	return setup_with(4096);
}

static int teardown(void **state)
{
	(void)state;
	port_close(port);
	port_unref(port);
	channel_free(client);
	close(wake_fd);
	return 0;
}

/* How often the net thread was called since the last time. */
static uint64_t wakes(void)
{
	uint64_t count = 0;

	return read(wake_fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static size_t pending(void)
{
	struct port_load load;

	port_load(port, &load);
	return load.bytes;
}

static int blocked(void)
{
	struct port_load load;

	port_load(port, &load);
	return load.blocked;
}

static int write_kilobyte(uint32_t id)
{
	struct msg m = rig_output(id, (struct span){kilobyte, sizeof(kilobyte)});

	return port_try_write(port, &m);
}

/* Reads and pumps until nothing is left; how many messages came. */
static size_t drain(void)
{
	struct msg m;
	size_t n = 0;

	for (;;) {
		(void)port_pump(port);
		if (rig_hear_within(client, &m, 0) == 1)
			n++;
		else if (pending() == 0 && rig_hear_within(client, &m, 0) != 1)
			return n;
	}
}

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
	assert_int_equal(port_answer_framed(port, buf_span(&run)), 0);
	buf_free(&run);
	for (uint32_t i = 0; i < 3; i++) {
		rig_hear(client, &m, MSG_RESULT);
		assert_int_equal(m.result.id, i);
	}
	assert_int_equal(port_answer_framed(port, (struct span){NULL, 0}), 0);
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
		rc = port_answer_framed(port, (struct span){megabyte, sizeof(megabyte)});
	assert_int_equal(rc, PYSTUCK_ETOOBIG);
	assert_in_range(n, 40, 60);
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
	assert_int_equal(port_answer_framed(kept, (struct span){kilobyte, 10}), PYSTUCK_ECLOSED);
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

/* ---- threads --------------------------------------------------------------------------------- */

static atomic_int stop;

/* What the net thread does for a port. */
static void *net_main(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct pollfd p[2] = {{.fd = wake_fd, .events = POLLIN},
			{.fd = fds[0], .events = blocked() ? POLLOUT : 0}};

		(void)poll(p, 2, PATIENCE_MS);
		(void)wakes();
		(void)port_pump(port);
	}
	return NULL;
}

static pthread_t net;

static void start_net(void)
{
	atomic_store(&stop, 0);
	assert_int_equal(pthread_create(&net, NULL, net_main, NULL), 0);
}

static void end_net(void)
{
	const uint64_t one = 1;

	atomic_store(&stop, 1);
	assert_int_equal(write(wake_fd, &one, sizeof(one)), sizeof(one));
	assert_int_equal(pthread_join(net, NULL), 0);
}

#define WORKERS 4
#define EACH 3000

/* Worker n numbers its messages; answers, tries and waits in turn. */
static void *worker_main(void *arg)
{
	const uint32_t n = (uint32_t)(uintptr_t)arg;

	for (uint32_t i = 0; i < EACH; i++) {
		struct msg m = rig_output(n << 16 | i, (struct span){kilobyte, i % 300});
		int rc;

		if (i % 3 == 0)
			rc = port_answer(port, &m);
		else if (i % 3 == 1)
			rc = port_write(port, &m);
		else
			while ((rc = port_try_write(port, &m)) == PYSTUCK_EAGAIN)
				sched_yield();
		if (rc != 0)
			return (void *)1;
	}
	return NULL;
}

static void test_port_loses_and_swaps_nothing_between_many_threads(void **state)
{
	pthread_t workers[WORKERS];
	uint32_t next[WORKERS] = {0};
	void *failed;
	struct msg m;

	(void)state;
	start_net();
	for (uintptr_t i = 0; i < WORKERS; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, worker_main, (void *)i), 0);
	for (size_t i = 0; i < (size_t)WORKERS * EACH; i++) {
		uint32_t who;

		rig_hear(client, &m, MSG_OUTPUT);
		who = m.output.id >> 16;
		assert_true(who < WORKERS);
		assert_int_equal(m.output.id & 0xffff, next[who]++);
	}
	for (size_t i = 0; i < WORKERS; i++) {
		assert_int_equal(pthread_join(workers[i], &failed), 0);
		assert_null(failed);
	}
	end_net();
	assert_int_equal(pending(), 0);
}

static int calls_until_answer;	/* of channel_pending; 0: never */

size_t __real_channel_pending(const struct channel *ch);
size_t __wrap_channel_pending(const struct channel *ch);

/* Called with the sending half held: here another answer comes just then, and cannot have it. */
size_t __wrap_channel_pending(const struct channel *ch)
{
	size_t n = __real_channel_pending(ch);

	if (calls_until_answer > 0 && --calls_until_answer == 0) {
		struct msg m = rig_result(2);

		assert_int_equal(port_answer(port, &m), 0);
	}
	return n;
}

/* Who has the sending half looks at the queue again after letting go of it. */
static void test_port_nothing_is_left_lying_when_two_answer_at_once(void **state)
{
	struct msg m;

	(void)state;
	/* 1: the first answer has just been sent; 2: the queue was found empty, the last moment. */
	for (int moment = 1; moment <= 2; moment++) {
		calls_until_answer = moment;
		m = rig_result(1);
		assert_int_equal(port_answer(port, &m), 0);
		assert_int_equal(calls_until_answer, 0);
		assert_int_equal(pending(), 0);
		rig_hear(client, &m, MSG_RESULT);
		assert_int_equal(m.result.id, 1);
		rig_hear(client, &m, MSG_RESULT);
		assert_int_equal(m.result.id, 2);
	}
}

static void *write_until_closed(void *arg)
{
	struct msg m = rig_output(1, (struct span){kilobyte, sizeof(kilobyte)});
	int rc;

	(void)arg;
	while ((rc = port_write(port, &m)) == 0)
		continue;
	port_unref(port);
	return (void *)(intptr_t)rc;
}

static void test_port_write_waits_for_room_and_is_let_go_by_close(void **state)
{
	pthread_t writer;
	struct msg m;
	void *rc;

	(void)state;
	port_ref(port);
	assert_int_equal(pthread_create(&writer, NULL, write_until_closed, NULL), 0);
	/* More than the mark passes through, so it has waited and gone on. */
	for (size_t i = 0; i < 4 * PORT_HIGH_WATER / 1024; i++) {
		do
			(void)port_pump(port);
		while (rig_hear_within(client, &m, 0) != 1);
	}
	while (pending() < PORT_HIGH_WATER)
		sched_yield();
	port_close(port);
	assert_int_equal(pthread_join(writer, &rc), 0);
	assert_int_equal((intptr_t)rc, PYSTUCK_ECLOSED);
}

static void *hammer(void *arg)
{
	struct msg m = rig_output(1, (struct span){kilobyte, sizeof(kilobyte)});

	(void)arg;
	while (port_answer(port, &m) != PYSTUCK_ECLOSED) {
		(void)port_claim(port, PORT_EVAL, 1);
		port_done(port, PORT_EVAL, 1);
		(void)port_try_write(port, &m);
	}
	port_unref(port);
	return NULL;
}

static void test_port_close_in_the_middle_of_everything(void **state)
{
	pthread_t workers[2];
	struct msg m;

	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < 2; i++) {
			port_ref(port);
			assert_int_equal(pthread_create(&workers[i], NULL, hammer, NULL), 0);
		}
		for (int i = 0; i < round % 20; i++) {
			port_expect(port, PORT_EVAL, 1, UINT64_MAX);
			(void)port_pump(port);
			(void)rig_hear_within(client, &m, 0);
			(void)port_expire(port, PORT_EVAL, UINT64_MAX);
		}
		port_close(port);
		/* The last reference may be a worker's. */
		port_unref(port);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(pthread_join(workers[i], NULL), 0);
		channel_free(client);
		close(wake_fd);
		assert_int_equal(setup(state), 0);
	}
}

static void *pump_late(void *arg)
{
	(void)arg;
	/* A worker drains what the net thread waits for. */
	while (pending() > 0) {
		struct msg m = rig_output(2, (struct span){kilobyte, 1});

		(void)port_pump(port);
		(void)port_answer(port, &m);
	}
	return NULL;
}

static void test_port_watch_calls_the_net_thread_when_the_load_falls(void **state)
{
	pthread_t worker;
	struct msg m;

	(void)state;
	while (write_kilobyte(0) == 0)
		continue;
	(void)wakes();
	port_watch(port);
	assert_int_equal(pthread_create(&worker, NULL, pump_late, NULL), 0);
	while (rig_hear_within(client, &m, 20) == 1)
		continue;
	pthread_join(worker, NULL);
	assert_true(wakes() > 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define NARROW(f) cmocka_unit_test_setup_teardown(f, setup_narrow, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_port_answer_is_sent_at_once_without_the_net_thread),
		T(test_port_answer_framed_sends_a_run_in_one_call),
		T(test_port_try_write_only_queues_and_calls_the_net_thread_once),
		T(test_port_output_stays_before_the_result),
		T(test_port_try_write_stops_at_the_high_water_mark),
		NARROW(test_port_answers_go_over_the_mark_but_not_over_the_limit),
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
		T(test_port_detach_frees_a_claimed_request_at_once),
		T(test_port_detach_before_the_claim_lets_it_run_and_frees_it_then),
		NARROW(test_port_loses_and_swaps_nothing_between_many_threads),
		T(test_port_nothing_is_left_lying_when_two_answer_at_once),
		NARROW(test_port_write_waits_for_room_and_is_let_go_by_close),
		NARROW(test_port_close_in_the_middle_of_everything),
		NARROW(test_port_watch_calls_the_net_thread_when_the_load_falls),
	};

	alarm(110);
	return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
