/*
 * turn.c: whose turn it is, as a lock that is counted. What is done with it, server_loop.c and
 * session_lead.c know.
 */
#include "turn.h"

#include <stdlib.h>

struct turn *turn_new(void)
{
	struct turn *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	atomic_init(&t->references, 1);
	(void)pthread_mutex_init(&t->lock, NULL);
	t->parked = 1;
	return t;
}

struct turn *turn_ref(struct turn *t)
{
	atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
	return t;
}

void turn_unref(struct turn *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&t->lock);
	free(t);
}

void turn_take(struct turn *t)
{
	pthread_mutex_lock(&t->lock);
}

void turn_give(struct turn *t)
{
	pthread_mutex_unlock(&t->lock);
}
