/*
 * listen_inherited.c: the socket that systemd hands over. It belongs to the process: we use a copy
 * of the fd and leave the environment, the fd itself and all others as they are.
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "ownfd.h"

#define FDS_START 3 /* SD_LISTEN_FDS_START */
#define FDS_MAX 256 /* more than any unit has */

/* Digits only, 1 to most; 0 when it is anything else. */
static unsigned long number(const char *text, unsigned long most)
{
	unsigned long value = 0;

	if (text == NULL || text[0] == '\0')
		return 0;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		value = value * 10 + (unsigned long)(*text - '0');
		if (value > most)
			return 0;
	}
	return value;
}

/* Which of the names in the list is this one; -1 when it is not there. */
static int place_of(const char *names, const char *name)
{
	int place = 0;

	for (;;) {
		size_t len = strcspn(names, ":");

		if (len == strlen(name) && memcmp(names, name, len) == 0)
			return place;
		if (names[len] == '\0')
			return -1;
		names += len + 1;
		place++;
	}
}

static int int_option(int fd, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, option, &value, &len) != 0 || len != sizeof(value))
		return -1;
	return value;
}

static int fill_tcp(struct addr *a, const struct sockaddr_storage *at, struct diag *d)
{
	const void *host;
	uint16_t port;

	if (at->ss_family == AF_INET6) {
		host = &((const struct sockaddr_in6 *)at)->sin6_addr;
		port = ((const struct sockaddr_in6 *)at)->sin6_port;
	} else {
		host = &((const struct sockaddr_in *)at)->sin_addr;
		port = ((const struct sockaddr_in *)at)->sin_port;
	}
	if (inet_ntop(at->ss_family, host, a->host, sizeof(a->host)) == NULL)
		return diag_set(d, PYSTUCK_ESYS, errno, "inherited socket: %m");
	a->kind = ADDR_TCP;
	a->port = ntohs(port);
	return 0;
}

static int fill_unix(struct addr *a, const struct sockaddr_un *at, socklen_t len, struct diag *d)
{
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t most = len > head ? len - head : 0;
	size_t n = strnlen(at->sun_path, most);

	if (n == 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"inherited socket: it has no path, so that no file mode guards it; use a "
			"path in "
			"ListenStream=");
	if (n > ADDR_PATH_MAX || at->sun_path[0] != '/')
		return diag_set(d, PYSTUCK_EINVAL, 0, "inherited socket: its path is not usable");
	memcpy(a->path, at->sun_path, n);
	a->path[n] = '\0';
	a->kind = ADDR_UNIX;
	return 0;
}

static int judge_file(const struct addr *a, int open_to_all, struct diag *d)
{
	struct stat st;

	if (lstat(a->path, &st) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "inherited socket %s: %m", a->path);
	if (!S_ISSOCK(st.st_mode))
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"inherited socket %s: something else lies at its path", a->path);
	if ((st.st_mode & S_IWOTH) != 0 && !open_to_all)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"inherited socket %s: mode %04o lets everybody connect; set "
			"SocketMode=0600 in the "
			"unit, or say who may come (allow=)",
			a->path, (unsigned)(st.st_mode & 07777));
	return 0;
}

/* Fills `a` from a listening stream socket of a family that we serve. */
static int judge(int fd, struct addr *a, int open_to_all, struct diag *d)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof(at);
	int rc;

	memset(&at, 0, sizeof(at));
	if (int_option(fd, SO_TYPE) != SOCK_STREAM || int_option(fd, SO_ACCEPTCONN) != 1)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"inherited fd %d is no listening stream socket; use ListenStream= and "
			"Accept=no",
			fd);
	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "inherited fd %d: %m", fd);
	switch (at.ss_family) {
	case AF_UNIX:
		rc = fill_unix(a, (const struct sockaddr_un *)&at, len, d);
		return rc != 0 ? rc : judge_file(a, open_to_all, d);
	case AF_INET:
	case AF_INET6:
		return fill_tcp(a, &at, d);
	default:
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"inherited fd %d is neither a Unix nor a TCP socket", fd);
	}
}

static int take_copy(struct listen_socket *s, int fd, struct diag *d)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "inherited fd %d: %m", fd);
	/* A copy, so that a server that is closed and run again finds the original in its place. */
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, FDS_START);
	if (s->fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "inherited fd %d: %m", fd);
	s->fd = ownfd_raise(s->fd);
	return 0;
}

int listen_inherited(struct listen_socket *s, const char *name, int open_to_all, struct diag *d)
{
	const char *pid = secure_getenv("LISTEN_PID");
	const char *fds = secure_getenv("LISTEN_FDS");
	const char *names = secure_getenv("LISTEN_FDNAMES");
	unsigned long count;
	int place;
	int rc;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	/* Inherited by a child of the process that they were meant for: not ours. */
	if (fds == NULL || names == NULL || number(pid, INT32_MAX) != (unsigned long)getpid())
		return 0;
	if (strcmp(fds, "0") == 0)
		return 0;
	count = number(fds, FDS_MAX);
	if (count == 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "$LISTEN_FDS is \"%s\"; it must be 1 to %d",
			fds, FDS_MAX);
	place = place_of(names, name);
	if (place < 0)
		return 0;
	if ((unsigned long)place >= count)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"$LISTEN_FDNAMES has \"%s\" behind the %lu sockets of $LISTEN_FDS", name,
			count);
	rc = judge(FDS_START + place, &s->addr, open_to_all, d);
	if (rc == 0)
		rc = take_copy(s, FDS_START + place, d);
	if (rc != 0)
		return rc;
	s->inherited = 1;
	return 1;
}
