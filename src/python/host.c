/*
 * host.c: the one server of this process and its listeners; run, close, fork and exit. One mutex keeps these from overlapping; it
 * is never taken with the GIL held. The arguments of run_server() and Python objects are module.c's.
 */
#include "host.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eval.h"
#include "gil.h"
#include "forkgate.h"
#include "lane.h"
#include "ours.h"
#include "ownfd.h"
#include "server.h"

#define GONE_TRIES 200		/* of 50 us each: 10 ms */
#define STOP_MS 80		/* how long exit waits for our threads, all of them together */
#define STOP_LEAST_MS 20	/* of these, for each kind of them */
#define SYSTEMD_NAME "pystuck"	/* FileDescriptorName= of a socket unit that is ours */

/*
 * A listener's life: FREE -> OPEN -> FREE; in a forked child OPEN -> WAITING (to be opened under the child's own path) -> OPEN, or
 * OPEN -> GONE (its address is the parent's, or the child is not to serve) -> FREE when closed.
 */
enum listener_state { LISTENER_FREE, LISTENER_OPEN, LISTENER_WAITING, LISTENER_GONE };

struct listener {
	enum listener_state state;
	uint32_t id;
	uint32_t server_id;
	int per_process;
	struct addr addr;
	struct host_request request;
};

static struct {
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
} host = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void reset_locks(void)
{
	pthread_condattr_t monotonic;
	pthread_mutex_init(&host.lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&host.opener_wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

/* In a forked child, which has this one thread, GIL held: nothing of the parent's is ours any more. */
static void become_child(void)
{
	reset_locks();
	forkgate_forget();
	host.forks = 0;
	host.opener_started = 0;
	if (host.pid == 0)
		return;
	host.pid = getpid();
	ours_forget();
	eval_forget();
	lane_forget();
	gil_forget();
	if (host.server)
		server_forget(host.server);
	host.server = NULL;
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
		struct listener *l = &host.listeners[i];
		if (l->state == LISTENER_OPEN)
			l->state = l->per_process && !l->request.ignore_fork ? LISTENER_WAITING : LISTENER_GONE;
	}
}

void host_notice_fork(void)
{
	if (host.pid == 0 || host.pid == getpid())
		return;
	become_child();
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_WAITING)
			host.listeners[i].state = LISTENER_GONE;
}

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

/* Makes the socket that the request asks for. *per_process: a forked child can have its own. */
static int make_socket(const struct host_request *r, struct listen_socket *s, int *per_process,
	struct diag *d)
{
	struct listen_options o = { .mode = r->mode, .group = r->group,
		.open_to_all = policy_names_others(&r->policy) };
	*per_process = 0;
	if (r->place == HOST_TCP) {
		int e = addr_tcp(&o.addr, r->host, r->port, d);
		return e ? e : listen_open(s, &o, d);
	}
	if (r->place == HOST_DEFAULT) {
		int found = listen_inherited(s, SYSTEMD_NAME, o.open_to_all, d);
		if (found < 0)
			return found;
		if (found > 0) {
			int e = s->addr.kind == ADDR_TCP ? 0 : policy_check(&r->policy, d);
			if (e)
				listen_close(s);
			return e;
		}
	}
	int e = policy_check(&r->policy, d);
	if (e)
		return e;
	if (!r->mode_given && o.open_to_all)
		return diag_set(d, PYSTUCK_EINVAL, 0, "allow= lets in other users, but the default mode=0o600 keeps "
			"them from connecting; say mode=0o660 and group=, or mode=0o666");
	if (r->place == HOST_PATH) {
		*per_process = strstr(r->path, "{pid}") != NULL;
		e = addr_unix(&o.addr, r->path, d);
	} else {
		e = listen_default(&o.addr, per_process, d);
	}
	return e ? e : listen_open(s, &o, d);
}

/* A TCP socket of systemd: the program could not know of it and say key=, so the key is a credential of the unit. */
static int add_credential(struct server_listener_options *o, struct diag *d)
{
	if (!o->socket.inherited || o->socket.addr.kind != ADDR_TCP)
		return 0;
	o->keys = keyfile_credential(d);
	if (o->keys)
		return 0;
	return d->code != PYSTUCK_ENOENT ? d->code : diag_set(d, PYSTUCK_EINVAL, 0, "inherited socket %s port %u: no "
		"key, no TCP: set LoadCredential=pystuck.key:FILE in the unit of the service",
		o->socket.addr.host, (unsigned)o->socket.addr.port);
}

/* systemd says so to its services, and to what they start. */
static int in_service(void)
{
	return secure_getenv("JOURNAL_STREAM") != NULL || secure_getenv("INVOCATION_ID") != NULL;
}

/* 0 with o->audit made, or NULL where nothing is to be logged. */
static int add_audit(struct server_listener_options *o, const struct host_request *r, struct diag *d)
{
	char listener[ADDR_TEXT];
	enum host_audit to = r->audit;
	if (to == HOST_AUDIT_AUTO)
		to = o->socket.addr.kind == ADDR_TCP || o->socket.inherited || in_service() ? HOST_AUDIT_SYSLOG
			: HOST_AUDIT_NONE;
	o->audit_required = r->audit_required;
	if (to == HOST_AUDIT_NONE)
		return 0;
	addr_format(&o->socket.addr, listener);
	o->audit = to == HOST_AUDIT_CALL ? visitor_context_audit(r->context, listener) : audit_syslog(listener);
	return o->audit ? 0 : diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
}

/* Opens what l->request says and hands it to the parked server. */
static int open_listener(struct listener *l, struct diag *d)
{
	struct server_listener_options o = { .policy = l->request.policy, .keys = l->request.keys,
		.account = l->request.account, .max_clients = l->request.max_clients, .gil_timeout_ms = l->request.gil_timeout_ms,
		.context = l->request.context, .socket = { .fd = -1 } };
	int e = make_socket(&l->request, &o.socket, &l->per_process, d);
	if (e)
		return e;
	l->addr = o.socket.addr;
	e = add_credential(&o, d);
	if (!e)
		e = add_audit(&o, &l->request, d);
	if (!e)
		e = server_add(host.server, &o, &l->server_id, d);
	if (e) {
		if (o.keys != l->request.keys)
			keyring_free(o.keys);
		audit_free(o.audit);
		listen_close(&o.socket);
		return e;
	}
	l->request.keys = NULL;	/* the server has it now */
	l->state = LISTENER_OPEN;
	return 0;
}

/*
 * A thread that has been joined is still counted by the kernel for a moment, and Python counts with it. Waits until it is gone,
 * or for GONE_TRIES moments.
 */
static void wait_gone(pid_t tid)
{
	const struct timespec moment = { .tv_nsec = 50000 };
	for (int i = 0; i < GONE_TRIES && tgkill(getpid(), tid, 0) == 0; i++)
		nanosleep(&moment, NULL);
}

/* The net thread runs exactly when there is something to serve and nobody is forking; with nothing to serve nothing is kept. */
static int settle(struct diag *d)
{
	if (host.server && server_count(host.server) == 0) {
		pid_t tid = server_tid(host.server);
		server_free(host.server);
		host.server = NULL;
		wait_gone(tid);
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

int host_open(struct host_request *r, uint32_t *id, struct diag *d)
{
	int e = 0;
	pthread_mutex_lock(&host.lock);
	struct listener *l = find_free();
	e = watch_forks(d);
	if (e != 0)
		goto out;
	if (host.stopped) {
		e = diag_set(d, PYSTUCK_EINVAL, 0, "the interpreter is shutting down; it cannot be served any more");
		goto out;
	}
	if (!l) {
		e = diag_set(d, PYSTUCK_ETOOBIG, 0, "this process serves at %d addresses already; close one",
			SERVER_LISTENERS_MAX);
		goto out;
	}
	if (!host.server && !(host.server = server_new(&visitor_service, d))) {
		e = PYSTUCK_ENOMEM;
		goto out;
	}
	host.pid = getpid();
	server_park(host.server);
	l->request = *r;
	e = open_listener(l, d);
	if (e == 0) {
		l->id = ++host.last_id;
		e = settle(d);
		if (e) {
			server_remove(host.server, l->server_id);
			r->keys = NULL;	/* went with the listener */
		}
	}
	if (e == 0) {
		*id = l->id;
		memset(r, 0, sizeof *r);
	} else {
		struct diag ignored;
		memset(l, 0, sizeof *l);	/* what the request holds is still the caller's */
		settle(&ignored);		/* the others go on */
	}
out:
	pthread_mutex_unlock(&host.lock);
	return e;
}

/* The lock is held. Ends one listener; its request is freed but for the context, which needs the GIL. */
static struct visitor_context *close_listener(struct listener *l)
{
	if (l->state == LISTENER_OPEN) {
		server_park(host.server);
		server_remove(host.server, l->server_id);
	}
	struct visitor_context *context = l->request.context;
	l->request.context = NULL;
	host_request_free(&l->request);
	memset(l, 0, sizeof *l);
	return context;
}

void host_close(uint32_t id, struct visitor_context **context)
{
	struct diag ignored;
	*context = NULL;
	pthread_mutex_lock(&host.lock);
	struct listener *l = find(id);
	if (l)
		*context = close_listener(l);
	settle(&ignored);
	pthread_mutex_unlock(&host.lock);
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
		e = 0;
	}
	pthread_mutex_unlock(&host.lock);
	return e;
}

/* --- fork -------------------------------------------------------------------------------------------------------- */

/* The lock is held, and is let go of while the opener ends. */
static void cancel_opener(void)
{
	if (!host.opener_started)
		return;
	host.opener_cancel = 1;
	pthread_cond_signal(&host.opener_wake);
	host.opener_started = 0;
	pthread_t thread = host.opener;
	pthread_mutex_unlock(&host.lock);
	pthread_join(thread, NULL);
	pthread_mutex_lock(&host.lock);
}

/* The lock is held. Ends all threads of ours but evaluations that run. */
static void park_all(void)
{
	pid_t tids[OURS_MAX + 1];
	size_t n = ours_list(tids, OURS_MAX);
	cancel_opener();
	if (host.server) {
		server_park(host.server);
		tids[n++] = server_tid(host.server);
	}
	eval_park();
	lane_park();
	gil_park();
	for (size_t i = 0; i < n; i++)
		if (tids[i] != 0 && !ours_has(tids[i]))
			wait_gone(tids[i]);
}

void host_before_fork(void)
{
	pthread_mutex_lock(&host.lock);
	if (host.forks++ == 0)
		park_all();
	pthread_mutex_unlock(&host.lock);
	forkgate_close();	/* those that evaluate are not parked */
}

/* Opens the listeners that wait; those whose path is taken or not to be had are gone. */
static void open_waiting(void)
{
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
		struct listener *l = &host.listeners[i];
		struct diag d;
		if (l->state != LISTENER_WAITING)
			continue;
		if (!host.server)
			host.server = server_new(&visitor_service, &d);
		if (host.server)
			server_park(host.server);
		if (!host.server || open_listener(l, &d) != 0)
			l->state = LISTENER_GONE;
	}
}

static void *opener_main(void *arg)
{
	struct timespec until;
	struct diag d;
	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += HOST_CHILD_DELAY_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&host.lock);
	while (!host.opener_cancel &&
		pthread_cond_timedwait(&host.opener_wake, &host.lock, &until) == 0)
		;
	if (!host.opener_cancel) {
		open_waiting();
		settle(&d);
		host.opener_started = 0;
		pthread_detach(pthread_self());
	}
	pthread_mutex_unlock(&host.lock);
	return NULL;
}

/* The lock is held: the opener, too, says whether it runs. */
static void start_opener(void)
{
	int waiting = 0;
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		waiting |= host.listeners[i].state == LISTENER_WAITING;
	if (!waiting || host.opener_started || host.stopped)
		return;
	host.opener_cancel = 0;
	host.opener_started =
		gil_start_thread(&host.opener, SERVER_THREAD_NAME, 256 * 1024, opener_main, NULL) == 0;
}

void host_after_fork(void)
{
	struct diag ignored;
	pthread_mutex_lock(&host.lock);
	if (host.forks > 0)
		host.forks--;
	settle(&ignored);
	if (host.forks == 0) {
		start_opener();
		gil_resume();
	}
	pthread_mutex_unlock(&host.lock);
	forkgate_open();
}

void host_after_fork_child(void)
{
	become_child();
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_WAITING)
			visitor_context_refresh(host.listeners[i].request.context);
	pthread_mutex_lock(&host.lock);
	start_opener();
	pthread_mutex_unlock(&host.lock);
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
	cancel_opener();
	if (host.server)
		server_park(host.server);
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_OPEN)
			server_remove(host.server, host.listeners[i].server_id);
	server_free(host.server);
	host.server = NULL;
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state != LISTENER_FREE)
			host.listeners[i].state = LISTENER_GONE;
	pthread_mutex_unlock(&host.lock);
	uint64_t until = gil_now_ns() + STOP_MS * 1000000u;
	eval_stop(time_left(until, 2));
	lane_stop(time_left(until, 1));
	gil_stop(time_left(until, 0));
}
