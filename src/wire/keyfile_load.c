/*
 * keyfile_load.c: opens key files and checks that nobody else could have written or read them;
 * once, and again when they have changed. Their text is keyfile.c's.
 */
#include "keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#include "keyfile_private.h"
#include "text.h"

#define ACL_XATTR "system.posix_acl_access"
#define ACL_HEADER 4 /* bytes: version */
#define ACL_ENTRY 8  /* bytes: tag 2, rights 2, id 4; all little-endian */
#define ACL_MAX (ACL_HEADER + 32 * ACL_ENTRY)
#define SETTLED_MS 1000 /* coarser than the clock of any file system that counts */

enum acl_tag { ACL_OWNER = 0x01, ACL_NAMED_USER = 0x02, ACL_MASK = 0x10 };

static uint32_t le(const uint8_t *at, size_t bytes)
{
	uint32_t v = 0;

	while (bytes-- > 0)
		v = v << 8 | at[bytes];
	return v;
}

/*
 * Where a file has an access control list, the group bits of its mode are the list's mask and not
 * the group's rights. 1 when the list gives rights to nobody but the owner, root and us: this is
 * how systemd hands credentials to a service's user.
 */
static int acl_is_private(int fd)
{
	uint8_t acl[ACL_MAX];
	ssize_t len = fgetxattr(fd, ACL_XATTR, acl, sizeof acl);
	ssize_t at;

	if (len <= ACL_HEADER || (len - ACL_HEADER) % ACL_ENTRY != 0 || le(acl, ACL_HEADER) != 2)
		return 0;
	for (at = ACL_HEADER; at < len; at += ACL_ENTRY) {
		uint32_t tag = le(acl + at, 2);
		uint32_t rights = le(acl + at + 2, 2);
		uint32_t id = le(acl + at + 4, 4);

		if (rights == 0 || tag == ACL_OWNER || tag == ACL_MASK)
			continue;
		if (tag == ACL_NAMED_USER && (id == 0 || id == geteuid()))
			continue;
		return 0;
	}
	return 1;
}

/* Of the open file, not of the path: what is checked is what is read. */
static int check_file(int fd, const char *shown, struct diag *d)
{
	struct stat st;
	int saved;
	unsigned mode;

	if (fstat(fd, &st)) {
		saved = errno;
		return diag_set(d, PYSTUCK_ESYS, saved, "key file %s: %s", shown, strerror(saved));
	}
	mode = st.st_mode & 07777;
	if (!S_ISREG(st.st_mode))
		return diag_set(d, PYSTUCK_EUNSAFE, 0, "key file %s: is not a regular file", shown);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"key file %s: belongs to uid %lu; chown it to yourself or root", shown,
			(unsigned long)st.st_uid);
	if ((mode & 007) || ((mode & 070) && !acl_is_private(fd)))
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"key file %s: mode %04o lets others %s it; chmod 600 it", shown, mode,
			(mode & 044)   ? "read"
			: (mode & 022) ? "change"
				       : "execute");
	if (st.st_size > KEYFILE_MAX)
		return diag_set(d, PYSTUCK_ETOOBIG, 0, "key file %s: more than %d bytes", shown,
			KEYFILE_MAX);
	return 0;
}

static int open_failed(int sys, const char *shown, struct diag *d)
{
	switch (sys) {
	case ENOENT:
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"key file %s: not there; make one with pystuck --keygen", shown);
	case ELOOP:
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"key file %s: is a symbolic link; give the file itself", shown);
	case ENXIO: /* a socket, or a device without a driver */
		return diag_set(d, PYSTUCK_EUNSAFE, 0, "key file %s: is not a regular file", shown);
	default:
		return diag_set(d, PYSTUCK_ESYS, sys, "key file %s: %s", shown, strerror(sys));
	}
}

/* Reads at most `most` bytes; *len says how many. 0 or an errno. */
static int read_all(int fd, uint8_t *out, size_t most, size_t *len)
{
	*len = 0;
	while (*len < most) {
		ssize_t n = read(fd, out + *len, most - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

static struct keyring *load_fd(int fd, const char *path, const char *shown, struct diag *d)
{
	struct keyring *ring = NULL;
	uint8_t *text = NULL;
	size_t len = 0;
	int sys;

	text = keyfile_guarded(KEYFILE_MAX + 1);
	if (!text) {
		diag_set(d, PYSTUCK_ENOMEM, 0, "key file %s: out of memory for keys", shown);
		return NULL;
	}
	/* One byte more than is allowed, so that keyfile_parse sees a file that grew meanwhile. */
	sys = read_all(fd, text, KEYFILE_MAX + 1, &len);
	if (sys)
		diag_set(d, PYSTUCK_ESYS, sys, "key file %s: %s", shown, strerror(sys));
	else
		ring = keyfile_parse((struct span){text, len}, path, d);
	sodium_free(text);
	return ring;
}

static int64_t ms(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static struct stamp stamp_of(const struct stat *st)
{
	struct timespec now;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = ms(now) - ms(st->st_ctim);
	return (struct stamp){.device = st->st_dev,
		.inode = st->st_ino,
		.size = st->st_size,
		.modified = st->st_mtim,
		.changed = st->st_ctim,
		.settled = age >= SETTLED_MS || age <= -SETTLED_MS};
}

static int same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static int same_stamp(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

/*
 * The program may change its working directory: the file is to be found again all the same. A ring that could not be would keep
 * keys that have been taken out of the file: rather none.
 */
static int note_path(struct keyring *ring, const char *path, struct diag *d)
{
	char here[PATH_MAX] = "", shown[KEYFILE_SHOWN];
	int n = -1;
	int sys;

	if (path[0] == '/' || getcwd(here, sizeof here))
		n = snprintf(ring->path, sizeof ring->path, "%s%s%s", here, here[0] ? "/" : "", path);
	if (n >= 0 && n < (int)sizeof ring->path)
		return 0;
	sys = n < 0 ? errno : ENAMETOOLONG;
	text_copy(shown, sizeof shown, span_text(path), TEXT_LINE);
	return diag_set(d, PYSTUCK_ESYS, sys,
		"key file %s: cannot be found again from here: %s; give its absolute path", shown, strerror(sys));
}

/* *stamp is set as soon as there is a file to have one. */
static struct keyring *load(const char *path, struct stamp *stamp, struct diag *d)
{
	struct keyring *ring = NULL;
	char shown[KEYFILE_SHOWN];
	struct stat st;
	int fd;

	text_copy(shown, sizeof shown, span_text(path), TEXT_LINE);
	if (keyfile_prepare(shown, d))
		return NULL;
	/* O_NONBLOCK: a FIFO in its place must not hang us. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		open_failed(errno, shown, d);
		return NULL;
	}
	/* Before it is read: a change meanwhile shows as another stamp. */
	if (fstat(fd, &st) == 0)
		*stamp = stamp_of(&st);
	if (check_file(fd, shown, d) == 0)
		ring = load_fd(fd, path, shown, d);
	close(fd);
	return ring;
}

struct keyring *keyfile_load(const char *path, struct diag *d)
{
	struct stamp stamp = {0};
	struct keyring *ring = load(path, &stamp, d);

	if (ring && note_path(ring, path, d) != 0) {
		keyring_free(ring);
		return NULL;
	}
	if (ring)
		ring->stamp = stamp;
	return ring;
}

/* Gives the keys of fresh that are in ring too the ids that they have there, and the others ids of
 * their own. 1 when the rings say the same. */
static int inherit(struct keyring *fresh, const struct keyring *ring)
{
	int same = fresh->count == ring->count;

	fresh->last_id = ring->last_id;
	for (size_t i = 0; i < fresh->count; i++) {
		struct entry *e = &fresh->entries[i];
		const struct entry *old = NULL;

		for (size_t j = 0; j < ring->count; j++)
			if (sodium_memcmp(ring->entries[j].key, e->key, NOISE_KEY) == 0)
				old = &ring->entries[j];
		e->id = old ? old->id : ++fresh->last_id;
		same = same && old && old->role == e->role && strcmp(old->name, e->name) == 0;
	}
	return same;
}

int keyfile_again(struct keyring *ring, struct keyring **fresh, struct diag *d)
{
	struct stamp stamp = {0}, seen = {0};
	struct keyring *found;
	struct diag why = {0};
	struct stat st;
	int same;

	if (ring->path[0] == '\0')
		return 0;
	if (lstat(ring->path, &st) == 0)
		seen = stamp_of(&st);
	else
		seen.settled = 1; /* gone, or not to be had: all zeros */
	if (same_stamp(&seen, &ring->stamp) && ring->stamp.settled)
		return 0;
	found = load(ring->path, &stamp, &why);
	if (!found) {
		/* What cannot be opened (a link, another user's file) has only this stamp. */
		same = same_stamp(&seen, &ring->stamp);
		ring->stamp = seen;
		/* No memory, no fds: it says nothing of the file, and a key that was taken out of it is to go. */
		if (why.code == PYSTUCK_ENOMEM || why.code == PYSTUCK_ESYS)
			ring->stamp.settled = 0;
		if (same)
			return 0;
		if (d)
			*d = why;
		return why.code;
	}
	same = inherit(found, ring);
	found->stamp = stamp;
	memcpy(found->path, ring->path, sizeof found->path);
	if (same) {
		ring->stamp = stamp;
		keyring_free(found);
		return 0;
	}
	*fresh = found;
	return 1;
}
