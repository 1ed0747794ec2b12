/*
 * find.h: the servers on this machine: where their Unix sockets are, which of them answer, and the
 * choice of one.
 */
#ifndef PYSTUCK_CLIENT_FIND_H
#define PYSTUCK_CLIENT_FIND_H

#include <sys/types.h>

#include "addr.h"
#include "error.h"
#include "out.h"

/*
 * Looks at the listening sockets of /proc/net/unix with "pystuck" in their path and at the default
 * places. One server: its address in *a, and an fd that is dialled already. Several: on a terminal
 * the user chooses by number; else the list goes to standard error. Errors: PYSTUCK_ENOENT none,
 * PYSTUCK_EINVAL several.
 */
int find_one(struct addr *a, int *fd, int may_ask, struct diag *d);

/*
 * The address of the server of a process, and an fd if it is dialled already (else -1), or of a
 * unit of systemd ("app" means app.service, "app@" any of its instances), also when another user
 * runs it and its socket may be reached. Of several that answer the user chooses, as with find_one.
 * PYSTUCK_ENOENT no such process or unit, or no server; PYSTUCK_EPERM, PYSTUCK_EINVAL.
 */
int find_pid(struct addr *a, int *fd, pid_t pid, int may_ask, struct diag *d);
int find_unit(struct addr *a, int *fd, const char *unit, int may_ask, struct diag *d);

/* The first process that descends from this one and runs pystuck, whether or not it may be reached; 0: there is none. */
pid_t find_descendant(pid_t pid);

/* The table of --list. 0, or PYSTUCK_ENOENT with a sentence. */
int find_list(struct out *o, struct diag *d);

#endif
