/*
 * test_noise_points.c: claims about wire/noise.c that need first messages made by hand: points of
 * small order, messages over the limit.
 */
#include "noise_fixture.h"

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
static void hkdf(
	uint8_t *o1, uint8_t *o2, uint8_t *o3, const uint8_t *ck, const uint8_t *in, size_t n)
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

/* A first message that somebody who has the key makes by hand, with a point and a payload of zeros
 * that he likes: NOISE_MESSAGE + zeros bytes. */
static void first_message_with(
	const uint8_t point[static 32], size_t zeros, uint8_t out[static NOISE_MESSAGE])
{
	static const uint8_t nonce[12], payload[NOISE_RECORD_MAX];
	uint8_t h[64] = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b", ck[64], k[64], temp[64], waste[64];

	memcpy(ck, h, 64);
	extend_hash(h, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	hkdf(ck, temp, k, ck, test_key, sizeof test_key);
	extend_hash(h, temp, 64);
	extend_hash(h, point, 32);
	hkdf(ck, k, waste, ck, point, 32);
	memcpy(out, point, 32);
	crypto_aead_chacha20poly1305_ietf_encrypt(
		out + 32, NULL, payload, zeros, h, sizeof h, NULL, nonce, k);
}

static void test_noise_responder_refuses_points_of_small_order(void **state)
{
	struct noise_handshake server;
	uint8_t m[NOISE_MESSAGE], good[32], out[NOISE_MESSAGE];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof small_points / sizeof small_points[0]; i++) {
		first_message_with(small_points[i], 0, m);
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
	first_message_with(good, 0, m);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(read_empty(&server, m), 0);
	assert_int_equal(write_empty(&server, out), 0);
}

static void test_noise_responder_refuses_a_message_over_the_limit(void **state)
{
	static uint8_t m[NOISE_RECORD_MAX + 1], out[NOISE_RECORD_MAX];
	struct noise_handshake server;
	uint8_t point[32];
	size_t len;

	(void)state;
	crypto_scalarmult_base(point, test_key);
	first_message_with(point, NOISE_RECORD_MAX - NOISE_MESSAGE, m);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(noise_read(&server, m, NOISE_RECORD_MAX, out, sizeof out, &len), 0);
	first_message_with(point, NOISE_RECORD_MAX - NOISE_MESSAGE + 1, m);
	start(&server, NOISE_RESPONDER, test_key);
	assert_int_equal(
		noise_read(&server, m, NOISE_RECORD_MAX + 1, out, sizeof out, &len), PYSTUCK_EAUTH);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise_responder_refuses_points_of_small_order),
		cmocka_unit_test(test_noise_responder_refuses_a_message_over_the_limit),
		cmocka_unit_test(test_noise_initiator_refuses_points_of_small_order),
	};

	return cmocka_run_group_tests_name("noise points", tests, set_up, NULL);
}
