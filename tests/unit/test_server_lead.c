/*
 * test_server_lead.c: threads that wait for their clients' requests in the net thread's place, beside it:
 * parked, resumed, called, cancelled and cut off at any moment; to be run under ThreadSanitizer too.
 */
#include "server_rig.h"

#define CLIENTS 4
#define EACH 150
#define ENDLESS 0x10000 /* the id of an evaluation that keeps a reader busy for good */

/* What evaluates for one session: here it only reads, the service that is played answers at once. */
struct reader {
	pthread_t thread;
	struct port *port;
	atomic_int stop;
	atomic_int waits; /* how often it waited in the net thread's place */
};

static uint32_t last_eval(void)
{
	uint32_t id;

	pthread_mutex_lock(&fake.lock);
	id = fake.eval_id;
	pthread_mutex_unlock(&fake.lock);
	return id;
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (!atomic_load(&r->stop) && !port_closed(r->port)) {
		if (port_wait_request(r->port) == 0)
			atomic_fetch_add(&r->waits, 1);
		else
			sched_yield();
		if (last_eval() == ENDLESS)
			return NULL;
	}
	port_wait_end(r->port);
	return NULL;
}

/* For the client that was let in last. */
static void start_reader(struct reader *r)
{
	pthread_mutex_lock(&fake.lock);
	r->port = port_ref(fake.port);
	pthread_mutex_unlock(&fake.lock);
	atomic_store(&r->stop, 0);
	atomic_store(&r->waits, 0);
	assert_int_equal(pthread_create(&r->thread, NULL, reader_main, r), 0);
}

static void end_reader(struct reader *r)
{
	atomic_store(&r->stop, 1);
	assert_int_equal(port_rouse(r->port), 0);
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	port_unref(r->port);
}

struct asker {
	pthread_t thread;
	struct channel *ch;
};

static void *asker_main(void *arg)
{
	const struct asker *a = arg;

	for (uint32_t id = 1; id <= EACH; id++)
		asks(a->ch, id);
	return NULL;
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void test_server_answers_all_while_it_is_parked_and_resumed(void **state)
{
	struct reader readers[CLIENTS];
	struct asker askers[CLIENTS];
	int waits = 0;

	(void)state;
	add_unix("socket", NULL);
	add_tcp();
	serve();
	for (int i = 0; i < CLIENTS; i++) {
		askers[i].ch = i % 2 == 0 ? dial("socket") : dial_tcp();
		greet(askers[i].ch);
		start_reader(&readers[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(
			pthread_create(&askers[i].thread, NULL, asker_main, &askers[i]), 0);
	for (int i = 0; i < 50; i++) {
		server_park(server);
		assert_int_equal(server_sessions(server, SESSION_OPEN), CLIENTS);
		serve();
		sched_yield();
	}
	for (int i = 0; i < CLIENTS; i++)
		assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
	for (int i = 0; i < CLIENTS; i++) {
		end_reader(&readers[i]);
		waits += atomic_load(&readers[i].waits);
		channel_free(askers[i].ch);
	}
	assert_true(waits > 0);
	fake_await(&fake.closes, CLIENTS);
}

static void test_server_closes_under_those_who_read(void **state)
{
	struct reader readers[CLIENTS];
	struct channel *clients[CLIENTS];
	struct msg m;

	(void)state;
	add_unix("socket", NULL);
	serve();
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = dial("socket");
		greet(clients[i]);
		start_reader(&readers[i]);
		asks(clients[i], 1);
		asks(clients[i], 2);
		asks(clients[i], 3);
	}
	server_park(server);
	(void)server_remove(server, unix_id);
	for (int i = 0; i < CLIENTS; i++) {
		rig_hear(clients[i], &m, MSG_BYE);
		assert_int_equal(m.bye.reason, REASON_STOPPING);
		end_reader(&readers[i]);
		rig_hear_end(clients[i]);
		channel_free(clients[i]);
	}
}

static void test_server_may_be_freed_before_those_who_read(void **state)
{
	struct reader r;
	struct channel *ch;

	(void)state;
	add_unix("socket", NULL);
	serve();
	ch = dial("socket");
	greet(ch);
	start_reader(&r);
	asks(ch, 1);
	asks(ch, 2);
	asks(ch, 3);
	server_free(server);
	server = server_new(&fake_service, &d);
	assert_non_null(server);
	end_reader(&r);
	channel_free(ch);
}

/* A client of a running server, and who reads for it: until its turn has come for the client's last request. */
static struct channel *dial_reader(struct reader *r)
{
	struct channel *ch;
	uint32_t id = 1;

	add_unix("socket", NULL);
	serve();
	ch = dial("socket");
	greet(ch);
	start_reader(r);
	while (atomic_load(&r->waits) < 3)
		asks(ch, id++);
	return ch;
}

static void test_server_notices_who_goes_while_somebody_reads(void **state)
{
	struct reader r;
	struct channel *ch;

	(void)state;
	ch = dial_reader(&r);
	channel_free(ch);
	fake_await(&fake.closes, 1);
	end_reader(&r);
	while (count_of(SESSION_OPEN) + count_of(SESSION_CLOSING) > 0)
		sched_yield();
}

static void test_server_interrupts_what_a_reader_has_read(void **state)
{
	struct reader r;
	struct channel *ch;

	(void)state;
	ch = dial_reader(&r);
	fake_set_eval_mode(FAKE_CLAIM);
	say(ch, rig_eval(ENDLESS));
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	say(ch, rig_interrupt(ENDLESS));
	fake_await(&fake.interrupts, 1);
	assert_int_equal(fake.interrupt_id, ENDLESS);
	port_unref(r.port);
	channel_free(ch);
}

static void test_server_looks_after_the_service_in_time_whoever_has_read_the_request(void **state)
{
	struct reader r;
	struct channel *ch;

	(void)state;
	ch = dial_reader(&r);
	fake.due_ms = 5;
	fake_set_eval_mode(FAKE_CLAIM);
	say(ch, rig_eval(ENDLESS));
	assert_int_equal(pthread_join(r.thread, NULL), 0);
	fake_await(&fake.ticks, 1);
	assert_int_equal(fake_get(&fake.evals_late), 0);
	port_unref(r.port);
	channel_free(ch);
}

/* What a program that closes all its fds does to a thread of ours that waits: nothing wakes it but this. */
static void test_a_reader_can_be_cancelled_where_it_waits(void **state)
{
	struct reader r;
	struct channel *ch;
	void *result;

	(void)state;
	ch = dial_reader(&r);
	assert_int_equal(pthread_cancel(r.thread), 0);
	assert_int_equal(pthread_join(r.thread, &result), 0);
	assert_ptr_equal(result, PTHREAD_CANCELED);
	/* It held nothing: the net thread and the next reader go on. */
	assert_int_equal(count_of(SESSION_OPEN), 1);
	asks(ch, 88);
	port_unref(r.port);
	channel_free(ch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_answers_all_while_it_is_parked_and_resumed),
		T(test_server_closes_under_those_who_read),
		T(test_server_may_be_freed_before_those_who_read),
		T(test_server_notices_who_goes_while_somebody_reads),
		T(test_server_interrupts_what_a_reader_has_read),
		T(test_server_looks_after_the_service_in_time_whoever_has_read_the_request),
		T(test_a_reader_can_be_cancelled_where_it_waits),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
