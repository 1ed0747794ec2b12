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
#include "raw_append.h"
#include "raw_check.h"
#include "raw_locals_check.h"
#include "raw_others.h"
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

/* --- code --- */

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

/* --- lines --- */

/* Of another interpreter's frames the line is known already. */
static uint32_t line_of(const void *codes, uint32_t code, int32_t offset)
{
	const struct raw_codes *own = codes;

	if (code >= own->count)
		return offset > 0 ? (uint32_t)offset : 0;
	return raw_code_line(own, &raw.layout, code, offset);
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

/* The main interpreter's threads. */
static int arrange(struct frames *f, struct raw_look *look, const struct raw_stacks *s, struct raw_mem *m, uint8_t flags)
{
	const struct raw_thread *holder = find_holder(s);
	int rc;

	memset(f, 0, sizeof *f);
	pytext_init(&f->text, FRAMES_TEXT_MAX);
	rc = raw_append(f, s, &raw.layout, 0);
	if (rc != 0)
		return rc;
	frames_arrange(f);
	if (!(flags & DUMP_SAMPLE) || !recall_names(f)) {
		raw_append_names(f, 0, m, &raw.layout);
		names_main(f);
		if (flags & DUMP_SAMPLE)
			recall_keep(f);
	}
	frames_finish(f, flags);
	tell_holder(look, f, holder != NULL ? holder->ident : 0, holder);
	look->settled = s->settled;
	look->collecting = s->collecting;
	if (!(flags & DUMP_SAMPLE))
		read_codes(f, s, m);
	return 0;
}

static struct raw_asked asked_of(struct locals *locals, uint8_t flags, uint32_t max_frames)
{
	return (struct raw_asked){
		.locals = raw.locals && (flags & DUMP_LOCALS) != 0 ? locals : NULL,
		.values = &raw.values,
		.max_frames = max_frames,
		.no_names = (flags & DUMP_SAMPLE) != 0,
	};
}

/* All threads, and variables. */
static int collect(struct frames *f, struct raw_look *look, const struct raw_stacks *s, struct raw_mem *m, const struct raw_asked *asked,
	uint8_t flags)
{
	int rc = arrange(f, look, s, m, flags);

	look->locals = rc == 0 && asked->locals != NULL;
	if (look->locals) {
		locals_open(asked->locals);
		asked->locals->until_ns = gil_now_ns() + RAW_LOCALS_MS * 1000000u;
		raw_append_locals(asked->locals, f, 0, &s->codes, 0, m, &raw.layout, &raw.values);
	}
	if (rc == 0)
		rc = raw_others(f, m, &raw.layout, asked, &look->settled);
	/* Where all interpreters have one GIL, another one's thread may have it. */
	if (rc == 0 && s->holder != 0 && look->holder_tid == 0)
		look->holder_tid = tids_at((const PyThreadState *)s->holder);
	look->moving = 0;
	for (uint32_t i = 0; i < f->thread_count; i++)
		look->moving += (f->threads[i].flags & THREAD_MOVING) != 0;
	return rc;
}

int raw_collect(struct frames *f, struct lines *lines, struct locals *locals, struct raw_look *look, uint8_t flags, uint32_t max_frames,
	int (*meanwhile)(void *), void *context)
{
	const struct raw_asked asked = asked_of(locals, flags, max_frames);
	struct raw_stacks s = {.thread_count = 0};
	struct raw_own own = {.fd = -1};
	int rc = raw.trouble == NULL ? raw_own_open(&own) : PYSTUCK_ESYS;

	memset(look, 0, sizeof *look);
	if (raw.trouble != NULL)
		return rc;
	if (rc == 0)
		rc = raw_stacks_take(&s, &own.mem, &raw.layout, max_frames);
	if (rc == 0)
		rc = collect(f, look, &s, &own.mem, &asked, flags);
	if (rc == 0 && meanwhile != NULL)
		rc = meanwhile(context);
	if (rc == 0)
		rc = lines_find_by(lines, f, line_of, &s.codes);
	raw_stacks_free(&s);
	raw_own_close(&own);
	return rc;
}

int raw_collect_others(struct frames *f, struct locals *locals, uint8_t flags, uint32_t max_frames)
{
	const struct raw_asked asked = asked_of(locals, flags, max_frames);
	struct raw_own own = {.fd = -1};
	int rc, settled = 1;

	if (compat_is_only_interpreter())
		return 0;
	rc = raw.trouble == NULL ? raw_own_open(&own) : PYSTUCK_ESYS;
	if (asked.locals != NULL)
		asked.locals->until_ns = gil_now_ns() + RAW_LOCALS_MS * 1000000u;
	if (rc == 0)
		rc = raw_others(f, &own.mem, &raw.layout, &asked, &settled);
	else
		f->cut = 1;
	raw_own_close(&own);
	return rc == PYSTUCK_ESYS ? 0 : rc;
}
