/*
 * host_private.h: the state that host.c and host_fork.c share, and what they call of each other.
 */
#ifndef PYSTUCK_PYTHON_HOST_PRIVATE_H
#define PYSTUCK_PYTHON_HOST_PRIVATE_H

#include <pthread.h>
#include <sys/types.h>

#include "host.h"
#include "server.h"

/*
 * A listener's life: FREE -> OPEN -> FREE; with a signal FREE -> ARMED -> OPEN, when the signal comes. In a forked child OPEN ->
 * WAITING (to be opened under the child's own path) -> OPEN, or OPEN, ARMED -> GONE (its address is the parent's, or the child is
 * not to serve) -> FREE when closed.
 */
enum listener_state { LISTENER_FREE, LISTENER_ARMED, LISTENER_OPEN, LISTENER_WAITING, LISTENER_GONE };

struct listener {
	enum listener_state state;
	uint32_t id;
	uint32_t server_id;
	int per_process;
	struct addr addr;
	struct host_request request;
	/* With request.signo: */
	pid_t armed_by;		/* the process that run_server() was called in */
	unsigned signals;	/* how many have come and been acted on */
	char error[DIAG_TEXT];	/* why the last one opened nothing; "" */
};

struct host {
	pthread_mutex_t lock;
	pid_t pid;		/* whose state this is: 0 before the first listener */
	struct server *server;
	struct listener listeners[SERVER_LISTENERS_MAX];
	uint32_t last_id;
	int forks;		/* between before and after, in all threads */
	int stopped;		/* at exit: nothing is started any more */
	/* In a forked child: the thread that opens what waits, after a delay. */
	pthread_t opener;
	int opener_started;
	int opener_cancel;
	pthread_cond_t opener_wake;
};
extern struct host host;

/* The lock is held: */

/* Opens what l->request says and hands it to the parked server: 0, or a PYSTUCK_E... */
int host_open_listener(struct listener *l, struct diag *d);
/* The server, made if there is none; NULL: there is no memory, or too many fds are open. */
struct server *host_need_server(struct diag *d);
/* The net thread runs exactly when there is something to serve and nobody is forking; with nothing to serve nothing is kept. */
int host_settle(struct diag *d);
/* Ends the thread that opens what waits; the lock is let go of meanwhile. */
void host_cancel_opener(void);

/* The lock is not held: a thread waits for signals exactly when a listener is armed. 0, or an error number. */
int host_sync_waiter(void);

#endif
