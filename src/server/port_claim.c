/*
 * port_claim.c: who answers a request: the claims of the workers, the deadlines that the net thread
 * holds against them, and the program's vetoes. All of it under the port's `lock`.
 */
#include "port_inside.h"

#include <string.h>

#include "error.h"
#include "text.h"

void port_expect(struct port *p, enum port_kind kind, uint32_t id, uint64_t deadline_ns)
{
	pthread_mutex_lock(&p->lock);
	p->claims[kind] =
		(struct claim){.state = PORT_EXPECTED, .id = id, .deadline_ns = deadline_ns};
	pthread_mutex_unlock(&p->lock);
}

/* `lock` is held. */
static void set_free(struct port *p, struct claim *c)
{
	c->state = PORT_FREE;
	c->detached = 0;
	port_eased(p);
}

int port_claim(struct port *p, enum port_kind kind, uint32_t id)
{
	struct claim *c = &p->claims[kind];
	int rc = PYSTUCK_ETIME;

	pthread_mutex_lock(&p->lock);
	if (!p->closed && c->state == PORT_EXPECTED && c->id == id) {
		c->state = PORT_CLAIMED;
		if (c->detached)
			set_free(p, c);
		rc = 0;
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

void port_done(struct port *p, enum port_kind kind, uint32_t id)
{
	struct claim *c = &p->claims[kind];

	pthread_mutex_lock(&p->lock);
	if ((c->state == PORT_CLAIMED || c->state == PORT_ENDING) && c->id == id)
		set_free(p, c);
	pthread_mutex_unlock(&p->lock);
}

void port_veto(struct port *p, enum port_kind kind, uint32_t id, struct span text)
{
	struct veto *v = &p->vetoes[kind];
	size_t len = text_whole(text, PORT_VETO_MAX);

	pthread_mutex_lock(&p->lock);
	v->said = 1;
	v->id = id;
	if (len > 0)
		memcpy(v->text, text.data, len);
	v->text[len] = '\0';
	/* Also when the client has left: the log is to have it. */
	if (p->closed)
		(void)wake_call(&p->wake);
	else
		port_call(p);
	pthread_mutex_unlock(&p->lock);
}

int port_vetoed(struct port *p, enum port_kind kind, uint32_t *id, char text[static PORT_VETO_MAX + 1])
{
	struct veto *v = &p->vetoes[kind];
	int said;

	pthread_mutex_lock(&p->lock);
	said = v->said;
	v->said = 0;
	*id = v->id;
	memcpy(text, v->text, sizeof(v->text));
	pthread_mutex_unlock(&p->lock);
	return said;
}

enum port_request port_request(struct port *p, enum port_kind kind)
{
	const struct claim *c = &p->claims[kind];
	enum port_request state;

	pthread_mutex_lock(&p->lock);
	state = c->state == PORT_EXPECTED && c->detached ? PORT_ENDING : c->state;
	pthread_mutex_unlock(&p->lock);
	return state;
}

void port_watch(struct port *p)
{
	pthread_mutex_lock(&p->lock);
	p->watched = 1;
	pthread_mutex_unlock(&p->lock);
}

int port_expire(struct port *p, enum port_kind kind, uint64_t now)
{
	struct claim *c = &p->claims[kind];
	int late;

	pthread_mutex_lock(&p->lock);
	late = c->state == PORT_EXPECTED && c->deadline_ns <= now;
	if (late) {
		c->state = PORT_FREE;
		c->detached = 0;
	}
	pthread_mutex_unlock(&p->lock);
	return late;
}

uint64_t port_deadline(struct port *p)
{
	uint64_t next = UINT64_MAX;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < PORT_KINDS; i++) {
		const struct claim *c = &p->claims[i];

		if (c->state == PORT_EXPECTED && c->deadline_ns < next)
			next = c->deadline_ns;
	}
	pthread_mutex_unlock(&p->lock);
	return next;
}

void port_detach(struct port *p, enum port_kind kind, uint32_t id)
{
	struct claim *c = &p->claims[kind];

	pthread_mutex_lock(&p->lock);
	if (c->id == id && c->state == PORT_EXPECTED)
		c->detached = 1;
	else if (c->id == id && c->state != PORT_FREE)
		set_free(p, c);
	pthread_mutex_unlock(&p->lock);
}
