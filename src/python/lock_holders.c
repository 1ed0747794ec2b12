/*
 * lock_holders.c: who has a lock. An RLock says it itself. Of a Lock it is inferred: exactly one thread is inside a `with` on it, or else has
 * called its acquire() in a function that it is still in, or else has a suspended generator in a variable that is inside a `with`. What a
 * `with` takes: managers.c; calls of acquire(): acquires.c.
 */
#include <Python.h>

#include "locks.h"

#include <stdlib.h>
#include <string.h>

#include "acquires.h"
#include "blocks.h"
#include "managers.h"
#include "msg.h"
#include "suspended.h"

#define FIRST_HOLDS 64u
#define HOLDS_MAX 1048576u

/* --- all withs of all threads --- */

static void add_hold(struct locks *k, struct hold h)
{
	uint32_t wanted = k->hold_capacity > 0 ? k->hold_capacity * 2 : FIRST_HOLDS;
	struct hold *grown;

	if (k->hold_count == k->hold_capacity) {
		grown = wanted <= HOLDS_MAX ? realloc(k->holds, wanted * sizeof *grown) : NULL;
		if (grown == NULL)
			return;
		k->holds = grown;
		k->hold_capacity = wanted;
	}
	k->holds[k->hold_count++] = h;
}

/* While the locks of one manager are listed. */
struct listing {
	struct locks *k;
	struct hold h;
};

static void take_lock(void *to, uintptr_t lock)
{
	struct listing *l = to;

	l->h.lock = lock;
	add_hold(l->k, l->h);
}

static void list_holds_of(struct locks *k, uint32_t thread, uint8_t *with)
{
	const struct frames_thread *t = &k->f->threads[thread];
	struct blocks_with found[BLOCKS_MAX];
	struct blocks_frame f;

	for (uint32_t n = 0; n < t->count; n++) {
		uint8_t *has = &with[k->f->frames[t->first + n].code];
		size_t count;

		if (*has == 1 || !locks_frame(k, thread, n, &f))
			continue;
		if (*has == 0)
			*has = blocks_has_with(f.code) ? 2 : 1;
		if (*has == 1)
			continue;
		count = blocks_withs(&k->o, &f, found);
		for (size_t i = 0; i < count; i++) {
			struct listing l = {k, {0, thread, n, found[i].line}};

			managers_locks(&k->o, found[i].manager, take_lock, &l);
		}
	}
}

static void list_holds(struct locks *k)
{
	uint8_t *with; /* for each code: 0 not looked at, 1 has none, 2 has one */

	if (k->holds_done)
		return;
	k->holds_done = 1;
	with = calloc(k->f->code_count, 1);
	for (uint32_t i = 0; with != NULL && i < k->f->thread_count; i++)
		list_holds_of(k, i, with);
	k->with_count = k->hold_count;
	free(with);
}

/* --- all plain calls of acquire() --- */

static void list_acquires_of(struct locks *k, uint32_t thread, uint8_t *has)
{
	const struct frames_thread *t = &k->f->threads[thread];
	struct acquire found[ACQUIRES_MAX];
	struct blocks_frame f;

	for (uint32_t n = 0; n < t->count; n++) {
		uint8_t *seen = &has[k->f->frames[t->first + n].code];
		size_t count;

		if (*seen == 1 || !locks_frame(k, thread, n, &f))
			continue;
		if (*seen == 0)
			*seen = acquires_in(f.code) ? 2 : 1;
		count = *seen == 2 ? acquires_of(&k->o, &f, 0, found) : 0;
		for (size_t i = 0; i < count; i++)
			add_hold(k, (struct hold){found[i].lock, thread, n, found[i].line});
	}
}

/* Only when nobody is inside a `with`: it takes longer, and says less. */
static void list_acquires(struct locks *k)
{
	uint8_t *has; /* for each code: 0 not looked at, 1 never calls it, 2 does */

	if (k->acquires_done)
		return;
	k->acquires_done = 1;
	has = calloc(k->f->code_count, 1);
	for (uint32_t i = 0; has != NULL && i < k->f->thread_count; i++)
		list_acquires_of(k, i, has);
	k->acquire_count = k->hold_count;
	free(has);
}

/* --- suspended generators --- */

static void take_generator(void *to, uintptr_t object, uint32_t thread, uint32_t frame)
{
	struct locks *k = to;
	struct listing l = {k, {0, thread, frame, 0}};

	managers_suspended(&k->o, object, take_lock, &l);
}

/*
 * Generators and coroutines that are suspended inside a `with`, by the variables that have them. Only when nobody else holds a lock:
 * it takes longer.
 */
static void list_suspended(struct locks *k)
{
	struct suspended_batch *batch;

	if (k->suspended_done)
		return;
	k->suspended_done = 1;
	batch = suspended_batch_new(&k->o, take_generator, k);
	for (uint32_t t = 0; batch != NULL && t < k->f->thread_count; t++)
		for (uint32_t n = 0; n < k->f->threads[t].count; n++) {
			struct blocks_frame f;

			if (locks_frame(k, t, n, &f))
				suspended_batch_add(batch, &f, t, n);
		}
	suspended_batch_end(batch);
}

/* A thread in Condition.wait has given the lock back for that time. */
static int is_given_back(struct locks *k, const struct hold *h)
{
	for (uint32_t n = 0; n < h->frame; n++)
		if (locks_is(k, h->thread, n, "/threading.py", "wait") &&
			objects_attribute(&k->o, locks_self(k, h->thread, n), WORD_LOCK) == h->lock)
			return 1;
	return 0;
}

/* --- holders --- */

static void put_place(struct wait *w, const struct hold *h)
{
	w->holder_frame = h->frame;
	w->holder_line = h->line;
}

/* Threads of ours may have a lock too, and ids are used again. */
static int is_ended(const struct frames *f, uint64_t ident)
{
	for (uint32_t i = 0; i < f->hidden && i < FRAMES_HIDDEN_MAX; i++)
		if (f->hidden_idents[i] == ident)
			return 0;
	return f->hidden <= FRAMES_HIDDEN_MAX && f->omitted_threads == 0;
}

static void hold_of_owner(struct locks *k, struct wait *w, uintptr_t lock)
{
	uint64_t owner = objects_owner(&k->o, lock);
	uint32_t thread = locks_thread(k, owner);

	if (owner == 0)
		return;
	if (thread == UINT32_MAX) {
		if (is_ended(k->f, owner)) {
			w->flags |= WAIT_ENDED;
			w->confidence = WAIT_KNOWN;
		}
		return;
	}
	w->holder = k->f->threads[thread].tid;
	w->confidence = w->holder != 0 ? WAIT_KNOWN : WAIT_UNKNOWN;
	list_holds(k);
	list_acquires(k);
	/* The outermost one is what took it; further in it only counts. */
	for (uint32_t i = 0; w->holder != 0 && i < k->acquire_count; i++)
		if (k->holds[i].lock == lock && k->holds[i].thread == thread &&
			(w->holder_frame == WAIT_NO_FRAME || k->holds[i].frame >= w->holder_frame))
			put_place(w, &k->holds[i]);
}

static int is_called(const struct locks *k, const struct hold *h)
{
	size_t i = (size_t)(h - k->holds);

	return i >= k->with_count && i < k->acquire_count;
}

/*
 * Who waits for a lock that he has taken by acquire() in the same function uses it as a signal: somebody else is to release it. That is no
 * holder who must act first.
 */
static int is_signal(const struct locks *k, const struct hold *h)
{
	return k->wanted[h->thread] == h->lock;
}

/* Holds of that lock by one thread alone: the outermost. NULL: there is none, or it is several threads'; then *many is 1. */
static const struct hold *only_hold(struct locks *k, uintptr_t lock, uint32_t first, uint32_t end, int *many)
{
	const struct hold *only = NULL;

	*many = 0;
	for (uint32_t i = first; i < end; i++) {
		const struct hold *h = &k->holds[i];

		if (h->lock != lock || is_given_back(k, h) || (is_called(k, h) && is_signal(k, h)))
			continue;
		*many |= only != NULL && only->thread != h->thread;
		only = h;
	}
	return *many ? NULL : only;
}

static void hold_of_with(struct locks *k, struct wait *w, uintptr_t lock)
{
	const struct hold *only;
	int many;

	if (!objects_locked(&k->o, lock))
		return;
	list_holds(k);
	only = only_hold(k, lock, 0, k->with_count, &many);
	if (only == NULL && !many) {
		list_acquires(k);
		only = only_hold(k, lock, k->with_count, k->acquire_count, &many);
	}
	if (only == NULL && !many) {
		list_suspended(k);
		only = only_hold(k, lock, k->acquire_count, k->hold_count, &many);
	}
	if (only == NULL)
		return;
	w->holder = k->f->threads[only->thread].tid;
	w->confidence = w->holder == 0 ? WAIT_UNKNOWN : is_called(k, only) ? WAIT_CALLED : WAIT_INFERRED;
	if (w->holder != 0)
		put_place(w, only);
}

void locks_hold(struct locks *k, uint32_t thread)
{
	struct wait *w = &k->l->items[thread];
	uintptr_t lock = k->wanted[thread];

	/* Only of what the thread waits for itself: the lock inside of an Event is nobody's. */
	if (w->kind != WAIT_FOR_LOCK || lock == 0 || w->address != lock)
		return;
	if (objects_kind(&k->o, lock) == OBJECT_RLOCK)
		hold_of_owner(k, w, lock);
	else if (objects_kind(&k->o, lock) == OBJECT_LOCK)
		hold_of_with(k, w, lock);
}
