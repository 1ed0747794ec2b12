/*
 * server_loop.c: what the net thread does: poll, accept, run the sessions that have something to
 * do. Starting and stopping it, and the listeners' coming and going, are server.c's.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server_private.h"

#define MS 1000000u         /* ns */
#define ACCEPTS_PER_TURN 16 /* then those who are connected have their turn */
#define PAUSE_MS 100        /* without accept when there are no fds, without poll when it fails */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t all_sessions(const struct server *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->count; i++)
		n += s->listeners[i]->count;
	return n;
}

int server_loop_reserve(struct server *s, size_t more)
{
	/* A session about which PAM is asked has two. */
	size_t need = 1 + s->count + 2 * (all_sessions(s) + more);
	size_t room = s->poll_room > 0 ? s->poll_room : 16;
	struct session **polled;
	struct pollfd *polls;

	if (need <= s->poll_room)
		return 0;
	while (room < need)
		room *= 2;
	polls = realloc(s->polls, room * sizeof(*polls));
	if (polls == NULL)
		return PYSTUCK_ENOMEM;
	s->polls = polls;
	polled = realloc(s->polled, room * sizeof(struct session *));
	if (polled == NULL)
		return PYSTUCK_ENOMEM;
	s->polled = polled;
	s->poll_room = room;
	return 0;
}

static int reserve_session(struct listener *l)
{
	size_t room = l->room > 0 ? l->room * 2 : 8;
	struct session **sessions;

	if (l->count < l->room)
		return 0;
	sessions = realloc(l->sessions, room * sizeof(struct session *));
	if (sessions == NULL)
		return PYSTUCK_ENOMEM;
	l->sessions = sessions;
	l->room = room;
	return 0;
}

/* Closed ones that are not over for the log, which are no clients any more. */
static void look_at_unfinished(struct listener *l, uint64_t now)
{
	struct session *s = l->unfinished, *next;

	for (l->unfinished = NULL; s != NULL; s = next) {
		next = *session_next(s);
		if (session_is_unfinished(s, now)) {
			*session_next(s) = l->unfinished;
			l->unfinished = s;
		} else {
			session_free(s);
		}
	}
}

/* Out of the list of clients. */
static void drop(struct listener *l, size_t i, uint64_t now)
{
	struct session *s = l->sessions[i];

	if (session_state(s) == SESSION_CLOSED && session_is_unfinished(s, now)) {
		*session_next(s) = l->unfinished;
		l->unfinished = s;
	} else {
		session_free(s);
	}
	memmove(l->sessions + i, l->sessions + i + 1,
		(l->count - i - 1) * sizeof(struct session *));
	l->count--;
}

static void push_out(struct listener *l, size_t i, uint64_t now)
{
	session_cut(l->sessions[i], "pushed out by newer connections", now);
	drop(l, i, now);
}

/* How much speaks for somebody who is not in yet; -1: is in. */
static int standing(const struct session *session)
{
	switch (session_state(session)) {
	case SESSION_OPEN:
	case SESSION_ADMIT:
		return -1;
	case SESSION_ACCOUNT:
		return 2;
	case SESSION_HELLO:
		return session_role(session) != ROLE_NONE;
	default:
		return 0;
	}
}

/*
 * Closing sessions count as strangers: what they leave behind is bounded in the same way. Of those
 * with the least standing the oldest goes: first who has proved nothing or has no role, then who
 * has a role and has yet to say HELLO, last those about whom PAM is asked. So a flood pushes itself
 * out, and not who belongs while his answer is on its way.
 */
static void make_room_for_stranger(struct listener *l, uint64_t now)
{
	size_t strangers = 0;
	size_t out = 0;
	int least = INT_MAX;

	for (size_t i = 0; i < l->count; i++) {
		int has = standing(l->sessions[i]);

		if (has < 0)
			continue;
		strangers++;
		if (has < least) {
			least = has;
			out = i;
		}
	}
	if (strangers >= SERVER_STRANGERS_MAX)
		push_out(l, out, now);
}

static void welcome(struct server *s, struct listener *l, int fd, uint64_t now)
{
	struct session *session = NULL;

	make_room_for_stranger(l, now);
	if (server_loop_reserve(s, 1) == 0 && reserve_session(l) == 0)
		session = session_new(&l->door, fd, now);
	else
		close(fd);
	if (session == NULL)
		return;
	l->sessions[l->count++] = session;
	/* Most clients have spoken by now: that saves them a turn. */
	session_run(session, POLLIN, now);
}

/* What an error of accept means. 1: try the next connection; 0: not now. */
static int after_error(struct listener *l, int sys, uint64_t now)
{
	switch (sys) {
	case EAGAIN:
		return 0;
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENOPROTOOPT:
	case ENONET:
		return 1; /* that connection failed, not the listener */
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		l->broken = 1;
		return 0;
	default:
		/* No fds or no memory: the connection stays in the queue, and poll would not wait.
		 */
		l->paused_until = now + (uint64_t)PAUSE_MS * MS;
		return 0;
	}
}

/* leaving: clients have hung up of whom not all has been read yet. */
static void accept_some(struct server *s, struct listener *l, int leaving, uint64_t now)
{
	l->broken = !ownfd_is(&l->own);
	for (int i = 0; i < ACCEPTS_PER_TURN && !l->broken; i++) {
		/* Nobody is refused for want of a place that is about to be free: first another
		 * turn. */
		if (l->door.clients >= l->door.max_clients && (i > 0 || leaving))
			break;

		int fd = accept4(l->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			welcome(s, l, fd, now);
		else if (!after_error(l, errno, now))
			break;
	}
}

static void add_poll(struct server *s, size_t *n, int fd, short events, struct session *session)
{
	s->polls[*n] = (struct pollfd){.fd = fd, .events = events};
	s->polled[*n] = session;
	(*n)++;
}

/* After the sessions' own: where PAM's verdicts come from. */
static void add_accounts(struct server *s, size_t *n)
{
	size_t sessions = *n;

	for (size_t i = 1 + s->count; i < sessions; i++) {
		int fd = session_account_fd(s->polled[i]);

		if (fd >= 0)
			add_poll(s, n, fd, POLLIN, s->polled[i]);
	}
}

/* Fills the poll arrays. *next: when to wake up in any case. Returns how many entries there are. */
static size_t fill_polls(struct server *s, uint64_t now, uint64_t *next)
{
	size_t n = 0;

	*next = UINT64_MAX;
	add_poll(s, &n, s->wake_broken ? -1 : s->wake.in.fd, POLLIN, NULL);
	for (size_t i = 0; i < s->count; i++) {
		struct listener *l = s->listeners[i];
		int paused = l->paused_until > now;
		uint64_t audit = audit_deadline(l->door.audit), due = service_due(l->door.service);

		if (paused && l->paused_until < *next)
			*next = l->paused_until;
		if (audit < *next)
			*next = audit;
		if (due < *next)
			*next = due;
		add_poll(s, &n, paused || l->broken ? -1 : l->socket.fd, POLLIN, NULL);
	}
	for (size_t i = 0; i < s->count; i++) {
		struct listener *l = s->listeners[i];

		for (size_t j = 0; j < l->count; j++) {
			struct session *session = l->sessions[j];
			uint64_t deadline = session_deadline(session);

			if (deadline < *next)
				*next = deadline;
			add_poll(s, &n, session_is_led(session) ? -1 : session_fd(session),
				session_events(session), session);
		}
	}
	add_accounts(s, &n);
	return n;
}

static int timeout_ms(const struct server *s, uint64_t now, uint64_t next)
{
	uint64_t ms;

	/* Nobody can call us: look ourselves whether we are to stop. */
	if (s->wake_broken && (next == UINT64_MAX || next > now + (uint64_t)PAUSE_MS * MS))
		return PAUSE_MS;
	if (next == UINT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	ms = (next - now + MS - 1) / MS;
	return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

/* Takes the calls. 1 when ports may have something for us. */
static int was_woken(struct server *s)
{
	if ((s->polls[0].revents & POLLNVAL) != 0)
		s->wake_broken = 1;
	if (s->wake_broken)
		return 1;
	if (s->polls[0].revents == 0)
		return 0;
	if (wake_drain(&s->wake) < 0)
		s->wake_broken = 1;
	return 1;
}

/* Returns whether there are clients that have hung up and of whom not all has been read yet. */
static int run_sessions(struct server *s, size_t n, int all, uint64_t now)
{
	int leaving = 0;
	size_t sessions = 1 + s->count + all_sessions(s);

	/* A word of PAM's: looked at before anything that the client does now. */
	for (size_t i = sessions; i < n; i++)
		if (s->polls[i].revents != 0)
			session_run(s->polled[i], 0, now);
	for (size_t i = 1 + s->count; i < sessions; i++) {
		short revents = s->polls[i].revents;

		session_look(s->polled[i], now);

		/* Somebody has closed the fd behind our back. */
		if ((revents & POLLNVAL) != 0)
			revents = POLLERR;
		if (all || revents != 0 || session_deadline(s->polled[i]) <= now)
			session_run(s->polled[i], revents, now);
		leaving |= (revents & POLLHUP) != 0 &&
			   session_state(s->polled[i]) != SESSION_CLOSED;
	}
	for (size_t i = 0; i < s->count; i++) {
		struct listener *l = s->listeners[i];

		audit_tick(l->door.audit, now);
		if (service_due(l->door.service) <= now)
			l->door.service->tick(now);
		for (size_t j = l->count; j > 0; j--)
			if (session_state(l->sessions[j - 1]) == SESSION_CLOSED)
				drop(l, j - 1, now);
		look_at_unfinished(l, now);
	}
	return leaving;
}

static void accept_all(struct server *s, int leaving, uint64_t now)
{
	short revents[SERVER_LISTENERS_MAX] = {0};

	/* Accepting may move the arrays. */
	for (size_t i = 0; i < s->count; i++)
		revents[i] = s->polls[1 + i].revents;
	for (size_t i = 0; i < s->count; i++) {
		if ((revents[i] & POLLNVAL) != 0)
			s->listeners[i]->broken = 1;
		else if (revents[i] != 0)
			accept_some(s, s->listeners[i], leaving, now);
	}
}

/*
 * The one place where the thread can be cancelled, which is server_park's last resort, and where it
 * lets go of the turn.
 */
static int wait_for(struct server *s, size_t n, int timeout)
{
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};
	int ready, sys;

	turn_give(s->turn);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	ready = poll(s->polls, (nfds_t)n, timeout);
	sys = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	/* EINVAL when the program has lowered its limit of fds below what we have. */
	if (ready < 0 && sys != EINTR)
		nanosleep(&pause, NULL);
	turn_take(s->turn);
	return ready;
}

void server_loop(struct server *s)
{
	int all = 1; /* much may have happened while nobody looked */
	int leaving;

	turn_take(s->turn);
	while (!atomic_load(&s->stop)) {
		uint64_t now = now_ns();
		uint64_t next;
		size_t n = fill_polls(s, now, &next);
		int ready;

		s->turn->until = next;
		ready = wait_for(s, n, all ? 0 : timeout_ms(s, now, next));
		atomic_fetch_add_explicit(&s->turns, 1, memory_order_relaxed);
		if (ready < 0)
			continue;
		now = now_ns();
		all |= was_woken(s);
		leaving = run_sessions(s, n, all, now);
		accept_all(s, leaving, now);
		all = 0;
	}
	turn_give(s->turn);
}
