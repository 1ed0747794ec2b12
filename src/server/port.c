/*
 * port.c: the queue of answers to one client. With port_claim.c (who answers a request) and
 * port_wait.c (who reads the next one) the only part of the server that other threads touch. Knows
 * no policy: when a request may be opened, and what becomes of a client that does not read, is
 * session.c's matter.
 *
 * Two mutexes. `lock` guards the queue and the claims and is held for copying memory only, so that
 * it may be taken with the GIL held. `send` guards the sending half of the channel and is held
 * while bytes are sealed and sent. `send` is taken first, and only ever tried, except by
 * port_finish and port_close.
 *
 * Nobody is missed: bytes are queued under `lock` before `send` is tried, and whoever has had
 * `send` looks at the queue again after giving it back. So if trying fails, the holder sees the
 * bytes.
 */
#include "port_inside.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "turn.h"

/* Besides the longest answer: what else may be queued, the high-water mark and a message each of an
 * evaluation and of the net thread. */
#define QUEUE_MAX (PORT_ANSWER_MAX + PORT_HIGH_WATER + 2 * (MSG_MAX + 64u))
#define QUEUE_KEEP (64u << 10) /* memory that an empty queue keeps */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct port *port_new(struct channel *ch, const struct ownfd *wake)
{
	struct port *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	atomic_init(&p->references, 1);
	p->pid = getpid();
	p->wake = *wake;
	p->channel = ch;
	p->rouse.in.fd = p->rouse.out.fd = -1;
	buf_init(&p->queue, QUEUE_MAX);
	buf_init(&p->moving, QUEUE_MAX);
	/* These cannot fail on Linux: the default attributes need no resources. */
	(void)pthread_mutex_init(&p->lock, NULL);
	(void)pthread_mutex_init(&p->send, NULL);
	(void)pthread_cond_init(&p->room, NULL);
	return p;
}

struct port *port_ref(struct port *p)
{
	atomic_fetch_add_explicit(&p->references, 1, memory_order_relaxed);
	return p;
}

static void destroy(struct port *p)
{
	wake_close(&p->rouse);
	turn_unref(p->turn);
	buf_free(&p->queue);
	buf_free(&p->moving);
	pthread_cond_destroy(&p->room);
	pthread_mutex_destroy(&p->send);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void give_back(struct port *p, int by_session)
{
	unsigned left;

	/* In a forked child the lock may be held for ever, by a thread that is not there. */
	if (p == NULL || p->pid != getpid())
		return;
	pthread_mutex_lock(&p->lock);
	/* Without the session nobody is called any more: the server may close its end. */
	if (by_session)
		p->wake = (struct ownfd){.fd = -1};
	left = atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) - 1;
	/* The session may have been closed, and kept for whoever was at work: it is over now. */
	if (left == 1)
		(void)wake_call(&p->wake);
	pthread_mutex_unlock(&p->lock);
	if (left != 0)
		return;
	channel_free(p->channel);
	destroy(p);
}

void port_unref(struct port *p)
{
	give_back(p, 0);
}

void port_abandon(struct port *p)
{
	give_back(p, 1);
}

void port_call(struct port *p)
{
	if (p->woken || p->closed)
		return;
	p->woken = 1;
	(void)wake_call(&p->wake);
}

void port_eased(struct port *p)
{
	if (p->watched)
		port_call(p);
	p->watched = 0;
}

/* `lock` is held. Nothing can be said to the client any more: the net thread is to end the session. */
static void lose(struct port *p)
{
	p->lost = 1;
	pthread_cond_broadcast(&p->room);
	port_call(p);
}

/* `lock` is held. */
static size_t load(const struct port *p)
{
	return buf_len(&p->queue) + p->moved;
}

/* `send` is held. Takes the queue's bytes out, as many as there are; 0 when there are none. */
static int take_queue(struct port *p)
{
	int taken = 0;

	pthread_mutex_lock(&p->lock);
	if (!p->closed && !p->lost && buf_len(&p->queue) > 0) {
		struct buf full = p->queue;

		p->queue = p->moving;
		p->moving = full;
		p->moved += buf_len(&full);
		taken = 1;
	}
	pthread_mutex_unlock(&p->lock);
	return taken;
}

/*
 * `send` is held, not `lock`. Notes how far sending has come. Calls the net thread only for what has changed: its own look at an
 * idle port must not call it again.
 */
static void note_sent(struct port *p, int rc)
{
	size_t pending = channel_pending(p->channel);
	size_t before, after;
	int lost;

	pthread_mutex_lock(&p->lock);
	before = load(p);
	if (pending < p->moved)
		p->moved_ns = now_ns();
	p->moved = pending;
	after = load(p);
	p->blocked = rc == PYSTUCK_EAGAIN;
	lost = !p->lost && rc != 0 && rc != PYSTUCK_EAGAIN;
	if (lost)
		p->lost = 1;
	if (after < PORT_HIGH_WATER || p->lost)
		pthread_cond_broadcast(&p->room);
	if (lost || (before >= PORT_HIGH_WATER && after < PORT_HIGH_WATER) || (before > 0 && after == 0))
		port_eased(p);
	pthread_mutex_unlock(&p->lock);
}

/* `send` is held. Until the queue is empty or the socket full: 0, PYSTUCK_EAGAIN or what failed. */
static int push(struct port *p)
{
	int rc = channel_flush(p->channel);

	while (rc == 0 && take_queue(p)) {
		rc = channel_put_framed(p->channel, buf_span(&p->moving));
		if (p->moving.capacity > QUEUE_KEEP)
			buf_free(&p->moving);
		else
			buf_clear(&p->moving);
		if (rc == 0)
			rc = channel_flush(p->channel);
		note_sent(p, rc);
	}
	note_sent(p, rc);
	return rc;
}

/* Are there bytes that a push would move now? */
static int wants_push(struct port *p)
{
	int wants;

	pthread_mutex_lock(&p->lock);
	wants = !p->closed && !p->lost && !p->blocked && load(p) > 0;
	pthread_mutex_unlock(&p->lock);
	return wants;
}

/*
 * Sends if nobody else is doing so; see the top of the file for why nothing is left lying. 0,
 * PYSTUCK_EAGAIN (the socket is full), or what went wrong.
 */
static int try_push(struct port *p)
{
	int rc = 0;

	do {
		if (pthread_mutex_trylock(&p->send) != 0)
			return 0;
		rc = p->channel != NULL ? push(p) : PYSTUCK_ECLOSED;
		pthread_mutex_unlock(&p->send);
	} while (rc == 0 && wants_push(p));
	return rc;
}

/* For workers: what they could not send themselves is the net thread's from here on. */
static void push_or_wake(struct port *p)
{
	if (try_push(p) == 0)
		return;
	pthread_mutex_lock(&p->lock);
	port_call(p);
	pthread_mutex_unlock(&p->lock);
}

int port_pump(struct port *p)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	p->woken = 0;
	/* Whatever blocked the last push may be over: that is why we are here. */
	p->blocked = 0;
	rc = p->lost ? PYSTUCK_ECLOSED : 0;
	pthread_mutex_unlock(&p->lock);
	return rc != 0 ? rc : try_push(p);
}

void port_load(struct port *p, struct port_load *out)
{
	pthread_mutex_lock(&p->lock);
	out->bytes = load(p);
	out->blocked = p->blocked;
	out->lost = p->lost;
	out->moved_ns = p->moved_ns;
	pthread_mutex_unlock(&p->lock);
}

/* `lock` is held. */
static int append_frames(struct buf *queue, struct buf *frames)
{
	struct buf taken = *frames;

	if (buf_len(queue) > 0 || buf_len(frames) > queue->limit)
		return buf_put(queue, buf_bytes(frames), buf_len(frames));
	*frames = *queue;
	frames->limit = taken.limit;
	taken.limit = queue->limit;
	*queue = taken;
	return 0;
}

/* `lock` is held. One of `m` and `frames` is not NULL. */
static int append(struct port *p, const struct msg *m, struct buf *frames)
{
	int empty = load(p) == 0;
	int rc;

	if (p->closed || p->lost)
		return PYSTUCK_ECLOSED;
	rc = frames != NULL ? append_frames(&p->queue, frames) : channel_frame(&p->queue, m);
	if (rc == 0 && empty)
		p->moved_ns = now_ns();
	return rc;
}

/*
 * `lock` is held. A client may send its next request before the worker gets to port_done: from here
 * on that is a request to wait for, not one too many.
 */
static void note_last(struct port *p, const struct msg *m)
{
	struct claim *c = &p->claims[PORT_EVAL];
	uint32_t id;

	if (m->type == MSG_RESULT)
		id = m->result.id;
	else if (m->type == MSG_ERROR)
		id = m->error.id;
	else if (m->type == MSG_MATCHES)
		id = m->matches.id;
	else
		return;
	if (c->state == PORT_CLAIMED && c->id == id)
		c->state = PORT_ENDING;
}

static int answer(struct port *p, const struct msg *m, struct buf *frames)
{
	int blocked;
	int rc;

	pthread_mutex_lock(&p->lock);
	rc = append(p, m, frames);
	blocked = p->blocked;
	if (m != NULL)
		note_last(p, m);
	/* The last thing that could be said about a request: nobody is to wait for an answer that never comes. */
	if (rc != 0 && m != NULL && m->type == MSG_ERROR && !p->closed && !p->lost)
		lose(p);
	pthread_mutex_unlock(&p->lock);
	/* A socket that is full is the net thread's to poll. */
	if (rc == 0 && !blocked)
		push_or_wake(p);
	return rc;
}

int port_answer(struct port *p, const struct msg *m)
{
	return answer(p, m, NULL);
}

int port_answer_framed(struct port *p, struct buf *frames)
{
	return buf_len(frames) == 0 ? 0 : answer(p, NULL, frames);
}

/* `lock` is held. */
static int write_below_mark(struct port *p, const struct msg *m, size_t mark)
{
	int rc;

	if (!p->closed && !p->lost && load(p) >= mark)
		return PYSTUCK_EAGAIN;
	rc = append(p, m, NULL);
	/* A blocked socket is being polled already. */
	if (rc == 0 && !p->blocked)
		port_call(p);
	return rc;
}

static int try_write(struct port *p, const struct msg *m, size_t mark)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	rc = write_below_mark(p, m, mark);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int port_try_write(struct port *p, const struct msg *m)
{
	return try_write(p, m, PORT_HIGH_WATER);
}

int port_try_copy(struct port *p, const struct msg *m)
{
	return try_write(p, m, PORT_HIGH_WATER / 2);
}

int port_write(struct port *p, const struct msg *m)
{
	int rc;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		rc = write_below_mark(p, m, PORT_HIGH_WATER);
		if (rc != PYSTUCK_EAGAIN)
			break;
		/* Without a time-out: a client that does not read is cut off, and that ends the
		 * wait. */
		pthread_cond_wait(&p->room, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int port_closed(struct port *p)
{
	int closed;

	pthread_mutex_lock(&p->lock);
	closed = p->closed || p->lost;
	pthread_mutex_unlock(&p->lock);
	return closed;
}

void port_finish(struct port *p)
{
	pthread_mutex_lock(&p->send);
	if (p->channel != NULL)
		(void)push(p);
	pthread_mutex_unlock(&p->send);
}

void port_close(struct port *p)
{
	struct channel *ch;

	p->session = NULL;
	/* First closed, so that whoever is sending stops after this round. */
	pthread_mutex_lock(&p->lock);
	p->closed = 1;
	for (size_t i = 0; i < PORT_KINDS; i++)
		p->claims[i] = (struct claim){.state = PORT_FREE};
	buf_free(&p->queue);
	p->moved = 0;
	pthread_cond_broadcast(&p->room);
	pthread_mutex_unlock(&p->lock);
	/* Then the fd, which nobody touches any more: its number may soon be somebody else's. */
	pthread_mutex_lock(&p->send);
	ch = p->channel;
	p->channel = NULL;
	pthread_mutex_unlock(&p->send);
	channel_free(ch);
}

int port_is_shared(const struct port *p)
{
	return atomic_load(&p->references) > 1;
}

void port_forget(struct port *p)
{
	/*
	 * A worker of the parent may have been at work here when the process forked: then its lock
	 * is held for ever, and what it guards is left alone.
	 */
	if (pthread_mutex_trylock(&p->send) == 0) {
		channel_free(p->channel);
		p->channel = NULL;
		pthread_mutex_unlock(&p->send);
	} else if (p->channel != NULL) {
		channel_forget(p->channel);
	}
}
