/*
 * keyfile.h: named shared keys in a file, and the ring that holds them in guarded memory.
 *
 * A key file is text, at most KEYFILE_MAX bytes: one line for each key, `pystuck-key-1 NAME BASE64`, where NAME is 1 to 32
 * characters of [A-Za-z0-9._-] and BASE64 the 44 characters of 32 bytes; lines that are empty or begin with # are passed
 * over; every line ends with a newline. Anything else is an error. Names in one file differ.
 */
#ifndef PYSTUCK_KEYFILE_H
#define PYSTUCK_KEYFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "error.h"
#include "noise.h"

#define KEYFILE_MAX 4096
#define KEYRING_MAX 16		/* keys in one file */
#define KEY_NAME_MAX 32

/* In memory of sodium_malloc: locked where the kernel allows it, guarded, left out of core dumps, not inherited over fork. */
struct keyring;

/*
 * Opens path (no symlink, no FIFO, a regular file of the caller's effective uid or root, no rights for group or others)
 * and reads it. NULL with a sentence in d (never with key material): PYSTUCK_ENOENT, PYSTUCK_EUNSAFE, PYSTUCK_EFORMAT,
 * PYSTUCK_ETOOBIG, PYSTUCK_ESYS, PYSTUCK_ENOMEM.
 */
struct keyring *keyfile_load(const char *path, struct diag *d);
/* The same checks on the text alone, for tests and fuzzing; `name` is used in messages. */
struct keyring *keyfile_parse(struct span text, const char *name, struct diag *d);
/* Makes a new file with one fresh key: O_EXCL, 0600 whatever the umask, synced. 0 or an error; never overwrites. */
int keyfile_create(const char *path, const char *key_name, struct diag *d);

size_t keyring_count(const struct keyring *ring);
const char *keyring_name(const struct keyring *ring, size_t i);
const uint8_t *keyring_key(const struct keyring *ring, size_t i);	/* NOISE_KEY bytes */
void keyring_free(struct keyring *ring);	/* wipes; NULL is fine */
/* In a forked child: the memory is gone there (not inherited); frees only what is left. */
void keyring_forget(struct keyring *ring);

#endif
