/*
 * test_session_auth.c: the handshake, seen from the server: silent until the key is proved, and a
 * stranger until the first record has verified. Over a socketpair; the test is the net thread.
 */
#include "../../src/server/replays.h"
#include "../../src/server/session.h"
#include "../../src/server/wake.h"
#include "service_rig.h"

#define MS 1000000ull
#define RING 16

static struct policy policy;
static struct session_door door;
static struct wake wake;
static struct keyring *keys;
static struct session *session;
static struct channel *client;
static uint64_t now;

static int setup(void **state)
{
	(void)state;
	now = rig_now();
	if (noise_init() != 0)
		return -1;
	policy_init(&policy, geteuid(), 65534);
	keys = rig_keys(RING);
	if (wake_open(&wake) != 0)
		return -1;
	door = (struct session_door){.service = &fake_service,
		.policy = &policy,
		.keys = keys,
		.max_clients = 4,
		.gil_timeout_ms = 1000,
		.wake = wake.out,
		.times = {.stranger_ms = 5000, .stall_ms = 30000, .linger_ms = 1000}};
	return 0;
}

static void hang_up(void)
{
	session_free(session);
	channel_free(client);
	session = NULL;
	client = NULL;
}

static int teardown(void **state)
{
	(void)state;
	hang_up();
	keyring_free(keys);
	wake_close(&wake);
	fake_reset();
	assert_int_equal(door.clients, 0);
	return 0;
}

static void dial(void)
{
	int fds[2];

	rig_pair(fds, 0);
	session = session_new(&door, fds[0], now);
	assert_non_null(session);
	client = channel_new(fds[1], MSG_MAX, 1);
	assert_non_null(client);
}

static void turn(void)
{
	short revents = 0;

	if (session_fd(session) >= 0)
		revents = (short)rig_poll(session_fd(session), session_events(session), 0);
	session_run(session, revents, now);
}

static void put(const void *bytes, size_t len)
{
	assert_int_equal(send(channel_fd(client), bytes, len, MSG_NOSIGNAL), len);
}

/* A first message as it goes over the wire, by key i. */
static void make_first(struct noise_handshake *hs, size_t i, uint8_t out[2 + NOISE_MESSAGE])
{
	be16_put(out, NOISE_MESSAGE);
	rig_shake_begin(hs, i, out + 2);
}

static void shake(size_t i)
{
	struct noise_handshake hs;
	uint8_t first[2 + NOISE_MESSAGE];

	dial();
	make_first(&hs, i, first);
	put(first, sizeof(first));
	turn();
	assert_int_equal(rig_shake_end(&hs, client), 0);
}

/* Closed, at once, and without a byte. */
static void closed_in_silence(void)
{
	uint8_t byte;

	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_true(recv(channel_fd(client), &byte, 1, MSG_DONTWAIT) <= 0);
	assert_int_equal(fake.opens, 0);
}

static void test_session_auth_every_key_of_the_ring_opens_and_is_named(void **state)
{
	struct msg m;

	(void)state;
	for (size_t i = 0; i < RING; i++) {
		char name[16];

		shake(i);
		assert_int_equal(session_state(session), SESSION_HELLO);
		assert_int_equal(fake.opens, i);
		say(client, rig_hello());
		turn();
		rig_hear(client, &m, MSG_WELCOME);
		(void)snprintf(name, sizeof(name), "key%zu", i);
		assert_string_equal(fake.who.key, name);
		assert_non_null(strstr(fake.who.text, name));
		assert_int_equal(fake.who.uid, (uid_t)-1);
		assert_int_equal(fake.who.pid, 0);
		say(client, rig_eval(1));
		turn();
		rig_hear(client, &m, MSG_RESULT);
		hang_up();
	}
}

static void test_session_auth_a_key_gets_the_role_of_its_rule(void **state)
{
	struct msg m;

	(void)state;
	assert_int_equal(policy_add(&policy, "key:key1", "stacks", NULL), 0);
	shake(1);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	assert_int_equal(m.welcome.role, ROLE_STACKS);
	hang_up();
	/* It has proved its key: so it is told that there is no rule for it. */
	shake(2);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_REFUSED);
	assert_int_equal(m.refused.reason, REASON_DENIED);
	assert_int_equal(fake.opens, 1);
}

static void test_session_auth_a_wrong_key_is_closed_in_silence(void **state)
{
	struct noise_handshake hs;
	uint8_t first[2 + NOISE_MESSAGE];

	(void)state;
	dial();
	make_first(&hs, RING, first);
	put(first, sizeof(first));
	turn();
	closed_in_silence();
}

static void test_session_auth_10000_random_first_messages_get_zero_bytes_back(void **state)
{
	uint8_t bytes[2 + NOISE_MESSAGE + 64];

	(void)state;
	/* With one key: they are tried one by one, and this is long enough. */
	keyring_free(keys);
	keys = rig_keys(1);
	door.keys = keys;
	for (int i = 0; i < 10000; i++) {
		size_t len = sizeof(bytes);

		randombytes_buf(bytes, sizeof(bytes));
		/* Half of them look like a first message from outside. */
		if (i % 2 == 0) {
			be16_put(bytes, NOISE_MESSAGE);
			len = 2 + NOISE_MESSAGE;
		} else {
			len = 2 + randombytes_uniform(sizeof(bytes) - 1);
		}
		dial();
		put(bytes, len);
		turn();
		/* By chance it may be the beginning of a first message: then that is waited for. */
		if (session_state(session) == SESSION_HANDSHAKE) {
			assert_true(len < 2 + NOISE_MESSAGE && be16_get(bytes) == NOISE_MESSAGE);
			session_run(session, 0, now + 5000 * MS);
		}
		closed_in_silence();
		hang_up();
	}
}

static void test_session_auth_any_flipped_bit_of_the_first_message_is_closed_in_silence(
	void **state)
{
	(void)state;
	for (size_t bit = 0; bit < (2 + NOISE_MESSAGE) * 8; bit++) {
		struct noise_handshake hs;
		uint8_t first[2 + NOISE_MESSAGE];

		make_first(&hs, 3, first);
		first[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		dial();
		put(first, sizeof(first));
		turn();
		closed_in_silence();
		hang_up();
	}
}

static void test_session_auth_foreign_protocols_get_no_byte(void **state)
{
	const char *first[] = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"\x16\x03\x01\x02\x01\x01\x01\x01\xfc", "SSH-2.0-OpenSSH_9.2\r\n", "help\n"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		dial();
		put(first[i], strlen(first[i]));
		turn();
		closed_in_silence();
		hang_up();
	}
}

static void test_session_auth_plain_messages_get_no_byte(void **state)
{
	struct buf b;
	struct msg m = rig_hello();

	(void)state;
	buf_init(&b, 512);
	assert_int_equal(channel_frame(&b, &m), 0);
	dial();
	put(buf_bytes(&b), buf_len(&b));
	turn();
	closed_in_silence();
	buf_free(&b);
}

static void test_session_auth_a_replayed_first_message_gains_nothing(void **state)
{
	struct noise_handshake hs;
	uint8_t first[2 + NOISE_MESSAGE];
	uint8_t answers[2][2 + NOISE_MESSAGE];
	uint8_t record[64];

	(void)state;
	make_first(&hs, 0, first);
	for (int i = 0; i < 2; i++) {
		dial();
		put(first, sizeof(first));
		turn();
		assert_int_equal(
			recv(channel_fd(client), answers[i], sizeof(answers[i]), MSG_DONTWAIT),
			sizeof(answers[i]));
		/* A stranger still: no role, nobody told, the same deadline. */
		assert_int_equal(session_state(session), SESSION_HELLO);
		assert_int_equal(fake.opens, 0);
		assert_int_equal(door.clients, 0);
		assert_true(session_deadline(session) == now + 5000 * MS);
		/* And whatever comes next does not verify. */
		randombytes_buf(record, sizeof(record));
		be16_put(record, sizeof(record) - 2);
		put(record, sizeof(record));
		turn();
		closed_in_silence();
		hang_up();
	}
	/* A fresh ephemeral key each time. */
	assert_memory_not_equal(answers[0], answers[1], sizeof(answers[0]));
}

static void test_session_auth_a_replayed_first_message_costs_no_cryptography(void **state)
{
	struct noise_handshake hs;
	uint8_t first[2 + NOISE_MESSAGE];

	(void)state;
	door.replays = replays_new();
	assert_non_null(door.replays);
	make_first(&hs, 0, first);
	dial();
	put(first, sizeof(first));
	turn();
	assert_int_equal(rig_shake_end(&hs, client), 0);
	hang_up();
	for (int i = 0; i < 3; i++) {
		dial();
		put(first, sizeof(first));
		turn();
		closed_in_silence();
		hang_up();
	}
	/* Who has the key comes in as before. */
	shake(0);
	assert_int_equal(session_state(session), SESSION_HELLO);
	/* What nobody with a key has made is not noted. */
	make_first(&hs, 1, first);
	first[40] ^= 1;
	hang_up();
	dial();
	put(first, sizeof(first));
	turn();
	closed_in_silence();
	assert_false(replays_has(door.replays, first + 2));
	replays_free(door.replays);
	door.replays = NULL;
}

static void test_session_auth_a_proved_key_that_stays_silent_is_cut_off(void **state)
{
	(void)state;
	shake(0);
	assert_int_equal(session_state(session), SESSION_HELLO);
	now += 5000 * MS;
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.opens, 0);
}

/* One sealed HELLO as it goes over the wire. */
static size_t seal_hello(uint8_t *out, size_t size)
{
	struct msg m = rig_hello();
	struct buf b;
	ssize_t n;

	buf_init(&b, 512);
	assert_int_equal(msg_encode(&b, &m), 0);
	assert_int_equal(channel_put(client, buf_span(&b)), 0);
	assert_int_equal(rig_flush(client), 0);
	buf_free(&b);
	/* Taken away before the session looks. */
	n = recv(session_fd(session), out, size, MSG_DONTWAIT);
	assert_true(n > 0);
	return (size_t)n;
}

static void test_session_auth_any_flipped_bit_of_the_hello_closes(void **state)
{
	uint8_t wire[256];
	size_t len = 1;

	(void)state;
	for (size_t bit = 0; bit < len * 8; bit++) {
		shake(0);
		len = seal_hello(wire, sizeof(wire));
		wire[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		put(wire, len);
		/* A length that is now too long waits for its rest. */
		assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
		turn();
		turn();
		closed_in_silence();
		hang_up();
	}
	assert_true(len > 30);
}

static void test_session_auth_cut_at_every_byte_nobody_is_let_in(void **state)
{
	uint8_t wire[256];
	size_t len = 1;

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		shake(0);
		len = seal_hello(wire, sizeof(wire));
		put(wire, cut);
		assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
		turn();
		turn();
		closed_in_silence();
		hang_up();
	}
	for (size_t cut = 0; cut < 2 + NOISE_MESSAGE; cut++) {
		struct noise_handshake hs;

		dial();
		make_first(&hs, 0, wire);
		put(wire, cut);
		assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
		turn();
		turn();
		closed_in_silence();
		hang_up();
	}
}

static void test_session_auth_one_byte_a_second_does_not_move_the_deadline(void **state)
{
	struct noise_handshake hs;
	uint8_t first[2 + NOISE_MESSAGE];

	(void)state;
	make_first(&hs, 0, first);
	dial();
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(session_state(session), SESSION_HANDSHAKE);
		put(first + i, 1);
		turn();
		now += 1000 * MS;
		turn();
	}
	closed_in_silence();
}

/* Over TCP a client that is gone looks like one that only says no more. */
static void test_session_auth_an_evaluation_does_not_outlive_its_client(void **state)
{
	struct msg m;

	(void)state;
	fake.eval_mode = FAKE_CLAIM;
	shake(0);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	say(client, rig_eval(1));
	turn();
	assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
	turn();
	assert_int_equal(session_state(session), SESSION_CLOSED);
	assert_int_equal(fake.closes, 1);
}

static void test_session_auth_a_dump_is_still_answered_after_the_last_word(void **state)
{
	struct msg m;

	(void)state;
	fake.dump_mode = FAKE_CLAIM;
	shake(0);
	say(client, rig_hello());
	turn();
	rig_hear(client, &m, MSG_WELCOME);
	say(client, rig_dump(1, 0));
	assert_int_equal(shutdown(channel_fd(client), SHUT_WR), 0);
	turn();
	turn();
	assert_int_equal(session_state(session), SESSION_OPEN);
	fake_answer_dump(fake.port, 1, DUMP_HOW_GIL);
	port_done(fake.port, PORT_DUMP, 1);
	turn();
	rig_hear(client, &m, MSG_DUMP_BEGIN);
	rig_hear(client, &m, MSG_DUMP_END);
	rig_hear_end(client);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_auth_every_key_of_the_ring_opens_and_is_named),
		T(test_session_auth_a_key_gets_the_role_of_its_rule),
		T(test_session_auth_a_wrong_key_is_closed_in_silence),
		T(test_session_auth_10000_random_first_messages_get_zero_bytes_back),
		T(test_session_auth_any_flipped_bit_of_the_first_message_is_closed_in_silence),
		T(test_session_auth_foreign_protocols_get_no_byte),
		T(test_session_auth_plain_messages_get_no_byte),
		T(test_session_auth_a_replayed_first_message_gains_nothing),
		T(test_session_auth_a_replayed_first_message_costs_no_cryptography),
		T(test_session_auth_a_proved_key_that_stays_silent_is_cut_off),
		T(test_session_auth_any_flipped_bit_of_the_hello_closes),
		T(test_session_auth_cut_at_every_byte_nobody_is_let_in),
		T(test_session_auth_one_byte_a_second_does_not_move_the_deadline),
		T(test_session_auth_an_evaluation_does_not_outlive_its_client),
		T(test_session_auth_a_dump_is_still_answered_after_the_last_word),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session_auth", tests, NULL, NULL);
}
