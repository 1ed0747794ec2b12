/*
 * port.h: the seam where answers cross from the workers (courier, evaluations) to a client: a bounded queue of messages, and
 * the claim by which a worker and the net thread agree who answers a request. Any thread may call; no call takes the GIL,
 * none waits except port_write and port_wait_request.
 *
 * Reference counted: a session holds one, each worker that may still write holds one.
 */
#ifndef PYSTUCK_PORT_H
#define PYSTUCK_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "msg.h"

#define PORT_ANSWER_MAX (48u << 20)	/* bytes of one answer that find room whatever else is queued */
#define PORT_HIGH_WATER (256u * 1024)	/* bytes queued, above which port_write waits */

struct port;

struct port *port_ref(struct port *p);
void port_unref(struct port *p);

/*
 * Queues a message and, where that is possible without waiting, sends it at once from the calling thread. Never waits and may
 * go over the high-water mark: for answers whose size is bounded by the request. 0, PYSTUCK_ECLOSED, PYSTUCK_ENOMEM,
 * PYSTUCK_ETOOBIG. A MSG_ERROR that cannot be queued ends the connection, so that no client waits for an answer for ever.
 */
int port_answer(struct port *p, const struct msg *m);
/*
 * The same for a run of frames made by channel_frame: a whole dump goes in one call. The bytes are taken, not copied, where nothing
 * else is queued: what *frames has afterwards is undefined, and the caller's to free.
 */
int port_answer_framed(struct port *p, struct buf *frames);

/*
 * Output of an evaluation. port_try_write queues and returns at once: 0, PYSTUCK_EAGAIN (over the high-water mark: nothing was
 * queued), PYSTUCK_ECLOSED. It may be called with the GIL held: it waits for nothing but a short memcpy. The net thread sends,
 * so that many small writes become few packets. port_write waits for room; the caller must not hold the GIL.
 */
int port_try_write(struct port *p, const struct msg *m);
/* The same at half the mark: for what may be dropped, so that it never stands in the way of what may not. */
int port_try_copy(struct port *p, const struct msg *m);
int port_write(struct port *p, const struct msg *m);

/*
 * The claim. The net thread gives every request that needs the GIL a deadline; the worker calls port_claim the moment it has
 * the GIL. 0: the answer is the worker's to give. PYSTUCK_ETIME: the net thread has answered already (or the client is
 * gone): do nothing. One request of each kind is open at a time.
 */
enum port_kind {
	PORT_DUMP = 0,
	PORT_EVAL = 1,
	PORT_ADMIT = 2,		/* may this client come in? asked before there is a session */
	PORT_KINDS,
};
int port_claim(struct port *p, enum port_kind kind, uint32_t id);
/*
 * Between port_claim and port_done: the program has said no. For PORT_ADMIT that turns the client away; for PORT_EVAL, whose client
 * the worker answers itself, it goes to the audit log. `text` is one line, and is cut to PORT_VETO_MAX bytes.
 */
#define PORT_VETO_MAX 256
void port_veto(struct port *p, enum port_kind kind, uint32_t id, struct span text);
/* The worker has given its answer to the claimed request: the next one of this kind may come. Call after the last message. */
void port_done(struct port *p, enum port_kind kind, uint32_t id);

/*
 * For the one thread that evaluates for a session and has nothing to do, GIL not held, no lock held, cancellation disabled: waits for
 * the client's next request in the net thread's place. What comes is read, checked and handed to the service (service.h) on this thread,
 * as the net thread would have done. 0: something may have come for the caller, or port_rouse was called: look, and come back.
 * PYSTUCK_EAGAIN: not now, the net thread reads; to be asked again after the next evaluation.
 */
int port_wait_request(struct port *p);
/*
 * Makes port_wait_request return, the one that runs or the next one. Any thread. 0, or PYSTUCK_ECLOSED: the program has closed our
 * fds, and a thread that waits does not notice: it may be cancelled (pthread_cancel) where it waits, and nowhere else in this room.
 */
int port_rouse(struct port *p);
/* That thread will not wait any more: the net thread reads from now on. */
void port_wait_end(struct port *p);

/* 1 when the client is gone: what is written now goes nowhere. */
int port_closed(struct port *p);

#endif
