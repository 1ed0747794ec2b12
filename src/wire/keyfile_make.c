/*
 * keyfile_make.c: makes key files and adds keys to them. How they are read is keyfile_load.c's and
 * keyfile.c's.
 */
#include "keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "keyfile_private.h"
#include "text.h"

/* A line with all there can be in it, and a NUL. */
#define LINE_SIZE                                                                                  \
	(sizeof KEYFILE_WORD + KEY_NAME_MAX + 1 + KEYFILE_BASE64 + sizeof KEYFILE_ROLE_WORD + 16)

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
static void make_line(char line[static LINE_SIZE], const char *key_name, const char *role)
{
	uint8_t key[NOISE_KEY];
	size_t used;

	randombytes_buf(key, sizeof key);
	used = (size_t)snprintf(line, LINE_SIZE, KEYFILE_WORD "%s ", key_name);
	sodium_bin2base64(
		line + used, LINE_SIZE - used, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
	used += KEYFILE_BASE64;
	(void)snprintf(line + used, LINE_SIZE - used, "%s%s\n", role ? KEYFILE_ROLE_WORD : "",
		role ? role : "");
	sodium_memzero(key, sizeof key);
}

static int create_failed(int sys, const char *shown, struct diag *d)
{
	if (sys == EEXIST)
		return diag_set(d, PYSTUCK_ESYS, sys,
			"key file %s: exists and is not overwritten; choose another name, or --add "
			"a key to it",
			shown);
	return diag_set(
		d, PYSTUCK_ESYS, sys, "key file %s: cannot be made: %s", shown, strerror(sys));
}

static int append_failed(int sys, const char *shown, struct diag *d)
{
	if (sys == EFBIG)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"key file %s: no room for another key: %d bytes are the most", shown,
			KEYFILE_MAX);
	return diag_set(
		d, PYSTUCK_ESYS, sys, "key file %s: cannot be added to: %s", shown, strerror(sys));
}

/* Before anything is touched: can there be such a key? `shown` becomes the path as messages have it. */
static int check_wish(const char *path, const char *key_name, const char *role,
	char shown[static KEYFILE_SHOWN], struct diag *d)
{
	text_copy(shown, KEYFILE_SHOWN, span_text(path), TEXT_LINE);
	if (!keyfile_is_name(span_text(key_name)))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"key file %s: the key's name must be 1 to %d of A-Z a-z 0-9 . _ -", shown,
			KEY_NAME_MAX);
	if (role && role_parse(role) < 0)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"key file %s: the roles are stacks, locals, eval and none", shown);
	return keyfile_prepare(shown, d) ? PYSTUCK_ESYS : 0;
}

int keyfile_create(const char *path, const char *key_name, const char *role, struct diag *d)
{
	char line[LINE_SIZE], shown[KEYFILE_SHOWN];
	const char *base = NULL;
	int directory, sys, rc;

	rc = check_wish(path, key_name, role, shown, d);
	if (rc != 0)
		return rc;
	directory = open_directory(path, &base);
	if (directory < 0)
		return create_failed(errno, shown, d);
	if (*base == '\0') {
		close(directory);
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "key file '%s': no file name; give one", shown);
	}
	make_line(line, key_name, role);
	sys = create_at(directory, base, line, strlen(line));
	sodium_memzero(line, sizeof line);
	close(directory);
	return sys ? create_failed(sys, shown, d) : 0;
}

/* Is there room for one more key of this name? */
static int check_room(
	const struct keyring *ring, const char *key_name, const char *shown, struct diag *d)
{
	for (size_t i = 0; i < keyring_count(ring); i++)
		if (strcmp(keyring_name(ring, i), key_name) == 0)
			return diag_set(d, PYSTUCK_EINVAL, 0,
				"key file %s: has a key \"%s\" already; choose another name", shown,
				key_name);
	if (keyring_count(ring) == KEYRING_MAX)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"key file %s: has %d keys already; take one out", shown, KEYRING_MAX);
	return 0;
}

/* What was there before stays there, and nothing else: if the line is not on the disk in whole, it is taken back. */
static int append_line(int fd, const char *line, size_t len)
{
	struct stat st;
	ssize_t n;
	int sys = 0;

	if (fstat(fd, &st))
		return errno;
	if (st.st_size + (off_t)len > KEYFILE_MAX)
		return EFBIG;
	do
		n = write(fd, line, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno;
	if (n < (ssize_t)len)
		sys = ENOSPC;
	else if (fsync(fd))
		sys = errno;
	if (sys && ftruncate(fd, st.st_size))
		sys = errno;
	return sys;
}

int keyfile_append(const char *path, const char *key_name, const char *role, struct diag *d)
{
	char line[LINE_SIZE], shown[KEYFILE_SHOWN];
	struct keyring *ring = NULL;
	int fd, sys, rc;

	rc = check_wish(path, key_name, role, shown, d);
	if (rc != 0)
		return rc;
	ring = keyfile_load(path, d);
	if (!ring)
		return d ? d->code : PYSTUCK_EFORMAT;
	rc = check_room(ring, key_name, shown, d);
	keyring_free(ring);
	if (rc != 0)
		return rc;
	/* keyfile_load has seen that it is ours or root's, and that nobody else may write it. */
	fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return append_failed(errno, shown, d);
	make_line(line, key_name, role);
	sys = append_line(fd, line, strlen(line));
	sodium_memzero(line, sizeof line);
	close(fd);
	return sys ? append_failed(sys, shown, d) : 0;
}
