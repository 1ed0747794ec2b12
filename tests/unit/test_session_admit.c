/*
 * test_session_admit.c: between HELLO and WELCOME: the program is asked whether a client may come
 * in. The test is the net thread and the one who is asked.
 */
#include "session_rig.h"

static int setup_asking(void **state)
{
	int rc = setup(state);

	fake.admit = 1;
	return rc;
}

/* A client that has said hello, and about whom somebody is being asked. */
static void knock(void)
{
	connect_with(0);
	say(client, rig_hello());
	turn();
	assert_int_equal(session_state(session), SESSION_ADMIT);
	assert_int_equal(fake.admits, 1);
	assert_int_equal(fake.opens, 0);
	hears_nothing();
}

/* The port of the session that is being asked about: nobody has opened it yet. */
static struct port *asked;

static int note_admit(void *context, const struct service_client *who, struct port *port)
{
	asked = port;
	return fake_admit(context, who, port);
}

static struct service asking;

static int setup_port(void **state)
{
	int rc = setup_asking(state);

	asking = fake_service;
	asking.admit = note_admit;
	door.service = &asking;
	return rc;
}

static void test_session_admit_who_is_let_in_is_welcome_and_what_was_sent_meanwhile_is_answered(
	void **state)
{
	struct msg m;

	(void)state;
	knock();
	say(client, rig_eval(7));
	turns(3);
	assert_int_equal(fake.evals, 0);
	assert_int_equal(port_claim(asked, PORT_ADMIT, 0), 0);
	turns(3);
	hears_nothing();
	port_done(asked, PORT_ADMIT, 0);
	turns(2);
	rig_hear(client, &m, MSG_WELCOME);
	turn();
	hears_result(7);
	assert_int_equal(door.clients, 1);
}

static void test_session_admit_a_veto_turns_away_and_says_why(void **state)
{
	(void)state;
	knock();
	assert_int_equal(port_claim(asked, PORT_ADMIT, 0), 0);
	port_veto(asked, PORT_ADMIT, 0, span_text("PermissionError: not on a Sunday"));
	port_done(asked, PORT_ADMIT, 0);
	turn();
	hears_refusal(REASON_VETO, "not on a Sunday");
	assert_int_equal(fake.opens, 0);
	assert_int_equal(door.clients, 0);
}

static void test_session_admit_a_long_veto_is_cut_at_a_whole_character(void **state)
{
	char text[4 * PORT_VETO_MAX];
	struct msg m;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[0] = 'x';
	text[1] = 'x';
	text[2] = 'x'; /* and a stray byte: the odd ones out */
	knock();
	assert_int_equal(port_claim(asked, PORT_ADMIT, 0), 0);
	port_veto(asked, PORT_ADMIT, 0, (struct span){(uint8_t *)text, sizeof(text)});
	port_done(asked, PORT_ADMIT, 0);
	turn();
	rig_hear(client, &m, MSG_REFUSED);
	assert_true(m.refused.text.len <= PORT_VETO_MAX && m.refused.text.len > PORT_VETO_MAX - 4);
}

static void test_session_admit_without_the_gil_in_time_nobody_comes_in(void **state)
{
	(void)state;
	knock();
	assert_true(session_deadline(session) <= now + 1000 * MS);
	now += 1000 * MS;
	turn();
	hears_refusal(REASON_GIL, "could not be in time");
	/* Who comes too late with a yes changes nothing. */
	assert_int_equal(port_claim(asked, PORT_ADMIT, 0), PYSTUCK_ETIME);
	assert_int_equal(fake.opens, 0);
	assert_int_equal(door.clients, 0);
}

static void test_session_admit_when_nobody_can_be_asked_nobody_comes_in(void **state)
{
	(void)state;
	fake.admit = -1;
	connect_with(0);
	say(client, rig_hello());
	turn();
	hears_refusal(REASON_LIMIT, "cannot be");
	assert_int_equal(fake.opens, 0);
	assert_int_equal(door.clients, 0);
}

static void test_session_admit_a_hook_that_never_returns_is_bounded_by_the_strangers_deadline(
	void **state)
{
	(void)state;
	knock();
	assert_int_equal(port_claim(asked, PORT_ADMIT, 0), 0);
	now += 4999 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_ADMIT);
	now += 1 * MS;
	turn();
	closed_without_a_byte();
	assert_int_equal(door.clients, 0);
}

static void test_session_admit_who_waits_has_a_place_and_gives_it_back(void **state)
{
	struct session *first;
	struct channel *first_client;

	(void)state;
	door.max_clients = 1;
	knock();
	assert_int_equal(door.clients, 1);
	first = session;
	first_client = client;
	connect_with(0);
	say(client, rig_hello());
	turn();
	hears_refusal(REASON_FULL, "1 clients");
	assert_int_equal(fake.admits, 1);
	session_free(session);
	channel_free(client);
	session = first;
	client = first_client;
	/* The one who waits hangs up. */
	assert_int_equal(shutdown(channel_fd(client), SHUT_RDWR), 0);
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(door.clients, 0);
	assert_int_equal(fake.opens, 0);
}

static void test_session_admit_without_anybody_to_ask_all_is_as_ever(void **state)
{
	(void)state;
	fake.admit = 0;
	welcome();
	/* Nothing is left of the question: no deadline hangs over the session. */
	assert_int_equal(session_deadline(session), UINT64_MAX);
	assert_int_equal(fake.admits, 1);
}

#define P(f) cmocka_unit_test_setup_teardown(f, setup_port, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		P(test_session_admit_who_is_let_in_is_welcome_and_what_was_sent_meanwhile_is_answered),
		P(test_session_admit_a_veto_turns_away_and_says_why),
		P(test_session_admit_a_long_veto_is_cut_at_a_whole_character),
		P(test_session_admit_without_the_gil_in_time_nobody_comes_in),
		P(test_session_admit_when_nobody_can_be_asked_nobody_comes_in),
		P(test_session_admit_a_hook_that_never_returns_is_bounded_by_the_strangers_deadline),
		P(test_session_admit_who_waits_has_a_place_and_gives_it_back),
		P(test_session_admit_without_anybody_to_ask_all_is_as_ever),
	};

	return cmocka_run_group_tests_name("session_admit", tests, NULL, NULL);
}
