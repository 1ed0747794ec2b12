/*
 * test_session_keys.c: what becomes of clients when their listener's key file changes. Over
 * socketpairs; the test is the net thread. How a file is read again is test_keyfile_again.c's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "../../src/server/session.h"
#include "../../src/server/wake.h"
#include "audit.h"
#include "service_rig.h"

#define CLIENTS 3

static char directory[] = "/tmp/pystuck-test-XXXXXX";
static char path[64];
static struct policy policy;
static struct session_door door;
static struct wake wake;
static struct session *sessions[CLIENTS];
static struct channel *clients[CLIENTS];
static uint64_t now;
static int keys_lines; /* what the log was told of the file, and the last of it */
static char keys_line[1024];

static int note(void *context, const struct audit_event *e)
{
	struct buf b;

	(void)context;
	if (e->action != AUDIT_KEYS)
		return 0;
	keys_lines++;
	buf_init(&b, sizeof(keys_line) - 1);
	assert_int_equal(audit_text(&b, e, 200), 0);
	memcpy(keys_line, buf_bytes(&b), buf_len(&b));
	keys_line[buf_len(&b)] = '\0';
	buf_free(&b);
	return 0;
}

/* The file: key i as "keyI" with that role, for each role that is not NULL. */
static void write_keys(const char *const roles[CLIENTS])
{
	char text[KEYFILE_MAX] = "# made by a test\n", fresh[80];
	size_t used = strlen(text);
	int fd;

	for (size_t i = 0; i < CLIENTS; i++) {
		uint8_t key[NOISE_KEY];
		char base64[64];

		if (roles[i] == NULL)
			continue;
		memset(key, (int)(i + 1), sizeof(key));
		sodium_bin2base64(
			base64, sizeof(base64), key, sizeof(key), sodium_base64_VARIANT_ORIGINAL);
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"pystuck-key-1 key%zu %s role=%s\n", i, base64, roles[i]);
	}
	(void)snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, used), used);
	close(fd);
	assert_int_equal(rename(fresh, path), 0);
}

#define KEYS(...) write_keys((const char *const[CLIENTS]){__VA_ARGS__})

static int setup(void **state)
{
	(void)state;
	now = rig_now();
	if (noise_init() != 0)
		return -1;
	policy_init(&policy, geteuid(), 65534);
	KEYS("eval", "locals", "stacks");
	if (wake_open(&wake) != 0)
		return -1;
	door = (struct session_door){.service = &fake_service,
		.policy = &policy,
		.keys = keyfile_load(path, NULL),
		.audit = audit_call("test", note, NULL),
		.max_clients = 4,
		.gil_timeout_ms = 1000,
		.wake = wake.out,
		.times = {.stranger_ms = 5000, .stall_ms = 30000, .linger_ms = 1000}};
	keys_lines = 0;
	return door.keys == NULL || door.audit == NULL;
}

static void hang_up(size_t i)
{
	session_free(sessions[i]);
	channel_free(clients[i]);
	sessions[i] = NULL;
	clients[i] = NULL;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < CLIENTS; i++)
		hang_up(i);
	keyring_free(door.keys);
	audit_free(door.audit);
	wake_close(&wake);
	unlink(path);
	fake_reset();
	assert_int_equal(door.clients, 0);
	return 0;
}

static void turn(size_t i)
{
	short revents = 0;

	if (session_fd(sessions[i]) >= 0)
		revents = (short)rig_poll(session_fd(sessions[i]), session_events(sessions[i]), 0);
	session_run(sessions[i], revents, now);
}

/* Does what the net thread does when it is called. Returns whether it was called. */
static int turn_all_if_called(void)
{
	if (wake_drain(&wake) <= 0)
		return 0;
	for (size_t i = 0; i < CLIENTS; i++)
		if (sessions[i] != NULL)
			turn(i);
	return 1;
}

/* Client i with key `key` sends the first message of the handshake; the result of the handshake. */
static int shake(size_t i, size_t key)
{
	struct noise_handshake hs;
	uint8_t first[2 + NOISE_MESSAGE];
	int fds[2];

	rig_pair(fds, 0);
	sessions[i] = session_new(&door, fds[0], now);
	assert_non_null(sessions[i]);
	clients[i] = channel_new(fds[1], MSG_MAX, 1);
	assert_non_null(clients[i]);
	be16_put(first, NOISE_MESSAGE);
	rig_shake_begin(&hs, key, first + 2);
	assert_int_equal(send(fds[1], first, sizeof(first), MSG_NOSIGNAL), sizeof(first));
	turn(i);
	return rig_shake_end(&hs, clients[i]);
}

static void welcome(size_t i, enum role role)
{
	struct msg m;

	assert_int_equal(shake(i, i), 0);
	say(clients[i], rig_hello());
	turn(i);
	rig_hear(clients[i], &m, MSG_WELCOME);
	assert_int_equal(m.welcome.role, role);
}

static void hears_goodbye(size_t i, const char *words)
{
	struct msg m;
	char text[256];

	rig_hear(clients[i], &m, MSG_BYE);
	assert_int_equal(m.bye.reason, REASON_DENIED);
	(void)snprintf(
		text, sizeof(text), "%.*s", (int)m.bye.text.len, (const char *)m.bye.text.data);
	if (strstr(text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, words);
	turn(i);
	rig_hear_end(clients[i]);
}

/* The session goes on: a dump is answered. */
static void is_served(size_t i, uint32_t id)
{
	struct msg m;

	say(clients[i], rig_dump(id, 0));
	turn(i);
	rig_hear(clients[i], &m, MSG_DUMP_BEGIN);
	assert_int_equal(m.dump_begin.id, id);
	rig_hear(clients[i], &m, MSG_DUMP_END);
}

static void test_session_keys_the_line_says_what_a_key_may_do(void **state)
{
	(void)state;
	welcome(0, ROLE_EVAL);
	welcome(1, ROLE_LOCALS);
	welcome(2, ROLE_STACKS);
	assert_int_equal(turn_all_if_called(), 0);
}

static void test_session_keys_a_new_key_is_let_in_without_a_restart(void **state)
{
	(void)state;
	KEYS("eval", NULL, NULL);
	assert_int_equal(shake(0, 1), PYSTUCK_ECLOSED); /* not there any more */
	KEYS("eval", "stacks", NULL);
	welcome(1, ROLE_STACKS);
	hang_up(0);
	welcome(0, ROLE_EVAL);
}

static void test_session_keys_who_lost_their_key_is_told_when_they_ask(void **state)
{
	(void)state;
	welcome(0, ROLE_EVAL);
	is_served(0, 1);
	KEYS(NULL, "locals", "stacks");
	say(clients[0], rig_dump(2, 0));
	turn(0);
	hears_goodbye(0, "taken out of the key file");
	assert_int_equal(fake.dumps, 1);
	assert_int_equal(fake.closes, 1);
}

static void test_session_keys_who_lost_their_key_is_told_when_somebody_comes(void **state)
{
	(void)state;
	fake.eval_mode = FAKE_CLAIM; /* goes on for as long as it likes */
	welcome(0, ROLE_EVAL);
	welcome(1, ROLE_LOCALS);
	say(clients[0], rig_eval(1));
	turn(0);
	assert_int_equal(fake.evals, 1);
	KEYS(NULL, "locals", "stacks");
	welcome(2, ROLE_STACKS);
	assert_int_equal(turn_all_if_called(), 1);
	hears_goodbye(0, "taken out of the key file");
	assert_int_equal(fake.closes, 1); /* which interrupts the evaluation */
	is_served(1, 1);
	is_served(2, 1);
}

static void test_session_keys_a_lowered_role_ends_the_session(void **state)
{
	(void)state;
	welcome(0, ROLE_EVAL);
	KEYS("stacks", "locals", "stacks");
	say(clients[0], rig_eval(1));
	turn(0);
	hears_goodbye(0, "\"stacks\" now; connect again");
	assert_int_equal(fake.evals, 0);
	hang_up(0);
	welcome(0, ROLE_STACKS);
}

static void test_session_keys_a_key_with_another_name_is_somebody_else(void **state)
{
	static const char renamed[] =
		"pystuck-key-1 other AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
	int fd;

	(void)state;
	welcome(0, ROLE_EVAL);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, renamed, sizeof(renamed) - 1), sizeof(renamed) - 1);
	close(fd);
	say(clients[0], rig_dump(1, 0));
	turn(0);
	hears_goodbye(0, "taken out of the key file");
	hang_up(0);
	welcome(0, ROLE_EVAL);
	assert_string_equal(fake.who.key, "other");
}

static void test_session_keys_a_raised_role_counts_from_the_next_session_on(void **state)
{
	struct msg m;

	(void)state;
	welcome(2, ROLE_STACKS);
	KEYS("eval", "locals", "eval");
	say(clients[2], rig_eval(1));
	turn(2);
	rig_hear(clients[2], &m, MSG_ERROR);
	assert_int_equal(m.error.reason, REASON_DENIED);
	assert_int_equal(fake.evals, 0);
	hang_up(2);
	welcome(2, ROLE_EVAL);
}

static void test_session_keys_between_handshake_and_hello_the_new_file_counts(void **state)
{
	struct msg m;

	(void)state;
	assert_int_equal(shake(0, 0), 0);
	assert_int_equal(shake(1, 1), 0);
	KEYS(NULL, "stacks", "stacks");
	say(clients[0], rig_hello());
	turn(0);
	assert_int_equal(session_state(sessions[0]), SESSION_CLOSED);
	assert_int_equal(fake.opens, 0);
	say(clients[1], rig_hello());
	turn(1);
	rig_hear(clients[1], &m, MSG_WELCOME);
	assert_int_equal(m.welcome.role, ROLE_STACKS);
}

static void test_session_keys_a_bad_file_changes_nothing_and_is_noted(void **state)
{
	(void)state;
	welcome(0, ROLE_EVAL);
	assert_int_equal(chmod(path, 0644), 0);
	is_served(0, 1);
	assert_non_null(strstr(keys_line, "stay in force: key file /"));
	assert_non_null(strstr(keys_line, "chmod 600"));
	is_served(0, 9);
	assert_int_equal(keys_lines, 1);
	assert_int_equal(unlink(path), 0);
	is_served(0, 2);
	welcome(1, ROLE_LOCALS);
	assert_non_null(strstr(keys_line, "not there"));
	assert_int_equal(keys_lines, 2);
	KEYS("eval", "locals", NULL);
	is_served(0, 3);
	is_served(1, 1);
	assert_string_equal(keys_line, "keys: the file has changed: 2 keys in it now");
	assert_int_equal(keys_lines, 3);
}

static void test_session_keys_a_rule_counts_for_the_new_keys_too(void **state)
{
	struct msg m;

	(void)state;
	assert_int_equal(policy_add(&policy, "key:key0", "locals", NULL), 0);
	welcome(0, ROLE_LOCALS);
	KEYS("eval", "eval", NULL);
	is_served(0, 1); /* the rule is the lower of the two, as before */
	assert_int_equal(shake(1, 1), 0);
	say(clients[1], rig_hello());
	turn(1);
	rig_hear(clients[1], &m, MSG_REFUSED);
	assert_int_equal(m.refused.reason, REASON_DENIED);
}

static void test_session_keys_goodbye_is_not_answered(void **state)
{
	(void)state;
	welcome(0, ROLE_EVAL);
	KEYS(NULL, "locals", "stacks");
	say(clients[0], rig_bye());
	turn(0);
	turn(0);
	rig_hear_end(clients[0]);
}

static int set_up_all(void **state)
{
	(void)state;
	alarm(110);
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/key", directory);
	return 0;
}

static int tear_down_all(void **state)
{
	(void)state;
	return rmdir(directory);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_keys_the_line_says_what_a_key_may_do),
		T(test_session_keys_a_new_key_is_let_in_without_a_restart),
		T(test_session_keys_who_lost_their_key_is_told_when_they_ask),
		T(test_session_keys_who_lost_their_key_is_told_when_somebody_comes),
		T(test_session_keys_a_lowered_role_ends_the_session),
		T(test_session_keys_a_key_with_another_name_is_somebody_else),
		T(test_session_keys_a_raised_role_counts_from_the_next_session_on),
		T(test_session_keys_between_handshake_and_hello_the_new_file_counts),
		T(test_session_keys_a_bad_file_changes_nothing_and_is_noted),
		T(test_session_keys_a_rule_counts_for_the_new_keys_too),
		T(test_session_keys_goodbye_is_not_answered),
	};

	return cmocka_run_group_tests_name("session_keys", tests, set_up_all, tear_down_all);
}
