/*
 * raw_others.c: goes through the interpreters one by one. How the list of them is read: raw_interps.c; the threads of one: raw_stacks.c.
 */
#include <Python.h>

#include "raw_others.h"

#include <stdlib.h>

#include "compat.h"
#include "error.h"
#include "gil.h"
#include "msg.h"
#include "raw_append.h"
#include "raw_interps.h"
#include "raw_stacks.h"
#include "tids.h"

/* What there is to be done, and with what. */
struct others {
	struct frames *frames;
	struct raw_mem *mem;
	const struct raw_layout *main;
	const struct raw_asked *asked;
	uint64_t until_ns;
	int settled;
};

/* The same structures, of another interpreter. */
static struct raw_layout layout_of(const struct raw_layout *l, const struct raw_interp *i)
{
	struct raw_layout other = *l;

	other.interp = i->at;
	other.gil = i->gil;
	other.is_other = 1;
	return other;
}

/* --- from the threads of one interpreter to those of the dump --- */

/* The list has the newest first. */
static void turn_round(struct frames *f, uint32_t first)
{
	struct frames_thread t;

	for (uint32_t i = first, j = f->thread_count; i + 1 < j; i++) {
		t = f->threads[i];
		f->threads[i] = f->threads[--j];
		f->threads[j] = t;
	}
}

/*
 * Whose stack an address is on: of the thread's whose record, which lies at the end of its stack and is its ident, comes next. All
 * stacks lie below the main thread's.
 */
static const struct frames_thread *find_stack(const struct frames *f, uintptr_t at, uint64_t main_ident)
{
	const struct frames_thread *found = NULL, *main_thread = NULL;

	for (uint32_t i = 0; i < f->thread_count; i++) {
		const struct frames_thread *t = &f->threads[i];

		if (t->ident == main_ident)
			main_thread = main_thread != NULL ? main_thread : t;
		else if (t->ident > at && (found == NULL || t->ident < found->ident))
			found = t;
	}
	return found != NULL ? found : main_thread;
}

/*
 * Before 3.13 a thread state says of which thread it was made, and a call into an interpreter uses the one that it was made with,
 * whichever thread calls. That thread's stack has a record which the state points to.
 */
static void find_callers(struct others *o, const struct raw_layout *l, uint32_t first)
{
	struct frames *f = o->frames;
	const struct frames_thread *caller;
	uintptr_t cframe;

	for (uint32_t i = first; l->state_cframe != RAW_NONE && i < f->thread_count; i++) {
		struct frames_thread *t = &f->threads[i];

		if (t->top == NULL || !raw_mem_word(o->mem, (uintptr_t)t->top + l->state_cframe, &cframe))
			continue;
		caller = find_stack(f, cframe, l->main_ident);
		if (caller == NULL || caller->ident == t->ident)
			continue;
		t->ident = caller->ident;
		t->tid = caller->tid;
	}
}

/*
 * Without frames it is what is left of a call into the interpreter, of a thread that is now elsewhere, or a thread that has not begun:
 * shown is only who is nowhere else.
 */
static void drop_empty(struct frames *f, uint32_t first)
{
	struct frames_idents *map = frames_idents_new(f);
	uint32_t kept = first;

	for (uint32_t i = first; map != NULL && i < f->thread_count; i++) {
		struct frames_thread *t = &f->threads[i];

		if (t->count + t->omitted == 0 && (t->ident == 0 || frames_idents_find(map, f, t->ident) != t))
			t->ident = UINT64_MAX;
	}
	for (uint32_t i = first; i < f->thread_count; i++)
		if (f->threads[i].ident != UINT64_MAX)
			f->threads[kept++] = f->threads[i];
	f->thread_count = kept;
	frames_idents_free(map);
}

static uint32_t tid_of(uint32_t tid, uint64_t ident)
{
	return tid != 0 ? tid : tids_of_ident(ident);
}

static void fill_in(struct others *o, const struct raw_stacks *s, const struct raw_layout *l, uint32_t first, uint32_t codes)
{
	struct frames *f = o->frames;
	struct frames_interp *interp = &f->interps[f->interp_count - 1];

	turn_round(f, first);
	find_callers(o, l, first);
	drop_empty(f, first);
	if (!o->asked->no_names)
		raw_append_names(f, first, o->mem, l);
	for (uint32_t i = first; i < f->thread_count; i++)
		f->threads[i].tid = tid_of(f->threads[i].tid, f->threads[i].ident);
	for (uint32_t i = 0; s->holder != 0 && i < s->thread_count; i++) {
		const struct raw_thread *t = raw_stacks_thread(s, i);

		if (t->state == s->holder && interp->gil != 0)
			interp->holder = tid_of(t->tid, t->ident);
	}
	if (o->asked->locals != NULL)
		raw_append_locals(o->asked->locals, f, first, &s->codes, codes, o->mem, l, o->asked->values);
}

/* --- one interpreter --- */

/* 1 when it has threads; 0 when it has none; -1 when that cannot be read. */
static int has_threads(struct raw_mem *m, const struct raw_layout *l)
{
	uintptr_t state;

	if (!raw_mem_word(m, l->interp + l->interp_threads, &state))
		return -1;
	return state != 0;
}

static int read_threads(struct others *o, const struct raw_interp *i, const struct raw_layout *l)
{
	struct frames *f = o->frames;
	struct raw_stacks s = {.thread_count = 0};
	uint32_t first = f->thread_count, codes = f->code_count;
	int rc = raw_stacks_take(&s, o->mem, l, o->asked->max_frames);

	/* Of one that has ended meanwhile nothing is told: its memory may be somebody else's. */
	if (rc == 0 && !raw_interps_has(o->mem, o->main, i))
		rc = PYSTUCK_EAGAIN;
	if (rc == 0)
		rc = raw_append(f, &s, l, f->interp_count - 1);
	if (rc == 0)
		fill_in(o, &s, l, first, codes);
	o->settled = o->settled && (rc != 0 || s.settled);
	raw_stacks_free(&s);
	return rc;
}

static int read_one(struct others *o, const struct raw_interp *i)
{
	const struct raw_layout l = layout_of(o->main, i);
	struct frames *f = o->frames;
	struct frames_interp *interp = &f->interps[f->interp_count++];
	int own = i->gil != o->main->gil, rc = PYSTUCK_EAGAIN;

	*interp = (struct frames_interp){.id = i->id, .gil = own ? i->gil : 0, .gil_bytes = own ? l.gil_bytes : 0};
	if (gil_now_ns() < o->until_ns)
		rc = has_threads(o->mem, &l);
	if (rc == 1)
		rc = read_threads(o, i, &l);
	if (rc >= 0 || rc == PYSTUCK_ENOMEM)
		return rc;
	if (raw_interps_has(o->mem, o->main, i)) {
		interp->unread = 1;
		f->cut = 1;
	} else {
		f->interp_count--;
	}
	return 0;
}

/* --- all of them --- */

static int read_all(struct others *o, const struct raw_interps *list)
{
	struct frames *f = o->frames;
	int rc = 0;

	f->interps = calloc((size_t)list->count + 1, sizeof *f->interps);
	if (f->interps == NULL)
		return PYSTUCK_ENOMEM;
	/* The main one: its threads are there already. */
	f->interp_count = 1;
	for (uint32_t i = list->count; rc == 0 && i > 0; i--)
		rc = read_one(o, &list->at[i - 1]);
	f->cut |= list->omitted > 0;
	return rc;
}

int raw_others(struct frames *f, struct raw_mem *m, const struct raw_layout *l, const struct raw_asked *asked, int *settled)
{
	struct others o = {.frames = f, .mem = m, .main = l, .asked = asked, .settled = 1,
		.until_ns = gil_now_ns() + RAW_OTHERS_MS * 1000000u};
	struct raw_interps *list;
	int rc;

	if (compat_is_only_interpreter())
		return 0;
	list = malloc(sizeof *list);
	if (list == NULL)
		return PYSTUCK_ENOMEM;
	rc = raw_interps_read(list, m, l);
	/* What comes and goes so fast that it cannot be followed is left out, and that is said. */
	f->cut |= rc != 0;
	rc = rc == 0 && list->count > 0 ? read_all(&o, list) : 0;
	free(list);
	*settled = *settled && o.settled;
	return rc;
}
