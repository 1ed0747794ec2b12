/*
 * session_rig.h: a session and its client on a socketpair; the test is the net thread and the clock
 * is its own. For tests of sessions without a handshake.
 */
#ifndef TEST_SESSION_RIG_H
#define TEST_SESSION_RIG_H

#include "../../src/server/port_private.h"
#include "../../src/server/session.h"
#include "../../src/server/wake.h"
#include "service_rig.h"

#define MS 1000000ull

static struct policy policy;
static struct session_door door;
static struct wake wake;
static struct session *session;
static struct channel *client;
static uint64_t now;

MAYBE_UNUSED static int setup(void **state)
{
	(void)state;
	now = rig_now();
	policy_init(&policy, geteuid(), 65534);
	if (wake_open(&wake) != 0)
		return -1;
	door = (struct session_door){.service = &fake_service,
		.policy = &policy,
		.max_clients = 4,
		.gil_timeout_ms = 1000,
		.wake = wake.out,
		.times = {.stranger_ms = 5000, .stall_ms = 30000, .linger_ms = 1000}};
	session = NULL;
	client = NULL;
	return 0;
}

MAYBE_UNUSED static int teardown(void **state)
{
	(void)state;
	session_free(session);
	channel_free(client);
	wake_close(&wake);
	fake_reset();
	assert_int_equal(door.clients, 0);
	return 0;
}

MAYBE_UNUSED static void connect_with(int buffer)
{
	int fds[2];

	rig_pair(fds, buffer);
	session = session_new(&door, fds[0], now);
	assert_non_null(session);
	client = channel_new(fds[1], MSG_MAX, 0);
	assert_non_null(client);
}

/* One turn of the net thread: poll, and run when there is something. */
MAYBE_UNUSED static void turn(void)
{
	short revents = 0;

	if (session_fd(session) >= 0)
		revents = (short)rig_poll(session_fd(session), session_events(session), 0);
	session_run(session, revents, now);
}

MAYBE_UNUSED static void turns(int n)
{
	while (n-- > 0)
		turn();
}

MAYBE_UNUSED static void welcome(void)
{
	struct msg m;

	connect_with(0);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	assert_int_equal(session_state(session), SESSION_OPEN);
}

MAYBE_UNUSED static void welcome_as(enum role role)
{
	assert_int_equal(policy_add_uid(&policy, geteuid(), role_name((int)role), NULL), 0);
	welcome();
}

MAYBE_UNUSED static void hears_nothing(void)
{
	struct msg m;

	assert_int_equal(rig_hear_within(client, &m, 0), PYSTUCK_ETIME);
}

MAYBE_UNUSED static void hears_error(uint32_t id, enum reason reason)
{
	struct msg m;

	rig_hear(client, &m, MSG_ERROR);
	assert_int_equal(m.error.id, id);
	assert_int_equal(m.error.reason, reason);
	assert_true(m.error.text.len > 0);
}

MAYBE_UNUSED static void hears_dump(uint32_t id, enum dump_how how)
{
	struct msg m;

	rig_hear(client, &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.id, id);
	assert_int_equal(m.dump_begin.how, how);
	rig_hear(client, &m, MSG_DUMP_END);
}

MAYBE_UNUSED static void hears_result(uint32_t id)
{
	struct msg m;

	rig_hear(client, &m, MSG_RESULT);
	assert_int_equal(m.result.id, id);
}

MAYBE_UNUSED static void hears_matches(uint32_t id)
{
	struct msg m;

	rig_hear(client, &m, MSG_MATCHES);
	assert_int_equal(m.matches.id, id);
}

MAYBE_UNUSED static void hears_place(uint32_t id)
{
	struct msg m;

	rig_hear(client, &m, MSG_PLACE);
	assert_int_equal(m.place.id, id);
}

MAYBE_UNUSED static void hears_refusal(enum reason reason, const char *words)
{
	struct msg m;
	char text[512];

	rig_hear(client, &m, MSG_REFUSED);
	assert_int_equal(m.refused.reason, reason);
	assert_int_equal(m.refused.version, PROTOCOL_VERSION);
	(void)snprintf(text, sizeof(text), "%.*s", (int)m.refused.text.len,
		(const char *)m.refused.text.data);
	if (strstr(text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, words);
	turn();
	rig_hear_end(client);
}

/* The connection is closed and not one byte has come. */
MAYBE_UNUSED static void closed_without_a_byte(void)
{
	uint8_t byte;

	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_true(recv(channel_fd(client), &byte, 1, MSG_DONTWAIT) <= 0);
	assert_int_equal(fake.opens, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
