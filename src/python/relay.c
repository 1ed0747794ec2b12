/*
 * relay.c: the wait for another thread. What that thread runs is on_main.c's and on_loop.c's.
 */
#include <Python.h>

#include "relay.h"

#include <errno.h>
#include <time.h>

#include "compat_eval.h"
#include "eval_self.h"
#include "gil.h"

#define MISSED_PAUSE_NS 100000 /* until the thread that stands in the way has its own id */

/* Those whose code is on a thread now. GIL. */
static struct relay *running;

void relay_init(struct relay *r)
{
	pthread_condattr_t attr;

	*r = (struct relay){.state = RELAY_WAITING};
	pthread_mutex_init(&r->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&r->changed, &attr);
	pthread_condattr_destroy(&attr);
}

void relay_destroy(struct relay *r)
{
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
}

void relay_interrupt(struct relay *r)
{
	pthread_mutex_lock(&r->lock);
	r->interrupts++;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

int relay_begin(struct relay *r)
{
	if (r->state != RELAY_WAITING)
		return 0;
	r->state = RELAY_RUNNING;
	return 1;
}

void relay_end(struct relay *r)
{
	r->state = RELAY_DONE;
	pthread_mutex_lock(&r->lock);
	r->woken = 1;
	pthread_cond_signal(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* Whose code the thread is in; NULL: nobody's. */
static struct relay *innermost(const PyThreadState *thread)
{
	struct relay *r = running;

	while (r != NULL && r->runs_on != thread)
		r = r->next;
	return r;
}

void relay_enter(struct relay *r)
{
	r->runs_on = PyThreadState_Get();
	r->next = running;
	running = r;
}

int relay_leave(struct relay *r)
{
	PyThreadState *own = r->runs_on;
	struct relay **at, *outer;
	int sent = r->hit || r->wanted;

	for (at = &running; *at != r; at = &(*at)->next)
		;
	*at = r->next;
	/* From here on nobody sends another; and one that was sent must not hit the program. */
	r->runs_on = NULL;
	if (r->hit)
		(void)compat_drop_async_exc(own, own->thread_id);
	r->hit = r->wanted = 0;
	outer = innermost(own);
	if (outer != NULL && outer->wanted) {
		outer->wanted = 0;
		(void)relay_hit(outer);
	}
	return sent;
}

void relay_forget(void)
{
	const PyThreadState *own = PyThreadState_Get();
	struct relay **at = &running;

	while (*at != NULL)
		if ((*at)->runs_on == own)
			at = &(*at)->next;
		else
			*at = (*at)->next;
}

int relay_hit(struct relay *r)
{
	const struct timespec pause = {0, MISSED_PAUSE_NS};

	while (r->runs_on != NULL) {
		if (innermost(r->runs_on) != r) {
			r->wanted = 1;
			return 1;
		}
		r->hit = 1;
		if (compat_send_async_exc(r->runs_on, r->runs_on->thread_id, eval_interrupt_type()))
			return 1;
		Py_BEGIN_ALLOW_THREADS
		nanosleep(&pause, NULL);
		Py_END_ALLOW_THREADS
	}
	return 0;
}

/* No GIL. */
static enum relay_event wait_unheld(struct relay *r, uint64_t deadline_ns)
{
	struct timespec until = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
	int rc = 0;

	pthread_mutex_lock(&r->lock);
	while (!r->woken && r->interrupts == r->seen && rc != ETIMEDOUT)
		rc = deadline_ns == UINT64_MAX ? pthread_cond_wait(&r->changed, &r->lock)
					       : pthread_cond_timedwait(&r->changed, &r->lock, &until);
	if (r->woken)
		rc = RELAY_ENDED;
	else
		rc = r->interrupts != r->seen ? RELAY_INTERRUPTED : RELAY_LATE;
	r->seen = r->interrupts;
	pthread_mutex_unlock(&r->lock);
	return (enum relay_event)rc;
}

enum relay_event relay_wait(struct relay *r, uint64_t deadline_ns)
{
	enum relay_event event;

	Py_BEGIN_ALLOW_THREADS
	event = wait_unheld(r, deadline_ns);
	Py_END_ALLOW_THREADS
	return event;
}
