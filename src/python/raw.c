/*
 * raw.c: from what was read without the GIL to frames and lines as every dump has them; and whether it is read at all. Touches
 * no object: what looks like one here is an address.
 */
#include <Python.h>

#include "raw.h"

#include <stdlib.h>
#include <string.h>

#include "code_copy.h"
#include "error.h"
#include "gil.h"
#include "msg.h"
#include "names.h"
#include "raw_check.h"
#include "raw_locals.h"
#include "raw_locals_check.h"
#include "raw_names.h"
#include "raw_stacks.h"
#include "recall.h"
#include "tids.h"

#define RAW_LOCALS_MS 100u /* so long variables are read */
#define COPIES_BYTES (16u * 1024 * 1024) /* of code objects */

static struct {
	struct raw_layout layout;
	struct raw_value_layout values;
	const char *trouble;
	int locals; /* variables can be read */
	int known;
} raw = {.trouble = "it has not been tried out"};

void raw_init(void)
{
	struct raw_own own = {.fd = -1};

	if (raw.known)
		return;
	raw.known = 1;
	if (raw_layout_init(&raw.layout) != 0)
		raw.trouble = "this build of Python has other structures than pystuck was built for";
	else if (raw_own_open(&own) != 0)
		raw.trouble = "the system does not let the program read its own memory by a system call";
	else
		raw.trouble = raw_check(&own.mem, &raw.layout);
	if (raw.trouble == NULL) {
		raw_value_layout_init(&raw.values, &raw.layout);
		raw.locals = raw_locals_check(&own.mem, &raw.layout, &raw.values);
	}
	raw_own_close(&own);
}

const char *raw_trouble(void)
{
	return raw.trouble;
}

/* --- threads --- */

static void copy_threads(struct frames *f, const struct raw_stacks *s)
{
	for (uint32_t i = 0; i < s->thread_count; i++) {
		const struct raw_thread *t = raw_stacks_thread(s, i);

		f->threads[i] = (struct frames_thread){
			.ident = t->ident,
			.tid = t->tid,
			.flags = (uint8_t)((t->ident == raw.layout.main_ident ? THREAD_MAIN : 0) |
					   (t->moving ? THREAD_MOVING : 0)),
			.first = t->first,
			.count = t->count,
			.omitted = t->omitted,
			.top = t->count > 0 ? (compat_frame *)t->state : NULL,
		};
		f->cut |= t->omitted > 0;
	}
	f->thread_count = s->thread_count;
	f->omitted_threads = s->omitted_threads;
	f->cut |= s->omitted_threads > 0;
}

/* The names of the code that is in use; what has no room is left out. */
static void copy_codes(struct frames *f, const struct raw_stacks *s)
{
	for (uint32_t i = 0; i < s->codes.count; i++) {
		const struct raw_code *c = raw_codes_item(&s->codes, i);
		struct span file = raw_codes_text(&s->codes, c->file), function = raw_codes_text(&s->codes, c->function);

		if (pytext_bytes(&f->text, file.data, file.len, &f->codes[i].file) != 0 ||
			pytext_bytes(&f->text, function.data, function.len, &f->codes[i].function) != 0)
			f->cut = 1;
	}
	f->code_count = s->codes.count;
	f->cut |= s->codes.cut;
}

static int copy(struct frames *f, const struct raw_stacks *s)
{
	memset(f, 0, sizeof *f);
	pytext_init(&f->text, FRAMES_TEXT_MAX);
	f->threads = calloc(s->thread_count + 1, sizeof *f->threads);
	f->frames = malloc(((size_t)s->frame_count + 1) * sizeof *f->frames);
	f->codes = calloc(s->codes.count + 1, sizeof *f->codes);
	if (f->threads == NULL || f->frames == NULL || f->codes == NULL)
		return PYSTUCK_ENOMEM;
	copy_threads(f, s);
	copy_codes(f, s);
	for (uint32_t i = 0; i < s->frame_count; i++) {
		const struct raw_frame *r = (const struct raw_frame *)s->frames.at + i;

		f->frames[i] = (struct frames_frame){.code = r->code, .offset = r->offset, .at = r->at};
	}
	f->frame_count = s->frame_count;
	/* What a frame that is gone has is nobody's. */
	for (uint32_t i = 0; i < f->thread_count; i++)
		for (uint32_t n = 0; (f->threads[i].flags & THREAD_MOVING) != 0 && n < f->threads[i].count; n++)
			f->frames[f->threads[i].first + n].at = 0;
	return 0;
}

/* What is waited for, and whose, is found out with the code: copies do as well as what is held. */
static void read_codes(struct frames *f, const struct raw_stacks *s, struct raw_mem *m)
{
	size_t bytes = 0;

	f->copies = calloc(f->code_count + 1, sizeof *f->copies);
	for (uint32_t i = 0; f->copies != NULL && i < f->code_count && bytes < COPIES_BYTES; i++) {
		const struct raw_code *c = raw_codes_item(&s->codes, i);
		struct code_copy *copy = &f->copies[i];

		f->copy_count++;
		/* The same as before, as far as can be told. */
		if (c->known && code_copy_read(copy, m, c->address) && copy->code->co_firstlineno == c->line)
			f->codes[i].code = copy->code;
		bytes += copy->bytes;
	}
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

static void read_names(struct frames *f, struct raw_mem *m)
{
	struct naming n = {.frames = f, .map = frames_idents_new(f)};
	struct raw_pages pages;

	raw_pages_open(&pages, m);
	if (n.map != NULL)
		(void)raw_names_read(&pages.mem, &raw.layout, take_name, &n);
	raw_pages_close(&pages);
	frames_idents_free(n.map);
	names_main(f);
}

/* --- lines --- */

static uint32_t line_of(const void *codes, uint32_t code, int32_t offset)
{
	return raw_code_line(codes, &raw.layout, code, offset);
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

static void read_locals(struct locals *to, const struct frames *f, const struct raw_codes *codes, struct raw_mem *m)
{
	struct taking t = {.locals = to};
	struct raw_pages pages;
	struct raw_locals r;
	int rc = 1;

	raw_pages_open(&pages, m);
	raw_locals_open(&r, &pages.mem, &raw.layout, &raw.values);
	to->until_ns = gil_now_ns() + RAW_LOCALS_MS * 1000000u;
	for (; rc >= 0 && t.thread < f->thread_count; t.thread++) {
		const struct frames_thread *thread = &f->threads[t.thread];

		raw_locals_thread(&r, (uintptr_t)thread->top);
		for (t.frame = 0, rc = 1; rc > 0 && t.frame < thread->count; t.frame++) {
			t.found = 0;
			rc = raw_locals_frame(&r, raw_codes_item(codes, f->frames[thread->first + t.frame].code), take_local, &t);
		}
	}
	to->cut |= rc < 0 || r.cut;
	raw_locals_close(&r);
	raw_pages_close(&pages);
}

/* --- all of it --- */

static void tell_holder(struct raw_look *look, const struct frames *f, uint64_t ident, const struct raw_thread *holder)
{
	look->holder = UINT32_MAX;
	if (holder == NULL)
		return;
	look->in_c = holder->still;
	look->holder_tid = holder->tid;
	for (uint32_t i = 0; i < f->thread_count; i++)
		if (f->threads[i].ident == ident) {
			look->holder = i;
			look->holder_tid = f->threads[i].tid;
		}
}

static const struct raw_thread *find_holder(const struct raw_stacks *s)
{
	for (uint32_t i = 0; s->holder != 0 && i < s->thread_count; i++)
		if (raw_stacks_thread(s, i)->state == s->holder)
			return raw_stacks_thread(s, i);
	return NULL;
}

static int arrange(struct frames *f, struct raw_look *look, const struct raw_stacks *s, struct raw_mem *m, uint8_t flags)
{
	const struct raw_thread *holder = find_holder(s);
	int rc = copy(f, s);

	if (rc != 0)
		return rc;
	frames_arrange(f);
	if (!(flags & DUMP_SAMPLE) || !recall_names(f)) {
		read_names(f, m);
		if (flags & DUMP_SAMPLE)
			recall_keep(f);
	}
	frames_finish(f, flags);
	tell_holder(look, f, holder != NULL ? holder->ident : 0, holder);
	look->settled = s->settled;
	look->collecting = s->collecting;
	look->moving = 0;
	for (uint32_t i = 0; i < f->thread_count; i++)
		look->moving += (f->threads[i].flags & THREAD_MOVING) != 0;
	if (!(flags & DUMP_SAMPLE))
		read_codes(f, s, m);
	return 0;
}

int raw_collect(struct frames *f, struct lines *lines, struct locals *locals, struct raw_look *look, uint8_t flags, uint32_t max_frames,
	int (*meanwhile)(void *), void *context)
{
	struct raw_stacks s = {.thread_count = 0};
	struct raw_own own = {.fd = -1};
	int rc = raw.trouble == NULL ? raw_own_open(&own) : PYSTUCK_ESYS;

	memset(look, 0, sizeof *look);
	if (raw.trouble != NULL)
		return rc;
	if (rc == 0)
		rc = raw_stacks_take(&s, &own.mem, &raw.layout, max_frames);
	if (rc == 0)
		rc = arrange(f, look, &s, &own.mem, flags);
	if (rc == 0 && meanwhile != NULL)
		rc = meanwhile(context);
	if (rc == 0)
		rc = lines_find_by(lines, f, line_of, &s.codes);
	look->locals = rc == 0 && raw.locals && (flags & DUMP_LOCALS) != 0;
	if (look->locals) {
		locals_open(locals);
		read_locals(locals, f, &s.codes, &own.mem);
	}
	raw_stacks_free(&s);
	raw_own_close(&own);
	return rc;
}
