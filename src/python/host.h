/*
 * host.h: pystuck's presence in this process: its one server, the listeners that run_server() asked for, and what becomes of
 * them at a fork and at exit. It joins the server room (sockets) with the workers of this room (courier, evaluations).
 *
 * "No GIL": the caller must have let go of the GIL, because the call may wait for a thread that needs it.
 */
#ifndef PYSTUCK_PYTHON_HOST_H
#define PYSTUCK_PYTHON_HOST_H

#include "account.h"
#include "error.h"
#include "keyfile.h"
#include "listen.h"
#include "policy.h"
#include "visitor.h"

enum host_place {
	HOST_DEFAULT,		/* systemd's socket named "pystuck", else listen_default() */
	HOST_PATH,		/* `path`, "{pid}" in it replaced */
	HOST_TCP,		/* `host`, `port`, `keys` */
};

/* Where the audit log goes. */
enum host_audit {
	HOST_AUDIT_AUTO,	/* to the system's log on TCP and in a service of systemd, else nowhere */
	HOST_AUDIT_NONE,
	HOST_AUDIT_SYSLOG,
	HOST_AUDIT_CALL,	/* to the function of `context` */
};

/* What run_server() was asked for; kept, so that a forked child can do the same again. */
struct host_request {
	enum host_place place;
	char *path;		/* malloc'd; HOST_PATH */
	char host[256];		/* HOST_TCP */
	long port;
	mode_t mode;
	int mode_given;		/* by the caller, not the default */
	gid_t group;		/* (gid_t)-1: leave it */
	struct policy policy;
	struct keyring *keys;
	struct account_helper account;	/* way ACCOUNT_NONE: no account check */
	enum host_audit audit;
	int audit_required;	/* what cannot be logged is not evaluated */
	unsigned max_clients;
	unsigned gil_timeout_ms;
	int signo;		/* opened when this signal comes; 0: now */
	int ignore_fork;	/* a forked child does not serve, not even under an address of its own */
	struct visitor_context *context;
};

/* The request and what it holds; GIL held. */
void host_request_free(struct host_request *r);

/*
 * No GIL. Takes *r over when it succeeds (and leaves it zeroed); *id names the listener in all calls below. With r->signo (which the
 * caller has taken, sigwaiter.h) the listener opens when the signal comes.
 */
int host_open(struct host_request *r, uint32_t *id, struct diag *d);
/* What the caller gives back under the GIL: visitor_context_free, sigwaiter_give. */
struct host_closed {
	struct visitor_context *context;	/* NULL when it was closed before */
	int signo;				/* 0: none */
};
/* No GIL. Closes the listener and says goodbye to its clients. */
void host_close(uint32_t id, struct host_closed *closed);
/* No GIL. The ids that are open now, at most `most`; returns how many there are. */
size_t host_list(uint32_t *ids, size_t most);

/* No GIL. What is known of a listener. 0 or PYSTUCK_ENOENT. */
struct host_state {
	struct addr addr;
	int running;
	int signo;		/* of one that waits for it; 0: does not wait */
	char error[DIAG_TEXT];	/* why the last signal opened nothing; "" */
};
int host_state(uint32_t id, struct host_state *state);

/*
 * GIL held; before any of the calls above and below. A C library's fork() runs none of Python's hooks: in its child our fds have been
 * closed (pthread_atfork), and this notices the rest. The parent's listeners are not the child's; it may open its own.
 */
void host_notice_fork(void);
/* No GIL. Parks all threads of ours that can be, so that the process forks with none; counted, for forks in several threads. */
void host_before_fork(void);
/* No GIL. The other half, in the parent, when fork() has returned. */
void host_after_fork(void);
/*
 * In the child, GIL held: closes all that was inherited. Listeners whose address has the pid in it are opened again under the
 * new one (unless ignore_fork), a moment later (HOST_CHILD_DELAY_MS), so that a child which only execs or exits leaves nothing
 * behind.
 */
#define HOST_CHILD_DELAY_MS 100
void host_after_fork_child(void);

/* At exit. No GIL. Closes everything and ends our threads, each wait bounded. */
void host_stop(void);

#endif
