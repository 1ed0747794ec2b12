/*
 * rc.c: reads the start-up file. What is in it runs in production processes, so nobody else may
 * have had a hand in it: neither in the file nor in the directory that it is in.
 */
#include "rc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int directory(char path[static PATH_MAX])
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	int n = -1;

	/* What is relative would be looked for where the user happens to be. */
	if (config != NULL && *config == '/')
		n = snprintf(path, PATH_MAX - 4, "%s/pystuck", config);
	else if (home != NULL && *home == '/')
		n = snprintf(path, PATH_MAX - 4, "%s/.config/pystuck", home);
	return n > 0 && n < PATH_MAX - 4 ? 0 : PYSTUCK_ENOENT;
}

/* Who may have written there? */
static int check(int fd, const char *path, struct stat *st, struct diag *d)
{
	if (fstat(fd, st) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno));
	if (st->st_uid != geteuid() && st->st_uid != 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"%s is not used: it belongs to uid %ld, which is neither you nor root", path, (long)st->st_uid);
	if ((st->st_mode & 022) != 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"%s is not used: mode %04o lets others write to it; chmod go-w it", path,
			(unsigned)st->st_mode & 07777);
	return 0;
}

static int take_text(int fd, size_t size, const char *path, char **text, struct diag *d)
{
	size_t len = 0;
	ssize_t n = 1;

	*text = malloc(size + 1);
	if (*text == NULL)
		return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	while (len < size && n > 0) {
		n = read(fd, *text + len, size - len);
		len += n > 0 ? (size_t)n : 0;
	}
	(*text)[len] = '\0';
	if (n >= 0 && strlen(*text) == len)
		return 0;
	free(*text);
	*text = NULL;
	return n < 0 ? diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno))
		     : diag_set(d, PYSTUCK_EFORMAT, 0, "%s is not used: it is no text", path);
}

static int read_file(int fd, const char *path, char **text, struct diag *d)
{
	struct stat st;
	int rc = check(fd, path, &st, d);

	if (rc == 0 && !S_ISREG(st.st_mode))
		rc = diag_set(d, PYSTUCK_EUNSAFE, 0, "%s is not used: it is no file", path);
	else if (rc == 0 && (uint64_t)st.st_size > RC_MAX)
		rc = diag_set(d, PYSTUCK_ETOOBIG, 0, "%s is not used: it has more than %u bytes", path, RC_MAX);
	return rc == 0 ? take_text(fd, (size_t)st.st_size, path, text, d) : rc;
}

int rc_read(char **text, char path[static PATH_MAX], struct diag *d)
{
	int dir, fd = -1, rc = directory(path);
	struct stat st;

	*text = NULL;
	if (rc != 0)
		return rc;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return PYSTUCK_ENOENT;
	/* A link, as people have who keep such files elsewhere, is followed: whose the file is that it leads to, counts. */
	fd = openat(dir, "rc", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		rc = PYSTUCK_ENOENT;
	else
		rc = check(dir, path, &st, d);
	strcat(path, "/rc");
	if (rc == 0 && fd < 0)
		rc = diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno));
	if (rc == 0)
		rc = read_file(fd, path, text, d);
	if (fd >= 0)
		close(fd);
	close(dir);
	return rc;
}
