/*
 * test_noise.c: claims about wire/noise.c: the published vector, and what must fail. Sockets and
 * framing are not here but in test_channel.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "error.h"
#include "noise.h"
#include "noise_vector.h"

static const uint8_t test_key[NOISE_KEY] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* Two ends of one conversation, each way. */
struct pair {
	struct noise_cipher client_send, client_receive, server_send, server_receive;
	uint8_t client_hash[NOISE_HASH], server_hash[NOISE_HASH];
	uint8_t first[NOISE_MESSAGE], second[NOISE_MESSAGE];
};

static void start(struct noise_handshake *hs, enum noise_role role, const uint8_t *key)
{
	noise_start(hs, role, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
}

static int write_empty(struct noise_handshake *hs, uint8_t out[static NOISE_MESSAGE])
{
	size_t len;

	return noise_write(hs, NULL, 0, out, NOISE_MESSAGE, &len);
}

static int read_empty(struct noise_handshake *hs, const uint8_t in[static NOISE_MESSAGE])
{
	uint8_t none;
	size_t len;

	return noise_read(hs, in, NOISE_MESSAGE, &none, 0, &len);
}

static void make_pair(struct pair *p)
{
	struct noise_handshake client, server;

	start(&client, NOISE_INITIATOR, test_key);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(write_empty(&client, p->first), 0);
	assert_int_equal(read_empty(&server, p->first), 0);
	assert_int_equal(write_empty(&server, p->second), 0);
	assert_int_equal(read_empty(&client, p->second), 0);
	assert_int_equal(
		noise_split(&client, &p->client_send, &p->client_receive, p->client_hash), 0);
	assert_int_equal(
		noise_split(&server, &p->server_send, &p->server_receive, p->server_hash), 0);
}

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
				noise_write(&hs, m->payload, m->payload_len, out, sizeof out, &len), 0);
		else if (i < 2)
			assert_int_equal(noise_read(&hs, m->ciphertext, m->ciphertext_len, out,
						 sizeof out, &len), 0);
		else if (mine)
			assert_int_equal(noise_seal(&send, m->payload, m->payload_len, out), 0);
		else
			assert_int_equal(noise_open(&receive, m->ciphertext, m->ciphertext_len, out), 0);
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

static void test_noise_refuses_every_bit_flip_of_a_record(void **state)
{
	struct pair p;
	struct noise_cipher copy;
	uint8_t record[11 + NOISE_TAG], out[11];
	size_t bit;

	(void)state;
	make_pair(&p);
	assert_int_equal(noise_seal(&p.client_send, (const uint8_t *)"stacks please", 11, record), 0);
	for (bit = 0; bit < sizeof record * 8; bit++) {
		record[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		copy = p.server_receive;
		assert_int_equal(noise_open(&copy, record, sizeof record, out), PYSTUCK_EAUTH);
		assert_true(sodium_is_zero(out, sizeof out));
		record[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_int_equal(noise_open(&p.server_receive, record, sizeof record, out), 0);
	assert_memory_equal(out, "stacks please", 11);
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

static void test_noise_refuses_records_out_of_order(void **state)
{
	struct pair p;
	struct noise_cipher copy;
	uint8_t one[1 + NOISE_TAG], two[1 + NOISE_TAG], out[1];

	(void)state;
	make_pair(&p);
	assert_int_equal(noise_seal(&p.client_send, (const uint8_t *)"1", 1, one), 0);
	assert_int_equal(noise_seal(&p.client_send, (const uint8_t *)"2", 1, two), 0);
	copy = p.server_receive;
	assert_int_equal(noise_open(&copy, two, sizeof two, out), PYSTUCK_EAUTH); /* left out */
	copy = p.server_receive;
	assert_int_equal(noise_open(&copy, one, sizeof one, out), 0);
	assert_int_equal(noise_open(&copy, one, sizeof one, out), PYSTUCK_EAUTH); /* repeated */
	/* A record sent back to its sender. */
	assert_int_equal(noise_open(&p.client_receive, one, sizeof one, out), PYSTUCK_EAUTH);
}

static void test_noise_failure_of_a_cipher_is_for_ever(void **state)
{
	struct pair p;
	uint8_t good[1 + NOISE_TAG], bad[1 + NOISE_TAG], out[1];

	(void)state;
	make_pair(&p);
	assert_int_equal(noise_seal(&p.client_send, (const uint8_t *)"x", 1, good), 0);
	memcpy(bad, good, sizeof bad);
	bad[0] ^= 1;
	assert_int_equal(noise_open(&p.server_receive, bad, sizeof bad, out), PYSTUCK_EAUTH);
	assert_true(sodium_is_zero((const uint8_t *)&p.server_receive, sizeof p.server_receive));
	assert_int_equal(noise_open(&p.server_receive, good, sizeof good, out), PYSTUCK_EAUTH);
	assert_int_equal(noise_seal(&p.server_receive, out, 1, good), PYSTUCK_EINVAL);
}

static void test_noise_cipher_without_a_key_works_for_nobody(void **state)
{
	static const uint8_t nonce[12], zero_key[32];
	struct noise_cipher none;
	uint8_t record[1 + NOISE_TAG], out[1];

	(void)state;
	/* What somebody who guesses that the key is zeros would send. */
	crypto_aead_chacha20poly1305_ietf_encrypt(
		record, NULL, (const uint8_t *)"x", 1, NULL, 0, NULL, nonce, zero_key);
	memset(&none, 0, sizeof none);
	assert_int_equal(noise_open(&none, record, sizeof record, out), PYSTUCK_EAUTH);
	assert_int_equal(noise_seal(&none, (const uint8_t *)"x", 1, record), PYSTUCK_EINVAL);
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

static void test_noise_records_stop_at_the_limit(void **state)
{
	static uint8_t plain[NOISE_RECORD_MAX], record[NOISE_RECORD_MAX + 1], out[NOISE_RECORD_MAX];
	struct pair p;
	size_t most = NOISE_RECORD_MAX - NOISE_TAG;

	(void)state;
	make_pair(&p);
	randombytes_buf(plain, sizeof plain);
	assert_int_equal(noise_seal(&p.client_send, plain, most + 1, record), PYSTUCK_ETOOBIG);
	assert_int_equal(noise_seal(&p.client_send, plain, SIZE_MAX, record), PYSTUCK_ETOOBIG);
	assert_int_equal(noise_seal(&p.client_send, plain, most, record), 0);
	assert_int_equal(noise_open(&p.server_receive, record, NOISE_RECORD_MAX, out), 0);
	assert_memory_equal(out, plain, most);
	assert_int_equal(
		noise_open(&p.server_receive, record, NOISE_RECORD_MAX + 1, out), PYSTUCK_EAUTH);
}

static void test_noise_empty_records_are_sealed_too(void **state)
{
	struct pair p;
	uint8_t one[NOISE_TAG], two[NOISE_TAG], out;

	(void)state;
	make_pair(&p);
	assert_int_equal(noise_seal(&p.server_send, NULL, 0, one), 0);
	assert_int_equal(noise_seal(&p.server_send, NULL, 0, two), 0);
	assert_memory_not_equal(one, two, sizeof one);
	assert_int_equal(noise_open(&p.client_receive, one, sizeof one, &out), 0);
	assert_int_equal(noise_open(&p.client_receive, two, sizeof two, &out), 0);
	assert_int_equal(noise_open(&p.client_receive, two, NOISE_TAG - 1, &out), PYSTUCK_EAUTH);
}

static void test_noise_nonces_never_repeat(void **state)
{
	struct pair p;
	uint8_t record[NOISE_TAG], out;
	uint64_t i;

	(void)state;
	make_pair(&p);
	for (i = 0; i < 3 * NOISE_REKEY_AFTER; i++) {
		assert_true(p.client_send.nonce == i);
		assert_int_equal(noise_seal(&p.client_send, NULL, 0, record), 0);
	}
	assert_true(p.client_send.nonce == i);
	/* Long before the counter could come round, both directions stop. */
	p.client_send.nonce = p.server_receive.nonce = UINT64_C(1) << 62;
	assert_int_equal(noise_seal(&p.client_send, NULL, 0, record), PYSTUCK_ETOOBIG);
	assert_int_equal(noise_open(&p.server_receive, record, sizeof record, &out), PYSTUCK_EAUTH);
	p.client_send.nonce = UINT64_MAX;
	assert_int_equal(noise_seal(&p.client_send, NULL, 0, record), PYSTUCK_ETOOBIG);
}

/* REKEY as the specification has it, written out once more. */
static void rekey(uint8_t key[static 32])
{
	static const uint8_t zeros[32];
	static const uint8_t nonce[12] = {
		0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t out[48];

	crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, zeros, sizeof zeros, NULL, 0, NULL, nonce, key);
	memcpy(key, out, 32);
}

static void test_noise_both_sides_rekey_at_the_boundary(void **state)
{
	struct pair p;
	struct noise_cipher stale;
	uint8_t key[32], other[32], record[4 + NOISE_TAG], out[4];
	uint32_t i;

	(void)state;
	make_pair(&p);
	memcpy(key, p.client_send.key, sizeof key);
	memcpy(other, p.server_send.key, sizeof other);
	memset(&stale, 0, sizeof stale);
	for (i = 0; i < 2 * NOISE_REKEY_AFTER + 2; i++) {
		assert_int_equal(noise_seal(&p.client_send, (const uint8_t *)&i, 4, record), 0);
		if (i == NOISE_REKEY_AFTER) { /* the key before the boundary does not open it */
			assert_true(stale.nonce == p.server_receive.nonce);
			assert_int_equal(
				noise_open(&stale, record, sizeof record, out), PYSTUCK_EAUTH);
		}
		assert_int_equal(noise_open(&p.server_receive, record, sizeof record, out), 0);
		assert_memory_equal(out, &i, 4);
		if (i + 2 == NOISE_REKEY_AFTER)
			assert_memory_equal(p.client_send.key, key, sizeof key); /* not before */
		if ((i + 1) % NOISE_REKEY_AFTER == 0)
			rekey(key);
		assert_memory_equal(p.client_send.key, key, sizeof key);
		assert_memory_equal(p.server_receive.key, key, sizeof key);
		if (i == NOISE_REKEY_AFTER - 2)
			stale = p.server_receive;
		if (i == NOISE_REKEY_AFTER - 1)
			stale.nonce = p.server_receive.nonce;
	}
	/* The other direction has its own count. */
	assert_memory_equal(p.server_send.key, other, sizeof other);
	assert_int_equal(noise_seal(&p.server_send, (const uint8_t *)"back", 4, record), 0);
	assert_int_equal(noise_open(&p.client_receive, record, sizeof record, out), 0);
	assert_memory_equal(out, "back", 4);
}

/* Points of small order: whatever the secret, the shared result is zeros. 0, 1, p - 1 and p. */
static const uint8_t small_points[][32] = {
	{0},
	{1},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0x7f},
	{0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0x7f},
};

/* HMAC-BLAKE2b and Noise's HKDF once more, enough to send a first message with a chosen point. */
static void hkdf(uint8_t *o1, uint8_t *o2, uint8_t *o3, const uint8_t *ck, const uint8_t *in, size_t n)
{
	uint8_t *outs[4] = {NULL, o1, o2, o3}, key[64], previous[64], data[128 + 64 + 64 + 1];
	size_t round, i, len;

	memcpy(key, ck, 64);
	for (round = 0; round < 4; round++) {
		for (i = 0; i < 128; i++)
			data[i] = (uint8_t)((i < 64 ? key[i] : 0) ^ 0x36);
		len = 128;
		if (round == 0) {
			memcpy(data + len, in, n);
			len += n;
		} else {
			if (round > 1) {
				memcpy(data + len, previous, 64);
				len += 64;
			}
			data[len++] = (uint8_t)round;
		}
		crypto_generichash(previous, 64, data, len, NULL, 0);
		for (i = 0; i < 128; i++)
			data[i] = (uint8_t)((i < 64 ? key[i] : 0) ^ 0x5c);
		memcpy(data + 128, previous, 64);
		crypto_generichash(previous, 64, data, 128 + 64, NULL, 0);
		if (round == 0)
			memcpy(key, previous, 64);
		else
			memcpy(outs[round], previous, 64);
	}
}

static void extend_hash(uint8_t h[static 64], const void *data, size_t len)
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, 64);
	crypto_generichash_update(&st, h, 64);
	crypto_generichash_update(&st, data, len);
	crypto_generichash_final(&st, h, 64);
}

/* A first message that somebody who has the key makes by hand, with the point that he likes. */
static void first_message_with(const uint8_t point[static 32], uint8_t out[static NOISE_MESSAGE])
{
	static const uint8_t nonce[12];
	uint8_t h[64] = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b", ck[64], k[64], temp[64], waste[64];

	memcpy(ck, h, 64);
	extend_hash(h, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	hkdf(ck, temp, k, ck, test_key, sizeof test_key);
	extend_hash(h, temp, 64);
	extend_hash(h, point, 32);
	hkdf(ck, k, waste, ck, point, 32);
	memcpy(out, point, 32);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out + 32, NULL, NULL, 0, h, sizeof h, NULL, nonce, k);
}

static void test_noise_responder_refuses_points_of_small_order(void **state)
{
	struct noise_handshake server;
	uint8_t m[NOISE_MESSAGE], good[32], out[NOISE_MESSAGE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof small_points / sizeof small_points[0]; i++) {
		first_message_with(small_points[i], m);
		start(&server, NOISE_RESPONDER, test_key);
		assert_int_equal(read_empty(&server, m), 0); /* the key is right ... */
		memset(out, 0xaa, sizeof out);
		assert_int_equal(write_empty(&server, out), PYSTUCK_EAUTH);
		assert_int_equal(out[0], 0xaa); /* ... and nothing goes out */
		assert_int_equal(write_empty(&server, out), PYSTUCK_EINVAL);
		assert_true(sodium_is_zero(server.ck, sizeof server.ck));
	}
	/* The hand-made message with an honest point passes: it was the point that was refused. */
	crypto_scalarmult_base(good, test_key);
	first_message_with(good, m);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(read_empty(&server, m), 0);
	assert_int_equal(write_empty(&server, out), 0);
}

static void test_noise_initiator_refuses_points_of_small_order(void **state)
{
	struct noise_handshake client;
	uint8_t m[NOISE_MESSAGE], out[NOISE_MESSAGE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof small_points / sizeof small_points[0]; i++) {
		start(&client, NOISE_INITIATOR, test_key);
		assert_int_equal(write_empty(&client, out), 0);
		memset(m, 0, sizeof m);
		memcpy(m, small_points[i], 32);
		assert_int_equal(read_empty(&client, m), PYSTUCK_EAUTH);
		assert_true(client.step < 0);
		assert_true(sodium_is_zero(client.e_secret, sizeof client.e_secret));
	}
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

static int set_up(void **state)
{
	(void)state;
	alarm(100);
	return noise_init();
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
		cmocka_unit_test(test_noise_refuses_every_bit_flip_of_a_record),
		cmocka_unit_test(test_noise_refuses_cut_and_lengthened_messages),
		cmocka_unit_test(test_noise_refuses_records_out_of_order),
		cmocka_unit_test(test_noise_failure_of_a_cipher_is_for_ever),
		cmocka_unit_test(test_noise_cipher_without_a_key_works_for_nobody),
		cmocka_unit_test(test_noise_failure_of_a_handshake_is_for_ever),
		cmocka_unit_test(test_noise_keeps_to_the_order_of_turns),
		cmocka_unit_test(test_noise_short_space_changes_nothing),
		cmocka_unit_test(test_noise_handshake_messages_stop_at_the_limit),
		cmocka_unit_test(test_noise_records_stop_at_the_limit),
		cmocka_unit_test(test_noise_empty_records_are_sealed_too),
		cmocka_unit_test(test_noise_nonces_never_repeat),
		cmocka_unit_test(test_noise_both_sides_rekey_at_the_boundary),
		cmocka_unit_test(test_noise_responder_refuses_points_of_small_order),
		cmocka_unit_test(test_noise_initiator_refuses_points_of_small_order),
		cmocka_unit_test(test_noise_ephemerals_are_fresh),
		cmocka_unit_test(test_noise_ephemerals_are_fresh_after_fork),
		cmocka_unit_test(test_noise_init_may_be_called_again),
	};

	return cmocka_run_group_tests_name("noise", tests, set_up, NULL);
}
