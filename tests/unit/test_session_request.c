/*
 * test_session_request.c: the table of what may be said, and what becomes of who says anything
 * else.
 */
#include "session_rig.h"

/* ---- the table ------------------------------------------------------------------------------- */

/* Written down a second time, in another form. */
static enum session_verdict expected(int state, int role, int type, int flags)
{
	int need = -1;

	if (state == SESSION_HELLO)
		return type == MSG_HELLO ? SESSION_ALLOW : SESSION_BREAK;
	if (state != SESSION_OPEN)
		return SESSION_BREAK;
	if (type == MSG_BYE)
		need = ROLE_STACKS;
	if (type == MSG_DUMP)
		need = (flags & DUMP_LOCALS) != 0 ? ROLE_LOCALS : ROLE_STACKS;
	if (type == MSG_EVAL || type == MSG_INTERRUPT || type == MSG_DETACH)
		need = ROLE_EVAL;
	if (need < 0)
		return SESSION_BREAK;
	return role >= need ? SESSION_ALLOW : SESSION_DENY;
}

static void test_session_every_type_role_and_state_is_in_the_table_or_denied(void **state)
{
	size_t allowed = 0;

	(void)state;
	for (int s = 0; s < SESSION_STATES; s++)
		for (int role = ROLE_NONE; role <= ROLE_EVAL; role++)
			for (int type = -1; type <= 256; type++)
				for (int flags = 0; flags < 256; flags++) {
					enum session_verdict v =
						session_request_judge((enum session_state)s,
							(enum role)role, type, (uint8_t)flags);

					if (v != expected(s, role, type, flags))
						fail_msg("state %d role %d type %d flags %d: %d", s,
							role, type, flags, (int)v);
					allowed += v == SESSION_ALLOW && flags == 0;
				}
	/* HELLO for 4 roles; DUMP and BYE for 3 roles each; 3 more types for one role. */
	assert_int_equal(allowed, 4 + 3 + 3 + 3);
}

static void test_session_messages_of_a_server_end_an_open_session_with_a_word(void **state)
{
	const enum msg_type types[] = {MSG_HELLO, MSG_WELCOME, MSG_REFUSED, MSG_ERROR, MSG_RESULT,
		MSG_OUTPUT, MSG_DUMP_END};
	struct msg m;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		m = (struct msg){.type = types[i]};
		welcome();
		if (types[i] == MSG_HELLO)
			m = rig_hello();
		if (types[i] == MSG_WELCOME)
			m.welcome.role = ROLE_EVAL;
		if (types[i] == MSG_REFUSED || types[i] == MSG_ERROR)
			m.refused.reason = m.error.reason = REASON_DENIED;
		if (types[i] == MSG_REFUSED)
			m.refused = (struct msg_refused){.version = 1, .reason = 1};
		if (types[i] == MSG_OUTPUT)
			m.output.stream = 1;
		say(client, m);
		turn();
		rig_hear(client, &m, MSG_BYE);
		assert_int_equal(m.bye.reason, REASON_UNKNOWN);
		assert_int_equal(session_state(session), SESSION_CLOSING);
		assert_int_equal(fake.closes, 1);
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_session_bytes_that_are_no_message_end_it_with_a_word(void **state)
{
	uint8_t junk[] = {MSG_DUMP, 1, 2, 3};
	struct msg m;

	(void)state;
	welcome();
	assert_int_equal(channel_put(client, (struct span){junk, sizeof(junk)}), 0);
	assert_int_equal(rig_flush(client), 0);
	turn();
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_UNKNOWN);
}

static void test_session_a_message_over_the_limit_ends_it_with_a_word(void **state)
{
	const uint8_t header[] = {0, 0x10, 0, 1}; /* MSG_MAX + 1 */
	struct msg m;

	(void)state;
	welcome();
	assert_int_equal(send(channel_fd(client), header, 4, 0), 4);
	turn();
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_every_type_role_and_state_is_in_the_table_or_denied),
		T(test_session_messages_of_a_server_end_an_open_session_with_a_word),
		T(test_session_bytes_that_are_no_message_end_it_with_a_word),
		T(test_session_a_message_over_the_limit_ends_it_with_a_word),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session_request", tests, NULL, NULL);
}
