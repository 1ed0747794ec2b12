/*
 * dump_sample.c: what the kernel says of each thread, for dumps of which a hundred are taken in a second. Whoever has not run since the
 * last one is in the state that it was in then: that costs one system call where reading the state takes three and formatting. And what the thread keeps between two of them.
 */
#include <Python.h>

#include "dump.h"

#include <stdlib.h>

#include "cpu_clock.h"
#include "dump_private.h"
#include "error.h"
#include "lane.h"
#include "raw_mem.h"
#include "recall.h"

#define LINGER_MS 500 /* above the time between two dumps at a rate of some in a second */

/* The last dump's. On LANE_RAW alone, while its thread lives. */
static struct {
	struct waits_view *views; /* NULL: none */
	uint32_t *tids;
	uint32_t count;
} last;

static void forget(void)
{
	free(last.views);
	free(last.tids);
	last.views = NULL;
	last.tids = NULL;
	last.count = 0;
}

/* Instead of what the last dump found there is now this one's. Without memory for it the next one asks again. */
static void remember(const struct dump *d)
{
	const struct frames *f = &d->frames;

	forget();
	last.views = malloc((f->thread_count + 1) * sizeof *last.views);
	last.tids = malloc((f->thread_count + 1) * sizeof *last.tids);
	if (last.views == NULL || last.tids == NULL) {
		forget();
		return;
	}
	for (; last.count < f->thread_count; last.count++) {
		last.views[last.count] = d->views[last.count];
		last.tids[last.count] = f->threads[last.count].tid;
	}
}

/* Of the thread, which stands there where it stood or a little before; NULL: it was not there. *next goes on. */
static const struct waits_view *find_last(uint32_t tid, uint32_t *next)
{
	for (uint32_t i = 0; i < last.count; i++) {
		uint32_t at = (*next + i) % last.count;

		if (last.tids[at] != tid)
			continue;
		*next = at + 1;
		return &last.views[at];
	}
	return NULL;
}

static int is_as_it_was(const struct waits_view *then, uint32_t tid)
{
	return then != NULL && then->exists && then->state != STATE_CPU && then->state != STATE_UNKNOWN && then->cpu_ns != 0 &&
	       then->cpu_ns == cpu_clock_ns((pid_t)tid);
}

static void look(struct dump *d, int lane)
{
	uint32_t next = 0;
	struct waits w;

	waits_open(&w);
	for (uint32_t i = 0; i < d->frames.thread_count; i++) {
		const struct frames_thread *t = &d->frames.threads[i];
		const struct waits_view *then = lane ? find_last(t->tid, &next) : NULL;

		if (is_as_it_was(then, t->tid))
			d->views[i] = *then;
		else
			waits_look(&w, (pid_t)t->tid, t->class_name.len == 0, &d->views[i]);
		d->waits.items[i].state = d->views[i].state;
	}
	waits_close(&w);
}

int dump_look_sample(struct dump *d, int lane)
{
	size_t count = (size_t)d->frames.thread_count + 1;

	d->views = malloc(count * sizeof *d->views);
	d->waits.items = calloc(count, sizeof *d->waits.items);
	if (d->views == NULL || d->waits.items == NULL)
		return PYSTUCK_ENOMEM;
	d->waits.count = d->frames.thread_count;
	look(d, lane);
	if (lane)
		remember(d);
	return 0;
}

static void end(void)
{
	forget();
	recall_forget();
	raw_own_let_go();
}

void dump_expect_sample(void)
{
	raw_own_keep(0);
	lane_linger(LINGER_MS, end);
}
