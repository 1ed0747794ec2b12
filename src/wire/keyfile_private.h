/*
 * keyfile_private.h: what keyfile.c, keyfile_load.c and keyfile_make.c share. Nobody else includes
 * it.
 */
#ifndef PYSTUCK_KEYFILE_PRIVATE_H
#define PYSTUCK_KEYFILE_PRIVATE_H

#include <limits.h>
#include <sys/types.h>
#include <time.h>

#include "keyfile.h"

#define KEYFILE_WORD "pystuck-key-1 "
#define KEYFILE_ROLE_WORD " role="
#define KEYFILE_BASE64 44 /* of a key, with its one padding character */
#define KEYFILE_SHOWN 200 /* bytes of a path in a message */

struct entry {
	char name[KEY_NAME_MAX + 1];
	uint8_t key[NOISE_KEY];
	enum role role;
	uint32_t id;
};

/* Which file it was, and in which state. All zeros: none. */
struct stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
	int settled; /* a later change cannot have the same times */
};

struct keyring {
	size_t count;
	struct entry entries[KEYRING_MAX];
	uint32_t last_id;
	struct stamp stamp;  /* of what was read or complained about last */
	char path[PATH_MAX]; /* absolute; "" for a ring that is of no file */
};

/* Zeroed memory as keyfile.h says; given back with sodium_free. NULL: none. */
void *keyfile_guarded(size_t size);
int keyfile_is_name(struct span s);
/* libsodium must be set up before the first sodium_malloc and the first random byte. */
int keyfile_prepare(const char *shown, struct diag *d);

#endif
