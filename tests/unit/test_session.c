/*
 * test_session.c: one client's life on a Unix socket: what may be said when, requests, back-pressure,
 * deadlines, ends. The test is the net thread, and the clock is its own. The handshake:
 * test_session_auth.c.
 *
 * LINK: -Wl,--wrap=getsockopt
 */
#include <sys/eventfd.h>

#include "../../src/server/port_private.h"
#include "../../src/server/session.h"
#include "service_rig.h"

#define MS 1000000ull

static struct policy policy;
static struct session_door door;
static struct session *session;
static struct channel *client;
static uint64_t now;
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

static int setup(void **state)
{
	(void)state;
	now = rig_now();
	fail_getsockopt = 0;
	policy_init(&policy, geteuid(), 65534);
	door = (struct session_door){.service = &fake_service, .policy = &policy,
		.max_clients = 4, .gil_timeout_ms = 1000, .wake_fd = eventfd(0, EFD_NONBLOCK),
		.times = {.stranger_ms = 5000, .stall_ms = 30000, .linger_ms = 1000}};
	session = NULL;
	client = NULL;
	return door.wake_fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	session_free(session);
	channel_free(client);
	close(door.wake_fd);
	fake_reset();
	assert_int_equal(door.clients, 0);
	return 0;
}

static void connect_with(int buffer)
{
	int fds[2];

	rig_pair(fds, buffer);
	session = session_new(&door, fds[0], now);
	assert_non_null(session);
	client = channel_new(fds[1], MSG_MAX, 0);
	assert_non_null(client);
}

/* One turn of the net thread: poll, and run when there is something. */
static void turn(void)
{
	short revents = 0;

	if (session_fd(session) >= 0)
		revents = (short)rig_poll(session_fd(session), session_events(session), 0);
	session_run(session, revents, now);
}

static void turns(int n)
{
	while (n-- > 0)
		turn();
}

static void welcome(void)
{
	struct msg m;

	connect_with(0);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	assert_int_equal(session_state(session), SESSION_OPEN);
}

static void welcome_as(enum role role)
{
	assert_int_equal(policy_add_uid(&policy, geteuid(), role_name((int)role), NULL), 0);
	welcome();
}

static void hears_nothing(void)
{
	struct msg m;

	assert_int_equal(rig_hear_within(client, &m, 0), PYSTUCK_ETIME);
}

static void hears_error(uint32_t id, enum reason reason)
{
	struct msg m;

	rig_hear(client, &m, MSG_ERROR);
	assert_int_equal(m.error.id, id);
	assert_int_equal(m.error.reason, reason);
	assert_true(m.error.text.len > 0);
}

static void hears_dump(uint32_t id, enum dump_how how)
{
	struct msg m;

	rig_hear(client, &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.id, id);
	assert_int_equal(m.dump_begin.how, how);
	rig_hear(client, &m, MSG_DUMP_END);
}

static void hears_result(uint32_t id)
{
	struct msg m;

	rig_hear(client, &m, MSG_RESULT);
	assert_int_equal(m.result.id, id);
}

static void hears_refusal(enum reason reason, const char *words)
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
static void closed_without_a_byte(void)
{
	uint8_t byte;

	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_true(recv(channel_fd(client), &byte, 1, MSG_DONTWAIT) <= 0);
	assert_int_equal(fake.opens, 0);
}

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
					enum session_verdict v = session_request_judge(
						(enum session_state)s, (enum role)role, type,
						(uint8_t)flags);

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
	const uint8_t header[] = {0, 0x10, 0, 1};	/* MSG_MAX + 1 */
	struct msg m;

	(void)state;
	welcome();
	assert_int_equal(send(channel_fd(client), header, 4, 0), 4);
	turn();
	rig_hear(client, &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_LIMIT);
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
	const char *first[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
		"SSH-2.0-OpenSSH_9.2\r\n", "help\n"};

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

static void test_session_with_a_time_of_zero_every_answer_is_late_and_the_session_lives(void **state)
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

static void test_session_an_evaluation_that_comes_right_after_a_result_is_not_one_too_many(void **state)
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
	assert_int_equal(rig_poll(door.wake_fd, POLLIN, 0), POLLIN);
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
		assert_int_equal(rig_poll(door.wake_fd, POLLIN, 0), POLLIN);
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
	assert_int_equal(rig_poll(door.wake_fd, POLLIN, 0), POLLIN);
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_every_type_role_and_state_is_in_the_table_or_denied),
		T(test_session_messages_of_a_server_end_an_open_session_with_a_word),
		T(test_session_bytes_that_are_no_message_end_it_with_a_word),
		T(test_session_a_message_over_the_limit_ends_it_with_a_word),
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
		T(test_session_an_eval_that_waits_for_the_gil_is_answered_with_an_error),
		T(test_session_with_a_time_of_zero_every_answer_is_late_and_the_session_lives),
		T(test_session_a_claimed_request_has_all_the_time_it_needs),
		T(test_session_a_second_evaluation_is_one_too_many),
		T(test_session_an_evaluation_that_comes_right_after_a_result_is_not_one_too_many),
		T(test_session_dumps_wait_for_each_other),
		T(test_session_interrupt_and_detach_reach_the_evaluation),
		T(test_session_an_evaluation_detached_before_its_claim_still_runs),
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
		T(test_session_cut_at_every_byte_nothing_half_is_acted_on),
		T(test_session_byte_by_byte_is_the_same_as_at_once),
		T(test_session_goodbye_tells_an_open_client_why),
		T(test_session_goodbye_tells_a_stranger_nothing),
		T(test_session_forget_closes_the_fd_and_tells_nobody),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
