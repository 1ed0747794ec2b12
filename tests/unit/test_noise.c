/*
 * test_noise.c: claims about the handshake in wire/noise.c: the published vector, and what must
 * fail. The records that follow it are in test_noise_records.c.
 */
#include "noise_fixture.h"

#include <sys/wait.h>

#include "noise_vector.h"

/* Plays one side of the vector: writes its own messages, reads the other side's as published. */
static void play_vector(enum noise_role role)
{
	struct noise_handshake hs;
	struct noise_cipher send, receive;
	uint8_t out[128], hash[NOISE_HASH];
	size_t i, len;

	noise_start(&hs, role, vector_psk, vector_prologue, sizeof vector_prologue);
	noise_preset_ephemeral(&hs,
		role == NOISE_INITIATOR ? vector_initiator_ephemeral : vector_responder_ephemeral);
	for (i = 0; i < sizeof vector_messages / sizeof vector_messages[0]; i++) {
		const struct vector_message *m = &vector_messages[i];
		int mine = (i % 2 == 0) == (role == NOISE_INITIATOR);

		if (i < 2 && mine)
			assert_int_equal(
				noise_write(&hs, m->payload, m->payload_len, out, sizeof out, &len),
				0);
		else if (i < 2)
			assert_int_equal(noise_read(&hs, m->ciphertext, m->ciphertext_len, out,
						 sizeof out, &len),
				0);
		else if (mine)
			assert_int_equal(noise_seal(&send, m->payload, m->payload_len, out), 0);
		else
			assert_int_equal(
				noise_open(&receive, m->ciphertext, m->ciphertext_len, out), 0);
		if (i < 2)
			assert_int_equal(len, mine ? m->ciphertext_len : m->payload_len);
		if (mine)
			assert_memory_equal(out, m->ciphertext, m->ciphertext_len);
		else
			assert_memory_equal(out, m->payload, m->payload_len);
		if (i == 1)
			assert_int_equal(noise_split(&hs, &send, &receive, hash), 0);
	}
	assert_memory_equal(hash, vector_handshake_hash, NOISE_HASH);
}

static void test_noise_initiator_matches_the_published_vector(void **state)
{
	(void)state;
	play_vector(NOISE_INITIATOR);
}

static void test_noise_responder_matches_the_published_vector(void **state)
{
	(void)state;
	play_vector(NOISE_RESPONDER);
}

static void test_noise_both_sides_agree_on_keys_and_hash(void **state)
{
	struct pair p;

	(void)state;
	make_pair(&p);
	assert_memory_equal(p.client_hash, p.server_hash, NOISE_HASH);
	assert_memory_equal(p.client_send.key, p.server_receive.key, 32);
	assert_memory_equal(p.server_send.key, p.client_receive.key, 32);
	assert_memory_not_equal(p.client_send.key, p.server_send.key, 32);
}

static void test_noise_split_wipes_the_handshake(void **state)
{
	struct noise_handshake client, server;
	struct noise_cipher send, receive;
	uint8_t m[NOISE_MESSAGE];
	size_t i;
	int step;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(write_empty(&client, m), 0);
	assert_int_equal(read_empty(&server, m), 0);
	assert_int_equal(write_empty(&server, m), 0);
	assert_true(sodium_is_zero(server.psk, sizeof server.psk));
	assert_true(sodium_is_zero(server.e_secret, sizeof server.e_secret));
	assert_int_equal(noise_split(&server, &send, &receive, NULL), 0);
	step = server.step;
	server.step = 0;
	for (i = 0; i < sizeof server; i++)
		assert_int_equal(((const uint8_t *)&server)[i], 0);
	assert_true(step < 0);
}

static void test_noise_refuses_a_wrong_key(void **state)
{
	struct noise_handshake client, server;
	uint8_t key[NOISE_KEY], m[NOISE_MESSAGE];
	size_t bit;

	(void)state;
	for (bit = 0; bit < NOISE_KEY * 8; bit++) {
		memcpy(key, test_key, sizeof key);
		key[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		start(&client, NOISE_INITIATOR, key);
		start(&server, NOISE_RESPONDER, test_key);
		assert_int_equal(write_empty(&client, m), 0);
		assert_int_equal(read_empty(&server, m), PYSTUCK_EAUTH);
	}
}

static void test_noise_refuses_another_prologue(void **state)
{
	struct noise_handshake client, server;
	uint8_t m[NOISE_MESSAGE];

	(void)state;
	noise_start(&client, NOISE_INITIATOR, test_key, "pystuck\x02", NOISE_PROLOGUE_LEN);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(write_empty(&client, m), 0);
	assert_int_equal(read_empty(&server, m), PYSTUCK_EAUTH);
}

static void test_noise_refuses_random_first_messages(void **state)
{
	struct noise_handshake server;
	uint8_t m[NOISE_MESSAGE];
	int i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		randombytes_buf(m, sizeof m);
		start(&server, NOISE_RESPONDER, test_key);
		assert_int_equal(read_empty(&server, m), PYSTUCK_EAUTH);
	}
}

static void test_noise_replayed_first_message_gains_nothing(void **state)
{
	struct pair seen;
	struct noise_handshake server;
	struct noise_cipher send, receive;
	uint8_t record[5 + NOISE_TAG], reply[NOISE_MESSAGE], out[5];

	(void)state;
	make_pair(&seen);
	assert_int_equal(noise_seal(&seen.client_send, (const uint8_t *)"hello", 5, record), 0);
	/* The replayer has the first message and the record that followed it, not the ephemeral. */
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(read_empty(&server, seen.first), 0);
	assert_int_equal(write_empty(&server, reply), 0);
	assert_memory_not_equal(reply, seen.second, NOISE_MESSAGE);
	assert_int_equal(noise_split(&server, &send, &receive, NULL), 0);
	assert_int_equal(noise_open(&receive, record, sizeof record, out), PYSTUCK_EAUTH);
	/* The same bytes are good in the conversation that they belong to. */
	assert_int_equal(noise_open(&seen.server_receive, record, sizeof record, out), 0);
}

/*
 * The top bit of an X25519 point does not count in the curve, but the point goes into the hash as
 * it is: so that flip must fail like the others.
 */
static void test_noise_refuses_every_bit_flip_of_the_first_message(void **state)
{
	struct noise_handshake client, server;
	uint8_t m[NOISE_MESSAGE];
	size_t bit;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	assert_int_equal(write_empty(&client, m), 0);
	for (bit = 0; bit < sizeof m * 8; bit++) {
		m[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		start(&server, NOISE_RESPONDER, test_key);
		assert_int_equal(read_empty(&server, m), PYSTUCK_EAUTH);
		m[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(read_empty(&server, m), 0);
}

static void test_noise_refuses_every_bit_flip_of_the_second_message(void **state)
{
	struct noise_handshake client, server, copy;
	uint8_t m[NOISE_MESSAGE];
	size_t bit;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(write_empty(&client, m), 0);
	assert_int_equal(read_empty(&server, m), 0);
	assert_int_equal(write_empty(&server, m), 0);
	for (bit = 0; bit < sizeof m * 8; bit++) {
		m[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		copy = client;
		assert_int_equal(read_empty(&copy, m), PYSTUCK_EAUTH);
		m[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_int_equal(read_empty(&client, m), 0);
}

static void test_noise_refuses_cut_and_lengthened_messages(void **state)
{
	struct noise_handshake client, server;
	uint8_t m[NOISE_MESSAGE + 1] = {0}, out[8];
	size_t len, got;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	assert_int_equal(write_empty(&client, m), 0);
	for (len = 0; len <= sizeof m; len++) {
		start(&server, NOISE_RESPONDER, test_key);
		assert_int_equal(noise_read(&server, m, len, out, sizeof out, &got),
			len == NOISE_MESSAGE ? 0 : PYSTUCK_EAUTH);
		assert_int_equal(got, 0);
	}
}

static void test_noise_failure_of_a_handshake_is_for_ever(void **state)
{
	struct noise_handshake client, server;
	struct noise_cipher send, receive;
	uint8_t m[NOISE_MESSAGE], out[NOISE_MESSAGE], seen[NOISE_HASH] = {0};

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(write_empty(&client, m), 0);
	m[NOISE_MESSAGE - 1] ^= 1;
	assert_int_equal(read_empty(&server, m), PYSTUCK_EAUTH);
	m[NOISE_MESSAGE - 1] ^= 1;
	assert_int_equal(read_empty(&server, m), PYSTUCK_EINVAL);
	assert_int_equal(write_empty(&server, out), PYSTUCK_EINVAL);
	memset(&send, 0xff, sizeof send);
	memset(&receive, 0xff, sizeof receive);
	assert_int_equal(noise_split(&server, &send, &receive, seen), PYSTUCK_EINVAL);
	assert_true(sodium_is_zero((const uint8_t *)&send, sizeof send));
	assert_true(sodium_is_zero((const uint8_t *)&receive, sizeof receive));
	assert_true(sodium_is_zero(seen, sizeof seen));
	assert_true(sodium_is_zero(server.psk, sizeof server.psk));
	assert_true(sodium_is_zero(server.ck, sizeof server.ck));
	assert_true(sodium_is_zero(server.k, sizeof server.k));
}

static void test_noise_keeps_to_the_order_of_turns(void **state)
{
	struct noise_handshake client, server;
	struct noise_cipher send, receive;
	uint8_t m[NOISE_MESSAGE] = {0}, out[NOISE_MESSAGE];

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(read_empty(&client, m), PYSTUCK_EINVAL);
	assert_int_equal(write_empty(&server, out), PYSTUCK_EINVAL);
	assert_int_equal(noise_split(&server, &send, &receive, NULL), PYSTUCK_EINVAL);
	assert_int_equal(write_empty(&client, m), 0);
	assert_int_equal(write_empty(&client, out), PYSTUCK_EINVAL);
	assert_int_equal(read_empty(&server, m), 0);
	assert_int_equal(read_empty(&server, m), PYSTUCK_EINVAL);
	assert_int_equal(noise_split(&server, &send, &receive, NULL), PYSTUCK_EINVAL);
	assert_int_equal(write_empty(&server, m), 0);
	assert_int_equal(write_empty(&server, out), PYSTUCK_EINVAL);
	assert_int_equal(read_empty(&client, m), 0); /* none of these slips spoiled anything */
	assert_int_equal(noise_split(&client, &send, &receive, NULL), 0);
}

static void test_noise_short_space_changes_nothing(void **state)
{
	struct noise_handshake client, server;
	uint8_t m[NOISE_MESSAGE + 3], out[3];
	size_t len;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(noise_write(&client, "abc", 3, m, sizeof m - 1, &len), PYSTUCK_EINVAL);
	assert_int_equal(noise_write(&client, "abc", 3, m, sizeof m, &len), 0);
	assert_int_equal(len, sizeof m);
	assert_int_equal(noise_read(&server, m, len, out, 2, &len), PYSTUCK_EINVAL);
	assert_int_equal(noise_read(&server, m, sizeof m, out, 3, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(out, "abc", 3);
}

static void test_noise_handshake_messages_stop_at_the_limit(void **state)
{
	static uint8_t payload[NOISE_RECORD_MAX], m[NOISE_RECORD_MAX + 1], out[NOISE_RECORD_MAX];
	struct noise_handshake client, server;
	size_t most = NOISE_RECORD_MAX - NOISE_MESSAGE, len;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(
		noise_write(&client, payload, most + 1, m, sizeof m, &len), PYSTUCK_EINVAL);
	assert_int_equal(
		noise_write(&client, payload, SIZE_MAX, m, sizeof m, &len), PYSTUCK_EINVAL);
	assert_int_equal(noise_write(&client, payload, most, m, sizeof m, &len), 0);
	assert_int_equal(len, NOISE_RECORD_MAX);
	assert_int_equal(noise_read(&server, m, len, out, sizeof out, &len), 0);
	assert_int_equal(len, most);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(noise_read(&server, m, sizeof m, out, sizeof out, &len), PYSTUCK_EAUTH);
}

static void test_noise_ephemerals_are_fresh(void **state)
{
	enum { ROUNDS = 64 };
	struct noise_handshake client;
	uint8_t m[ROUNDS][NOISE_MESSAGE];
	size_t i, j;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		start(&client, NOISE_INITIATOR, test_key);
		assert_int_equal(write_empty(&client, m[i]), 0);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(m[i], m[j], 32);
	}
}

static void test_noise_ephemerals_are_fresh_after_fork(void **state)
{
	struct noise_handshake client;
	uint8_t ours[NOISE_MESSAGE], theirs[NOISE_MESSAGE];
	int fds[2], status;
	pid_t child;

	(void)state;
	start(&client, NOISE_INITIATOR, test_key);
	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(10);
		_exit(write_empty(&client, theirs) ||
			write(fds[1], theirs, sizeof theirs) != (ssize_t)sizeof theirs);
	}
	assert_int_equal(write_empty(&client, ours), 0);
	assert_int_equal(read(fds[0], theirs, sizeof theirs), sizeof theirs);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_memory_not_equal(ours, theirs, 32);
	close(fds[0]);
	close(fds[1]);
}

static void test_noise_init_may_be_called_again(void **state)
{
	(void)state;
	assert_int_equal(noise_init(), 0);
	assert_int_equal(noise_init(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise_initiator_matches_the_published_vector),
		cmocka_unit_test(test_noise_responder_matches_the_published_vector),
		cmocka_unit_test(test_noise_both_sides_agree_on_keys_and_hash),
		cmocka_unit_test(test_noise_split_wipes_the_handshake),
		cmocka_unit_test(test_noise_refuses_a_wrong_key),
		cmocka_unit_test(test_noise_refuses_another_prologue),
		cmocka_unit_test(test_noise_refuses_random_first_messages),
		cmocka_unit_test(test_noise_replayed_first_message_gains_nothing),
		cmocka_unit_test(test_noise_refuses_every_bit_flip_of_the_first_message),
		cmocka_unit_test(test_noise_refuses_every_bit_flip_of_the_second_message),
		cmocka_unit_test(test_noise_refuses_cut_and_lengthened_messages),
		cmocka_unit_test(test_noise_failure_of_a_handshake_is_for_ever),
		cmocka_unit_test(test_noise_keeps_to_the_order_of_turns),
		cmocka_unit_test(test_noise_short_space_changes_nothing),
		cmocka_unit_test(test_noise_handshake_messages_stop_at_the_limit),
		cmocka_unit_test(test_noise_ephemerals_are_fresh),
		cmocka_unit_test(test_noise_ephemerals_are_fresh_after_fork),
		cmocka_unit_test(test_noise_init_may_be_called_again),
	};

	return cmocka_run_group_tests_name("noise", tests, set_up, NULL);
}
