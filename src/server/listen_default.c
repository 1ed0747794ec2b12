/*
 * listen_default.c: where to listen when nobody said. Also removes dead sockets of processes that
 * are gone from the directories that are pystuck's own.
 */
#include "listen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listen_path.h"

#define SWEEP_MAX 256 /* directory entries looked at */
#define SUFFIX ".sock"
#define SIBLING "pystuck-"
#define PID_DIGITS 10

__attribute__((format(printf, 2, 3))) static int set_path(struct addr *a, const char *format, ...)
{
	va_list args;
	int n;

	memset(a, 0, sizeof(*a));
	va_start(args, format);
	n = vsnprintf(a->path, sizeof(a->path), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(a->path))
		return PYSTUCK_ETOOBIG;
	a->kind = ADDR_UNIX;
	return 0;
}

/* The pid in "PID.sock" or "pystuck-PID.sock"; 0 when the name is none of ours. */
static pid_t pid_of(const char *name)
{
	long long value = 0;
	size_t digits;

	if (strncmp(name, SIBLING, sizeof(SIBLING) - 1) == 0)
		name += sizeof(SIBLING) - 1;
	digits = strspn(name, "0123456789");

	if (digits == 0 || digits > PID_DIGITS || name[0] == '0' ||
		strcmp(name + digits, SUFFIX) != 0)
		return 0;
	for (size_t i = 0; i < digits; i++)
		value = value * 10 + (name[i] - '0');
	return value <= INT32_MAX ? (pid_t)value : 0;
}

/*
 * The process is gone and the socket refuses: both, since a pid of another container means nothing
 * here. The lock keeps a new process with an old pid from being robbed of the socket it has just
 * made.
 */
static void sweep(const char *dir)
{
	struct addr file;
	DIR *entries;
	int lock;

	if (set_path(&file, "%s/x", dir) != 0)
		return;
	lock = listen_path_lock(file.path, 0);
	if (lock < 0)
		return;
	entries = opendir(dir);
	for (int i = 0; entries != NULL && i < SWEEP_MAX; i++) {
		const struct dirent *e = readdir(entries);
		pid_t pid;

		if (e == NULL)
			break;
		pid = pid_of(e->d_name);
		if (pid == 0 || kill(pid, 0) == 0 || errno != ESRCH)
			continue;
		if (set_path(&file, "%s/%s", dir, e->d_name) == 0 &&
			listen_path_look(file.path) == LISTEN_PATH_DEAD)
			(void)unlink(file.path);
	}
	if (entries != NULL)
		closedir(entries);
	close(lock);
}

/* A directory of this very user, where we may make files. */
static int is_ours(const char *dir, enum listen_path_last above, struct diag *d)
{
	struct stat st;

	if (lstat(dir, &st) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "directory %s: %m", dir);
	if (!S_ISDIR(st.st_mode))
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"%s is no directory; remove it, or set "
			"$PYSTUCK_SOCKET",
			dir);
	if (st.st_uid != geteuid())
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"directory %s belongs to uid %lu; have it removed, or set $PYSTUCK_SOCKET",
			dir, (unsigned long)st.st_uid);
	if (above == LISTEN_PATH_STICKY && (st.st_mode & 077) != 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"directory %s: mode %04o lets others in; chmod 700 it", dir,
			(unsigned)(st.st_mode & 07777));
	if (faccessat(AT_FDCWD, dir, W_OK | X_OK, AT_EACCESS) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "directory %s: %m", dir);
	return 0;
}

/* `a` becomes DIR/PID.sock if DIR can be had: made where it is missing, and checked in any case. */
static int try_dir(struct addr *a, const char *dir, enum listen_path_last above, struct diag *d)
{
	int made;
	int rc;

	if (set_path(a, "%s/%ld" SUFFIX, dir, (long)getpid()) != 0)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"directory %s: the socket's path would be too long", dir);
	/* First what lies above it, so that nothing is made in a place that is not safe. */
	rc = listen_path_check(dir, above, d);
	if (rc != 0)
		return rc;
	made = mkdir(dir, 0700) == 0;
	if (!made && errno != EEXIST)
		return diag_set(d, PYSTUCK_ESYS, errno, "directory %s: %m", dir);
	rc = is_ours(dir, above, d);
	if (rc == 0)
		rc = listen_path_check(a->path, LISTEN_PATH_PRIVATE, d);
	if (rc == 0)
		sweep(dir);
	else if (made)
		(void)rmdir(dir);
	return rc;
}

/* $XDG_RUNTIME_DIR/pystuck. The variable survives su and sudo: then the directory is not ours and
 * the next place counts. */
static int try_xdg(struct addr *a)
{
	const char *base = secure_getenv("XDG_RUNTIME_DIR");
	struct addr dir;

	if (base == NULL || base[0] != '/' || set_path(&dir, "%s/pystuck", base) != 0)
		return PYSTUCK_ENOENT;
	return try_dir(a, dir.path, LISTEN_PATH_PRIVATE, NULL);
}

static int try_run_user(struct addr *a)
{
	struct addr dir;

	if (set_path(&dir, "/run/user/%lu/pystuck", (unsigned long)geteuid()) != 0)
		return PYSTUCK_ENOENT;
	return try_dir(a, dir.path, LISTEN_PATH_PRIVATE, NULL);
}

static int try_run(struct addr *a)
{
	if (geteuid() != 0)
		return PYSTUCK_ENOENT;
	return try_dir(a, "/run/pystuck", LISTEN_PATH_PRIVATE, NULL);
}

static int try_tmp(struct addr *a, struct diag *d)
{
	struct addr dir;

	if (set_path(&dir, "/tmp/pystuck-%lu", (unsigned long)geteuid()) != 0)
		return PYSTUCK_ENOENT;
	return try_dir(a, dir.path, LISTEN_PATH_STICKY, d);
}

/* The first directory of $RUNTIME_DIRECTORY, which systemd has made for this service alone. */
static int use_runtime_dir(struct addr *a, const char *dirs, struct diag *d)
{
	int len = (int)strcspn(dirs, ":");

	if (dirs[0] != '/')
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "$RUNTIME_DIRECTORY is \"%s\", not absolute", dirs);
	if (set_path(a, "%.*s/pystuck" SUFFIX, len, dirs) != 0)
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"$RUNTIME_DIRECTORY is too long for a socket; set $PYSTUCK_SOCKET");
	return 0;
}

int listen_default(struct addr *a, int *per_process, struct diag *d)
{
	const char *path = secure_getenv("PYSTUCK_SOCKET");
	const char *dirs = secure_getenv("RUNTIME_DIRECTORY");

	*per_process = 0;
	if (path != NULL && path[0] != '\0') {
		*per_process = strstr(path, "{pid}") != NULL;
		return addr_unix(a, path, d);
	}
	*per_process = 1;
	if (dirs != NULL && dirs[0] != '\0')
		return use_runtime_dir(a, dirs, d);
	if (try_xdg(a) == 0 || try_run_user(a) == 0 || try_run(a) == 0)
		return 0;
	return try_tmp(a, d);
}

int listen_default_next(struct addr *a)
{
	const char *path = secure_getenv("PYSTUCK_SOCKET");
	const char *dirs = secure_getenv("RUNTIME_DIRECTORY");
	struct addr plain, next;

	if ((path != NULL && path[0] != '\0') || dirs == NULL || dirs[0] == '\0' ||
		use_runtime_dir(&plain, dirs, NULL) != 0 || strcmp(plain.path, a->path) != 0)
		return 0;
	if (listen_path_look(a->path) != LISTEN_PATH_LIVE ||
		listen_path_server(a->path) == getpid())
		return 0;
	/* The file's name in the one becomes a longer one in the other. */
	plain.path[strlen(plain.path) - strlen("/pystuck" SUFFIX)] = '\0';
	if (set_path(&next, "%s/" SIBLING "%ld" SUFFIX, plain.path, (long)getpid()) != 0)
		return 0;
	sweep(plain.path);
	*a = next;
	return 1;
}

void listen_default_sweep(const struct addr *a)
{
	const char *path = secure_getenv("PYSTUCK_SOCKET");
	struct addr dir = *a;
	char *name = a->kind == ADDR_UNIX ? strrchr(dir.path, '/') : NULL;

	/* A place that somebody named may hold what is not ours. */
	if (name == NULL || (path != NULL && path[0] != '\0') ||
		(pid_of(name + 1) == 0 && strcmp(name, "/pystuck" SUFFIX) != 0))
		return;
	*name = '\0';
	sweep(dir.path);
}
