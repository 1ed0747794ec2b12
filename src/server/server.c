/*
 * server.c: starting and stopping the net thread, listeners' coming and going, and fork. The thread
 * itself is server_loop.c's.
 *
 * Only the net thread touches a server while it runs; everybody else changes it while the thread is
 * parked, which is to say joined. So there is no lock here but the turn, by which evaluation threads
 * run sessions in the net thread's place (turn.h); while it is parked they do not.
 */
#include "server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "replays.h"
#include "server_private.h"

#define STACK_FIRST                                                                                \
	(256u << 10) /* bytes; doubled while the program's thread-local data need more */
#define STACK_MOST (8u << 20)
#define LINGER_MS 1000 /* how long a client may take to close after our last words */
#define PARK_S 1       /* a thread that is told to end takes microseconds */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *thread_main(void *arg)
{
	struct server *s = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	atomic_store(&s->tid, gettid());
	(void)pthread_setname_np(pthread_self(), SERVER_THREAD_NAME);
	if (s->service->thread != NULL)
		s->service->thread(atomic_load(&s->tid));
	server_loop(s);
	return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void free_memory(struct server *s)
{
	turn_unref(s->turn);
	free(s->polls);
	free(s->polled);
	free(s);
}

struct server *server_new(const struct service *service, struct diag *d)
{
	struct server *s;

	/* libsodium is set up by the first key file: a Unix socket needs none of it. */
	s = calloc(1, sizeof(*s));
	if (s == NULL) {
		(void)diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
		return NULL;
	}
	s->service = service;
	s->times = (struct session_times){.stranger_ms = SERVER_STRANGER_MS,
		.stall_ms = SERVER_STALL_MS,
		.account_ms = SERVER_ACCOUNT_MS,
		.linger_ms = LINGER_MS};
	s->turn = turn_new();
	if (s->turn == NULL || server_loop_reserve(s, 0) != 0) {
		(void)diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
		free_memory(s);
		return NULL;
	}
	if (wake_open(&s->wake) != 0) {
		(void)diag_set(d, PYSTUCK_ESYS, errno, "cannot make a socket pair: %m");
		free_memory(s);
		return NULL;
	}
	return s;
}

static int start_thread(struct server *s)
{
	pthread_attr_t attr;
	int rc = pthread_attr_init(&attr);

	if (rc != 0)
		return rc;
	rc = EINVAL;
	for (size_t size = STACK_FIRST; rc == EINVAL && size <= STACK_MOST; size *= 2) {
		rc = pthread_attr_setstacksize(&attr, size);
		if (rc == 0)
			rc = pthread_create(&s->thread, &attr, thread_main, s);
	}
	/* Clients look for the name, which is to be there when the server is said to run. The thread names itself as well: this
	 * takes /proc. */
	if (rc == 0)
		(void)pthread_setname_np(s->thread, SERVER_THREAD_NAME);
	pthread_attr_destroy(&attr);
	return rc;
}

static void set_parked(struct server *s, int parked)
{
	turn_take(s->turn);
	s->turn->parked = parked;
	for (size_t i = 0; parked && i < s->count; i++)
		for (size_t j = 0; j < s->listeners[i]->count; j++)
			session_unlead(s->listeners[i]->sessions[j]);
	turn_give(s->turn);
}

int server_resume(struct server *s, struct diag *d)
{
	sigset_t all, before;
	int rc;

	if (s->running)
		return 0;
	atomic_store(&s->stop, 0);
	set_parked(s, 0);
	/* The thread inherits the mask, so that no signal of the program ever lands in it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = start_thread(s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		set_parked(s, 1);
		errno = rc;
		return diag_set(d, PYSTUCK_ESYS, rc, "cannot start a thread: %m");
	}
	s->running = 1;
	return 0;
}

/* Tells the thread to end and waits for it, at most until the time is up. 0, or why it goes on. */
static int ask_to_end(struct server *s)
{
	struct timespec until;

	atomic_store(&s->stop, 1);
	if (wake_call(&s->wake.out) != 0)
		return EBADF;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PARK_S;
	return pthread_timedjoin_np(s->thread, NULL, &until);
}

void server_park(struct server *s)
{
	if (!s->running)
		return;
	set_parked(s, 1);
	/*
	 * The program may have closed every fd there is, ours too, while the thread was in poll,
	 * which does not notice that. Nothing but this ends it then; it can be cancelled nowhere
	 * but there.
	 */
	if (ask_to_end(s) != 0) {
		pthread_cancel(s->thread);
		pthread_join(s->thread, NULL);
	}
	s->running = 0;
	if (s->service->thread != NULL)
		s->service->thread(0);
}

int server_running(const struct server *s)
{
	return s->running;
}

pid_t server_tid(const struct server *s)
{
	return atomic_load(&s->tid);
}

/* ---- listeners ------------------------------------------------------------------------------- */

static int check_options(
	const struct server *s, const struct server_listener_options *o, struct diag *d)
{
	if (s->running || o->socket.fd < 0)
		return diag_set(
			d, PYSTUCK_EINVAL, 0, "a listener needs a parked server and a socket");
	if (o->socket.addr.kind == ADDR_TCP && (o->keys == NULL || keyring_count(o->keys) == 0))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"a TCP port needs a key: make one with pystuck --keygen FILE");
	if (o->socket.addr.kind != ADDR_TCP && o->keys != NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"a key has no use on a Unix socket: the kernel says who comes");
	if (s->count == SERVER_LISTENERS_MAX)
		return diag_set(d, PYSTUCK_ETOOBIG, 0, "%d listeners are the most there can be",
			SERVER_LISTENERS_MAX);
	return 0;
}

int server_add(
	struct server *s, const struct server_listener_options *o, uint32_t *id, struct diag *d)
{
	struct listener *l;
	int rc = check_options(s, o, d);

	if (rc != 0)
		return rc;
	l = calloc(1, sizeof(*l));
	if (l == NULL || server_loop_reserve(s, 1) != 0 || ownfd_take(&l->own, o->socket.fd) != 0) {
		free(l);
		return diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
	}
	l->id = ++s->last_id;
	l->socket = o->socket;
	l->policy = o->policy;
	l->account = o->account;
	if (s->service->eval == NULL && l->policy.ceiling > ROLE_LOCALS)
		l->policy.ceiling = ROLE_LOCALS;
	l->door = (struct session_door){
		.service = s->service,
		.context = o->context,
		.policy = &l->policy,
		.keys = o->keys,
		.account = l->account.way == ACCOUNT_NONE ? NULL : &l->account,
		.audit = o->audit,
		.audit_required = o->audit_required,
		.max_clients = o->max_clients,
		.gil_timeout_ms = o->gil_timeout_ms,
		.times = s->times,
		.wake = s->wake.out,
		.turn = s->turn,
	};
	/* Without memory for it replays cost more, and gain as little. */
	l->door.replays = o->keys != NULL ? replays_new() : NULL;
	s->listeners[s->count++] = l;
	*id = l->id;
	return 0;
}

void *server_remove(struct server *s, uint32_t id)
{
	struct listener *l = NULL;
	uint64_t now = now_ns();
	void *context;
	size_t at;

	for (at = 0; at < s->count; at++) {
		if (s->listeners[at]->id == id) {
			l = s->listeners[at];
			break;
		}
	}
	if (l == NULL || s->running)
		return NULL;
	memmove(s->listeners + at, s->listeners + at + 1,
		(s->count - at - 1) * sizeof(struct listener *));
	s->count--;
	/* First no new ones, then goodbye to those who are here. */
	if (!ownfd_drop(&l->own))
		listen_lost(&l->socket);
	listen_close(&l->socket);
	turn_take(s->turn);
	for (size_t i = 0; i < l->count; i++) {
		session_goodbye(l->sessions[i], REASON_STOPPING, "the server is going away", now);
		session_free(l->sessions[i]);
	}
	for (struct session *next; l->unfinished != NULL; l->unfinished = next) {
		next = *session_next(l->unfinished);
		(void)session_is_unfinished(l->unfinished, now);
		session_free(l->unfinished);
	}
	turn_give(s->turn);
	context = l->door.context;
	audit_free(l->door.audit);
	keyring_free(l->door.keys);
	replays_free(l->door.replays);
	free(l->sessions);
	free(l);
	return context;
}

size_t server_count(const struct server *s)
{
	return s->count;
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	server_park(s);
	while (s->count > 0)
		(void)server_remove(s, s->listeners[0]->id);
	wake_close(&s->wake);
	free_memory(s);
}

void server_forget(struct server *s)
{
	for (size_t i = 0; i < s->count; i++) {
		struct listener *l = s->listeners[i];

		audit_forget(l->door.audit);
		if (!ownfd_drop(&l->own))
			l->socket.fd = -1;
		listen_forget(&l->socket);
		for (size_t j = 0; j < l->count; j++)
			session_forget(l->sessions[j]);
		for (struct session *next; l->unfinished != NULL; l->unfinished = next) {
			next = *session_next(l->unfinished);
			session_forget(l->unfinished);
		}
		keyring_forget(l->door.keys);
		replays_free(l->door.replays);
		free(l->sessions);
		free(l);
	}
	wake_close(&s->wake);
	free_memory(s);
}

/* ---- for tests ------------------------------------------------------------------------------- */

void server_set_times(struct server *s, const struct session_times *times)
{
	s->times = *times;
}

size_t server_sessions(const struct server *s, enum session_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		for (size_t j = 0; j < s->listeners[i]->count; j++)
			n += session_state(s->listeners[i]->sessions[j]) == state;
	return n;
}

uint64_t server_turns(const struct server *s)
{
	return atomic_load_explicit(&s->turns, memory_order_relaxed);
}
