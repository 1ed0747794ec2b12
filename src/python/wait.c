/*
 * wait.c: goes through the threads of a dump and has it found out what each waits for. What a system call means: kernel.c.
 */
#include <Python.h>

#include "wait.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "gil.h"
#include "kernel.h"
#include "msg.h"
#include "since.h"
#include "tids.h"

#define SINCE_MAX 256u /* threads whose time is looked at: as expensive as all the rest */

static void put_times(struct wait *w, struct since *since, pid_t tid, const struct waits_view *view)
{
	if (view->turns != 0) {
		w->cpu_us = view->cpu_ns / 1000;
		w->flags |= WAIT_CPU;
	}
	if (since == NULL || view->state == STATE_CPU || view->state == STATE_GIL || view->state == STATE_UNKNOWN)
		return;
	if (since_ran(since, tid, view, &w->waited_us))
		w->flags |= WAIT_SINCE;
}

/* What the kernel says of one thread. */
static void look(struct wait_list *l, uint32_t i, pid_t tid, const struct waits *proc, const struct waits_view *view)
{
	struct wait *w = &l->items[i], empty = *w;

	kernel_describe(w, &l->text, view);
	/* An fd or a pid says something only if the thread is still in the same call. */
	if ((w->kind == WAIT_FOR_IO || w->kind == WAIT_FOR_CHILD) && !waits_same(proc, tid, view)) {
		empty.kind = w->kind;
		empty.call = w->call;
		*w = empty;
	}
	if (w->kind == WAIT_FOR_GIL) {
		w->holder = tids_at(gil_holder());
		w->confidence = w->holder != 0 ? WAIT_KNOWN : WAIT_UNKNOWN;
	}
}

int wait_find(struct wait_list *l, const struct frames *f, const struct waits *proc, const struct waits_view *views)
{
	uint64_t until = gil_now_ns() + (uint64_t)WAIT_MS * 1000000u;
	struct since since;

	memset(l, 0, sizeof *l);
	pytext_init(&l->text, WAIT_TEXTS_MAX);
	l->items = calloc(f->thread_count > 0 ? f->thread_count : 1, sizeof *l->items);
	if (l->items == NULL)
		return PYSTUCK_ENOMEM;
	l->count = f->thread_count;
	since_open(&since, proc);
	for (uint32_t i = 0; i < f->thread_count; i++) {
		l->items[i].holder_frame = WAIT_NO_FRAME;
		if (!views[i].exists || gil_now_ns() > until)
			continue;
		look(l, i, (pid_t)f->threads[i].tid, proc, &views[i]);
		put_times(&l->items[i], i < SINCE_MAX ? &since : NULL, (pid_t)f->threads[i].tid, &views[i]);
	}
	since_close(&since);
	return 0;
}

void wait_free(struct wait_list *l)
{
	free(l->items);
	pytext_free(&l->text);
	memset(l, 0, sizeof *l);
}
