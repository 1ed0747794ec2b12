/*
 * port_inside.h: a port from the inside, for port.c, port_claim.c and port_wait.c. The locks and their order stand in port.c.
 */
#ifndef PYSTUCK_PORT_INSIDE_H
#define PYSTUCK_PORT_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "port_private.h"
#include "wake.h"

struct claim {
	enum port_request state;
	int detached; /* EXPECTED, but nobody waits for the end: FREE as soon as it is claimed */
	uint32_t id;
	uint64_t deadline_ns;
};

/* What the program said when it would not have a request carried out. */
struct veto {
	int said;
	uint32_t id;
	char text[PORT_VETO_MAX + 1];
};

struct port {
	atomic_uint references; /* given back under `lock` */
	pid_t pid;              /* the process that it belongs to */
	struct ownfd wake;      /* the net thread's; `lock`; none without a session (port_abandon) */
	struct turn *turn; /* NULL: nobody but the net thread ever reads for this session */
	struct session *session; /* whose turn `turn` is, guarded by it; NULL: closed */

	pthread_mutex_t lock;
	pthread_cond_t
		room; /* signalled when the load falls below the high-water mark, and at the end */
	struct buf queue; /* frames */
	size_t moved;     /* bytes that have left the queue for the channel and are not sent */
	uint64_t moved_ns;
	int closed;
	int lost;
	int blocked; /* the socket took no more: the next push is up to POLLOUT */
	int woken;   /* the net thread has been told and has not looked yet */
	int watched; /* the net thread waits for a request to end or for the load to fall */
	struct claim claims[PORT_KINDS];
	struct veto vetoes[PORT_KINDS];
	struct wake rouse; /* of the worker in port_wait_request; made by the first that waits */
	int roused;        /* it has been called since it last looked */

	pthread_mutex_t send;
	struct channel *channel; /* NULL when closed */
	struct buf moving;       /* frames on their way from the queue to the channel */
};


/* `lock` is held. Calls the net thread, once until it has looked. */
void port_call(struct port *p);
/* `lock` is held. Something that the net thread may wait for has come. */
void port_eased(struct port *p);

#endif
