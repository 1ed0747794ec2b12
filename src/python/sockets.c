/*
 * sockets.c: getsockname, getpeername and SO_PEERCRED of somebody else's socket. Whether anybody waits for it is kernel.c's.
 */
#include "sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "kernel.h"

static void unix_text(char out[static SOCKETS_TEXT], const struct sockaddr_un *a, socklen_t len)
{
	size_t n = len > offsetof(struct sockaddr_un, sun_path) ? len - offsetof(struct sockaddr_un, sun_path) : 0;

	if (n > sizeof a->sun_path)
		n = sizeof a->sun_path;
	if (n > SOCKETS_TEXT - 1)
		n = SOCKETS_TEXT - 1;
	memcpy(out, a->sun_path, n);
	out[n] = '\0';
	if (n > 0 && out[0] == '\0')
		out[0] = '@'; /* an abstract name, as others show it */
}

void sockets_text(char out[static SOCKETS_TEXT], const struct sockaddr_storage *address, socklen_t len)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
	char host[INET6_ADDRSTRLEN] = "";

	out[0] = '\0';
	if (len < sizeof address->ss_family)
		return;
	if (address->ss_family == AF_UNIX)
		unix_text(out, (const struct sockaddr_un *)(const void *)address, len);
	else if (address->ss_family == AF_INET && len >= sizeof *in &&
		 inet_ntop(AF_INET, &in->sin_addr, host, sizeof host) != NULL)
		snprintf(out, SOCKETS_TEXT, "%s:%u", host, (unsigned)ntohs(in->sin_port));
	else if (address->ss_family == AF_INET6 && len >= sizeof *in6 &&
		 inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host) != NULL)
		snprintf(out, SOCKETS_TEXT, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
}

static const char *type_of(int fd, int family)
{
	int type = 0;
	socklen_t len = sizeof type;

	if (family == AF_UNIX)
		return "Unix";
	if ((family != AF_INET && family != AF_INET6) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return "socket";
	return type == SOCK_STREAM ? "TCP" : type == SOCK_DGRAM ? "UDP" : "socket";
}

/* A client's end of a Unix socket seldom has a name: then who made it. */
static void name_process(struct sockets_ends *ends, int fd)
{
	struct ucred peer = {0};
	socklen_t len = sizeof peer;
	char comm[KERNEL_COMM];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 || peer.pid <= 0)
		return;
	kernel_comm(comm, (uint32_t)peer.pid);
	snprintf(ends->peer, sizeof ends->peer, comm[0] != '\0' ? "pid %ld (%s)" : "pid %ld", (long)peer.pid, comm);
}

int sockets_look(struct sockets_ends *ends, int fd)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof address;
	int family, listens = 0;

	memset(ends, 0, sizeof *ends);
	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return -1;
	family = address.ss_family;
	ends->type = type_of(fd, family);
	sockets_text(ends->local, &address, len < sizeof address ? len : sizeof address);
	len = sizeof listens;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
		return 0;
	len = sizeof address;
	if (getpeername(fd, (struct sockaddr *)&address, &len) == 0) {
		sockets_text(ends->peer, &address, len < sizeof address ? len : sizeof address);
		if (family == AF_UNIX && ends->peer[0] == '\0')
			name_process(ends, fd);
	}
	return 0;
}
