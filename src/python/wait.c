/*
 * wait.c: goes through the threads of a dump and has it found out what each waits for. What a system call means: kernel.c.
 */
#include <Python.h>

#include "wait.h"

#include <stdlib.h>
#include <string.h>

#include "collector.h"
#include "columns.h"
#include "cpu_clock.h"
#include "error.h"
#include "gil.h"
#include "kernel.h"
#include "lines.h"
#include "locks.h"
#include "msg.h"
#include "parked.h"
#include "since.h"
#include "tids.h"

#define BEFORE_MAX 4096u /* threads of which is noted whether they run */

static struct raw_layout layout;
static int layout_known;

void wait_init(void)
{
	objects_init();
	collector_init();
	layout_known = raw_layout_init(&layout) == 0;
}

const struct raw_layout *wait_layout(void)
{
	return layout_known ? &layout : NULL;
}

/* --- whether threads have run --- */

static int by_tid(const void *a, const void *b)
{
	const struct wait_before *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

void wait_begin(struct wait_list *l)
{
	pid_t *tids = malloc(BEFORE_MAX * sizeof *tids);
	struct waits proc;
	uint32_t omitted;

	waits_open(&proc);
	l->before_count = tids != NULL ? waits_list(&proc, tids, BEFORE_MAX, &omitted) : 0;
	l->before = calloc(l->before_count + 1, sizeof *l->before);
	if (l->before == NULL)
		l->before_count = 0;
	for (size_t i = 0; i < l->before_count; i++)
		l->before[i] = (struct wait_before){tids[i], cpu_clock_ns(tids[i])};
	if (l->before_count > 0)
		qsort(l->before, l->before_count, sizeof *l->before, by_tid);
	waits_close(&proc);
	free(tids);
}

uint64_t wait_before_ns(const struct wait_list *l, pid_t tid)
{
	struct wait_before wanted = {tid, 0}, *found;

	found = l->before_count > 0 ? bsearch(&wanted, l->before, l->before_count, sizeof wanted, by_tid) : NULL;
	return found != NULL ? found->cpu_ns : 0;
}

static int is_still(const struct wait_list *l, pid_t tid)
{
	uint64_t before = wait_before_ns(l, tid);

	return before != 0 && cpu_clock_ns(tid) == before;
}

/* --- the kernel's part --- */

static void put_times(struct wait *w, struct since *since, pid_t tid, const struct waits_view *view)
{
	if (view->cpu_ns != 0) {
		w->cpu_us = view->cpu_ns / 1000;
		w->flags |= WAIT_CPU;
	}
	if (since == NULL || view->state == STATE_CPU || view->state == STATE_GIL || view->state == STATE_UNKNOWN)
		return;
	if (since_ran(since, tid, view, &w->waited_us))
		w->flags |= WAIT_SINCE;
}

/* Whether the thread is in the very call that was seen. */
static int is_same(const struct waits *proc, pid_t tid, const struct waits_view *view)
{
	return (view->cpu_ns != 0 && cpu_clock_ns(tid) == view->cpu_ns) || waits_same(proc, tid, view);
}

/* Who has the GIL of which a waiter's word is a part. */
static uint32_t holder_of_gil(const struct frames *f, uintptr_t word)
{
	for (uint32_t i = 0; i < f->interp_count; i++)
		if (word >= f->interps[i].gil && word - f->interps[i].gil < f->interps[i].gil_bytes)
			return f->interps[i].holder;
	return tids_at(gil_holder());
}

/* What the kernel says of one thread. */
static void look(struct wait_list *l, const struct frames *f, uint32_t i, pid_t tid, const struct waits *proc, const struct waits_view *view)
{
	struct wait *w = &l->items[i], empty = *w;

	kernel_describe(w, &l->text, view);
	/* An fd or a pid says something only if the thread is still in the same call. */
	if ((w->kind == WAIT_FOR_IO || w->kind == WAIT_FOR_CHILD) && !is_same(proc, tid, view)) {
		empty.kind = w->kind;
		empty.call = w->call;
		*w = empty;
	}
	if (w->kind == WAIT_FOR_GIL) {
		w->holder = holder_of_gil(f, view->arguments[0]);
		w->confidence = w->holder != 0 ? WAIT_KNOWN : WAIT_UNKNOWN;
	}
}

/* --- what memory tells: locks, the collector --- */

/* What was found out is true only of a thread that is still in the same call. */
static void settle(struct wait_list *l, const struct frames *f, const struct waits *proc, const struct waits_view *views)
{
	for (uint32_t i = 0; i < l->count; i++) {
		struct wait *w = &l->items[i];
		pid_t tid = (pid_t)f->threads[i].tid;

		if (w->address == 0)
			continue;
		if (is_still(l, tid))
			w->flags |= WAIT_STILL;
		else if (!is_same(proc, tid, &views[i]))
			w->flags &= (uint8_t)~WAIT_PROVED;
	}
}

/* What it waits for meanwhile is said all the same. */
static void find_collector(struct wait_list *l, const struct frames *f, const struct waits *proc, const struct waits_view *views,
	struct raw_mem *mem)
{
	uint32_t i = collector_find(f, proc, views, mem, &layout);

	if (i < l->count)
		l->items[i].state = STATE_GC;
}

static void find_by_memory(
	struct wait_list *l, const struct frames *f, const struct waits *proc, const struct waits_view *views)
{
	struct raw_pages pages;
	struct raw_own own;

	if (layout_known && raw_own_open(&own) == 0) {
		if (l->collecting)
			find_collector(l, f, proc, views, &own.mem);
		raw_pages_open(&pages, &own.mem);
		locks_find(l, f, views, &pages, &layout);
		raw_pages_close(&pages);
		settle(l, f, proc, views);
		raw_own_close(&own);
	}
}

void wait_parked(struct waits_view *views, const struct frames *f, uint32_t first, const struct waits *w)
{
	struct raw_own own;

	if (!layout_known || raw_own_open(&own) != 0)
		return;
	parked_find(views, f, first, w, &own.mem, &layout);
	raw_own_close(&own);
}

int wait_find(struct wait_list *l, const struct frames *f, const struct waits *proc, const struct waits_view *views)
{
	uint64_t until = gil_now_ns() + (uint64_t)WAIT_MS * 1000000u;
	struct since since;

	pytext_init(&l->text, WAIT_TEXTS_MAX);
	l->items = calloc(f->thread_count > 0 ? f->thread_count : 1, sizeof *l->items);
	if (l->items == NULL)
		return PYSTUCK_ENOMEM;
	l->count = f->thread_count;
	since_open(&since, proc);
	for (uint32_t i = 0; i < f->thread_count; i++) {
		l->items[i].holder_frame = l->items[i].name_frame = WAIT_NO_FRAME;
		l->items[i].state = views[i].state;
		if (!views[i].exists || gil_now_ns() > until)
			continue;
		look(l, f, i, (pid_t)f->threads[i].tid, proc, &views[i]);
		put_times(&l->items[i], i < WAITS_CLOSELY ? &since : NULL, (pid_t)f->threads[i].tid, &views[i]);
	}
	since_close(&since);
	find_by_memory(l, f, proc, views);
	return 0;
}

void wait_names(struct wait_list *l, const struct frames *f, const struct lines *lines)
{
	for (uint32_t i = 0; i < l->count && i < f->thread_count; i++) {
		const struct frames_thread *t = &f->threads[i];
		struct wait *w = &l->items[i];
		const struct lines_spot *spot;
		struct span name;

		if (w->name_frame >= t->count || w->name.len > 0)
			continue;
		spot = &lines->spots[f->frames[t->first + w->name_frame].offset];
		if (f->codes[spot->code].code == NULL)
			continue;
		name = columns_object(f->codes[spot->code].code, spot->offset, pytext_span(&lines->text, spot->source),
			spot->indent);
		pytext_bytes(&l->text, name.data, name.len, &w->name);
	}
}

void wait_free(struct wait_list *l)
{
	free(l->items);
	free(l->before);
	pytext_free(&l->text);
	memset(l, 0, sizeof *l);
}
