/*
 * turn.h: private to the server room: whose turn it is to touch the sessions of one server. The net thread has it but while it polls;
 * an evaluation thread that reads its client's next request has it meanwhile (port_wait.c), and is then the net thread in all but
 * name. Held for as long as a session runs, which waits for nothing; before every other lock of the room.
 *
 * Counted, because a port may outlive the server.
 */
#ifndef PYSTUCK_SERVER_TURN_H
#define PYSTUCK_SERVER_TURN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct turn {
	atomic_uint references;
	pthread_mutex_t lock;
	/* By whose turn it is. */
	int parked;     /* the net thread is parked, or about to be: nobody reads in its place */
	uint64_t until; /* when the net thread looks at its sessions in any case, monotonic ns */
};

/* One reference; NULL without memory. Parked. */
struct turn *turn_new(void);
struct turn *turn_ref(struct turn *t);
/* NULL is fine. */
void turn_unref(struct turn *t);
void turn_take(struct turn *t);
void turn_give(struct turn *t);

#endif
