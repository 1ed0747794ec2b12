/*
 * sockets.h: the two ends of a socket, as text.
 */
#ifndef PYSTUCK_PYTHON_SOCKETS_H
#define PYSTUCK_PYTHON_SOCKETS_H

#include <sys/socket.h>

#define SOCKETS_TEXT 128

struct sockets_ends {
	const char *type; /* "TCP", "UDP", "Unix"; "socket": something else */
	char local[SOCKETS_TEXT], peer[SOCKETS_TEXT]; /* empty: none, or not known */
};

/*
 * Asks the kernel about the program's own socket, in ways that neither wait nor change anything. 0; -1: it is no socket (any
 * more).
 */
int sockets_look(struct sockets_ends *ends, int fd);
/* An address as text: "10.0.0.5:80", "[::1]:80", "/run/x.sock", "@abstract"; empty when there is nothing to say. */
void sockets_text(char out[static SOCKETS_TEXT], const struct sockaddr_storage *address, socklen_t len);

#endif
