/*
 * locks.c: goes through the threads that wait on a futex. What is around the lock: lock_chains.c; who has it: lock_holders.c.
 */
#include <Python.h>

#include "locks.h"

#include <stdlib.h>
#include <string.h>

#include "blocks.h"
#include "msg.h"
#include "pools.h"

#define FETCH_FRAMES 3u /* of each thread: as many as the standard library's functions of waiting have */
#define CACHE 64u /* of words that were waited on last; a power of two */

int locks_frame(const struct locks *k, uint32_t thread, uint32_t n, struct blocks_frame *out)
{
	const struct frames_thread *t = &k->f->threads[thread];
	const struct frames_frame *f;

	if (n >= t->count)
		return 0;
	f = &k->f->frames[t->first + n];
	*out = (struct blocks_frame){f->at, k->f->codes[f->code].code, f->offset};
	return out->at != 0 && out->code != NULL;
}

int locks_is(const struct locks *k, uint32_t thread, uint32_t n, const char *file, const char *function)
{
	const struct frames_thread *t = &k->f->threads[thread];
	const struct frames_code *c;
	struct span name;
	size_t len = strlen(function);

	if (n >= t->count)
		return 0;
	c = &k->f->codes[k->f->frames[t->first + n].code];
	name = pytext_span(&k->f->text, c->function);
	return span_ends_with(name, function) && (name.len == len || name.data[name.len - len - 1] == '.') &&
	       span_ends_with(pytext_span(&k->f->text, c->file), file);
}

uintptr_t locks_self(struct locks *k, uint32_t thread, uint32_t n)
{
	struct blocks_frame f;

	return locks_frame(k, thread, n, &f) && f.code->co_argcount > 0 ? blocks_variable(&k->o, &f, 0) : 0;
}

uint32_t locks_thread(const struct locks *k, uint64_t ident)
{
	struct frames_thread *t =
		k->idents != NULL ? frames_idents_find(k->idents, (struct frames *)k->f, ident) : NULL;

	return t != NULL && ident != 0 ? (uint32_t)(t - k->f->threads) : UINT32_MAX;
}

/* Many threads wait for the same lock, and finding one takes a while. */
struct cache {
	uintptr_t word, object, key;
};

static void find_object(struct locks *k, struct objects_waiter *w, struct cache cache[static CACHE])
{
	struct cache *c = &cache[w->word / 16 % CACHE];

	if (c->word != w->word || c->object == 0)
		*c = (struct cache){w->word, w->object, w->key};
	if (c->object == 0)
		c->object = objects_waited_for(&k->o, w->word, w->stack, &c->key);
	w->object = c->object;
	w->key = c->key;
}

static int is_at_lock(const struct locks *k, uint32_t i)
{
	const struct waits_view *v = &k->views[i];

	return k->l->items[i].kind == WAIT_FOR_LOCK && v->call != NULL && strcmp(v->call, "futex") == 0 && (v->stack != 0 || v->lock != 0);
}

/* The variables of a thread's innermost frames, as far as they lie close together: since 3.11 on one stack. len 0: none. */
static struct raw_piece innermost(const struct locks *k, uint32_t thread)
{
	uintptr_t first = 0, end = 0;
	struct blocks_frame f;

	for (uint32_t n = 0; n < FETCH_FRAMES && locks_frame(k, thread, n, &f); n++) {
		size_t slots;
		uintptr_t low = blocks_variables(&f, &slots), high = low + slots * sizeof(uintptr_t);

		if (n > 0) {
			low = low < first ? low : first;
			high = high > end ? high : end;
		}
		if (high - low > RAW_FETCHED_BYTES)
			break;
		first = low;
		end = high;
	}
	return (struct raw_piece){.from = first, .len = end - first};
}

/* These lie far apart, and what is read of all threads together takes a tenth of the time. */
static void fetch_variables(const struct locks *k, struct raw_pages *pages, const uint32_t *at, uint32_t count)
{
	struct raw_piece wanted[RAW_FETCHED];

	for (uint32_t j = 0; j < count; j++)
		wanted[j] = innermost(k, at[j]);
	raw_pages_fetch(pages, wanted, count);
}

/* Those whose lock is known already, or those whose lock is not. How many there are now. */
static uint32_t list(const struct locks *k, int is_known, uint32_t *at, struct objects_waiter *waiters, uint32_t n)
{
	for (uint32_t i = 0; i < k->l->count; i++) {
		const struct waits_view *v = &k->views[i];

		if (!is_at_lock(k, i) || (v->lock != 0) != is_known)
			continue;
		at[n] = i;
		waiters[n++] = (struct objects_waiter){.word = v->arguments[WAITS_FUTEX_WORD], .stack = v->stack, .object = v->lock,
			.key = v->lock != 0 ? v->arguments[WAITS_FUTEX_WORD] : 0};
	}
	return n;
}

/* The very lock that each thread waits for. `at` and `waiters` have room for all. */
static void find_objects(struct locks *k, struct raw_pages *pages, uint32_t *at, struct objects_waiter *waiters)
{
	struct cache cache[CACHE] = {{0, 0, 0}};
	uint32_t unknown = list(k, 0, at, waiters, 0), n = list(k, 1, at, waiters, unknown);

	/* The first one tells where the others' are. */
	for (uint32_t j = 0; j < unknown; j++) {
		if (j == 1)
			objects_waited_for_alike(&k->o, waiters + 1, unknown - 1);
		find_object(k, &waiters[j], cache);
	}
	for (uint32_t j = 0; j < n; j++)
		k->wanted[at[j]] = waiters[j].object;
	for (uint32_t j = 0; j < n; j++) {
		if (j % RAW_FETCHED == 0)
			fetch_variables(k, pages, at + j, n - j < RAW_FETCHED ? n - j : RAW_FETCHED);
		if (k->views[at[j]].arguments[WAITS_FUTEX_TIMEOUT] != 0)
			k->l->items[at[j]].flags |= WAIT_TIMED;
		locks_classify(k, at[j], waiters[j].object, waiters[j].key);
	}
}

void locks_find(struct wait_list *l, const struct frames *f, const struct waits_view *views, struct raw_pages *pages,
	const struct raw_layout *layout)
{
	struct locks k = {.o = {.mem = &pages->mem, .layout = layout}, .f = f, .l = l, .views = views};
	struct objects_waiter *waiters = NULL;
	uint32_t any = 0, *at = NULL;

	for (uint32_t i = 0; i < l->count; i++)
		any += l->items[i].kind == WAIT_FOR_LOCK;
	if (any == 0 || !objects_usable() || f->code_count == 0)
		return;
	k.wanted = calloc(l->count, sizeof *k.wanted);
	k.idents = frames_idents_new(f);
	at = calloc(any, sizeof *at);
	waiters = calloc(any, sizeof *waiters);
	if (k.wanted == NULL || k.idents == NULL || at == NULL || waiters == NULL)
		goto out;
	find_objects(&k, pages, at, waiters);
	for (uint32_t i = 0; i < l->count; i++)
		locks_hold(&k, i);
	pools_find(&k);
out:
	free(waiters);
	free(at);
	free(k.wanted);
	free(k.holds);
	free(k.works);
	frames_idents_free(k.idents);
	raw_dict_free(&k.o.dict);
}
