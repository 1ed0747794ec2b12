/*
 * port_private.h: the half of a port that only the server room uses. All calls are made by the
 * thread that has the turn (turn.h).
 */
#ifndef PYSTUCK_PORT_PRIVATE_H
#define PYSTUCK_PORT_PRIVATE_H

#include "channel.h"
#include "ownfd.h"
#include "port.h"

struct session;
struct turn;

/*
 * A port over a channel, with one reference. Takes the channel over (freed by port_close). Work
 * for the net thread is announced by wake_call(wake), which is copied. NULL: out of memory, the channel is still the caller's.
 */
struct port *port_new(struct channel *ch, const struct ownfd *wake);
/*
 * Before anybody else knows the port: whose it is, so that port_wait_request may read for the session; until port_close. Without
 * this call it never does.
 */
void port_wait_for(struct port *p, struct session *session, struct turn *turn);
/* Sends what can be sent now, and waits for a worker that is just sending: last words are not lost to it. */
void port_finish(struct port *p);
/*
 * The end: what is queued is dropped, claims fail from now on, port_write lets go, the fd is
 * closed. The port itself lives until its last reference goes. Waits for a worker that is just
 * sending: microseconds.
 */
void port_close(struct port *p);
/* 1 when somebody else has a reference, too: a worker that is not done yet. */
int port_is_shared(const struct port *p);
/* The session's reference, given back: nobody is called any more, since the wake may now be closed. NULL is fine. */
void port_abandon(struct port *p);
/* In a forked child: closes the fd and frees what no thread of the parent was working on. */
void port_forget(struct port *p);

/*
 * Sends what can be sent now. 0: all gone; PYSTUCK_EAGAIN: the rest waits for POLLOUT;
 * PYSTUCK_ECLOSED, PYSTUCK_ESYS: the connection is lost, also when a worker has found that out.
 */
int port_pump(struct port *p);

/* What waits to be sent. */
struct port_load {
	size_t bytes;      /* queued or on their way */
	int blocked;       /* the socket is full: poll for POLLOUT */
	int lost;          /* sending has failed */
	uint64_t moved_ns; /* monotonic: when bytes last went out, or the first came in */
};
void port_load(struct port *p, struct port_load *load);

/* A request's life: FREE -> EXPECTED -> CLAIMED -> ENDING -> FREE; EXPECTED -> FREE when late. */
enum port_request {
	PORT_FREE,
	PORT_EXPECTED, /* waits for a worker's claim */
	PORT_CLAIMED,
	PORT_ENDING, /* nobody waits for it any more; FREE in a moment */
};

/* Opens a request; the slot must be PORT_FREE. */
void port_expect(struct port *p, enum port_kind kind, uint32_t id, uint64_t deadline_ns);
enum port_request port_request(struct port *p, enum port_kind kind);
/*
 * The net thread is to be woken, once, when the load falls below the high-water mark or to nothing,
 * or when a request becomes free. What is waited for is looked at again after this call.
 */
void port_watch(struct port *p);
/* 1 when the request had not been claimed by its deadline: it has been taken back, and is FREE. */
int port_expire(struct port *p, enum port_kind kind, uint64_t now_ns);
/*
 * 1 when the program has said no to a request of this kind since this was last asked: which one, and in what words (one line,
 * as they came).
 */
int port_vetoed(struct port *p, enum port_kind kind, uint32_t *id, char text[static PORT_VETO_MAX + 1]);
/* The next deadline of an unclaimed request; UINT64_MAX when there is none. */
uint64_t port_deadline(struct port *p);
/* The client lets go of a request: a claimed one is FREE at once, an expected one when it is
 * claimed. */
void port_detach(struct port *p, enum port_kind kind, uint32_t id);

#endif
