/*
 * server.h: one net thread that serves any number of listeners: accept, authenticate, frames, limits and deadlines. No Python.
 *
 * Everything that changes the set of listeners happens while the net thread is parked (joined), so that nothing of the
 * server needs a lock; the ports (port.h) are the only part that other threads touch. The caller keeps these calls from
 * overlapping each other (module.c: one mutex). None may be made by the net thread. None takes or needs the GIL; callers
 * let go of it, since parking waits for the thread (microseconds: it never blocks).
 */
#ifndef PYSTUCK_SERVER_H
#define PYSTUCK_SERVER_H

#include <stdint.h>

#include "account.h"
#include "audit.h"
#include "error.h"
#include "keyfile.h"
#include "listen.h"
#include "policy.h"
#include "service.h"

#define SERVER_THREAD_NAME "pystuck"
#define SERVER_LISTENERS_MAX 16
#define SERVER_STRANGERS_MAX 32		/* connections that are not authenticated yet, for each listener */
#define SERVER_STRANGER_MS 5000		/* how long one may stay that way */
#define SERVER_ACCOUNT_MS 5000		/* how long PAM may take for a client that has a role */
#define SERVER_STALL_MS 30000		/* how long a client may leave what was sent to it unread */

struct server;

struct server_listener_options {
	struct listen_socket socket;	/* taken over */
	struct policy policy;
	struct keyring *keys;		/* taken over; NULL on a Unix socket, never on TCP */
	struct account_helper account;	/* way ACCOUNT_NONE: PAM is not asked */
	unsigned max_clients;		/* authenticated, at a time */
	unsigned gil_timeout_ms;
	struct audit *audit;		/* taken over; NULL: nothing is logged */
	int audit_required;		/* what cannot be logged is not evaluated */
	void *context;			/* handed to service->open and service->welcome */
};

/* NULL with a sentence in d. `service` is used for as long as the server lives. Starts no thread. */
struct server *server_new(const struct service *service, struct diag *d);
/* Parked only: closes everything and frees. NULL is fine. */
void server_free(struct server *s);

/* Starts the net thread: all signals blocked, named SERVER_THREAD_NAME, a small stack. 0 or PYSTUCK_ESYS. Idempotent. */
int server_resume(struct server *s, struct diag *d);
/* Ends and joins the net thread; listeners and sessions stay as they are, clients wait. Idempotent. */
void server_park(struct server *s);
int server_running(const struct server *s);
/* The native id of the net thread, also of the one that was parked last; 0 when none has run. */
pid_t server_tid(const struct server *s);

/*
 * Parked only. Adds a listener; *id names it from then on. On an error the options stay the caller's. PYSTUCK_ETOOBIG: too many.
 */
int server_add(struct server *s, const struct server_listener_options *o, uint32_t *id, struct diag *d);
/* Parked only. Says goodbye to its clients, closes them and the socket, removes the socket file. Returns the context, or NULL. */
void *server_remove(struct server *s, uint32_t id);
size_t server_count(const struct server *s);

/*
 * In a forked child, where the net thread does not exist: closes every fd that was inherited, unlinks nothing, calls no service
 * function, takes no lock, frees what is safe to free. s is gone after it.
 */
void server_forget(struct server *s);

#endif
