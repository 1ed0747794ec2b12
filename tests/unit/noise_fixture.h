/*
 * noise_fixture.h: what the tests of noise.c share: a key that is plainly no real one, and two ends
 * of a finished handshake.
 */
#ifndef PYSTUCK_NOISE_FIXTURE_H
#define PYSTUCK_NOISE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "error.h"
#include "noise.h"

static const uint8_t test_key[NOISE_KEY] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

/* Two ends of one conversation, each way. */
struct pair {
	struct noise_cipher client_send, client_receive, server_send, server_receive;
	uint8_t client_hash[NOISE_HASH], server_hash[NOISE_HASH];
	uint8_t first[NOISE_MESSAGE], second[NOISE_MESSAGE];
};

static inline void start(struct noise_handshake *hs, enum noise_role role, const uint8_t *key)
{
	noise_start(hs, role, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
}

static inline int write_empty(struct noise_handshake *hs, uint8_t out[static NOISE_MESSAGE])
{
	size_t len;

	return noise_write(hs, NULL, 0, out, NOISE_MESSAGE, &len);
}

static inline int read_empty(struct noise_handshake *hs, const uint8_t in[static NOISE_MESSAGE])
{
	uint8_t none;
	size_t len;

	return noise_read(hs, in, NOISE_MESSAGE, &none, 0, &len);
}

static inline void make_pair(struct pair *p)
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

static inline int set_up(void **state)
{
	(void)state;
	alarm(100);
	return noise_init();
}

#endif
