/*
 * keyfile.h: named shared keys in a file, and the ring that holds them in guarded memory.
 *
 * A key file is text, at most KEYFILE_MAX bytes: one line for each key, `pystuck-key-1 NAME BASE64` or `pystuck-key-1 NAME
 * BASE64 role=ROLE`, where NAME is 1 to 32 characters of [A-Za-z0-9._-], BASE64 the 44 characters of 32 bytes, and ROLE is
 * none, stacks, locals or eval; lines that are empty or begin with # are passed over; every line ends with a newline. Anything
 * else is an error. Names in one file differ, and so do keys: a key is who somebody is. A key of zeros is refused.
 *
 * The role in a line is the most that the server gives to the holder of this key; a line without one takes nothing away. It
 * adds nothing to what the rules of the server say (policy.h): the lower of the two counts. Clients pass over it.
 */
#ifndef PYSTUCK_KEYFILE_H
#define PYSTUCK_KEYFILE_H

#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "error.h"
#include "msg.h"
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
 * access control list may name the caller's uid, as systemd's credentials do) and reads it. NULL with a sentence in d (never
 * with key material): PYSTUCK_ENOENT, PYSTUCK_EUNSAFE, PYSTUCK_EFORMAT, PYSTUCK_ETOOBIG, PYSTUCK_ESYS, PYSTUCK_ENOMEM.
 */
struct keyring *keyfile_load(const char *path, struct diag *d);
/*
 * The one that systemd handed to this service as a credential, $CREDENTIALS_DIRECTORY/pystuck.key; PYSTUCK_ENOENT where there
 * is none.
 */
struct keyring *keyfile_credential(struct diag *d);
/* The same checks on the text alone, for tests and fuzzing; `name` is used in messages. */
struct keyring *keyfile_parse(struct span text, const char *name, struct diag *d);
/*
 * Has the file of a ring of keyfile_load changed? Asks with one lstat(2): another device, inode, size or time of change; a
 * file that had been changed less than a second before it was read is read again in any case, since the clock of the file
 * system may not have moved. Then it is loaded as above.
 *
 * 0: the same keys, or another ring than one of keyfile_load; 1: *fresh is a ring with other keys, names or roles: the caller
 * uses it from here on and frees `ring`; or an error of keyfile_load: `ring` stays what it is. Each state of the file is
 * complained about once: then it is 0 until the file changes again. What may be no fault of the file (PYSTUCK_ENOMEM,
 * PYSTUCK_ESYS) is tried again at each call all the same.
 */
int keyfile_again(struct keyring *ring, struct keyring **fresh, struct diag *d);

/*
 * Makes a new file with one fresh key: O_EXCL, 0600 whatever the umask, synced. Never overwrites: what is there already, links
 * too, is PYSTUCK_ESYS with EEXIST. `role` is what the line says, or NULL. PYSTUCK_EINVAL for a bad name or role. After an
 * error nothing is left behind.
 */
int keyfile_create(const char *path, const char *key_name, const char *role, struct diag *d);
/*
 * Adds a fresh key to a file that keyfile_load takes: one write at its end, synced. Who reads it meanwhile finds the old keys,
 * the new ones too, or a line that is cut short and refused. PYSTUCK_EINVAL also when the name is in the file already,
 * PYSTUCK_ETOOBIG when there is no room for another key. After an error the file is what it was.
 */
int keyfile_append(const char *path, const char *key_name, const char *role, struct diag *d);

size_t keyring_count(const struct keyring *ring);
const char *keyring_name(const struct keyring *ring, size_t i);	/* NULL from keyring_count on */
const uint8_t *keyring_key(const struct keyring *ring, size_t i);	/* NOISE_KEY bytes; NULL from keyring_count on */
enum role keyring_role(const struct keyring *ring, size_t i);	/* the most: ROLE_EVAL where the line has none; ROLE_NONE from keyring_count on */
/*
 * A number that a key keeps when its file is read again, whatever its name and place, and that no other key of this file has
 * ever had; 0 from keyring_count on.
 */
uint32_t keyring_id(const struct keyring *ring, size_t i);
void keyring_free(struct keyring *ring);	/* wipes; NULL is fine */
/* In a forked child, where the keys are zeros already: gives the memory back, without a look at the content. */
void keyring_forget(struct keyring *ring);

#endif
