/*
 * test_session_account.c: SESSION_ACCOUNT: between HELLO and the open session PAM is asked. The
 * helper is played at a socket; the test is the net thread and the clock is its own.
 */
#include <signal.h>
#include <sys/wait.h>

#include "session_rig.h"

#include "account_rig.h"

static int account_setup(void **state)
{
	if (setup(state) != 0 || place_make(state) != 0)
		return -1;
	door.times.account_ms = 7000;
	helper_listens("pam.sock");
	door.account = &helper;
	return 0;
}

static int account_teardown(void **state)
{
	helper_gone();
	return teardown(state) != 0 || place_remove(state) != 0;
}

/* A client that has said HELLO; the helper's end of what it is asked. */
static int ask(void)
{
	struct acctmsg_request r;
	int fd;

	connect_with(0);
	say(client, rig_hello());
	turn();
	assert_int_equal(session_state(session), SESSION_ACCOUNT);
	assert_true(session_account_fd(session) >= 0);
	fd = helper_takes(&r);
	assert_int_equal(r.by, ACCTMSG_UID);
	assert_int_equal(r.uid, geteuid());
	assert_string_equal(r.from, "");
	return fd;
}

static void verdict(int fd, uint32_t code, const char *text)
{
	helper_says(fd, code, text);
	close(fd);
	assert_true(rig_poll(session_account_fd(session), POLLIN, PATIENCE_MS) != 0);
	session_run(session, 0, now);
}

static void test_session_account_success_opens_the_session(void **state)
{
	struct msg m;
	int fd = ask();

	(void)state;
	assert_int_equal(fake.opens, 0);
	hears_nothing();
	verdict(fd, ACCTMSG_SUCCESS, "Success");
	rig_hear(client, &m, MSG_WELCOME);
	assert_int_equal(session_state(session), SESSION_OPEN);
	assert_int_equal(session_account_fd(session), -1);
	assert_int_equal(door.clients, 1);
	assert_true(session_deadline(session) == UINT64_MAX);
	say(client, rig_dump(1, 0));
	turn();
	hears_dump(1, DUMP_HOW_GIL);
}

static void test_session_account_no_is_told_with_the_reason(void **state)
{
	int fd = ask();

	(void)state;
	verdict(fd, 13, "User account has expired");
	assert_int_equal(session_state(session), SESSION_CLOSING);
	hears_refusal(REASON_DENIED, "User account has expired (13)");
	assert_int_equal(fake.opens, 0);
}

static void test_session_account_a_helper_that_is_gone_is_a_no(void **state)
{
	int fd = ask();

	(void)state;
	close(fd);
	assert_true(rig_poll(session_account_fd(session), POLLIN, PATIENCE_MS) != 0);
	session_run(session, 0, now);
	hears_refusal(REASON_DENIED, "without an answer");
	assert_int_equal(fake.opens, 0);
}

static void test_session_account_no_helper_is_a_no(void **state)
{
	(void)state;
	helper_gone();
	connect_with(0);
	say(client, rig_hello());
	turn();
	hears_refusal(REASON_DENIED, "cannot be reached");
	assert_int_equal(fake.opens, 0);
}

/* Its own time: not what is left of the stranger's. */
static void test_session_account_silence_is_a_no_after_its_own_deadline(void **state)
{
	int fd;

	(void)state;
	connect_with(0);
	now += 4000 * MS;
	say(client, rig_hello());
	turn();
	assert_true(session_deadline(session) == now + 7000 * MS);
	now += 6999 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_ACCOUNT);
	hears_nothing();
	now += 1 * MS;
	turn();
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	hears_refusal(REASON_DENIED, "said nothing for 7000 ms");
	assert_int_equal(session_account_fd(session), -1);
	assert_int_equal(fake.opens, 0);
	close(fd);
}

/* Nothing is read meanwhile: who floods is not listened to, and nothing is lost. */
static void test_session_account_what_comes_meanwhile_waits(void **state)
{
	struct msg m;
	int fd = ask();

	(void)state;
	assert_int_equal(session_events(session) & POLLIN, 0);
	say(client, rig_dump(1, 0));
	say(client, rig_eval(2));
	turns(3);
	assert_int_equal(session_state(session), SESSION_ACCOUNT);
	assert_int_equal(fake.dumps, 0);
	verdict(fd, ACCTMSG_SUCCESS, "");
	rig_hear(client, &m, MSG_WELCOME);
	turns(2);
	hears_dump(1, DUMP_HOW_GIL);
	hears_result(2);
}

static void test_session_account_who_hangs_up_takes_the_question_back(void **state)
{
	uint8_t byte;
	int fd = ask();

	(void)state;
	channel_free(client);
	client = NULL;
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
	/* The helper sees the end of its asker. */
	assert_true(rig_poll(fd, POLLHUP, PATIENCE_MS) & POLLHUP);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
	assert_int_equal(fake.opens, 0);
}

static void test_session_account_a_half_closed_client_is_answered(void **state)
{
	struct msg m;
	int fd = ask();

	(void)state;
	say(client, rig_dump(1, 0));
	assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
	turns(2);
	assert_int_equal(session_state(session), SESSION_ACCOUNT);
	verdict(fd, ACCTMSG_SUCCESS, "");
	rig_hear(client, &m, MSG_WELCOME);
	turns(3);
	hears_dump(1, DUMP_HOW_GIL);
}

static void test_session_account_a_place_may_be_taken_meanwhile(void **state)
{
	int fd = ask();

	(void)state;
	door.clients = door.max_clients;
	verdict(fd, ACCTMSG_SUCCESS, "");
	hears_refusal(REASON_FULL, "as many as allowed");
	door.clients = 0;
	assert_int_equal(fake.opens, 0);
}

static void test_session_account_is_not_asked_about_who_has_no_role(void **state)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	(void)state;
	/* Nobody's uid has no role, even where it is the server's own. */
	policy.overflow_uid = geteuid();
	connect_with(0);
	say(client, rig_hello());
	turn();
	hears_refusal(REASON_DENIED, "no role");
	assert_int_equal(poll(&p, 1, 0), 0);
}

static void test_session_account_another_version_or_protocol_asks_nobody(void **state)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	struct msg m = rig_hello();

	(void)state;
	m.hello.version = PROTOCOL_VERSION + 1;
	connect_with(0);
	say(client, m);
	turn();
	hears_refusal(REASON_VERSION, "version");
	assert_int_equal(poll(&p, 1, 0), 0);
}

static void test_session_account_ends_at_any_moment_without_a_leak(void **state)
{
	int fd = ask();

	(void)state;
	session_goodbye(session, REASON_STOPPING, "the server is going away", now);
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_true(rig_poll(fd, POLLHUP, PATIENCE_MS) & POLLHUP);
	close(fd);
}

static void test_session_account_a_forked_child_closes_its_copy_and_tells_nobody(void **state)
{
	struct msg m;
	int fd = ask();
	int asked = session_account_fd(session);
	int status = -1;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		session_forget(session);
		if (fcntl(asked, F_GETFD) != -1 || errno != EBADF)
			_exit(2);
		/* No leak check here: what was in use in the parent is left alone, on purpose. */
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(rig_poll(fd, 0, 0), 0);
	verdict(fd, ACCTMSG_SUCCESS, "");
	rig_hear(client, &m, MSG_WELCOME);
}

#define A(f) cmocka_unit_test_setup_teardown(f, account_setup, account_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		A(test_session_account_success_opens_the_session),
		A(test_session_account_no_is_told_with_the_reason),
		A(test_session_account_a_helper_that_is_gone_is_a_no),
		A(test_session_account_no_helper_is_a_no),
		A(test_session_account_silence_is_a_no_after_its_own_deadline),
		A(test_session_account_what_comes_meanwhile_waits),
		A(test_session_account_who_hangs_up_takes_the_question_back),
		A(test_session_account_a_half_closed_client_is_answered),
		A(test_session_account_a_place_may_be_taken_meanwhile),
		A(test_session_account_is_not_asked_about_who_has_no_role),
		A(test_session_account_another_version_or_protocol_asks_nobody),
		A(test_session_account_ends_at_any_moment_without_a_leak),
		A(test_session_account_a_forked_child_closes_its_copy_and_tells_nobody),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session_account", tests, NULL, NULL);
}
