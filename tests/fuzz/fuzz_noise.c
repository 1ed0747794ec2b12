/*
 * fuzz_noise.c: any bytes as the messages of wire/noise.c. The first byte chooses what is attacked:
 * the responder's first read, the initiator's read, a record, or, with everything genuine, one
 * changed byte. Ephemerals are fixed, so that a finding can be repeated; the key is the bytes 00 to
 * 1f.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <sodium.h>

#include "error.h"
#include "noise.h"

#define MOST 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct ends {
	struct noise_handshake client, server;
	struct noise_cipher send, receive; /* the server's */
	struct noise_cipher client_send, client_receive;
};

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void start(struct ends *e)
{
	uint8_t key[NOISE_KEY], secret[32];
	size_t i;

	for (i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)i;
	noise_start(&e->client, NOISE_INITIATOR, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	noise_start(&e->server, NOISE_RESPONDER, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	memset(secret, 0x11, sizeof secret);
	noise_preset_ephemeral(&e->client, secret);
	memset(secret, 0x22, sizeof secret);
	noise_preset_ephemeral(&e->server, secret);
}

/* A failed state does nothing any more and holds no secret. */
static void check_failed(struct noise_handshake *hs)
{
	struct noise_cipher send, receive;
	uint8_t m[NOISE_MESSAGE], none[1];
	size_t len;

	must(sodium_is_zero(hs->psk, sizeof hs->psk) &&
		sodium_is_zero(hs->e_secret, sizeof hs->e_secret));
	must(noise_write(hs, NULL, 0, m, sizeof m, &len) == PYSTUCK_EINVAL);
	must(noise_read(hs, m, sizeof m, none, sizeof none, &len) == PYSTUCK_EINVAL);
	must(noise_split(hs, &send, &receive, NULL) == PYSTUCK_EINVAL);
}

static void attack_responder(const uint8_t *in, size_t len)
{
	uint8_t payload[MOST], reply[NOISE_MESSAGE];
	size_t n;
	struct ends e;

	start(&e);
	if (noise_read(&e.server, in, len, payload, sizeof payload, &n)) {
		must(n == 0);
		check_failed(&e.server);
		return;
	}
	must(n == len - NOISE_MESSAGE);
	if (noise_write(&e.server, NULL, 0, reply, sizeof reply, &n) == 0)
		must(noise_split(&e.server, &e.send, &e.receive, NULL) == 0);
	else
		check_failed(&e.server);
}

static void attack_initiator(const uint8_t *in, size_t len)
{
	uint8_t payload[MOST], first[NOISE_MESSAGE];
	size_t n;
	struct ends e;

	start(&e);
	must(noise_write(&e.client, NULL, 0, first, sizeof first, &n) == 0);
	if (noise_read(&e.client, in, len, payload, sizeof payload, &n)) {
		must(n == 0);
		check_failed(&e.client);
		return;
	}
	must(n == len - NOISE_MESSAGE);
	must(noise_split(&e.client, &e.send, &e.receive, NULL) == 0);
}

/* Both handshake messages, the second with `payload`; `flip` changes one bit of it (0: none). */
static int shake_hands(struct ends *e, const uint8_t *payload, size_t len, size_t flip)
{
	uint8_t m[MOST + NOISE_MESSAGE], out[MOST];
	size_t n;
	int r;

	start(e);
	must(noise_write(&e->client, NULL, 0, m, sizeof m, &n) == 0);
	must(noise_read(&e->server, m, n, out, sizeof out, &n) == 0);
	must(noise_write(&e->server, payload, len, m, sizeof m, &n) == 0);
	if (flip)
		m[flip / 8 % n] ^= (uint8_t)(1u << flip % 8);
	r = noise_read(&e->client, m, n, out, sizeof out, &n);
	must((r != 0) == (flip != 0));
	if (r)
		return r;
	must(n == len && (len == 0 || memcmp(out, payload, len) == 0));
	must(noise_split(&e->client, &e->client_send, &e->client_receive, NULL) == 0);
	must(noise_split(&e->server, &e->send, &e->receive, NULL) == 0);
	return 0;
}

static void attack_record(const uint8_t *in, size_t len)
{
	uint8_t out[MOST];
	struct ends e;

	must(shake_hands(&e, NULL, 0, 0) == 0);
	if (noise_open(&e.receive, in, len, out) == 0)
		return;
	must(sodium_is_zero((const uint8_t *)&e.receive, sizeof e.receive));
	must(noise_open(&e.receive, in, len, out) == PYSTUCK_EAUTH);
}

static void change_one_bit(const uint8_t *in, size_t len, size_t flip)
{
	uint8_t record[MOST + NOISE_TAG], out[MOST];
	struct ends e;

	if (flip % 2 && shake_hands(&e, in, len, flip))
		return;
	must(shake_hands(&e, in, len, 0) == 0);
	must(noise_seal(&e.client_send, in, len, record) == 0);
	must(noise_open(&e.receive, record, len + NOISE_TAG, out) == 0);
	must(len == 0 || memcmp(out, in, len) == 0);
	must(noise_seal(&e.send, in, len, record) == 0);
	record[flip / 8 % (len + NOISE_TAG)] ^= (uint8_t)(1u << flip % 8);
	must(noise_open(&e.client_receive, record, len + NOISE_TAG, out) == PYSTUCK_EAUTH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3 || size > MOST || noise_init())
		return 0;
	switch (data[0] % 4) {
	case 0:
		attack_responder(data + 1, size - 1);
		break;
	case 1:
		attack_initiator(data + 1, size - 1);
		break;
	case 2:
		attack_record(data + 1, size - 1);
		break;
	default:
		change_one_bit(data + 3, size - 3, (size_t)data[1] << 8 | data[2]);
	}
	return 0;
}
