/*
 * keyfile.h: named shared keys in a file, and the ring that holds them in guarded memory.
 *
 * A key file is text, at most KEYFILE_MAX bytes: one line for each key, `pystuck-key-1 NAME BASE64`, where NAME is 1 to 32
 * characters of [A-Za-z0-9._-] and BASE64 the 44 characters of 32 bytes; lines that are empty or begin with # are passed
 * over; every line ends with a newline. Anything else is an error. Names in one file differ, and so do keys: a key is who
 * somebody is. A key of zeros is refused.
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

/*
 * In memory of sodium_malloc: between guard pages, left out of core dumps, wiped on free. Locked into RAM where the kernel
 * allows it; where RLIMIT_MEMLOCK does not, we go on without: a service must not fail for want of a few locked pages.
 * After fork() the child finds an empty ring (MADV_WIPEONFORK, Linux 4.14), and both keyring_free and keyring_forget are safe
 * there.
 */
struct keyring;

/*
 * Opens path (no symlink, no FIFO, a regular file of the caller's effective uid or root, no rights for group or others; an
 * access control list may name the caller's uid, as systemd's credentials do) and reads it. NULL with a sentence in d (never with key material): PYSTUCK_ENOENT, PYSTUCK_EUNSAFE, PYSTUCK_EFORMAT,
 * PYSTUCK_ETOOBIG, PYSTUCK_ESYS, PYSTUCK_ENOMEM.
 */
struct keyring *keyfile_load(const char *path, struct diag *d);
/* The same checks on the text alone, for tests and fuzzing; `name` is used in messages. */
struct keyring *keyfile_parse(struct span text, const char *name, struct diag *d);
/*
 * Makes a new file with one fresh key: O_EXCL, 0600 whatever the umask, synced. Never overwrites: what is there already, links
 * too, is PYSTUCK_ESYS with EEXIST. PYSTUCK_EINVAL for a bad key name. After an error nothing is left behind.
 */
int keyfile_create(const char *path, const char *key_name, struct diag *d);

size_t keyring_count(const struct keyring *ring);
const char *keyring_name(const struct keyring *ring, size_t i);	/* NULL from keyring_count on */
const uint8_t *keyring_key(const struct keyring *ring, size_t i);	/* NOISE_KEY bytes; NULL from keyring_count on */
void keyring_free(struct keyring *ring);	/* wipes; NULL is fine */
/* In a forked child, where the keys are zeros already: gives the memory back, without a look at the content. */
void keyring_forget(struct keyring *ring);

#endif
