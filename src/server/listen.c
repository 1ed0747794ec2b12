/*
 * listen.c: makes the listening socket and removes what it made. Whether a directory can be trusted
 * is listen_path.c's matter, what systemd hands over listen_inherited.c's, the place for when
 * nobody said one listen_default.c's.
 */
#include "listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen_path.h"
#include "ownfd.h"

#define BACKLOG 1024 /* a tenth of a second of a flood: past it TCP makes who belongs wait a second */
#define LOCK_WAIT_MS                                                                               \
	1000 /* for another server that is just making its socket in this directory                \
	      */

static void reset(struct listen_socket *s)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
}

/* Removes the file if it is the one that this process made. */
static void remove_file(const struct listen_socket *s)
{
	struct stat st;

	if (s->addr.kind != ADDR_UNIX || s->inherited || s->owner != getpid())
		return;
	/* The open fd keeps the inode number from being used again. */
	if (lstat(s->addr.path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == s->device &&
		st.st_ino == s->inode)
		(void)unlink(s->addr.path);
}

void listen_close(struct listen_socket *s)
{
	if (s->fd >= 0) {
		remove_file(s);
		close(s->fd);
	}
	reset(s);
}

void listen_lost(struct listen_socket *s)
{
	/* Its inode number may be another file's: one that is dead is ours, or was. */
	if (s->addr.kind == ADDR_UNIX && !s->inherited &&
		listen_path_look(s->addr.path) == LISTEN_PATH_DEAD)
		remove_file(s);
	s->fd = -1;
}

void listen_forget(struct listen_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	reset(s);
}

/* Makes room at the path. Removes nothing but a dead socket of our own, and that only with the
 * lock. */
static int clear_path(const char *path, int locked, struct diag *d)
{
	switch (listen_path_look(path)) {
	case LISTEN_PATH_NOTHING:
		return 0;
	case LISTEN_PATH_DEAD:
		if (!locked)
			return diag_set(d, PYSTUCK_EINUSE, 0,
				"socket %s: a dead socket lies there, and another process keeps "
				"the directory "
				"locked; try again, or remove it",
				path);
		if (unlink(path) != 0)
			return diag_set(d, PYSTUCK_ESYS, errno,
				"socket %s: a dead socket lies there and cannot be removed: %m",
				path);
		return 0;
	case LISTEN_PATH_LIVE:
		return diag_set(d, PYSTUCK_EINUSE, 0,
			"socket %s: a server is listening there already; stop it, or use another "
			"path",
			path);
	case LISTEN_PATH_FOREIGN:
		return diag_set(d, PYSTUCK_EINUSE, 0,
			"socket %s: another user's socket lies there; use another path", path);
	case LISTEN_PATH_OTHER:
		break;
	}
	return diag_set(d, PYSTUCK_EINUSE, 0,
		"socket %s: a file that is no socket lies there; move it away, or use another path",
		path);
}

static int bind_path(int fd, const char *path, struct diag *d)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(at.sun_path))
		return diag_set(d, PYSTUCK_ETOOBIG, 0, "socket %s: the path is too long", path);
	memcpy(at.sun_path, path, strlen(path) + 1);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return diag_set(d, PYSTUCK_EINUSE, 0,
			"socket %s: another server has just taken this path; use another", path);
	return diag_set(d, PYSTUCK_ESYS, errno, "socket %s: %m", path);
}

/* Remembers which file bind has made, so that this one can be removed and no other. */
static int note_file(struct listen_socket *s, struct stat *st, struct diag *d)
{
	const char *path = s->addr.path;

	if (lstat(path, st) != 0) {
		int rc = diag_set(d, PYSTUCK_ESYS, errno, "socket %s: %m", path);

		/* Nobody but root and us can have put another one in its place since bind. */
		(void)unlink(path);
		return rc;
	}
	if (!S_ISSOCK(st->st_mode) || st->st_uid != geteuid())
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"socket %s: something else has taken its place", path);
	s->device = st->st_dev;
	s->inode = st->st_ino;
	s->owner = getpid();
	return 0;
}

/* Group first, then the mode: never wider open than asked for. The umask may have narrowed it at
 * bind. */
static int widen(const struct listen_options *o, const struct stat *st, struct diag *d)
{
	const char *path = o->addr.path;

	if (o->group != (gid_t)-1 && lchown(path, (uid_t)-1, o->group) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno,
			"socket %s: cannot give it to group %lu: %m", path,
			(unsigned long)o->group);
	if ((st->st_mode & 07777) != o->mode && chmod(path, o->mode) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "socket %s: cannot set mode %04o: %m", path,
			(unsigned)o->mode);
	return 0;
}

/* s->fd is a fresh socket. Nobody can connect before the end: listen comes last. */
static int make_file(struct listen_socket *s, const struct listen_options *o, struct diag *d)
{
	mode_t first = o->group != (gid_t)-1 ? o->mode & 0700 : o->mode;
	struct stat st;
	int rc;

	/* Before bind this is the mode that the file is made with; afterwards it would change
	 * nothing. */
	if (fchmod(s->fd, first) != 0)
		return diag_set(
			d, PYSTUCK_ESYS, errno, "socket %s: cannot set its mode: %m", o->addr.path);
	rc = bind_path(s->fd, o->addr.path, d);
	if (rc == 0)
		rc = note_file(s, &st, d);
	if (rc == 0)
		rc = widen(o, &st, d);
	if (rc == 0 && listen(s->fd, BACKLOG) != 0)
		rc = diag_set(d, PYSTUCK_ESYS, errno, "socket %s: %m", o->addr.path);
	return rc;
}

static int open_unix(struct listen_socket *s, const struct listen_options *o, struct diag *d)
{
	int lock;
	int rc;

	if (o->mode > 0777)
		return diag_set(d, PYSTUCK_EINVAL, 0, "socket %s: mode %04o is no mode of a socket",
			o->addr.path, (unsigned)o->mode);
	if ((o->mode & S_IWOTH) != 0 && !o->open_to_all)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"socket %s: mode %04o lets everybody connect; first say who may come "
			"(allow=)",
			o->addr.path, (unsigned)o->mode);
	rc = listen_path_check(o->addr.path, LISTEN_PATH_PRIVATE, d);
	if (rc != 0)
		return rc;
	/* Between bind and listen a socket looks dead: this keeps two servers from removing each
	 * other's. */
	lock = listen_path_lock(o->addr.path, LOCK_WAIT_MS);
	rc = clear_path(o->addr.path, lock >= 0, d);
	if (rc == 0) {
		s->fd = ownfd_raise(
			socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
		if (s->fd < 0)
			rc = diag_set(d, PYSTUCK_ESYS, errno, "socket %s: %m", o->addr.path);
		else
			rc = make_file(s, o, d);
	}
	if (lock >= 0)
		close(lock);
	return rc;
}

/* The port that the kernel chose, where it was asked to. */
static int note_port(struct listen_socket *s, struct diag *d)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);

	memset(&at, 0, sizeof(at));
	if (getsockname(s->fd, (struct sockaddr *)&at, &len) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "address of the socket: %m");
	if (at.ss_family == AF_INET6)
		s->addr.port = ntohs(((const struct sockaddr_in6 *)&at)->sin6_port);
	else
		s->addr.port = ntohs(((const struct sockaddr_in *)&at)->sin_port);
	return 0;
}

static int bind_tcp(int fd, const struct sockaddr_storage *at, socklen_t len)
{
	const int on = 1;

	/* Connections of an earlier server that have not timed out yet are no reason to refuse. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return -1;
	if (at->ss_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)at, len) != 0)
		return -1;
	return listen(fd, BACKLOG);
}

static int open_tcp(struct listen_socket *s, const struct listen_options *o, struct diag *d)
{
	struct sockaddr_storage at;
	char text[ADDR_TEXT];
	socklen_t len = 0;
	int rc;

	rc = addr_resolve(&o->addr, 1, &at, &len, d);
	if (rc != 0)
		return rc;
	addr_format(&o->addr, text);
	s->fd = ownfd_raise(
		socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (s->fd >= 0 && bind_tcp(s->fd, &at, len) == 0)
		return note_port(s, d);
	if (errno == EADDRINUSE)
		return diag_set(d, PYSTUCK_EINUSE, 0,
			"address %s is in use; choose another port, or 0 for any", text);
	if (errno == EACCES)
		return diag_set(d, PYSTUCK_ESYS, EACCES,
			"address %s: this process may not use that port; choose one above 1023",
			text);
	if (errno == EADDRNOTAVAIL)
		return diag_set(d, PYSTUCK_ESYS, EADDRNOTAVAIL,
			"address %s is none of this machine's; use 127.0.0.1", text);
	return diag_set(d, PYSTUCK_ESYS, errno, "address %s: %m", text);
}

int listen_open(struct listen_socket *s, const struct listen_options *o, struct diag *d)
{
	int rc;

	reset(s);
	s->addr = o->addr;
	switch (o->addr.kind) {
	case ADDR_UNIX:
		rc = open_unix(s, o, d);
		break;
	case ADDR_TCP:
		rc = open_tcp(s, o, d);
		break;
	default:
		rc = diag_set(d, PYSTUCK_EINVAL, 0, "there is no address to listen at");
		break;
	}
	if (rc != 0)
		listen_close(s);
	return rc;
}
