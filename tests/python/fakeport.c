/*
 * fakeport.c: the functions of port.h, collecting into memory. Sends nothing, refuses claims on
 * demand.
 */
#include "fakeport.h"

#include <stdlib.h>
#include <time.h>

#include "channel.h"
#include "error.h"

struct port *fakeport_new(void)
{
	struct port *p = calloc(1, sizeof *p);

	if (p == NULL)
		abort();
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->change, NULL);
	p->references = 1;
	buf_init(&p->bytes, (size_t)256 << 20);
	return p;
}

struct port *port_ref(struct port *p)
{
	__atomic_add_fetch(&p->references, 1, __ATOMIC_SEQ_CST);
	return p;
}

void port_unref(struct port *p)
{
	if (__atomic_sub_fetch(&p->references, 1, __ATOMIC_SEQ_CST) > 0)
		return;
	buf_free(&p->bytes);
	pthread_cond_destroy(&p->change);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

int port_answer_framed(struct port *p, struct buf *frames)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	p->answered_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	return buf_put(&p->bytes, buf_bytes(frames), buf_len(frames));
}

int port_answer(struct port *p, const struct msg *m)
{
	return channel_frame(&p->bytes, m);
}

int port_claim(struct port *p, enum port_kind kind, uint32_t id)
{
	(void)kind;
	(void)id;
	p->claimed = !p->late;
	return p->late ? PYSTUCK_ETIME : 0;
}

void port_done(struct port *p, enum port_kind kind, uint32_t id)
{
	(void)kind;
	(void)id;
	pthread_mutex_lock(&p->lock);
	p->done = 1;
	pthread_cond_broadcast(&p->change);
	pthread_mutex_unlock(&p->lock);
}

int port_closed(struct port *p)
{
	(void)p;
	return 0;
}
