/*
 * test_session_audit.c: what the log is told of a session: every way in and every way out, with the
 * reason, by the kernel's word and not the client's.
 */
#include "session_rig.h"

#include "audit.h"

#define LINES 64
#define LINE 1024

static char lines[LINES][LINE];
static size_t count;
static int broken; /* the log takes nothing */

static int note(void *context, const struct audit_event *e)
{
	struct buf b;

	(void)context;
	if (broken)
		return PYSTUCK_EAGAIN;
	assert_true(count < LINES);
	buf_init(&b, LINE - 1);
	assert_int_equal(audit_text(&b, e, 200), 0);
	memcpy(lines[count], buf_bytes(&b), buf_len(&b));
	lines[count][buf_len(&b)] = '\0';
	count++;
	buf_free(&b);
	return 0;
}

static int setup_log(void **state)
{
	int rc = setup(state);

	count = 0;
	broken = 0;
	door.audit = audit_call("test", note, NULL);
	return rc != 0 || door.audit == NULL;
}

static int teardown_log(void **state)
{
	audit_free(door.audit);
	door.audit = NULL;
	return teardown(state);
}

/* The next line: this beginning, who it is by the kernel, and these words. */
static size_t at;

static void next(const char *action, const char *words)
{
	char who[64];

	(void)snprintf(who, sizeof(who), "uid %lu, pid %ld,", (unsigned long)geteuid(), (long)getpid());
	if (at >= count)
		fail_msg("nothing after line %zu, where \"%s: ... %s\" should be", at, action, words);
	if (strncmp(lines[at], action, strlen(action)) != 0 || lines[at][strlen(action)] != ':' ||
		strstr(lines[at], who) == NULL || strstr(lines[at], words) == NULL)
		fail_msg("\"%s\" is not \"%s: %s ... %s\"", lines[at], action, who, words);
	at++;
}

static void no_more(void)
{
	if (at != count)
		fail_msg("one line too many: \"%s\"", lines[at]);
}

static int setup_at(void **state)
{
	at = 0;
	return setup_log(state);
}

static void bye(void)
{
	struct msg m = {.type = MSG_BYE};

	say(client, m);
	turn();
}

static void test_session_audit_tells_a_session_from_its_beginning_to_its_end(void **state)
{
	struct msg m;

	(void)state;
	welcome();
	next("connect", "session ");
	next("open", "role eval");
	say(client, rig_eval(1));
	turn();
	rig_hear(client, &m, MSG_RESULT);
	next("eval", ": ");
	now += 1500 * MS;
	bye();
	next("disconnect", "after 1.500 s, 1 evaluations, 0 dumps: the client said goodbye");
	session_free(session);
	session = NULL;
	no_more();
}

static void test_session_audit_has_the_source_of_an_evaluation_before_it_begins(void **state)
{
	struct msg m = rig_eval(1);

	(void)state;
	fake.eval_mode = FAKE_HOLD;
	welcome();
	at = count;
	m.eval.source = span_text("x = 1\n\x1b[2Jopen: uid 0");
	say(client, m);
	turn();
	next("eval", ": x = 1\\x0a\\x1b[2Jopen: uid 0");
	no_more();
}

static void test_session_audit_who_it_is_the_kernel_says_and_not_the_client(void **state)
{
	struct msg m = rig_hello();

	(void)state;
	assert_int_equal(policy_add_uid(&policy, geteuid(), "stacks", NULL), 0);
	m.hello.client = span_text("uid 0, pid 1\nopen: key admin, role eval");
	connect_with(0);
	say(client, m);
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	assert_int_equal(m.welcome.role, ROLE_STACKS);
	next("connect", "session ");
	next("open", "role stacks");
	no_more();
	for (size_t i = 0; i < count; i++) {
		assert_null(strstr(lines[i], "admin"));
		assert_null(strstr(lines[i], "pid 1\n"));
	}
	assert_null(strstr(fake.who.text, "admin"));
	assert_int_equal(fake.who.uid, geteuid());
}

static void test_session_audit_everybody_who_is_turned_away_has_one_line_with_the_reason(
	void **state)
{
	struct msg m;

	(void)state;
	connect_with(0);
	next("connect", "session ");
	now += 5000 * MS;
	turn();
	next("refuse", "silent for too long");
	session_free(session);
	channel_free(client);

	connect_with(0);
	next("connect", "session ");
	channel_free(client);
	client = NULL;
	turn();
	next("refuse", "closed the connection before it was let in");
	session_free(session);

	connect_with(0);
	next("connect", "session ");
	m = rig_hello();
	m.hello.magic = span_text("pystick");
	say(client, m);
	turn();
	next("refuse", "not a client of pystuck");
	session_free(session);
	channel_free(client);

	connect_with(0);
	next("connect", "session ");
	m = rig_hello();
	m.hello.version = 77;
	say(client, m);
	turn();
	next("refuse", "version 1 of the protocol, not 77");
	session_free(session);
	channel_free(client);

	connect_with(0);
	next("connect", "session ");
	session_cut(session, "pushed out by newer connections", now);
	next("refuse", "pushed out");
	session_free(session);
	channel_free(client);

	door.max_clients = 0;
	connect_with(0);
	next("connect", "session ");
	say(client, rig_hello());
	turn();
	next("refuse", "0 clients are connected");
	session_free(session);
	session = NULL;
	no_more();
}

static void test_session_audit_a_user_without_a_role_is_named_by_the_kernel(void **state)
{
	(void)state;
	policy.server_uid = 4711; /* nobody else, and root has a rule against it */
	assert_int_equal(policy_add_uid(&policy, geteuid() == 0 ? 12345 : 0, "eval", NULL), 0);
	if (geteuid() == 0)
		policy.overflow_uid = 0;
	connect_with(0);
	next("connect", "session ");
	next("refuse", "has no role here");
	no_more();
}

static void test_session_audit_tells_what_a_role_does_not_allow(void **state)
{
	(void)state;
	welcome_as(ROLE_STACKS);
	at = count;
	say(client, rig_eval(1));
	turn();
	hears_error(1, REASON_DENIED);
	next("deny", "evaluation: your role does not allow this");
	no_more();
	assert_int_equal(fake.evals, 0);
}

static void test_session_audit_tells_that_an_evaluation_was_late_or_vetoed(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_HOLD;
	welcome();
	at = count;
	say(client, rig_eval(1));
	turn();
	next("eval", "");
	now += 1000 * MS;
	turn();
	next("late", "the GIL could not be had in time");
	hears_error(1, REASON_GIL);

	say(client, rig_eval(2));
	turn();
	next("eval", "");
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 2), 0);
	port_veto(fake.port, PORT_EVAL, 2, span_text("PermissionError: no\nopen: uid 0"));
	port_done(fake.port, PORT_EVAL, 2);
	turn();
	next("veto", "PermissionError: no\\x0aopen: uid 0");
	no_more();
}

static void test_session_audit_a_veto_is_told_also_when_the_client_has_left(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_HOLD;
	welcome();
	say(client, rig_eval(2));
	turn();
	at = count;
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 2), 0);
	port_veto(fake.port, PORT_EVAL, 2, span_text("no"));
	session_free(session);
	session = NULL;
	next("veto", ": no");
	next("disconnect", "1 evaluations");
	no_more();
}

static void test_session_audit_a_veto_is_told_also_when_it_comes_after_the_end(void **state)
{
	struct port *worker;

	(void)state;
	fake.eval_mode = FAKE_HOLD;
	welcome();
	say(client, rig_eval(2));
	turn();
	at = count;
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 2), 0);
	worker = port_ref(fake.port);
	session_cut(session, "for a test", now);
	next("disconnect", "1 evaluations");
	assert_int_equal(session_is_unfinished(session, now), 1);
	no_more();
	port_veto(worker, PORT_EVAL, 2, span_text("not now"));
	assert_int_equal(session_is_unfinished(session, now), 1);
	next("veto", ": not now");
	port_done(worker, PORT_EVAL, 2);
	port_unref(worker);
	port_unref(fake.port);
	fake.port = NULL;
	assert_int_equal(session_is_unfinished(session, now), 0);
	no_more();
}

static void test_session_audit_a_reader_that_does_not_read_is_named_as_such(void **state)
{
	static uint8_t text[100000];
	struct msg m = {.type = MSG_OUTPUT};

	(void)state;
	connect_with(4096);
	say(client, rig_hello());
	turn();
	fake.eval_mode = FAKE_HOLD;
	say(client, rig_eval(1));
	turn();
	at = count;
	m.output = (struct msg_output){.id = 1, .stream = 1, .text = {text, sizeof(text)}};
	assert_int_equal(port_try_write(fake.port, &m), 0);
	turn();
	assert_int_equal(port_claim(fake.port, PORT_EVAL, 1), 0);
	now = rig_now() + 60000 * MS;
	turn();
	next("disconnect", "left unread for too long");
	no_more();
}

static void test_session_audit_a_log_that_fails_stops_evaluations_only_where_that_is_wanted(
	void **state)
{
	(void)state;
	welcome();
	broken = 1;
	say(client, rig_eval(1));
	turn();
	assert_int_equal(fake.evals, 1);
	door.audit_required = 1;
	turns(2);
	say(client, rig_eval(2));
	turns(2);
	assert_int_equal(fake.evals, 1);
	hears_result(1);
	hears_error(2, REASON_DENIED);
	broken = 0;
	say(client, rig_eval(3));
	turns(2);
	assert_int_equal(fake.evals, 2);
	hears_result(3);
}

static void test_session_audit_numbers_of_sessions_are_never_used_twice(void **state)
{
	unsigned long long first = 0, second = 0;

	(void)state;
	connect_with(0);
	assert_int_equal(sscanf(strstr(lines[0], "session "), "session %llu", &first), 1);
	session_free(session);
	channel_free(client);
	connect_with(0);
	assert_int_equal(sscanf(strstr(lines[count - 1], "session "), "session %llu", &second), 1);
	assert_true(first > 0 && second > first);
}

#define L(f) cmocka_unit_test_setup_teardown(f, setup_at, teardown_log)

int main(void)
{
	const struct CMUnitTest tests[] = {
		L(test_session_audit_tells_a_session_from_its_beginning_to_its_end),
		L(test_session_audit_has_the_source_of_an_evaluation_before_it_begins),
		L(test_session_audit_who_it_is_the_kernel_says_and_not_the_client),
		L(test_session_audit_everybody_who_is_turned_away_has_one_line_with_the_reason),
		L(test_session_audit_a_user_without_a_role_is_named_by_the_kernel),
		L(test_session_audit_tells_what_a_role_does_not_allow),
		L(test_session_audit_tells_that_an_evaluation_was_late_or_vetoed),
		L(test_session_audit_a_veto_is_told_also_when_the_client_has_left),
		L(test_session_audit_a_veto_is_told_also_when_it_comes_after_the_end),
		L(test_session_audit_a_reader_that_does_not_read_is_named_as_such),
		L(test_session_audit_a_log_that_fails_stops_evaluations_only_where_that_is_wanted),
		L(test_session_audit_numbers_of_sessions_are_never_used_twice),
	};

	return cmocka_run_group_tests_name("session_audit", tests, NULL, NULL);
}
