/*
 * test_noise_records.c: claims about the sealed records of wire/noise.c: limits, order, rekeying.
 */
#include "noise_fixture.h"

static void test_noise_refuses_every_bit_flip_of_a_record(void **state)
{
	struct pair p;
	struct noise_cipher copy;
	uint8_t record[11 + NOISE_TAG], out[11];
	size_t bit;

	(void)state;
	make_pair(&p);
	assert_int_equal(
		noise_seal(&p.client_send, (const uint8_t *)"stacks please", 11, record), 0);
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

/* A genuine record, made past the limits that noise_seal keeps to. */
static void seal_by_hand(const struct noise_cipher *c, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t nonce[12] = {0};
	size_t i;

	for (i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(c->nonce >> 8 * i);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, in, len, NULL, 0, NULL, nonce, c->key);
}

static void test_noise_open_keeps_to_the_limits_that_seal_has(void **state)
{
	static uint8_t plain[NOISE_RECORD_MAX], record[NOISE_RECORD_MAX + 1], out[NOISE_RECORD_MAX];
	struct noise_cipher c;
	struct pair p;

	(void)state;
	make_pair(&p);
	c = p.server_receive;
	seal_by_hand(&c, plain, NOISE_RECORD_MAX - NOISE_TAG, record);
	assert_int_equal(noise_open(&c, record, NOISE_RECORD_MAX, out), 0);
	c = p.server_receive;
	seal_by_hand(&c, plain, NOISE_RECORD_MAX + 1 - NOISE_TAG, record);
	assert_int_equal(noise_open(&c, record, NOISE_RECORD_MAX + 1, out), PYSTUCK_EAUTH);
	c = p.server_receive;
	c.nonce = (UINT64_C(1) << 62) - 1;
	seal_by_hand(&c, plain, 1, record);
	assert_int_equal(noise_open(&c, record, 1 + NOISE_TAG, out), 0);
	seal_by_hand(&c, plain, 1, record);
	assert_int_equal(noise_open(&c, record, 1 + NOISE_TAG, out), PYSTUCK_EAUTH);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise_refuses_every_bit_flip_of_a_record),
		cmocka_unit_test(test_noise_refuses_records_out_of_order),
		cmocka_unit_test(test_noise_failure_of_a_cipher_is_for_ever),
		cmocka_unit_test(test_noise_cipher_without_a_key_works_for_nobody),
		cmocka_unit_test(test_noise_records_stop_at_the_limit),
		cmocka_unit_test(test_noise_open_keeps_to_the_limits_that_seal_has),
		cmocka_unit_test(test_noise_empty_records_are_sealed_too),
		cmocka_unit_test(test_noise_nonces_never_repeat),
		cmocka_unit_test(test_noise_both_sides_rekey_at_the_boundary),
	};

	return cmocka_run_group_tests_name("noise records", tests, set_up, NULL);
}
