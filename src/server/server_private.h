/*
 * server_private.h: a server from the inside, for server.c, server_loop.c and their tests.
 */
#ifndef PYSTUCK_SERVER_PRIVATE_H
#define PYSTUCK_SERVER_PRIVATE_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server.h"
#include "session.h"
#include "turn.h"
#include "wake.h"

struct listener {
	uint32_t id;
	struct listen_socket socket;
	struct ownfd own; /* its fd */
	int broken;            /* somebody has closed our fd: never polled again */
	uint64_t paused_until; /* no accept before this time */
	struct policy policy;
	struct account_helper account;
	struct session_door door;
	struct session **sessions; /* oldest first */
	size_t count, room;
	struct session *unfinished; /* closed, but the program may yet say no to an evaluation: session_next */
};

struct server {
	const struct service *service;
	struct session_times times;
	struct listener *listeners[SERVER_LISTENERS_MAX];
	size_t count;
	uint32_t last_id;

	struct turn *turn; /* of the net thread, but while it polls */
	struct wake wake; /* ports and server_park call the net thread */
	int wake_broken;
	pthread_t thread;
	int running;
	_Atomic pid_t tid;
	atomic_int stop;
	_Atomic uint64_t turns;

	/* One entry each for wake, the listeners, the sessions, PAM's verdicts; room is made before a session
	 * comes. */
	struct pollfd *polls;
	struct session **polled; /* whose entry it is; NULL for the first ones */
	size_t poll_room;
};

/* The net thread, until s->stop. */
void server_loop(struct server *s);
/* Room in the poll arrays for `more` entries besides those that there are. 0 or PYSTUCK_ENOMEM. */
int server_loop_reserve(struct server *s, size_t more);

/* Tests, parked only. The times count for listeners that are added from now on. */
void server_set_times(struct server *s, const struct session_times *times);
size_t server_sessions(const struct server *s, enum session_state state);
/* Tests: how often the net thread has come back from poll. */
uint64_t server_turns(const struct server *s);

#endif
