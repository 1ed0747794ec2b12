/*
 * noise.c: the handshake NNpsk0 and the sealed records of the Noise protocol framework, revision
 * 34, over libsodium's primitives. Bytes in, bytes out. Framing and sockets are in channel.c, keys
 * on disk in keyfile.c.
 *
 *     message 1, initiator to responder: psk, e, payload
 *     message 2, responder to initiator: e, ee, payload
 */
#include "noise.h"

#include <string.h>

#include <sodium.h>

#include "error.h"

#define PROTOCOL_NAME "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b"
#define DH_LEN 32
#define CIPHER_KEY 32
#define HMAC_BLOCK 128 /* BLAKE2b's block length, bytes */
#define NONCE_LEN 12 /* four zero bytes and the counter, little-endian */
#define NONCE_REKEY UINT64_MAX /* Noise keeps this counter for REKEY alone */
#define NONCE_END (UINT64_C(1) << 62) /* no counter gets this far */
#define STEP_FAILED (-1)
#define STEP_DONE 2

_Static_assert(sizeof PROTOCOL_NAME - 1 <= NOISE_HASH, "the protocol name fits into h as it is");
_Static_assert(NOISE_MESSAGE == DH_LEN + NOISE_TAG, "an empty payload is one tag");
_Static_assert(crypto_scalarmult_SCALARBYTES == DH_LEN, "X25519 secret");
_Static_assert(crypto_scalarmult_BYTES == DH_LEN, "X25519 point");
_Static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == CIPHER_KEY, "ChaCha20 key");
_Static_assert(crypto_aead_chacha20poly1305_ietf_NPUBBYTES == NONCE_LEN, "IETF nonce");
_Static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == NOISE_TAG, "Poly1305 tag");
_Static_assert(crypto_generichash_BYTES_MAX == NOISE_HASH, "BLAKE2b-512");

int noise_init(void)
{
	return sodium_init() < 0 ? PYSTUCK_ESYS : 0;
}

/* out = BLAKE2b-512(a || b); out may be a. */
static void blake2b(
	uint8_t out[static NOISE_HASH], const uint8_t *a, size_t a_len, const void *b, size_t b_len)
{
	crypto_generichash_state st;

	(void)crypto_generichash_init(&st, NULL, 0, NOISE_HASH);
	(void)crypto_generichash_update(&st, a, a_len);
	(void)crypto_generichash_update(&st, b, b_len);
	(void)crypto_generichash_final(&st, out, NOISE_HASH);
	sodium_memzero(&st, sizeof st);
}

/* out = HMAC-BLAKE2b(key, a || b), RFC 2104. Keys are always NOISE_HASH bytes here, less than a
 * block. out may be a. */
static void hmac(uint8_t out[static NOISE_HASH], const uint8_t key[static NOISE_HASH],
	const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	crypto_generichash_state st;
	uint8_t inner[HMAC_BLOCK], outer[HMAC_BLOCK], digest[NOISE_HASH];
	size_t i;

	memset(inner, 0x36, sizeof inner);
	memset(outer, 0x5c, sizeof outer);
	for (i = 0; i < NOISE_HASH; i++) {
		inner[i] ^= key[i];
		outer[i] ^= key[i];
	}
	(void)crypto_generichash_init(&st, NULL, 0, NOISE_HASH);
	(void)crypto_generichash_update(&st, inner, sizeof inner);
	(void)crypto_generichash_update(&st, a, a_len);
	(void)crypto_generichash_update(&st, b, b_len);
	(void)crypto_generichash_final(&st, digest, sizeof digest);
	blake2b(out, outer, sizeof outer, digest, sizeof digest);

	sodium_memzero(&st, sizeof st);
	sodium_memzero(inner, sizeof inner);
	sodium_memzero(outer, sizeof outer);
	sodium_memzero(digest, sizeof digest);
}

/* Noise's HKDF with `outputs` (2 or 3) results of NOISE_HASH bytes in out. out[0] may be ck. */
static void hkdf(uint8_t out[][NOISE_HASH], size_t outputs, const uint8_t ck[static NOISE_HASH],
	const uint8_t *input, size_t input_len)
{
	uint8_t temp[NOISE_HASH];
	const uint8_t *previous = input; /* nothing of it the first time */
	size_t i, previous_len = 0;

	hmac(temp, ck, input, input_len, input, 0);
	for (i = 0; i < outputs; i++) {
		uint8_t counter = (uint8_t)(i + 1);

		hmac(out[i], temp, previous, previous_len, &counter, 1);
		previous = out[i];
		previous_len = NOISE_HASH;
	}
	sodium_memzero(temp, sizeof temp);
}

static void nonce_bytes(uint8_t out[static NONCE_LEN], uint64_t n)
{
	size_t i;

	memset(out, 0, 4);
	for (i = 0; i < 8; i++)
		out[4 + i] = (uint8_t)(n >> (8 * i));
}

/* ENCRYPT(k, n, ad, plaintext): in_len + NOISE_TAG bytes into out. */
static void encrypt(const uint8_t key[static CIPHER_KEY], uint64_t n, const uint8_t *ad,
	size_t ad_len, const uint8_t *in, size_t in_len, uint8_t *out)
{
	uint8_t nonce[NONCE_LEN];

	nonce_bytes(nonce, n);
	(void)crypto_aead_chacha20poly1305_ietf_encrypt(
		out, NULL, in, in_len, ad, ad_len, NULL, nonce, key);
}

/* DECRYPT: in_len - NOISE_TAG bytes into out, which holds only zeros if the tag is wrong. */
static int decrypt(const uint8_t key[static CIPHER_KEY], uint64_t n, const uint8_t *ad,
	size_t ad_len, const uint8_t *in, size_t in_len, uint8_t *out)
{
	uint8_t nonce[NONCE_LEN];

	nonce_bytes(nonce, n);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(
		    out, NULL, NULL, in, in_len, ad, ad_len, nonce, key))
		return PYSTUCK_EAUTH;
	return 0;
}

static void mix_hash(struct noise_handshake *hs, const void *data, size_t len)
{
	blake2b(hs->h, hs->h, NOISE_HASH, data, len);
}

static void set_key(struct noise_handshake *hs, const uint8_t key[static CIPHER_KEY])
{
	memcpy(hs->k, key, CIPHER_KEY);
	hs->n = 0;
	hs->keyed = 1;
}

static void mix_key(struct noise_handshake *hs, const uint8_t *input, size_t len)
{
	uint8_t out[2][NOISE_HASH];

	hkdf(out, 2, hs->ck, input, len);
	memcpy(hs->ck, out[0], NOISE_HASH);
	set_key(hs, out[1]);
	sodium_memzero(out, sizeof out);
}

/* The token psk. The key is not needed after it, so the state forgets it. */
static void mix_psk(struct noise_handshake *hs)
{
	uint8_t out[3][NOISE_HASH];

	hkdf(out, 3, hs->ck, hs->psk, NOISE_KEY);
	memcpy(hs->ck, out[0], NOISE_HASH);
	mix_hash(hs, out[1], NOISE_HASH);
	set_key(hs, out[2]);
	sodium_memzero(out, sizeof out);
	sodium_memzero(hs->psk, sizeof hs->psk);
}

/* The token e on either side: with a psk in the pattern, the public key goes into the key as well
 * as into the hash. */
static void mix_ephemeral(struct noise_handshake *hs, const uint8_t public_key[static DH_LEN])
{
	mix_hash(hs, public_key, DH_LEN);
	mix_key(hs, public_key, DH_LEN);
}

/* The token ee. An all-zero result means a point of small order: nobody honest sends one. */
static int mix_ee(struct noise_handshake *hs)
{
	uint8_t shared[DH_LEN];
	int r = PYSTUCK_EAUTH;

	if (crypto_scalarmult(shared, hs->e_secret, hs->re))
		goto out;
	mix_key(hs, shared, sizeof shared);
	r = 0;
out:
	sodium_memzero(shared, sizeof shared);
	sodium_memzero(hs->e_secret, sizeof hs->e_secret);
	return r;
}

static int make_ephemeral(struct noise_handshake *hs)
{
	if (!hs->e_preset)
		randombytes_buf(hs->e_secret, sizeof hs->e_secret);
	return crypto_scalarmult_base(hs->e_public, hs->e_secret) ? PYSTUCK_EAUTH : 0;
}

void noise_start(struct noise_handshake *hs, enum noise_role role,
	const uint8_t psk[static NOISE_KEY], const void *prologue, size_t prologue_len)
{
	memset(hs, 0, sizeof *hs);
	hs->role = role;
	memcpy(hs->psk, psk, NOISE_KEY);
	memcpy(hs->h, PROTOCOL_NAME, sizeof PROTOCOL_NAME - 1);
	memcpy(hs->ck, hs->h, NOISE_HASH);
	mix_hash(hs, prologue, prologue_len);
}

void noise_preset_ephemeral(struct noise_handshake *hs, const uint8_t secret[static 32])
{
	memcpy(hs->e_secret, secret, DH_LEN);
	hs->e_preset = 1;
}

void noise_wipe(struct noise_handshake *hs)
{
	sodium_memzero(hs, sizeof *hs);
	hs->step = STEP_FAILED;
}

/* The initiator writes message 0 and reads message 1, the responder the other way round. */
static int may_write(const struct noise_handshake *hs)
{
	return hs->step == (hs->role == NOISE_INITIATOR ? 0 : 1);
}

static int may_read(const struct noise_handshake *hs)
{
	return hs->step == (hs->role == NOISE_INITIATOR ? 1 : 0);
}

int noise_write(struct noise_handshake *hs, const void *payload, size_t payload_len, uint8_t *out,
	size_t out_size, size_t *out_len)
{
	*out_len = 0;
	if (!may_write(hs) || payload_len > NOISE_RECORD_MAX - NOISE_MESSAGE ||
		out_size < payload_len + NOISE_MESSAGE)
		return PYSTUCK_EINVAL;
	if (make_ephemeral(hs))
		goto fail;
	if (hs->step == 0)
		mix_psk(hs);
	mix_ephemeral(hs, hs->e_public);
	if (hs->step == 1 && mix_ee(hs))
		goto fail;

	memcpy(out, hs->e_public, DH_LEN);
	encrypt(hs->k, hs->n++, hs->h, NOISE_HASH, payload, payload_len, out + DH_LEN);
	mix_hash(hs, out + DH_LEN, payload_len + NOISE_TAG);
	hs->step++;
	*out_len = payload_len + NOISE_MESSAGE;
	return 0;
fail:
	noise_wipe(hs);
	return PYSTUCK_EAUTH;
}

int noise_read(struct noise_handshake *hs, const uint8_t *in, size_t in_len, uint8_t *payload,
	size_t payload_size, size_t *payload_len)
{
	*payload_len = 0;
	if (!may_read(hs))
		return PYSTUCK_EINVAL;
	if (in_len < NOISE_MESSAGE || in_len > NOISE_RECORD_MAX)
		goto fail;
	if (payload_size < in_len - NOISE_MESSAGE)
		return PYSTUCK_EINVAL;

	memcpy(hs->re, in, DH_LEN);
	if (hs->step == 0)
		mix_psk(hs);
	mix_ephemeral(hs, hs->re);
	if (hs->step == 1 && mix_ee(hs))
		goto fail;
	if (decrypt(hs->k, hs->n++, hs->h, NOISE_HASH, in + DH_LEN, in_len - DH_LEN, payload))
		goto fail;
	mix_hash(hs, in + DH_LEN, in_len - DH_LEN);
	hs->step++;
	*payload_len = in_len - NOISE_MESSAGE;
	return 0;
fail:
	noise_wipe(hs);
	return PYSTUCK_EAUTH;
}

int noise_split(struct noise_handshake *hs, struct noise_cipher *send, struct noise_cipher *receive,
	uint8_t hash[NOISE_HASH])
{
	uint8_t out[2][NOISE_HASH];
	size_t mine = hs->role == NOISE_INITIATOR ? 0 : 1;

	noise_cipher_wipe(send);
	noise_cipher_wipe(receive);
	if (hs->step != STEP_DONE)
		return PYSTUCK_EINVAL;
	if (hash)
		memcpy(hash, hs->h, NOISE_HASH);
	hkdf(out, 2, hs->ck, hs->h, 0);
	memcpy(send->key, out[mine], CIPHER_KEY);
	memcpy(receive->key, out[1 - mine], CIPHER_KEY);
	sodium_memzero(out, sizeof out);
	noise_wipe(hs);
	return 0;
}

/* A cipher that is wiped, or was never set, has the key of zeros, which no handshake gives: it
 * works for nobody. */
static int usable(const struct noise_cipher *c)
{
	return !sodium_is_zero(c->key, sizeof c->key);
}

/* Counts one record. At the boundary the key is replaced; the nonce goes on counting, as Noise
 * says. */
static void count_record(struct noise_cipher *c)
{
	static const uint8_t zeros[CIPHER_KEY];
	uint8_t fresh[CIPHER_KEY + NOISE_TAG];

	c->nonce++;
	c->records++;
	if (c->records % NOISE_REKEY_AFTER)
		return;
	encrypt(c->key, NONCE_REKEY, NULL, 0, zeros, sizeof zeros, fresh);
	memcpy(c->key, fresh, CIPHER_KEY);
	sodium_memzero(fresh, sizeof fresh);
}

int noise_seal(struct noise_cipher *c, const uint8_t *in, size_t in_len, uint8_t *out)
{
	if (!usable(c))
		return PYSTUCK_EINVAL;
	if (in_len > NOISE_RECORD_MAX - NOISE_TAG || c->nonce >= NONCE_END)
		return PYSTUCK_ETOOBIG;
	encrypt(c->key, c->nonce, NULL, 0, in, in_len, out);
	count_record(c);
	return 0;
}

int noise_open(struct noise_cipher *c, const uint8_t *in, size_t in_len, uint8_t *out)
{
	if (!usable(c) || c->nonce >= NONCE_END || in_len < NOISE_TAG ||
		in_len > NOISE_RECORD_MAX || decrypt(c->key, c->nonce, NULL, 0, in, in_len, out)) {
		noise_cipher_wipe(c);
		return PYSTUCK_EAUTH;
	}
	count_record(c);
	return 0;
}

void noise_cipher_wipe(struct noise_cipher *c)
{
	sodium_memzero(c, sizeof *c);
}
