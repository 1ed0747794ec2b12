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

static int ends_with(struct span s, const char *end)
{
	size_t n = strlen(end);

	return s.len >= n && memcmp(s.data + s.len - n, end, n) == 0;
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
	return ends_with(name, function) && (name.len == len || name.data[name.len - len - 1] == '.') &&
	       ends_with(pytext_span(&k->f->text, c->file), file);
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

static void look_at(struct locks *k, uint32_t i, struct cache cache[static CACHE])
{
	const struct waits_view *v = &k->views[i];
	struct cache *c = &cache[v->arguments[0] / 16 % CACHE];

	if (c->word != v->arguments[0] || c->object == 0) {
		c->word = v->arguments[0];
		c->object = objects_waited_for(&k->o, c->word, v->stack, &c->key);
	}
	k->wanted[i] = c->object;
	if (v->arguments[3] != 0)
		k->l->items[i].flags |= WAIT_TIMED;
	locks_classify(k, i, c->object, c->key);
}

void locks_find(struct wait_list *l, const struct frames *f, const struct waits_view *views, struct raw_mem *mem,
	const struct raw_layout *layout)
{
	struct locks k = {.o = {.mem = mem, .layout = layout}, .f = f, .l = l, .views = views};
	struct cache cache[CACHE] = {{0, 0, 0}};
	uint32_t any = 0;

	for (uint32_t i = 0; i < l->count; i++)
		any += l->items[i].kind == WAIT_FOR_LOCK;
	if (any == 0 || !objects_usable() || f->code_count == 0)
		return;
	k.wanted = calloc(l->count, sizeof *k.wanted);
	k.idents = frames_idents_new(f);
	if (k.wanted == NULL || k.idents == NULL)
		goto out;
	for (uint32_t i = 0; i < l->count; i++)
		if (l->items[i].kind == WAIT_FOR_LOCK && views[i].call != NULL && strcmp(views[i].call, "futex") == 0 &&
			views[i].stack != 0)
			look_at(&k, i, cache);
	for (uint32_t i = 0; i < l->count; i++)
		locks_hold(&k, i);
	pools_find(&k);
out:
	free(k.wanted);
	free(k.holds);
	free(k.works);
	frames_idents_free(k.idents);
	raw_dict_free(&k.o.dict);
}
