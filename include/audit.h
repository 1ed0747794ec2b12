/*
 * audit.h: the log of who came, who was turned away and why, and what was evaluated. Events go to the system's log or to a
 * function. Nothing here waits: what cannot be handed over at once is lost, counted, and told with the next event. All text is
 * made safe (text.h) before it leaves. All calls for one audit are made by one thread at a time (the net thread).
 */
#ifndef PYSTUCK_AUDIT_H
#define PYSTUCK_AUDIT_H

#include <stdint.h>
#include <sys/types.h>

#include "addr.h"
#include "buf.h"
#include "msg.h"

/*
 * What happened; PYSTUCK_ACTION in the journal. Each connection has a CONNECT, and then either one REFUSE, or one OPEN and one
 * DISCONNECT (unless the process ends or the line was left out: see LOST).
 */
enum audit_action {
	AUDIT_CONNECT = 0,	/* "connect": somebody is there; nothing is known of them but what the kernel says */
	AUDIT_REFUSE,		/* "refuse": not let in; the reason says why */
	AUDIT_OPEN,		/* "open": let in, with a role */
	AUDIT_DENY,		/* "deny": a request of an open session that its role does not allow */
	AUDIT_EVAL,		/* "eval": an evaluation, before it begins; the source */
	AUDIT_VETO,		/* "veto": an audit hook of the program did not allow the session's last EVAL; the reason */
	AUDIT_LATE,		/* "late": the evaluation was not begun, since the GIL was not to be had */
	AUDIT_DISCONNECT,	/* "disconnect": the end of an open session: reason, duration, evals, dumps */
	AUDIT_KEYS,		/* "keys": the key file has changed, or can no longer be read; the reason says which */
	AUDIT_LISTEN,		/* "listen": the signal that a server waited for has come; the reason says what became of it */
	AUDIT_LOST,		/* "lost": this many events were left out, or could not be handed over */
	AUDIT_ACTIONS,
};

#define AUDIT_SOURCE_MAX 4096	/* bytes of an evaluation's source that are logged; of a longer one also the hash */
#define AUDIT_HASH 32		/* bytes of BLAKE2b: `b2sum -l 256` says the same */

/*
 * The journal's fields, each absent where there is nothing to say: MESSAGE (one line, the whole event in words), PRIORITY,
 * SYSLOG_FACILITY (10, authpriv), SYSLOG_IDENTIFIER (pystuck), PYSTUCK_ACTION, PYSTUCK_SESSION, PYSTUCK_UID, PYSTUCK_PID,
 * PYSTUCK_KEY, PYSTUCK_ROLE, PYSTUCK_ADDRESS, PYSTUCK_LISTENER, PYSTUCK_REASON, PYSTUCK_SOURCE, PYSTUCK_SOURCE_BYTES,
 * PYSTUCK_SOURCE_BLAKE2B (only when PYSTUCK_SOURCE is cut), PYSTUCK_DURATION_US, PYSTUCK_EVALS, PYSTUCK_DUMPS, PYSTUCK_LOST.
 */
struct audit_event {
	enum audit_action action;
	uint64_t session;	/* number of the connection in this process; 0: of none */
	uid_t uid;		/* by the kernel; (uid_t)-1: unknown */
	pid_t pid;		/* by the kernel; 0: unknown */
	const char *key;	/* name of the key that was proved; NULL or "": none */
	const char *address;	/* of a client on TCP; NULL or "": none */
	const char *listener;	/* where the client came in; audit_put fills it in */
	enum role role;		/* ROLE_NONE: not known yet, or none */
	struct span reason;	/* REFUSE, DENY, VETO, LATE, DISCONNECT, KEYS, LISTEN */
	struct span source;	/* EVAL: as the client sent it, whole */
	uint64_t duration_us;	/* DISCONNECT */
	uint64_t evals, dumps;	/* DISCONNECT */
	uint64_t lost;		/* LOST */
};

struct audit;

/* To the system's log: the journal where it is, else /dev/log. `listener` is copied. NULL: out of memory. */
struct audit *audit_syslog(const char *listener);
/*
 * To a function, which copies what it needs and returns at once: 0, or less when it could not take the event. It is called by
 * the thread that calls audit_put.
 */
typedef int audit_call_fn(void *context, const struct audit_event *e);
struct audit *audit_call(const char *listener, audit_call_fn *call, void *context);
/* Tells how many events are untold, if any, and frees. NULL is fine. */
void audit_free(struct audit *a);
/* In a forked child: closes the fd, tells nobody. */
void audit_forget(struct audit *a);

/*
 * Logs an event. `a` NULL: there is no log, and that is fine. `now`: CLOCK_MONOTONIC, ns.
 *
 * Events about who is not let in yet (CONNECT, REFUSE) are at most AUDIT_STRANGERS_PER_S in any second, those that a client with
 * a role can cause at will (OPEN, DENY, LATE, DISCONNECT) at most AUDIT_CLIENTS_PER_S; what is over that is left out, and told by one LOST
 * when the second is over. EVAL, VETO, KEYS and LISTEN are never left out.
 *
 * 0: handed over, or left out; PYSTUCK_ECLOSED: there is nobody to hand it to; PYSTUCK_EAGAIN: the log is full.
 */
#define AUDIT_STRANGERS_PER_S 20
#define AUDIT_CLIENTS_PER_S 200
int audit_put(struct audit *a, const struct audit_event *e, uint64_t now);

/* When audit_tick is to be called to tell what was left out; UINT64_MAX: nothing was. NULL is fine in both. */
uint64_t audit_deadline(const struct audit *a);
void audit_tick(struct audit *a, uint64_t now);

/* ---- an event as text ------------------------------------------------------------------------ */

const char *audit_action_name(enum audit_action action);

/*
 * Appends the event in words, one line without a newline, with at most `source_max` bytes of the source: "eval: uid 1000, pid 4242,
 * role eval, session 7: 1+1". 0, PYSTUCK_ETOOBIG, PYSTUCK_ENOMEM: then b holds a part.
 */
int audit_text(struct buf *b, const struct audit_event *e, size_t source_max);
/* "" or, where the source is longer than `most` bytes, its BLAKE2b in hex. Any thread, once an audit has been made. */
void audit_source_hash(const struct audit_event *e, size_t most, char hex[static 2 * AUDIT_HASH + 1]);

#endif
