/*
 * dial.h: opens a socket to a server and finds out whose server it is before a byte is sent.
 */
#ifndef PYSTUCK_CLIENT_DIAL_H
#define PYSTUCK_CLIENT_DIAL_H

#include <stdint.h>
#include <sys/types.h>

#include "addr.h"
#include "error.h"

/*
 * Opens a socket to `a` and returns its fd (non-blocking). On a Unix socket the server's uid is
 * checked before anything is sent: the caller's own, root's, or that of the owner of the socket's
 * directory. *uid and *pid (each may be NULL) say who it is, -1 and 0 on TCP. Errors:
 * PYSTUCK_ENOENT nobody there or no socket, PYSTUCK_EUNSAFE another user's socket, PYSTUCK_EPERM
 * not allowed to connect, PYSTUCK_ETIME, PYSTUCK_ESYS.
 */
int dial_open(const struct addr *a, int64_t deadline, uid_t *uid, pid_t *pid, struct diag *d);

#endif
