/*
 * inject_files.c: where a script lies until another process has run it: a directory of its own, with
 * a pipe for the answer. What is in the script is inject.c's.
 *
 * Once it is given away its user may rename it and put anything in its place, and we may be root: so
 * the places above it are nobody else's, and what is in it is reached through the directory itself.
 */
#include "inject_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT "script.py"
#define PIPE "answer"

static int is_safe_dir(const char *dir)
{
	struct stat st;

	if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return 0;
	return (st.st_mode & 022) == 0 || (st.st_mode & S_ISVTX) != 0;
}

int inject_files_is_safe(const char *base)
{
	char path[PATH_MAX];

	if (base[0] != '/' || snprintf(path, sizeof path, "%s", base) >= (int)sizeof path)
		return 0;
	for (;;) {
		char *slash = strrchr(path, '/');

		if (!is_safe_dir(path[0] != '\0' ? path : "/"))
			return 0;
		if (slash == NULL)
			return 1;
		*slash = '\0';
	}
}

/* Does the process see the same directory under this name? */
static int is_shared(const char *dir, pid_t pid)
{
	char theirs[PATH_MAX + 32];
	struct stat here, there;

	(void)snprintf(theirs, sizeof theirs, "/proc/%ld/root%s", (long)pid, dir);
	return stat(dir, &here) == 0 && stat(theirs, &there) == 0 && here.st_dev == there.st_dev &&
	       here.st_ino == there.st_ino;
}

static int make_dir(struct inject_files *f, const char *base, pid_t pid)
{
	int n = snprintf(f->dir, sizeof f->dir, "%s/pystuck-inject-XXXXXX", base);

	if (n < 0 || (size_t)n + sizeof "/" SCRIPT > sizeof f->dir || !inject_files_is_safe(base) ||
		mkdtemp(f->dir) == NULL) {
		f->dir[0] = '\0';
		return -1;
	}
	f->at = open(f->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f->at >= 0 && is_shared(f->dir, pid))
		return 0;
	if (f->at >= 0)
		close(f->at);
	f->at = -1;
	(void)rmdir(f->dir);
	f->dir[0] = '\0';
	return -1;
}

/* mkdtemp(3) has the mode from the umask only downwards: 0700 at most. */
static int find_dir(struct inject_files *f, pid_t pid, uid_t uid, struct diag *d)
{
	char own[64];
	const char *bases[] = {own, "/tmp", "/var/tmp"};

	(void)snprintf(own, sizeof own, "/run/user/%lu", (unsigned long)uid);
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
		if (make_dir(f, bases[i], pid) == 0)
			return 0;
	return diag_set(d, PYSTUCK_ENOENT, 0,
		"process %ld: no directory (%s, /tmp, /var/tmp) for the script that is safe and that the process "
		"sees, too; if it is in a container, or has PrivateTmp=, run pystuck there: nsenter -t %ld -m pystuck "
		"--inject %ld",
		(long)pid, own, (long)pid, (long)pid);
}

int inject_files_make(struct inject_files *f, pid_t pid, uid_t uid, struct diag *d)
{
	*f = (struct inject_files){.at = -1, .answer = -1};
	int rc = find_dir(f, pid, uid, d);

	if (rc != 0)
		return rc;
	/* They fit: make_dir has seen to it. */
	(void)stpcpy(stpcpy(f->script, f->dir), "/" SCRIPT);
	(void)stpcpy(stpcpy(f->pipe, f->dir), "/" PIPE);
	if (mkfifoat(f->at, PIPE, 0600) == 0)
		f->answer = openat(f->at, PIPE, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	return f->answer >= 0 ? 0 : diag_set(d, PYSTUCK_ESYS, errno, "%s: %m", f->pipe);
}

static int write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* The directory goes last: until then nobody but us is in it. */
static int give_away(const struct inject_files *f, int script, uid_t uid)
{
	if (uid == geteuid())
		return 0;
	return fchown(script, uid, (gid_t)-1) == 0 && fchown(f->answer, uid, (gid_t)-1) == 0
		       ? fchown(f->at, uid, (gid_t)-1)
		       : -1;
}

int inject_files_write(struct inject_files *f, uid_t uid, const char *script, struct diag *d)
{
	int fd = openat(f->at, SCRIPT, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int rc = 0;

	if (fd < 0 || write_all(fd, script) != 0 || give_away(f, fd, uid) != 0)
		rc = diag_set(d, PYSTUCK_ESYS, errno, "%s: %m", f->script);
	if (fd >= 0)
		close(fd);
	return rc;
}

void inject_files_remove(struct inject_files *f)
{
	if (f->at >= 0) {
		(void)unlinkat(f->at, SCRIPT, 0);
		(void)unlinkat(f->at, PIPE, 0);
		(void)rmdir(f->dir); /* only an empty directory, whatever has this name now */
		close(f->at);
	}
	if (f->answer >= 0)
		close(f->answer);
	*f = (struct inject_files){.at = -1, .answer = -1};
}
