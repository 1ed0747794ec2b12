/*
 * places.h: where the Unix sockets of servers may be: paths only, nobody is asked yet.
 */
#ifndef PYSTUCK_CLIENT_PLACES_H
#define PYSTUCK_CLIENT_PLACES_H

#include <sys/types.h>

#include "addr.h"
#include "error.h"

#define PLACES_MAX 1024 /* sockets that are looked at */

struct places {
	struct addr *at; /* each once */
	size_t count, room;
};

void places_free(struct places *p);
/*
 * Listening sockets with "pystuck" in their path (/proc/net/unix) and sockets in the default
 * places, as far as their files are there and the caller may connect to them. 0 or PYSTUCK_ENOMEM.
 */
int places_all(struct places *p);
/*
 * The sockets that may be the server of a process: what it listens on, in its own view of network
 * and files. 0 (also when there are none), PYSTUCK_ENOENT no such process, PYSTUCK_EPERM another
 * user's, or PYSTUCK_ENOMEM.
 */
int places_open(struct places *p, pid_t pid);
/* Those with "pystuck" in their path in the network that a process sees. 0 or PYSTUCK_ENOMEM. */
int places_named(struct places *p, pid_t pid);
/*
 * 1 when servers listen at such a path unless somebody says another: pystuck/NAME.sock, pystuck-UID/NAME.sock, pystuck.sock, or
 * what $PYSTUCK_SOCKET says.
 */
int places_is_usual(const char *path);
/* 1 when one of the process's threads is a server's. Every user may know. */
int places_has_server(pid_t pid);

#endif
