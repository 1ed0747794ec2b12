/*
 * lock_chains.c: what a lock belongs to, by the functions of the standard library that wait for it: the innermost frames. Objects
 * are told by these functions and by what they store, not by their types' names, which may be a program's own.
 */
#include <Python.h>

#include "locks.h"

#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "msg.h"
#include "raw_code.h"

#define TYPE_BYTES 64u
#define SYNCHRONIZE "/multiprocessing/synchronize.py"

static void set_object(struct locks *k, uint32_t i, uint8_t kind, uintptr_t object, uint32_t frame)
{
	struct wait *w = &k->l->items[i];
	char name[TYPE_BYTES];
	size_t len = object != 0 ? objects_type_name(&k->o, object, name, sizeof name) : 0;

	w->kind = kind;
	w->address = object;
	w->name_frame = frame;
	/* What C calls it is not what people call it. */
	if (len == 4 && memcmp(name, "lock", 4) == 0)
		memcpy(name, "Lock", 4);
	pytext_bytes(&k->l->text, name, len, &w->type);
}

/* A word for what the type is derived from, where the type itself has another name. */
static void set_holder(struct locks *k, uint32_t i, uint64_t ident, uint8_t confidence)
{
	struct wait *w = &k->l->items[i];
	uint32_t thread = locks_thread(k, ident);

	if (thread == UINT32_MAX)
		return;
	w->holder = k->f->threads[thread].tid;
	w->confidence = w->holder != 0 ? confidence : WAIT_UNKNOWN;
}

/* --- one kind each: 1 when it was that --- */

static int is_join(struct locks *k, uint32_t i, uintptr_t lock, uintptr_t key)
{
	uint32_t n = locks_is(k, i, 0, "/threading.py", "_wait_for_tstate_lock") ? 1 : 0;
	uintptr_t thread;

	if (!locks_is(k, i, n, "/threading.py", "join"))
		return 0;
	thread = locks_self(k, i, n);
	set_object(k, i, WAIT_FOR_JOIN, thread, n + 1);
	set_holder(k, i, objects_number(&k->o, thread, WORD_IDENT), WAIT_KNOWN);
	if (lock != 0 ? objects_attribute(&k->o, thread, WORD_TSTATE_LOCK) == lock
		      : objects_handle_has(&k->o, objects_attribute(&k->o, thread, WORD_HANDLE), key))
		k->l->items[i].flags |= WAIT_PROVED;
	return 1;
}

static int is_import(struct locks *k, uint32_t i)
{
	struct wait *w = &k->l->items[i];
	char name[256];
	uintptr_t lock;
	size_t len;

	if (!locks_is(k, i, 0, "importlib._bootstrap>", "acquire"))
		return 0;
	lock = locks_self(k, i, 0);
	set_object(k, i, WAIT_FOR_IMPORT, lock, WAIT_NO_FRAME);
	len = raw_str_read(k->o.mem, k->o.layout, objects_attribute(&k->o, lock, WORD_NAME), name, sizeof name);
	pytext_bytes(&k->l->text, name, len, &w->name);
	set_holder(k, i, objects_number(&k->o, lock, WORD_OWNER), WAIT_KNOWN);
	if (k->wanted[i] != 0)
		w->flags |= WAIT_PROVED;
	return 1;
}

/* Which threads are in run() of which work items; with `out` NULL only how many. `seen` is of each code, 0: not looked at. */
static uint32_t find_works(struct locks *k, uint8_t *seen, struct work *out)
{
	uint32_t count = 0;

	for (uint32_t t = 0; t < k->f->thread_count; t++)
		for (uint32_t n = 0; n < k->f->threads[t].count; n++) {
			uint8_t *is = &seen[k->f->frames[k->f->threads[t].first + n].code];

			if (*is == 0)
				*is = locks_is(k, t, n, "/concurrent/futures/thread.py", "run") ? 2 : 1;
			if (*is == 2 && out != NULL)
				out[count] = (struct work){objects_attribute(&k->o, locks_self(k, t, n), WORD_FUTURE), t};
			count += *is == 2;
		}
	return count;
}

static void list_works(struct locks *k)
{
	uint8_t *seen = calloc(k->f->code_count, 1);

	k->works_done = 1;
	if (seen == NULL)
		return;
	k->work_count = find_works(k, seen, NULL);
	k->works = calloc(k->work_count + 1, sizeof *k->works);
	k->work_count = k->works != NULL ? find_works(k, seen, k->works) : 0;
	free(seen);
}

/* The worker that runs the future: it is in run() of the work item that has it. */
static void find_worker(struct locks *k, uint32_t i, uintptr_t future)
{
	if (!k->works_done)
		list_works(k);
	for (uint32_t j = 0; future != 0 && j < k->work_count; j++)
		if (k->works[j].future == future) {
			set_holder(k, i, k->f->threads[k->works[j].thread].ident, WAIT_KNOWN);
			return;
		}
}

/* Condition.wait, and whatever waits by it. `proved`: the lock is the one that the condition made for this waiter. */
static int is_condition(struct locks *k, uint32_t i, uintptr_t lock)
{
	struct blocks_frame f;
	uintptr_t self = locks_self(k, i, 0);
	uint32_t n = 1;
	uint8_t proved;

	if (!locks_is(k, i, 0, "/threading.py", "wait") || objects_attribute(&k->o, self, WORD_WAITERS) == 0 ||
		(lock != 0 && objects_attribute(&k->o, self, WORD_LOCK) == lock))
		return 0;
	proved = lock != 0 && locks_frame(k, i, 0, &f) && blocks_has_variable(&k->o, &f, lock) ? WAIT_PROVED : 0;
	if (locks_is(k, i, n, "/threading.py", "wait_for"))
		n++;
	if (locks_is(k, i, n, "/threading.py", "_wait") && locks_is(k, i, n + 1, "/threading.py", "wait"))
		n++;
	if (locks_is(k, i, n, "/threading.py", "__enter__") || locks_is(k, i, n, "/threading.py", "wait") ||
		locks_is(k, i, n, "/threading.py", "acquire")) {
		set_object(k, i, WAIT_FOR_LOCK, locks_self(k, i, n), n + 1);
	} else if (locks_is(k, i, n, "/queue.py", "get") || locks_is(k, i, n, "/queue.py", "put") ||
		   locks_is(k, i, n, "/queue.py", "join")) {
		set_object(k, i, WAIT_FOR_QUEUE, locks_self(k, i, n), n + 1);
	} else if (locks_is(k, i, n, "/concurrent/futures/_base.py", "result") ||
		   locks_is(k, i, n, "/concurrent/futures/_base.py", "exception")) {
		set_object(k, i, WAIT_FOR_FUTURE, locks_self(k, i, n), n + 1);
		find_worker(k, i, k->l->items[i].address);
	} else {
		set_object(k, i, WAIT_FOR_LOCK, self, n);
	}
	k->l->items[i].flags |= proved;
	return 1;
}

/* A worker of a pool without work. */
static int is_idle(struct locks *k, uint32_t i, uintptr_t lock)
{
	struct blocks_frame f;
	uintptr_t queue;

	if (!locks_is(k, i, 0, "/concurrent/futures/thread.py", "_worker") || !locks_frame(k, i, 0, &f))
		return 0;
	queue = blocks_named(&k->o, &f, "work_queue");
	if (objects_kind(&k->o, queue) != OBJECT_SIMPLE_QUEUE || (lock != 0 && lock != queue))
		return 0;
	set_object(k, i, WAIT_FOR_QUEUE, queue, WAIT_NO_FRAME);
	k->l->items[i].state = STATE_IDLE;
	if (lock == queue)
		k->l->items[i].flags |= WAIT_PROVED;
	return 1;
}

static int is_multiprocessing(struct locks *k, uint32_t i, uintptr_t lock)
{
	struct wait *w = &k->l->items[i];
	uint64_t owner;
	int waits = locks_is(k, i, 0, SYNCHRONIZE, "wait"), entered = waits || locks_is(k, i, 0, SYNCHRONIZE, "__enter__");
	uint32_t n = 0;

	if (objects_kind(&k->o, lock) != OBJECT_SEMLOCK)
		return 0;
	/* A condition's wait, and what waits by it: an event, a barrier. */
	while (waits && (locks_is(k, i, n + 1, SYNCHRONIZE, "wait") || locks_is(k, i, n + 1, SYNCHRONIZE, "wait_for")))
		n++;
	set_object(k, i, WAIT_FOR_LOCK, entered ? locks_self(k, i, n) : lock, entered ? n + 1 : 0);
	w->flags |= WAIT_PROVED;
	if (waits)
		return 1;
	owner = objects_semlock_owner(&k->o, lock);
	if (owner != 0)
		set_holder(k, i, owner, WAIT_INFERRED);
	return 1;
}

void locks_classify(struct locks *k, uint32_t i, uintptr_t lock, uintptr_t key)
{
	if (is_join(k, i, lock, key) || is_import(k, i) || is_condition(k, i, lock) || is_idle(k, i, lock) ||
		is_multiprocessing(k, i, lock) || lock == 0)
		return;
	set_object(k, i, objects_kind(&k->o, lock) == OBJECT_SIMPLE_QUEUE ? WAIT_FOR_QUEUE : WAIT_FOR_LOCK, lock, 0);
	k->l->items[i].flags |= WAIT_PROVED;
}
