/*
 * listen_path.h: private to the server room: is the way to a socket file safe, and is the file that
 * lies there dead.
 */
#ifndef PYSTUCK_LISTEN_PATH_H
#define PYSTUCK_LISTEN_PATH_H

#include <stddef.h>
#include <sys/types.h>

#include "error.h"

/* May a sticky directory be the last one on the way? Only where a directory is about to be made. */
enum listen_path_last { LISTEN_PATH_PRIVATE, LISTEN_PATH_STICKY };

/*
 * Walks every directory above `path` (absolute), symbolic links included: each belongs to us or
 * root and nobody else may write it; below a sticky one there is one of ours with mode 0700. 0 or
 * an error with a sentence.
 */
int listen_path_check(const char *path, enum listen_path_last last, struct diag *d);

/*
 * Keeps other servers from making or removing sockets in the directory of `path` until the fd that
 * is returned is closed. Waits at most wait_ms for it; -1: not to be had.
 */
int listen_path_lock(const char *path, int wait_ms);

/* What lies at a path. */
enum listen_path_kind {
	LISTEN_PATH_NOTHING,
	LISTEN_PATH_DEAD,    /* a socket of ours where nobody listens */
	LISTEN_PATH_LIVE,    /* a socket that answers, or that we may not try */
	LISTEN_PATH_FOREIGN, /* somebody else's socket */
	LISTEN_PATH_OTHER,   /* no socket */
};
enum listen_path_kind listen_path_look(const char *path);
/* The process that listens there, by the kernel's word; 0: not known. */
pid_t listen_path_server(const char *path);

#endif
