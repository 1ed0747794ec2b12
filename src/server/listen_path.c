/*
 * listen_path.c: is the way to a socket file safe, and is the file that lies there dead. Makes and
 * removes nothing.
 */
#include "listen_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 40 /* symbolic links on one way, as many as the kernel follows */
#define LOCK_POLL_MS 10

/*
 * A walk from / to the directory of a path. Every directory is opened before it is judged, and the
 * next step starts from the open one: what has been checked is what is walked.
 */
struct walk {
	int dir;               /* the directory reached, O_PATH */
	int links;             /* followed so far */
	char at[PATH_MAX];     /* its name, without links, for messages */
	char left[PATH_MAX];   /* the components still to go */
	char sticky[PATH_MAX]; /* a sticky directory without a private one below it yet; "" for none
				*/
};

static int is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

static int judge_dir(struct walk *w, const struct stat *st, struct diag *d)
{
	mode_t mode = st->st_mode & 07777;

	if (!is_trusted(st->st_uid))
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"directory %s belongs to uid %lu, who could replace the socket; use one of "
			"uid %lu "
			"or root",
			w->at, (unsigned long)st->st_uid, (unsigned long)geteuid());
	if ((mode & 022) != 0 && (mode & S_ISVTX) == 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"directory %s: mode %04o lets others replace the socket; chmod go-w it, or "
			"use "
			"another",
			w->at, (unsigned)mode);
	if ((mode & 022) != 0)
		memcpy(w->sticky, w->at, sizeof(w->sticky));
	else if (st->st_uid == geteuid() && (mode & 077) == 0)
		w->sticky[0] = '\0';
	return 0;
}

/* The walk goes on at `dir`, which it now owns. */
static int enter(struct walk *w, int dir, struct diag *d)
{
	struct stat st;

	if (w->dir >= 0)
		close(w->dir);
	w->dir = dir;
	if (fstat(dir, &st) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "directory %s: %m", w->at);
	return judge_dir(w, &st, d);
}

static int enter_root(struct walk *w, struct diag *d)
{
	int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	memcpy(w->at, "/", 2);
	if (dir < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "directory /: %m");
	return enter(w, dir, d);
}

/* Takes the next component from `left`; "" when there is none. 0 or PYSTUCK_ETOOBIG. */
static int next_component(struct walk *w, char name[static NAME_MAX + 1])
{
	const char *start = w->left + strspn(w->left, "/");
	size_t len = strcspn(start, "/");

	if (len > NAME_MAX)
		return PYSTUCK_ETOOBIG;
	memcpy(name, start, len);
	name[len] = '\0';
	memmove(w->left, start + len, strlen(start + len) + 1);
	return 0;
}

/* `at` is a path without links, so that ".." takes its last component away. */
static int rename_at(struct walk *w, const char *name)
{
	size_t len = strlen(w->at);

	if (strcmp(name, "..") == 0) {
		char *slash = strrchr(w->at, '/');

		slash[slash == w->at ? 1 : 0] = '\0';
		return 0;
	}
	if (len + 1 + strlen(name) >= sizeof(w->at))
		return PYSTUCK_ETOOBIG;
	if (len > 1)
		w->at[len++] = '/';
	memcpy(w->at + len, name, strlen(name) + 1);
	return 0;
}

/* Puts the target of the link in front of what is left. */
static int follow(struct walk *w, int link, const char *name, const struct stat *st, struct diag *d)
{
	char target[PATH_MAX];
	size_t left = strlen(w->left);
	ssize_t len;

	if (!is_trusted(st->st_uid))
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"symbolic link %s in %s belongs to uid %lu, who could turn it elsewhere",
			name, w->at, (unsigned long)st->st_uid);
	len = readlinkat(link, "", target, sizeof(target) - 1);
	if (len < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "symbolic link %s in %s: %m", name, w->at);
	if (++w->links > LINKS_MAX || (size_t)len + 1 + left >= sizeof(w->left))
		return diag_set(
			d, PYSTUCK_ETOOBIG, 0, "symbolic link %s in %s leads too far", name, w->at);
	memmove(w->left + len + 1, w->left, left + 1);
	memcpy(w->left, target, (size_t)len);
	w->left[len] = '/';
	return target[0] == '/' ? enter_root(w, d) : 0;
}

static int step(struct walk *w, const char *name, struct diag *d)
{
	struct stat st;
	int fd;
	int rc;

	fd = openat(w->dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return diag_set(d, PYSTUCK_ESYS, ENOENT,
			"there is no directory %s/%s; make it first", w->at[1] != '\0' ? w->at : "",
			name);
	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "directory %s in %s: %m", name, w->at);
	if (fstat(fd, &st) != 0) {
		rc = diag_set(d, PYSTUCK_ESYS, errno, "%s in %s: %m", name, w->at);
	} else if (S_ISLNK(st.st_mode)) {
		rc = follow(w, fd, name, &st, d);
	} else if (!S_ISDIR(st.st_mode)) {
		rc = diag_set(d, PYSTUCK_ESYS, ENOTDIR, "%s in %s is not a directory", name, w->at);
	} else if (rename_at(w, name) != 0) {
		rc = diag_set(d, PYSTUCK_ETOOBIG, 0, "%s in %s: the path is too long", name, w->at);
	} else {
		rc = enter(w, fd, d);
		fd = -1; /* the walk has it now */
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Everything above the last component, which need not exist yet. */
static int set_left(struct walk *w, const char *path, struct diag *d)
{
	const char *slash = strrchr(path, '/');
	size_t len;

	if (path[0] != '/')
		return diag_set(d, PYSTUCK_EINVAL, 0, "socket %s: the path is not absolute", path);
	len = (size_t)(slash - path);
	if (len >= sizeof(w->left))
		return diag_set(d, PYSTUCK_ETOOBIG, 0, "the path is too long: %s", path);
	if (slash[1] == '\0' || strcmp(slash, "/.") == 0 || strcmp(slash, "/..") == 0)
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "socket %s: the path names a directory", path);
	memcpy(w->left, path, len);
	w->left[len] = '\0';
	return 0;
}

int listen_path_check(const char *path, enum listen_path_last last, struct diag *d)
{
	struct walk w = {.dir = -1};
	char name[NAME_MAX + 1];
	int rc;

	rc = set_left(&w, path, d);
	if (rc == 0)
		rc = enter_root(&w, d);
	while (rc == 0) {
		rc = next_component(&w, name);
		if (rc != 0)
			rc = diag_set(d, rc, 0, "the name of a directory is too long in %s", path);
		else if (name[0] == '\0')
			break;
		else if (strcmp(name, ".") != 0)
			rc = step(&w, name, d);
	}
	if (rc == 0 && w.sticky[0] != '\0' && last == LISTEN_PATH_PRIVATE)
		rc = diag_set(d, PYSTUCK_EUNSAFE, 0,
			"socket %s: everybody may write to %s; use a directory of your own below "
			"it "
			"(mkdir -m 700)",
			path, w.sticky);
	if (w.dir >= 0)
		close(w.dir);
	return rc;
}

/*
 * flock on the directory itself: a lock file would be left behind. Who may read the directory could
 * hold it for ever, so nobody waits for ever, and without it only the removal of dead sockets is
 * off.
 */
int listen_path_lock(const char *path, int wait_ms)
{
	const struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = slash == path ? 1 : (size_t)(slash - path);
	int fd;

	if (len >= sizeof(dir))
		return -1;
	memcpy(dir, path, len);
	dir[len] = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited += LOCK_POLL_MS) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || waited >= wait_ms) {
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* A connection, without waiting for one. The fd, or -1 with errno. */
static int try_connect(const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int sys;
	int fd;

	errno = ENAMETOOLONG;
	if (len >= sizeof(to.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	memcpy(to.sun_path, path, len + 1);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	sys = errno;
	close(fd);
	errno = sys;
	return -1;
}

/* Does nobody listen there? Only a plain refusal says so: a full backlog, a lack of rights or of
 * memory do not. */
static int refuses(const char *path)
{
	int fd = try_connect(path);

	if (fd < 0)
		return errno == ECONNREFUSED;
	close(fd);
	return 0;
}

pid_t listen_path_server(const char *path)
{
	struct ucred who = {0};
	socklen_t len = sizeof(who);
	int fd = try_connect(path);

	if (fd < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 || len != sizeof(who))
		who.pid = 0;
	close(fd);
	return who.pid;
}

enum listen_path_kind listen_path_look(const char *path)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? LISTEN_PATH_NOTHING : LISTEN_PATH_LIVE;
	if (!S_ISSOCK(st.st_mode))
		return LISTEN_PATH_OTHER;
	if (st.st_uid != geteuid())
		return LISTEN_PATH_FOREIGN;
	return refuses(path) ? LISTEN_PATH_DEAD : LISTEN_PATH_LIVE;
}
