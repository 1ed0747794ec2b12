/*
 * host_fork.c: what becomes of the server and its listeners in a program that forks: our threads end before it, and a child opens
 * what is to be its own after a delay, since most children run another program at once.
 */
#include "host_private.h"

#include <time.h>
#include <unistd.h>

#include "eval.h"
#include "forkgate.h"
#include "gil.h"
#include "hurry.h"
#include "lane.h"
#include "ours.h"
#include "sigwaiter.h"

/* --- a child ----------------------------------------------------------------------------------------------------- */

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
	hurry_forget(); /* eval_forget uses its lock */
	eval_forget();
	lane_forget();
	gil_forget();
	sigwaiter_forget();
	if (host.server)
		server_forget(host.server);
	host.server = NULL;
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++) {
		struct listener *l = &host.listeners[i];
		if (l->state == LISTENER_OPEN)
			l->state = l->per_process && !l->request.ignore_fork ? LISTENER_WAITING : LISTENER_GONE;
		if (l->state == LISTENER_ARMED) {
			l->signals = sigwaiter_count(l->request.signo);	/* those that came were the parent's */
			if (!l->per_process || l->request.ignore_fork)
				l->state = LISTENER_GONE;
		}
	}
}

void host_notice_fork(void)
{
	if (host.pid == 0 || host.pid == getpid())
		return;
	become_child();
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_WAITING || host.listeners[i].state == LISTENER_ARMED)
			host.listeners[i].state = LISTENER_GONE;
}

/* --- before and after -------------------------------------------------------------------------------------------- */

void host_cancel_opener(void)
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
	host_cancel_opener();
	if (host.server) {
		server_park(host.server);
		tids[n++] = server_tid(host.server);
	}
	eval_park();
	lane_park();
	gil_park();
	for (size_t i = 0; i < n; i++)
		if (tids[i] != 0 && !ours_has(tids[i]))
			gil_await_gone(tids[i]);
}

void host_before_fork(void)
{
	pthread_mutex_lock(&host.lock);
	if (host.forks++ == 0)
		park_all();
	pthread_mutex_unlock(&host.lock);
	host_sync_waiter();
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
		if (!host_need_server(&d) || host_open_listener(l, &d) != 0)
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
		host_settle(&d);
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
	host_settle(&ignored);
	if (host.forks == 0) {
		start_opener();
		gil_resume();
	}
	pthread_mutex_unlock(&host.lock);
	host_sync_waiter();
	forkgate_open();
}

void host_after_fork_child(void)
{
	become_child();
	for (size_t i = 0; i < SERVER_LISTENERS_MAX; i++)
		if (host.listeners[i].state == LISTENER_WAITING || host.listeners[i].state == LISTENER_ARMED)
			visitor_context_refresh(host.listeners[i].request.context);
	pthread_mutex_lock(&host.lock);
	start_opener();
	pthread_mutex_unlock(&host.lock);
	host_sync_waiter();
}
