/*
 * redump.c: a sink for saved dumps that says them again as the messages of a server: dump.c checks them as it does those.
 */
#include "redump.h"

#include <stdlib.h>

#include "intern.h"

#define STOP 1 /* there was one: no more is wanted */

struct maker {
	struct redump *to;
	struct intern names;
	struct buf frames; /* of a thread, as a message has them */
	int done;
};

static int add(struct maker *k, const struct msg *m)
{
	int rc = dump_accept(&k->to->dump, m);

	return rc < 0 ? rc : 0;
}

/* Each place is a code of its own. */
static int on_frame(void *context, const struct saved_frame *f, uint32_t *place)
{
	struct maker *k = context;
	struct intern_place p = {.line = f->line};
	struct msg m = {.type = MSG_DUMP_CODE};
	size_t known = k->names.place_count;
	int rc = k->done ? STOP : intern_text(&k->names, f->file, &p.file);

	if (rc == 0)
		rc = intern_text(&k->names, f->function, &p.function);
	if (rc == 0)
		rc = intern_place(&k->names, &p, place);
	if (rc != 0 || *place < known)
		return rc;
	m.dump_code.code = *place;
	m.dump_code.file = f->file;
	m.dump_code.function = f->function;
	rc = add(k, &m);
	if (rc != 0 || f->source.len == 0)
		return rc;
	m = (struct msg){.type = MSG_DUMP_SOURCE};
	m.dump_source.code = *place;
	m.dump_source.line = f->line;
	m.dump_source.text = f->source;
	return add(k, &m);
}

static int on_thread(void *context, const struct saved_head *head, const struct saved_thread *t)
{
	struct maker *k = context;
	struct msg m = {.type = MSG_DUMP_THREAD};
	uint8_t frame[FRAME_BYTES];
	int rc = k->done ? STOP : 0;

	(void)head;
	buf_clear(&k->frames);
	for (size_t i = 0; rc == 0 && i < t->depth; i++) {
		be32_put(frame, t->places[i]);
		be32_put(frame + 4, k->names.places[t->places[i]].line);
		rc = buf_put(&k->frames, frame, sizeof frame);
	}
	m.dump_thread = t->head;
	m.dump_thread.frames = buf_span(&k->frames);
	if (rc == 0)
		rc = add(k, &m);
	m = (struct msg){.type = MSG_DUMP_WAIT};
	m.dump_wait = t->wait;
	return rc == 0 ? add(k, &m) : rc;
}

static int on_end(void *context, const struct saved_head *head)
{
	struct maker *k = context;
	struct msg m = {.type = MSG_DUMP_END};

	if (k->done)
		return STOP;
	k->to->head = *head;
	/* The head may come behind the threads. */
	k->to->dump.begin.time_ns = head->time_ns;
	k->to->dump.begin.how = (uint8_t)head->how;
	k->to->dump.begin.settled = (uint8_t)head->settled;
	m.dump_end.omitted_threads = head->omitted_threads <= UINT32_MAX ? (uint32_t)head->omitted_threads : UINT32_MAX;
	k->done = 1;
	return add(k, &m);
}

int redump_read(struct redump *r, int fd, struct diag *d)
{
	struct maker k = {.to = r};
	const struct saved_sink sink = {.context = &k, .frame = on_frame, .thread = on_thread, .end = on_end};
	struct jsonread *json = jsonread_new();
	struct msg begin = {.type = MSG_DUMP_BEGIN};
	size_t dumps = 0;
	int rc;

	*r = (struct redump){.head = {.pid = 0}};
	dump_init(&r->dump);
	if (json == NULL)
		return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
	intern_open(&k.names);
	buf_init(&k.frames, (size_t)SAVED_FRAMES_MAX * FRAME_BYTES);
	jsonread_open(json, fd);
	rc = add(&k, &begin);
	if (rc == 0)
		rc = saved_read(json, &sink, &dumps, d);
	/* What comes behind the first one does not matter. */
	if (k.done)
		rc = 0;
	else if (rc == 0)
		rc = diag_set(d, PYSTUCK_EFORMAT, 0, "there is no dump in it");
	jsonread_free(json);
	intern_close(&k.names);
	buf_free(&k.frames);
	return rc;
}
