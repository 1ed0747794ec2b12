/*
 * relay.c: the wait for another thread. What that thread runs is on_main.c's and on_loop.c's.
 */
#include <Python.h>

#include "relay.h"

#include <errno.h>
#include <time.h>

#include "gil.h"

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
