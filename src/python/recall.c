/*
 * recall.c: names by ident and thread id. A thread that is not known by both, or that threading has no name for yet, is no old acquaintance.
 */
#include <Python.h>

#include "recall.h"

#include <stdlib.h>

#include "gil.h"
#include "msg.h"

#define RECALL_NS 1000000000u /* so long a thread that is given another name goes by its old one */

static struct {
	struct frames_thread *threads; /* name, class_name: in text */
	uint32_t count;
	struct pytext text;
	uint64_t until_ns;
} kept;

void recall_forget(void)
{
	free(kept.threads);
	pytext_free(&kept.text);
	kept.threads = NULL;
	kept.count = 0;
}

void recall_keep(const struct frames *f)
{
	recall_forget();
	pytext_init(&kept.text, FRAMES_TEXT_MAX);
	kept.threads = malloc(((size_t)f->thread_count + 1) * sizeof *kept.threads);
	if (kept.threads == NULL)
		return;
	for (uint32_t i = 0; i < f->thread_count; i++) {
		const struct frames_thread *t = &f->threads[i];
		struct frames_thread *k = &kept.threads[kept.count];
		struct span name = pytext_span(&f->text, t->name), class_name = pytext_span(&f->text, t->class_name);

		*k = (struct frames_thread){.ident = t->ident, .tid = t->tid, .flags = t->flags & THREAD_DAEMON};
		if (t->tid == 0 || class_name.len == 0 || pytext_bytes(&kept.text, name.data, name.len, &k->name) != 0 ||
			pytext_bytes(&kept.text, class_name.data, class_name.len, &k->class_name) != 0)
			continue;
		kept.count++;
	}
	kept.until_ns = gil_now_ns() + RECALL_NS;
}

/* They stand in the same order as before, but for those that have come or gone. NULL: it is new. */
static const struct frames_thread *find(const struct frames_thread *t, uint32_t *next)
{
	for (uint32_t i = 0; t->tid != 0 && i < kept.count; i++) {
		uint32_t at = (*next + i) % kept.count;

		if (kept.threads[at].ident != t->ident || kept.threads[at].tid != t->tid)
			continue;
		*next = at + 1;
		return &kept.threads[at];
	}
	return NULL;
}

int recall_names(struct frames *f)
{
	uint32_t next = 0;

	if (kept.count == 0 || gil_now_ns() > kept.until_ns)
		return 0;
	for (uint32_t i = 0; i < f->thread_count; i++)
		if (find(&f->threads[i], &next) == NULL)
			return 0;
	next = 0;
	for (uint32_t i = 0; i < f->thread_count; i++) {
		struct frames_thread *t = &f->threads[i];
		const struct frames_thread *k = find(t, &next);
		struct span name = pytext_span(&kept.text, k->name), class_name = pytext_span(&kept.text, k->class_name);

		if (pytext_bytes(&f->text, name.data, name.len, &t->name) != 0 ||
			pytext_bytes(&f->text, class_name.data, class_name.len, &t->class_name) != 0)
			f->cut = 1;
		t->flags |= k->flags;
	}
	return 1;
}
