/*
 * dial.c: opens a socket to an address and checks whose server it is. Nothing here reads from it or
 * writes to it.
 */
#include "dial.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect.h"

#define DIAL_RETRY_MS 10 /* a Unix socket whose queue is full can't be polled for: ask again */
#define DIAL_PROC_TEXT 256

/* First bytes of a small file of /proc, NUL-terminated; "" when it can't be read. */
static void proc_text(const char *path, char text[static DIAL_PROC_TEXT])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, DIAL_PROC_TEXT - 1) : -1;

	text[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/*
 * The kernel shows every user that has no number in this user namespace as the overflow uid: there
 * it names nobody. Only where all uids are mapped it is a user like any other.
 */
static int uid_names_somebody(uid_t uid)
{
	char text[DIAL_PROC_TEXT];
	unsigned long inside = 0, outside = 0, count = 0;

	if (uid == (uid_t)-1)
		return 0;
	if (uid == 0)
		return 1;
	proc_text("/proc/sys/kernel/overflowuid", text);
	if (uid != (text[0] != '\0' ? (uid_t)strtoul(text, NULL, 10) : 65534))
		return 1;
	proc_text("/proc/self/uid_map", text);
	char *p = text;
	inside = strtoul(p, &p, 10);
	outside = strtoul(p, &p, 10);
	count = strtoul(p, &p, 10);
	return inside == 0 && outside == 0 && count == UINT32_MAX;
}

/* Owner of the directory that the socket is in, or -1. */
static uid_t directory_owner(const char *path)
{
	char dir[ADDR_PATH_MAX + 1];
	struct stat st;
	size_t len = strlen(path);

	memcpy(dir, path, len + 1);
	char *slash = strrchr(dir, '/');
	if (slash == NULL)
		return (uid_t)-1;
	slash[slash == dir] = '\0';
	return stat(dir, &st) == 0 ? st.st_uid : (uid_t)-1;
}

static int check_server(int fd, const struct addr *a, uid_t *uid, pid_t *pid, struct diag *d)
{
	struct ucred who = {.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
	socklen_t len = sizeof who;
	char where[ADDR_TEXT];

	addr_format(a, where);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 || len != sizeof who)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"%s: the kernel does not say whose server this is: not trusted", where);
	if (uid != NULL)
		*uid = who.uid;
	if (pid != NULL)
		*pid = who.pid;
	if (uid_names_somebody(who.uid) &&
		(who.uid == geteuid() || who.uid == 0 || who.uid == directory_owner(a->path)))
		return 0;
	return diag_set(d, PYSTUCK_EUNSAFE, 0,
		"%s: its server runs as uid %ld, which is neither you, nor root, nor the owner of "
		"the directory: not trusted",
		where, (long)(int32_t)who.uid);
}

/*
 * Why connect(2) failed, in words. A file that is no socket is refused by the kernel just as a dead
 * socket is.
 */
static int unix_failed(const struct addr *a, int error, struct diag *d)
{
	char where[ADDR_TEXT];
	struct stat st;

	addr_format(a, where);
	if (error == ENOENT || error == ENOTDIR)
		return diag_set(d, PYSTUCK_ENOENT, 0, "%s: no such socket", where);
	if (error == EACCES || error == EPERM)
		return diag_set(d, PYSTUCK_EPERM, 0,
			"%s: permission denied: the socket belongs to another user or group",
			where);
	if (error == EAGAIN)
		return diag_set(d, PYSTUCK_ETIME, 0,
			"%s: its queue is full and nobody takes connections: the program is "
			"stopped or flooded",
			where);
	if (error == ECONNREFUSED && lstat(a->path, &st) == 0 && !S_ISSOCK(st.st_mode) &&
		!S_ISLNK(st.st_mode))
		return diag_set(d, PYSTUCK_ENOENT, 0, "%s is %s, not a socket", where,
			S_ISDIR(st.st_mode) ? "a directory" : "a file");
	if (error == ECONNREFUSED)
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"%s: connection refused: a dead socket: the program that made it has "
			"ended or stopped its server",
			where);
	if (error == EPROTOTYPE)
		return diag_set(d, PYSTUCK_ENOENT, 0,
			"%s: not a stream socket: not a pystuck server", where);
	return diag_set(d, PYSTUCK_ESYS, error, "%s: %s", where, strerror(error));
}

static int dial_unix(const struct addr *a, int64_t deadline, uid_t *uid, pid_t *pid, struct diag *d)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int rc = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "socket: %s", strerror(errno));
	memcpy(sun.sun_path, a->path, strlen(a->path) + 1);
	while (connect(fd, (const struct sockaddr *)&sun, sizeof sun) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN && connect_left(deadline) > 0) {
			poll(NULL, 0, DIAL_RETRY_MS);
			continue;
		}
		rc = unix_failed(a, errno, d);
		break;
	}
	if (rc == 0)
		rc = check_server(fd, a, uid, pid, d);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	return fd;
}

static int tcp_failed(const struct addr *a, int error, struct diag *d)
{
	char where[ADDR_TEXT];

	addr_format(a, where);
	if (error == ECONNREFUSED)
		return diag_set(d, PYSTUCK_ENOENT, 0, "%s: nobody listens there", where);
	if (error == ETIMEDOUT)
		return diag_set(d, PYSTUCK_ETIME, 0, "%s: no connection", where);
	return diag_set(d, PYSTUCK_ESYS, error, "%s: %s", where, strerror(error));
}

/* The outcome of a connect that is under way: 0 or an errno. */
static int connected(int fd, int64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0, n;
	socklen_t len = sizeof error;

	do
		n = poll(&p, 1, connect_left(deadline));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return ETIMEDOUT;
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		return errno;
	return error;
}

static int dial_tcp(const struct addr *a, int64_t deadline, struct diag *d)
{
	struct sockaddr_storage to;
	socklen_t len = 0;
	int on = 1, error = 0, rc = addr_resolve(a, 0, &to, &len, d);

	if (rc != 0)
		return rc;
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)&to, len) != 0)
		error = errno == EINPROGRESS || errno == EINTR ? connected(fd, deadline) : errno;
	if (error != 0) {
		close(fd);
		return tcp_failed(a, error, d);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

int dial_open(const struct addr *a, int64_t deadline, uid_t *uid, pid_t *pid, struct diag *d)
{
	if (uid != NULL)
		*uid = (uid_t)-1;
	if (pid != NULL)
		*pid = 0;
	return a->kind == ADDR_UNIX ? dial_unix(a, deadline, uid, pid, d)
				    : dial_tcp(a, deadline, d);
}
