/*
 * doing.c: the words, from what a dump finds out.
 */
#include <Python.h>

#include "doing.h"

#include <stdio.h>
#include <string.h>

#include "dump_private.h"

static void put_text(struct buf *out, const char *text)
{
	(void)buf_put(out, text, strlen(text));
}

static void put_span(struct buf *out, struct span s)
{
	(void)buf_put(out, s.data, s.len);
}

static struct span file_name(struct span path)
{
	const uint8_t *slash = path.len > 0 ? memrchr(path.data, '/', path.len) : NULL;

	if (slash != NULL)
		path = (struct span){slash + 1, path.len - (size_t)(slash + 1 - path.data)};
	return path;
}

static void put_frame(struct buf *out, const struct dump *d, const struct frames_thread *t)
{
	const struct frames_frame *f = &d->frames.frames[t->first];
	const struct frames_code *code = &d->frames.codes[f->code];
	char line[32];

	put_text(out, "in ");
	put_span(out, pytext_span(&d->frames.text, code->function));
	put_text(out, ", ");
	put_span(out, file_name(pytext_span(&d->frames.text, code->file)));
	snprintf(line, sizeof line, " line %u", d->lines.spots[f->offset].line);
	put_text(out, line);
}

static void put_holder(struct buf *out, const struct dump *d, const struct wait *w)
{
	char tid[32];

	put_text(out, ", held by ");
	for (uint32_t i = 0; i < d->frames.thread_count; i++)
		if (d->frames.threads[i].tid == w->holder) {
			put_span(out, pytext_span(&d->frames.text, d->frames.threads[i].name));
			put_text(out, " ");
		}
	snprintf(tid, sizeof tid, "(tid %u)", w->holder);
	put_text(out, tid);
}

static void put_wait(struct buf *out, const struct dump *d, uint32_t i)
{
	const struct wait *w = d->waits.items != NULL ? &d->waits.items[i] : NULL;

	if (w != NULL && (w->name.len > 0 || w->type.len > 0)) {
		put_text(out, ", waiting for ");
		put_span(out, pytext_span(&d->waits.text, w->type));
		if (w->name.len > 0) {
			put_text(out, " '");
			put_span(out, pytext_span(&d->waits.text, w->name));
			put_text(out, "'");
		}
		if (w->holder != 0)
			put_holder(out, d, w);
	} else if (d->views[i].detail[0] != '\0') {
		put_text(out, ", ");
		put_text(out, d->views[i].detail);
	}
}

/* No GIL. */
static int analyse(struct dump *d)
{
	if (dump_look(d) != 0 || lines_find(&d->lines, &d->frames) != 0)
		return 0;
	lines_read(&d->lines, &d->frames);
	wait_names(&d->waits, &d->frames, &d->lines);
	return 1;
}

void doing_put(struct buf *out, uint64_t ident)
{
	struct dump d = {.views = NULL};
	int known;

	frames_init(&d.frames);
	Py_BEGIN_ALLOW_THREADS
	wait_begin(&d.waits);
	Py_END_ALLOW_THREADS
	known = frames_collect(&d.frames, 0, 0, NULL) == 0;
	Py_BEGIN_ALLOW_THREADS
	known = known && analyse(&d);
	Py_END_ALLOW_THREADS
	for (uint32_t i = 0; known && i < d.frames.thread_count; i++) {
		const struct frames_thread *t = &d.frames.threads[i];

		if (t->ident != ident)
			continue;
		if (t->count > 0)
			put_frame(out, &d, t);
		else
			put_text(out, "in no Python code");
		put_wait(out, &d, i);
	}
	frames_release(&d.frames);
	PyErr_Clear();
	dump_free(&d);
}
