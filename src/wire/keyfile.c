/*
 * keyfile.c: loads, checks and creates key files, and holds the keys in guarded memory. What the
 * keys are used for is in noise.c, who may come with which key in the room auth.
 */
#include "keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <sodium.h>

#include "text.h"

#define WORD "pystuck-key-1 "
#define WORD_LEN (sizeof WORD - 1)
#define BASE64_LEN 44 /* of a key, with its one padding character */
#define LINE_MAX_LEN (WORD_LEN + KEY_NAME_MAX + 1 + BASE64_LEN + 1)
#define SHOWN_MAX 200 /* bytes of a path in a message */
#define ACL_XATTR "system.posix_acl_access"
#define ACL_HEADER 4 /* bytes: version */
#define ACL_ENTRY 8 /* bytes: tag 2, rights 2, id 4; all little-endian */
#define ACL_MAX (ACL_HEADER + 32 * ACL_ENTRY)

enum acl_tag { ACL_OWNER = 0x01, ACL_NAMED_USER = 0x02, ACL_MASK = 0x10 };

struct entry {
	char name[KEY_NAME_MAX + 1];
	uint8_t key[NOISE_KEY];
};

struct keyring {
	size_t count;
	struct entry entries[KEYRING_MAX];
};

/*
 * Zeroed memory of sodium_malloc: guard pages around it, not in core dumps, locked where the kernel
 * allows it (libsodium goes on where it does not, and so do we). A fork's child finds zeros in it.
 *
 * Whole pages: sodium_malloc puts what it gives at the end of a page and its canary right before
 * it. So with whole pages the canary is on a page of its own, which the child inherits, and
 * sodium_free() in the child finds the canary as it was; a wiped canary would make it kill the
 * process.
 */
static void *guarded_new(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t whole = (size + page - 1) / page * page;
	void *p = sodium_malloc(whole);

	if (!p)
		return NULL;
	/* Kernels before 4.14 don't know it: there keyring_forget wipes the child's copy. */
	(void)madvise(p, whole, MADV_WIPEONFORK);
	memset(p, 0, whole);
	return p;
}

static int is_name(struct span s)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	size_t i;

	if (s.len < 1 || s.len > KEY_NAME_MAX)
		return 0;
	for (i = 0; i < s.len; i++)
		if (!memchr(allowed, s.data[i], sizeof allowed - 1))
			return 0;
	return 1;
}

/* The one way to write these 32 bytes, or PYSTUCK_EFORMAT. */
static int decode_key(uint8_t key[static NOISE_KEY], struct span text)
{
	char again[BASE64_LEN + 1];
	size_t len = 0;
	int r = PYSTUCK_EFORMAT;

	if (text.len != BASE64_LEN)
		return r;
	if (sodium_base642bin(key, NOISE_KEY, (const char *)text.data, text.len, NULL, &len, NULL,
		    sodium_base64_VARIANT_ORIGINAL) ||
		len != NOISE_KEY)
		goto out;
	/* The bits that fill up the last character must be zero; libsodium says so too, but does
	 * not promise it. */
	sodium_bin2base64(again, sizeof again, key, NOISE_KEY, sodium_base64_VARIANT_ORIGINAL);
	if (sodium_memcmp(again, text.data, BASE64_LEN) == 0)
		r = 0;
out:
	sodium_memzero(again, sizeof again);
	return r;
}

static int is_taken(const struct keyring *ring, const struct entry *e)
{
	size_t i;

	for (i = 0; i < ring->count; i++)
		if (strcmp(ring->entries[i].name, e->name) == 0 ||
			sodium_memcmp(ring->entries[i].key, e->key, NOISE_KEY) == 0)
			return 1;
	return 0;
}

/* One line without its newline, with a key in it. What is wrong with it, or NULL. Nothing of the
 * line goes into the text. */
static const char *parse_line(struct keyring *ring, struct span line)
{
	struct entry *e = &ring->entries[ring->count];
	struct span name;
	const uint8_t *blank;

	if (memchr(line.data, '\r', line.len))
		return "a carriage return in it; lines end with a newline alone";
	if (line.len < WORD_LEN || memcmp(line.data, WORD, WORD_LEN) != 0)
		return "is not of the form '" WORD "NAME BASE64'";
	line.data += WORD_LEN;
	line.len -= WORD_LEN;
	blank = memchr(line.data, ' ', line.len);
	if (!blank)
		return "is not of the form '" WORD "NAME BASE64'";
	name = (struct span){line.data, (size_t)(blank - line.data)};
	if (!is_name(name))
		return "the name must be 1 to 32 of the characters A-Z a-z 0-9 . _ -";
	memcpy(e->name, name.data, name.len);
	if (decode_key(e->key, (struct span){blank + 1, line.len - name.len - 1}))
		return "after the name must come the base64 of 32 bytes (44 characters) alone";
	if (sodium_is_zero(e->key, NOISE_KEY))
		return "the key is all zeros; make one with pystuck --keygen";
	if (is_taken(ring, e))
		return "an earlier line has this name or this key already";
	ring->count++;
	return NULL;
}

static int parse_lines(struct keyring *ring, struct span text, const char *shown, struct diag *d)
{
	const uint8_t *newline;
	const char *wrong;
	struct span line;
	size_t number;

	for (number = 1; text.len > 0; number++) {
		newline = memchr(text.data, '\n', text.len);
		if (!newline)
			return diag_set(d, PYSTUCK_EFORMAT, 0,
				"key file %s: line %zu: cut short: no newline at its end", shown,
				number);
		line = (struct span){text.data, (size_t)(newline - text.data)};
		text.data += line.len + 1;
		text.len -= line.len + 1;
		if (line.len == 0 || line.data[0] == '#')
			continue;
		if (ring->count == KEYRING_MAX)
			return diag_set(d, PYSTUCK_ETOOBIG, 0,
				"key file %s: line %zu: more than %d keys", shown, number,
				KEYRING_MAX);
		wrong = parse_line(ring, line);
		if (wrong)
			return diag_set(d, PYSTUCK_EFORMAT, 0, "key file %s: line %zu: %s", shown,
				number, wrong);
	}
	if (ring->count == 0)
		return diag_set(d, PYSTUCK_EFORMAT, 0,
			"key file %s: no key in it; make one with pystuck --keygen", shown);
	return 0;
}

/* libsodium must be set up before the first sodium_malloc and the first random byte. */
static int prepare(const char *shown, struct diag *d)
{
	if (noise_init())
		return diag_set(d, PYSTUCK_ESYS, ENOSYS,
			"key file %s: libsodium cannot be loaded or set up; is it installed?", shown);
	return 0;
}

struct keyring *keyfile_parse(struct span text, const char *name, struct diag *d)
{
	struct keyring *ring = NULL;
	char shown[SHOWN_MAX];

	text_copy(shown, sizeof shown, span_text(name), TEXT_LINE);
	if (text.len > KEYFILE_MAX) {
		diag_set(d, PYSTUCK_ETOOBIG, 0, "key file %s: more than %d bytes", shown,
			KEYFILE_MAX);
		return NULL;
	}
	if (prepare(shown, d))
		return NULL;
	ring = guarded_new(sizeof *ring);
	if (!ring) {
		diag_set(d, PYSTUCK_ENOMEM, 0, "key file %s: out of memory for keys", shown);
		return NULL;
	}
	if (parse_lines(ring, text, shown, d)) {
		keyring_free(ring);
		return NULL;
	}
	return ring;
}

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
			(mode & 044) ? "read" : (mode & 022) ? "change" : "execute");
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

	text = guarded_new(KEYFILE_MAX + 1);
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

struct keyring *keyfile_load(const char *path, struct diag *d)
{
	struct keyring *ring = NULL;
	char shown[SHOWN_MAX];
	int fd;

	text_copy(shown, sizeof shown, span_text(path), TEXT_LINE);
	if (prepare(shown, d))
		return NULL;
	/* O_NONBLOCK: a FIFO in its place must not hang us. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		open_failed(errno, shown, d);
		return NULL;
	}
	if (check_file(fd, shown, d) == 0)
		ring = load_fd(fd, path, shown, d);
	close(fd);
	return ring;
}

/* 0 or an errno. */
static int write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The directory of path, opened; *base is the name in it. The fd, or -1 with errno. */
static int open_directory(const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) + 1 : 0;
	char directory[PATH_MAX] = ".";

	*base = path + len;
	if (len >= sizeof directory) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (len > 0) {
		memcpy(directory, path, len);
		directory[len] = '\0';
	}
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Makes the file in the open directory, or leaves nothing of it there. 0 or an errno. */
static int create_at(int directory, const char *base, const char *text, size_t len)
{
	int fd, sys = 0;

	fd = openat(directory, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	if (fchmod(fd, 0600)) /* the umask may have taken even our own rights */
		sys = errno;
	if (!sys)
		sys = write_all(fd, text, len);
	if (!sys && fsync(fd))
		sys = errno;
	if (close(fd) && !sys)
		sys = errno;
	/* File systems that can't sync a directory say EINVAL: nothing is lost by it. */
	if (!sys && fsync(directory) && errno != EINVAL)
		sys = errno;
	if (sys)
		(void)unlinkat(directory, base, 0);
	return sys;
}

/* A fresh key as the line of a key file, NUL-terminated. */
static void make_line(char *line, size_t size, const char *key_name)
{
	uint8_t key[NOISE_KEY];
	size_t used;

	randombytes_buf(key, sizeof key);
	used = (size_t)snprintf(line, size, WORD "%s ", key_name);
	sodium_bin2base64(
		line + used, size - used, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
	line[used + BASE64_LEN] = '\n';
	line[used + BASE64_LEN + 1] = '\0';
	sodium_memzero(key, sizeof key);
}

static int create_failed(int sys, const char *shown, struct diag *d)
{
	if (sys == EEXIST)
		return diag_set(d, PYSTUCK_ESYS, sys,
			"key file %s: exists and is not overwritten; choose another name", shown);
	return diag_set(
		d, PYSTUCK_ESYS, sys, "key file %s: cannot be made: %s", shown, strerror(sys));
}

int keyfile_create(const char *path, const char *key_name, struct diag *d)
{
	char line[LINE_MAX_LEN + 1], shown[SHOWN_MAX];
	const char *base = NULL;
	int directory, sys;

	text_copy(shown, sizeof shown, span_text(path), TEXT_LINE);
	if (!is_name(span_text(key_name)))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"key file %s: the key's name must be 1 to %d of A-Z a-z 0-9 . _ -", shown,
			KEY_NAME_MAX);
	if (prepare(shown, d))
		return PYSTUCK_ESYS;
	directory = open_directory(path, &base);
	if (directory < 0)
		return create_failed(errno, shown, d);
	if (*base == '\0') {
		close(directory);
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "key file '%s': no file name; give one", shown);
	}
	make_line(line, sizeof line, key_name);
	sys = create_at(directory, base, line, strlen(line));
	sodium_memzero(line, sizeof line);
	close(directory);
	return sys ? create_failed(sys, shown, d) : 0;
}

size_t keyring_count(const struct keyring *ring)
{
	return ring->count;
}

const char *keyring_name(const struct keyring *ring, size_t i)
{
	return i < ring->count ? ring->entries[i].name : NULL;
}

const uint8_t *keyring_key(const struct keyring *ring, size_t i)
{
	return i < ring->count ? ring->entries[i].key : NULL;
}

void keyring_free(struct keyring *ring)
{
	sodium_free(ring); /* wipes; NULL is fine */
}

/* The child has zeros, or a copy where the kernel could not wipe; guarded_new says why sodium_free
 * is safe with both. */
void keyring_forget(struct keyring *ring)
{
	sodium_free(ring);
}
