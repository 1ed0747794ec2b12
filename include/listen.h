/*
 * listen.h: makes the listening socket safely, or takes the one that systemd hands over; and removes what it made.
 */
#ifndef PYSTUCK_LISTEN_H
#define PYSTUCK_LISTEN_H

#include <sys/stat.h>
#include <sys/types.h>

#include "addr.h"
#include "error.h"

struct listen_options {
	struct addr addr;
	mode_t mode;		/* of a Unix socket: at most 0777 */
	gid_t group;		/* of a Unix socket; (gid_t)-1: leave it */
	int open_to_all;	/* the rules say who may come: a socket that everybody may connect to is accepted */
};

/* What was made, by value. */
struct listen_socket {
	int fd;			/* non-blocking, CLOEXEC; -1: none */
	struct addr addr;	/* with the real port */
	int inherited;		/* from systemd: never unlinked */
	dev_t device;		/* of the socket file that this process made, to remove that one and no other */
	ino_t inode;
	pid_t owner;		/* the process that made it; others never unlink */
};

/*
 * Unix: checks every directory above the path (owner us or root, nobody else may write; a sticky directory counts only above
 * a 0700 directory of our own), removes a dead socket of our own, binds with the mode from the first moment on (fchmod before
 * bind; umask untouched), chowns to the group, listens. TCP: numeric address only.
 * PYSTUCK_EINUSE, PYSTUCK_EUNSAFE, PYSTUCK_ETOOBIG, PYSTUCK_EINVAL, PYSTUCK_ESYS with a sentence that says what to do.
 */
int listen_open(struct listen_socket *s, const struct listen_options *o, struct diag *d);

/*
 * The socket named `name` among those that systemd handed over ($LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES): a listening stream
 * socket. 1 found, 0 none (also when they are for another process), or an error with a sentence. The environment and the
 * other fds are left alone.
 */
int listen_inherited(struct listen_socket *s, const char *name, int open_to_all, struct diag *d);

/*
 * The path for when nobody said one: $PYSTUCK_SOCKET ("{pid}" replaced), $RUNTIME_DIRECTORY/pystuck.sock (its first entry),
 * $XDG_RUNTIME_DIR/pystuck/PID.sock, /run/user/UID/pystuck/PID.sock, as root /run/pystuck/PID.sock, else
 * /tmp/pystuck-UID/PID.sock. Makes the last directory (0700) where it is ours to make, and checks it. *per_process is 1 when
 * a forked child can serve under a path of its own: the path has the pid in it, or the next one has.
 */
int listen_default(struct addr *a, int *per_process, struct diag *d);
/*
 * Where another process listens at listen_default's path already: $RUNTIME_DIRECTORY/pystuck-PID.sock, for a service with several
 * processes. 1: *a is that one; 0: there is no other place.
 */
int listen_default_next(struct addr *a);
/* Removes dead sockets of processes that are gone from the directory of such a path: a program's children may end without. */
void listen_default_sweep(const struct addr *a);

/* Closes fd and unlinks the path if this process made it and the file there is still that one. */
void listen_close(struct listen_socket *s);
/* The program has closed the fd, which is another file's now or none: removes the dead socket file, leaves the fd alone. */
void listen_lost(struct listen_socket *s);
/* In a forked child: closes the fd, touches nothing else. */
void listen_forget(struct listen_socket *s);

#endif
