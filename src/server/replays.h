/*
 * replays.h: the first messages of handshakes that were made with one of our keys, so that a recorded one that is played again is
 * turned away before it costs any cryptography. It would gain nothing with it either: this only makes a flood of them as cheap as
 * any other. The net thread's alone; no locks.
 */
#ifndef PYSTUCK_REPLAYS_H
#define PYSTUCK_REPLAYS_H

#include <stdint.h>

#define REPLAYS_KEY 32 /* bytes of a first message that count: its ephemeral public key */

struct replays;

/* NULL: out of memory. Forgets the oldest ones at some time: the memory is bounded, 8 KiB. */
struct replays *replays_new(void);
void replays_free(struct replays *r);
/* 1 when it has been noted. r NULL: never. */
int replays_has(const struct replays *r, const uint8_t ephemeral[static REPLAYS_KEY]);
/* Only for a message that has been verified: nobody without a key may write here. r NULL: nothing. */
void replays_note(struct replays *r, const uint8_t ephemeral[static REPLAYS_KEY]);

#endif
