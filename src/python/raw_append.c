/*
 * raw_append.c: copies threads, frames, names and variables that were read from memory into a dump. Touches no object: what looks like
 * one here is an address.
 */
#include <Python.h>

#include "raw_append.h"

#include "gil.h"
#include "msg.h"
#include "raw_locals.h"
#include "raw_names.h"
#include "tids.h"

/* --- threads --- */

static void copy_threads(struct frames *f, const struct raw_stacks *s, const struct raw_layout *l, uint32_t interp)
{
	for (uint32_t i = 0; i < s->thread_count; i++) {
		const struct raw_thread *t = raw_stacks_thread(s, i);

		f->threads[f->thread_count++] = (struct frames_thread){
			.ident = t->ident,
			.tid = t->tid,
			.flags = (uint8_t)((interp == 0 && t->ident == l->main_ident ? THREAD_MAIN : 0) |
					   (t->moving ? THREAD_MOVING : 0)),
			.first = f->frame_count + t->first,
			.count = t->count,
			.omitted = t->omitted,
			.interp = interp,
			.top = t->count > 0 ? (compat_frame *)t->state : NULL,
		};
		f->cut |= t->omitted > 0;
	}
	f->omitted_threads += s->omitted_threads;
	f->cut |= s->omitted_threads > 0;
}

static void copy_frames(struct frames *f, const struct raw_stacks *s, const struct raw_layout *l, uint32_t interp)
{
	for (uint32_t i = 0; i < s->frame_count; i++) {
		const struct raw_frame *r = (const struct raw_frame *)s->frames.at + i;
		struct frames_frame *to = &f->frames[f->frame_count++];

		*to = (struct frames_frame){.code = f->code_count + r->code, .offset = r->offset, .at = r->at};
		if (interp == 0)
			continue;
		to->offset = (int32_t)raw_code_line(&s->codes, l, r->code, r->offset);
		to->at = 0;
	}
	/* What a frame that is gone has is nobody's. */
	for (uint32_t i = 0; i < s->thread_count; i++) {
		const struct frames_thread *t = &f->threads[f->thread_count - s->thread_count + i];

		for (uint32_t n = 0; (t->flags & THREAD_MOVING) != 0 && n < t->count; n++)
			f->frames[t->first + n].at = 0;
	}
}

/* The names of the code that is in use; what has no room is left out. */
static void copy_codes(struct frames *f, const struct raw_stacks *s)
{
	for (uint32_t i = 0; i < s->codes.count; i++) {
		const struct raw_code *c = raw_codes_item(&s->codes, i);
		struct span file = raw_codes_text(&s->codes, c->file), function = raw_codes_text(&s->codes, c->function);
		struct frames_code *to = &f->codes[f->code_count++];

		*to = (struct frames_code){.code = NULL};
		if (pytext_bytes(&f->text, file.data, file.len, &to->file) != 0 ||
			pytext_bytes(&f->text, function.data, function.len, &to->function) != 0)
			f->cut = 1;
	}
	f->cut |= s->codes.cut;
}

int raw_append(struct frames *f, const struct raw_stacks *s, const struct raw_layout *l, uint32_t interp)
{
	int rc = frames_reserve(f, s->thread_count, s->frame_count, s->codes.count);

	if (rc != 0)
		return rc;
	copy_threads(f, s, l, interp);
	copy_frames(f, s, l, interp);
	copy_codes(f, s);
	return 0;
}

/* --- names --- */

struct naming {
	struct frames *frames;
	struct frames_idents *map;
};

static void take_name(void *to, const struct raw_name *name)
{
	struct naming *n = to;
	struct frames_thread *t = frames_idents_find(n->map, n->frames, name->ident);

	if (t == NULL || t->class_name.len > 0 || name->class_len == 0)
		return;
	if (pytext_bytes(&n->frames->text, name->name, name->name_len, &t->name) != 0 ||
		pytext_bytes(&n->frames->text, name->class_name, name->class_len, &t->class_name) != 0)
		n->frames->cut = 1;
	if (name->daemon)
		t->flags |= THREAD_DAEMON;
	if (t->tid == 0)
		t->tid = tids_told(name->native_id, name->ident);
}

void raw_append_names(struct frames *f, uint32_t first, struct raw_mem *m, const struct raw_layout *l)
{
	struct naming n = {.frames = f, .map = frames_idents_from(f, first)};
	struct raw_pages pages;

	raw_pages_open(&pages, m);
	if (n.map != NULL)
		(void)raw_names_read(&pages.mem, l, take_name, &n);
	raw_pages_close(&pages);
	frames_idents_free(n.map);
}

/* --- variables --- */

/* Where they go. */
struct taking {
	struct locals *locals;
	uint32_t thread, frame, found;
};

static int take_local(void *to, struct span name, struct span value)
{
	struct taking *t = to;

	if (++t->found > LOCALS_PER_FRAME_MAX) {
		t->locals->cut = 1;
		return 1;
	}
	return gil_now_ns() <= t->locals->until_ns && locals_put(t->locals, t->thread, t->frame, name, value);
}

void raw_append_locals(struct locals *to, const struct frames *f, uint32_t first, const struct raw_codes *codes, uint32_t base,
	struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *values)
{
	struct taking t = {.locals = to, .thread = first};
	struct raw_pages pages;
	struct raw_locals r;
	int rc = 1;

	raw_pages_open(&pages, m);
	raw_locals_open(&r, &pages.mem, l, values);
	for (; rc >= 0 && t.thread < f->thread_count; t.thread++) {
		const struct frames_thread *thread = &f->threads[t.thread];

		raw_locals_thread(&r, (uintptr_t)thread->top);
		for (t.frame = 0, rc = 1; rc > 0 && t.frame < thread->count; t.frame++) {
			t.found = 0;
			rc = raw_locals_frame(
				&r, raw_codes_item(codes, f->frames[thread->first + t.frame].code - base), take_local, &t);
		}
	}
	to->cut |= rc < 0 || r.cut;
	raw_locals_close(&r);
	raw_pages_close(&pages);
}
