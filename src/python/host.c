/*
 * host.c: the one server of this process and its listeners; run, close and exit. One mutex keeps these from overlapping; it is never
 * taken with the GIL held. Forks are host_fork.c's, the arguments of run_server() and Python objects module.c's.
 */
#include "host_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval.h"
#include "gil.h"
#include "host_listener.h"
#include "hurry.h"
#include "lane.h"
#include "ours.h"
#include "ownfd.h"
#include "sigwaiter.h"

#define STOP_MS 80		/* how long exit waits for our threads, all of them together */
#define STOP_LEAST_MS 20	/* of these, for each kind of them */

struct host host = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct listener *find(uint32_t id)
{
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state != LISTENER_FREE && host.listeners[i].id == id)
			return &host.listeners[i];
	return NULL;
}

static struct listener *find_free(void)
{
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_FREE)
			return &host.listeners[i];
	return NULL;
}

void host_request_free(struct host_request *r)
{
	free(r->path);
	keyring_free(r->keys);
	visitor_context_free(r->context);
	memset(r, 0, sizeof *r);
}

int host_open_listener(struct listener *l, struct diag *d)
{
	struct server_listener_options o;
	int was_armed = l->state == LISTENER_ARMED;
	int e = host_listener_open(&l->request, was_armed && l->armed_by != getpid(), &o, &l->per_process, d);
	if (e)
		return e;
	struct addr addr = o.socket.addr;
	if (was_armed)
		host_listener_tell(&l->request, o.audit, "the server listens");
	e = server_add(host.server, &o, &l->server_id, d);
	if (e) {
		host_listener_undo(&l->request, &o);
		return e;
	}
	l->addr = addr;
	l->request.keys = NULL;	/* the server has it now */
	l->state = LISTENER_OPEN;
	return 0;
}

int host_settle(struct diag *d)
{
	if (host.server && server_count(host.server) == 0) {
		pid_t tid = server_tid(host.server);
		server_free(host.server);
		host.server = NULL;
		gil_await_gone(tid);
	}
	if (host.server && host.forks == 0 && !host.stopped)
		return server_resume(host.server, d);
	return 0;
}

/* Once: what a child of a fork that Python does not know of must not keep. */
static int watch_forks(struct diag *d)
{
	static int watched;
	if (!watched && pthread_atfork(NULL, NULL, ownfd_close_all) != 0)
		return diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
	watched = 1;
	return 0;
}

struct server *host_need_server(struct diag *d)
{
	if (!host.server)
		host.server = server_new(&visitor_service, d);
	if (host.server)
		server_park(host.server);
	return host.server;
}

/* The lock is held; l is free and becomes the request's. What the request holds is the caller's again after an error. */
static int open_now(struct listener *l, struct host_request *r, struct diag *d)
{
	if (!host_need_server(d))
		return d->code;
	l->request = *r;
	int e = host_open_listener(l, d);
	if (e == 0) {
		e = host_settle(d);
		if (e) {
			server_remove(host.server, l->server_id);
			r->keys = NULL;	/* went with the listener */
		}
	}
	if (e) {
		struct diag ignored;
		memset(l, 0, sizeof *l);
		host_settle(&ignored);	/* the others go on */
	}
	return e;
}

/* The same for one that is to be opened by a signal. */
static int arm(struct listener *l, struct host_request *r, struct diag *d)
{
	int e = host_listener_prepare(r, d);
	if (e)
		return e;
	l->request = *r;
	/* Where the default one is, is seen when it opens. */
	l->per_process = r->place == HOST_DEFAULT || (r->place == HOST_PATH && strstr(r->path, "{pid}") != NULL);
	l->armed_by = getpid();
	l->signals = sigwaiter_count(r->signo);
	l->state = LISTENER_ARMED;
	return 0;
}

/* For sigwaiter.h: is there anything that a signal would open? */
static int has_armed(void)
{
	int armed = 0;
	pthread_mutex_lock(&host.lock);
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		armed |= host.listeners[i].state == LISTENER_ARMED;
	armed &= host.forks == 0 && !host.stopped;
	pthread_mutex_unlock(&host.lock);
	return armed;
}

/* Its signal has come. */
static void open_armed(struct listener *l)
{
	struct diag d = { 0 };
	int e = host_need_server(&d) ? host_open_listener(l, &d) : d.code;
	if (e == 0 && (e = host_settle(&d)) != 0) {
		server_remove(host.server, l->server_id);
		l->state = l->request.place == HOST_TCP ? LISTENER_GONE : LISTENER_ARMED;	/* its key has gone */
	}
	memcpy(l->error, d.text, sizeof l->error);
	if (e) {
		struct diag ignored;
		host_listener_tell(&l->request, NULL, l->error);
		host_settle(&ignored);
	}
}

/* On the thread of sigwaiter.h. */
static void open_called(void)
{
	int armed = 0;
	pthread_mutex_lock(&host.lock);
	for (size_t i = 0; i < SERVER_LISTENERS_MAX && !host.stopped; i++) {
		struct listener *l = &host.listeners[i];
		if (l->state != LISTENER_ARMED)
			continue;
		unsigned signals = sigwaiter_count(l->request.signo);
		if (signals != l->signals)
			open_armed(l);
		l->signals = signals;
		armed |= l->state == LISTENER_ARMED;
	}
	if (!armed)
		sigwaiter_leave();
	pthread_mutex_unlock(&host.lock);
}

int host_sync_waiter(void)
{
	return sigwaiter_sync(has_armed, open_called);
}

static int open_locked(struct host_request *r, uint32_t *id, struct diag *d)
{
	struct listener *l = find_free();
	int e = watch_forks(d);
	if (e)
		return e;
	if (host.stopped)
		return diag_set(d, PYSTUCK_EINVAL, 0, "the interpreter is shutting down, or an earlier one "
			"in this process has been: it cannot be served any more");
	if (!l)
		return diag_set(d, PYSTUCK_ETOOBIG, 0, "this process serves at %d addresses already; close one",
			SERVER_LISTENERS_MAX);
	host.pid = getpid();
	e = r->signo ? arm(l, r, d) : open_now(l, r, d);
	if (e)
		return e;
	l->id = *id = ++host.last_id;
	memset(r, 0, sizeof *r);
	return 0;
}

int host_open(struct host_request *r, uint32_t *id, struct diag *d)
{
	int is_armed = r->signo != 0;
	pthread_mutex_lock(&host.lock);
	int e = open_locked(r, id, d);
	pthread_mutex_unlock(&host.lock);
	if (e || !is_armed || host_sync_waiter() == 0)
		return e;
	/* The request as it was, for the caller to free. */
	pthread_mutex_lock(&host.lock);
	struct listener *l = find(*id);
	if (l) {
		*r = l->request;
		memset(l, 0, sizeof *l);
	}
	pthread_mutex_unlock(&host.lock);
	return diag_set(d, PYSTUCK_ESYS, EAGAIN, "cannot start a thread: %s", strerror(EAGAIN));
}

/* The lock is held. Ends one listener; its request is freed but for what needs the GIL. */
static void close_listener(struct listener *l, struct host_closed *closed)
{
	if (l->state == LISTENER_OPEN) {
		server_park(host.server);
		server_remove(host.server, l->server_id);
	}
	closed->context = l->request.context;
	closed->signo = l->request.signo;
	l->request.context = NULL;
	host_request_free(&l->request);
	memset(l, 0, sizeof *l);
}

void host_close(uint32_t id, struct host_closed *closed)
{
	struct diag ignored;
	*closed = (struct host_closed){ 0 };
	pthread_mutex_lock(&host.lock);
	struct listener *l = find(id);
	if (l)
		close_listener(l, closed);
	host_settle(&ignored);
	pthread_mutex_unlock(&host.lock);
	if (closed->signo)
		host_sync_waiter();
}

size_t host_list(uint32_t *ids, size_t most)
{
	size_t n = 0;
	pthread_mutex_lock(&host.lock);
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state != LISTENER_FREE && n < most)
			ids[n++] = host.listeners[i].id;
	pthread_mutex_unlock(&host.lock);
	return n;
}

int host_state(uint32_t id, struct host_state *state)
{
	int e = PYSTUCK_ENOENT;
	pthread_mutex_lock(&host.lock);
	struct listener *l = find(id);
	if (l) {
		state->addr = l->addr;
		state->running = l->state == LISTENER_OPEN && !host.stopped;
		state->signo = l->state == LISTENER_ARMED && !host.stopped ? l->request.signo : 0;
		memcpy(state->error, l->error, sizeof state->error);
		e = 0;
	}
	pthread_mutex_unlock(&host.lock);
	return e;
}

/* --- exit -------------------------------------------------------------------------------------------------------- */

/* Milliseconds until then, less what the `others` that are still to be stopped may need; never less than one of them gets. */
static int time_left(uint64_t until, int others)
{
	uint64_t now = gil_now_ns();
	int ms = until > now ? (int)((until - now) / 1000000u) : 0;
	ms -= others * STOP_LEAST_MS;
	return ms > STOP_LEAST_MS ? ms : STOP_LEAST_MS;
}

void host_stop(void)
{
	if (host.pid != 0 && host.pid != getpid())
		return;		/* a child whose fork nobody told us of: all of this is the parent's */
	pthread_mutex_lock(&host.lock);
	host.stopped = 1;
	pthread_mutex_unlock(&host.lock);
	eval_announce_end();
	host_sync_waiter();
	pthread_mutex_lock(&host.lock);
	host_cancel_opener();
	if (host.server)
		server_park(host.server);
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_OPEN) {
			server_remove(host.server, host.listeners[i].server_id);
			if (host.listeners[i].request.place == HOST_DEFAULT)
				listen_default_sweep(&host.listeners[i].addr);
		}
	server_free(host.server);
	host.server = NULL;
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state != LISTENER_FREE)
			host.listeners[i].state = LISTENER_GONE;
	pthread_mutex_unlock(&host.lock);
	uint64_t until = gil_now_ns() + STOP_MS * 1000000u;
	hurry_exit(1);
	eval_stop(time_left(until, 2));
	lane_stop(time_left(until, 1));
	gil_stop(time_left(until, 0));
	hurry_exit(0);
}
