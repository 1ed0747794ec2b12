/*
 * test_port_threads.c: ports used by many threads at once; to be run under ThreadSanitizer too.
 *
 * LINK: -Wl,--wrap=channel_pending
 */
#include "port_rig.h"

/* ---- threads --------------------------------------------------------------------------------- */

static atomic_int stop;

/* What the net thread does for a port. */
static void *net_main(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop)) {
		struct pollfd p[2] = {{.fd = wake.in.fd, .events = POLLIN},
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
	atomic_store(&stop, 1);
	assert_int_equal(wake_call(&wake.out), 0);
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

static int calls_until_answer; /* of channel_pending; 0: never */
static int watch_at_next_call;

size_t __real_channel_pending(const struct channel *ch);
size_t __wrap_channel_pending(const struct channel *ch);

/* Called with the sending half held: here another answer comes just then, and cannot have it. */
size_t __wrap_channel_pending(const struct channel *ch)
{
	size_t n = __real_channel_pending(ch);

	if (watch_at_next_call) {
		watch_at_next_call = 0;
		port_watch(port);
	}
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
	int others[2];
	char said;

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
		/* The last reference may be a worker's. The wake is not theirs any more: its fds are another file's as soon as it is closed. */
		port_abandon(port);
		wake_close(&wake);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, others), 0);
		for (size_t i = 0; i < 2; i++)
			assert_int_equal(pthread_join(workers[i], NULL), 0);
		assert_int_equal(recv(others[0], &said, 1, MSG_DONTWAIT), -1);
		assert_int_equal(recv(others[1], &said, 1, MSG_DONTWAIT), -1);
		close(others[0]);
		close(others[1]);
		channel_free(client);
		assert_int_equal(setup(state), 0);
	}
}

/* The net thread sees a load while a worker is sending it: the worker tells when it is gone. */
static void test_port_watch_calls_the_net_thread_when_the_load_falls(void **state)
{
	struct msg m = rig_result(1);

	(void)state;
	watch_at_next_call = 1;
	assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(pending(), 0);
	assert_int_equal(wakes(), 1);
	/* Once: then it has to ask again. */
	(void)port_pump(port);
	assert_int_equal(port_answer(port, &m), 0);
	assert_int_equal(wakes(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		NARROW(test_port_loses_and_swaps_nothing_between_many_threads),
		T(test_port_nothing_is_left_lying_when_two_answer_at_once),
		NARROW(test_port_write_waits_for_room_and_is_let_go_by_close),
		NARROW(test_port_close_in_the_middle_of_everything),
		T(test_port_watch_calls_the_net_thread_when_the_load_falls),
	};

	alarm(110);
	return cmocka_run_group_tests_name("port_threads", tests, NULL, NULL);
}
