/*
 * port_wait.c: an evaluation thread that has nothing to do waits for its client's next request
 * itself, which saves the hop over the net thread. When it may, and what it does with what comes,
 * is session_lead.c's.
 */
#include "port_inside.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#include "error.h"
#include "session.h"
#include "turn.h"

enum { CLIENT, ROUSE, POLLED };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void port_wait_for(struct port *p, struct session *session, struct turn *turn)
{
	p->session = session;
	p->turn = turn_ref(turn);
}

/* The client's fd, when it is the calling thread's to watch; else -1. */
static int lead(struct port *p)
{
	int fd = -1;

	turn_take(p->turn);
	if (p->session != NULL && session_lead(p->session))
		fd = session_fd(p->session);
	turn_give(p->turn);
	return fd;
}

/* 1 when the thread has been called since this was last asked; -1 when it cannot be called. */
static int take_call(struct port *p)
{
	int called;

	pthread_mutex_lock(&p->lock);
	called = p->roused;
	p->roused = 0;
	if (p->rouse.in.fd < 0 && wake_open(&p->rouse) != 0)
		called = -1;
	pthread_mutex_unlock(&p->lock);
	return called;
}

/* The client has said something, or is gone. */
static int act(struct port *p, short revents)
{
	int rc = PYSTUCK_EAGAIN;

	turn_take(p->turn);
	if (p->session != NULL && session_act(p->session, revents, now_ns()))
		rc = 0;
	turn_give(p->turn);
	return rc;
}

/* The one place where the thread can be cancelled: port_rouse says when that is needed. As poll. */
static int wait_for(struct pollfd *polls)
{
	int ready, sys;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	ready = poll(polls, POLLED, -1);
	sys = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return ready < 0 && sys == EINTR ? 0 : ready;
}

int port_wait_request(struct port *p)
{
	struct pollfd polls[POLLED] = {[CLIENT] = {.events = POLLIN}, [ROUSE] = {.events = POLLIN}};
	int called, ready;

	polls[CLIENT].fd = p->turn != NULL ? lead(p) : -1;
	if (polls[CLIENT].fd < 0)
		return PYSTUCK_EAGAIN;
	called = take_call(p);
	if (called > 0)
		return 0;
	/* Only this thread opens it, so that it needs no lock to look. */
	polls[ROUSE].fd = p->rouse.in.fd;
	ready = called == 0 ? wait_for(polls) : -1;
	/* No fds for it, or the program has closed them, or allows so few that poll fails. */
	if (ready < 0 || (polls[ROUSE].revents != 0 && wake_drain(&p->rouse) < 0)) {
		port_wait_end(p);
		return PYSTUCK_EAGAIN;
	}
	return ready > 0 && polls[CLIENT].revents != 0 ? act(p, polls[CLIENT].revents) : 0;
}

int port_rouse(struct port *p)
{
	int rc = 0;

	pthread_mutex_lock(&p->lock);
	p->roused = 1;
	if (p->rouse.out.fd >= 0)
		rc = wake_call(&p->rouse.out);
	pthread_mutex_unlock(&p->lock);
	return rc == 0 ? 0 : PYSTUCK_ECLOSED;
}

void port_wait_end(struct port *p)
{
	if (p->turn == NULL)
		return;
	turn_take(p->turn);
	if (p->session != NULL)
		session_unlead(p->session);
	turn_give(p->turn);
}
