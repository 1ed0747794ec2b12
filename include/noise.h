/*
 * noise.h: Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b (Noise protocol framework, revision 34) as a state machine: bytes in,
 * bytes out, no I/O, no clock. The prologue is NOISE_PROLOGUE except where a test gives its own.
 */
#ifndef PYSTUCK_NOISE_H
#define PYSTUCK_NOISE_H

#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY 32		/* the pre-shared key, bytes */
#define NOISE_HASH 64
#define NOISE_TAG 16
#define NOISE_MESSAGE 48	/* both handshake messages with an empty payload: e (32) and a tag (16) */
#define NOISE_RECORD_MAX 65535	/* one transport record, tag included */
#define NOISE_REKEY_AFTER 65536	/* records in one direction, then that direction's key is replaced */

/* "pystuck" and the protocol version as one byte. */
#define NOISE_PROLOGUE "pystuck\x01"
#define NOISE_PROLOGUE_LEN 8

enum noise_role { NOISE_INITIATOR, NOISE_RESPONDER };

/* Call once in the process before anything below; 0 or PYSTUCK_ESYS (no random numbers). Safe to call again. */
int noise_init(void);

/* One direction of a sealed transport. Held by value; wiped by noise_cipher_wipe. All zeros: no key, works for nobody. */
struct noise_cipher {
	uint8_t key[32];
	uint64_t nonce;		/* never repeats under one key; PYSTUCK_ETOOBIG long before it could */
	uint64_t records;	/* sealed or opened so far, for the rekey */
};

struct noise_handshake {
	enum noise_role role;
	int step;		/* 0 first message, 1 second, 2 done, -1 failed: nothing works any more */
	int keyed;		/* ck and k are usable */
	uint8_t h[NOISE_HASH];
	uint8_t ck[NOISE_HASH];
	uint8_t k[32];
	uint64_t n;
	uint8_t psk[NOISE_KEY];
	uint8_t e_secret[32], e_public[32], re[32];
	int e_preset;		/* tests only: e_secret was given */
};

void noise_start(struct noise_handshake *hs, enum noise_role role, const uint8_t psk[static NOISE_KEY],
	const void *prologue, size_t prologue_len);
/* Tests with published vectors only: the ephemeral secret key, before the first write. */
void noise_preset_ephemeral(struct noise_handshake *hs, const uint8_t secret[static 32]);

/*
 * Writes the next handshake message: payload_len + 48 bytes into out, *out_len says how many. 0; PYSTUCK_EINVAL when it
 * is not this side's turn or the space is short; PYSTUCK_EAUTH for an all-zero Diffie-Hellman result.
 */
int noise_write(struct noise_handshake *hs, const void *payload, size_t payload_len,
	uint8_t *out, size_t out_size, size_t *out_len);
/*
 * Reads the next handshake message; its payload (in_len - 48 bytes) goes to payload. 0, PYSTUCK_EAUTH (wrong key, changed
 * bytes, all-zero point; the state is failed and wiped), PYSTUCK_EINVAL.
 */
int noise_read(struct noise_handshake *hs, const uint8_t *in, size_t in_len,
	uint8_t *payload, size_t payload_size, size_t *payload_len);

/*
 * After step 2: the two directions, from this side's view, and the handshake hash (may be NULL). Wipes hs. Before that, or
 * after a failure: PYSTUCK_EINVAL, and both ciphers are wiped.
 */
int noise_split(struct noise_handshake *hs, struct noise_cipher *send, struct noise_cipher *receive,
	uint8_t hash[NOISE_HASH]);
void noise_wipe(struct noise_handshake *hs);

/*
 * in_len + NOISE_TAG bytes into out (which may not overlap in). 0; PYSTUCK_ETOOBIG (record over 65535 bytes, or nonces used
 * up); PYSTUCK_EINVAL (no key: never set, or wiped).
 */
int noise_seal(struct noise_cipher *c, const uint8_t *in, size_t in_len, uint8_t *out);
/* in_len - NOISE_TAG bytes into out. 0 or PYSTUCK_EAUTH; after a failure the cipher is wiped and fails for ever. */
int noise_open(struct noise_cipher *c, const uint8_t *in, size_t in_len, uint8_t *out);
void noise_cipher_wipe(struct noise_cipher *c);

#endif
