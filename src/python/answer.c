/*
 * answer.c: encodes a dump. What is in the dump has been decided elsewhere; only what does not fit is left out
 * here. Stacks: stack_encoder.c; tasks: answer_tasks.c.
 */
#include "answer.h"

#include "answer_tasks.h"
#include "channel.h"
#include "error.h"
#include "stack_encoder.h"

#define END_BYTES 64u /* MSG_DUMP_END with its frame, and some */

struct encoder {
	struct buf *out;
	const struct answer *a;
	struct stack_encoder stacks;
	uint32_t next_interp; /* of a->frames->interps */
	int natives_told;
	uint32_t next_local; /* of a->locals: they lie in the order of the threads */
};

/* A native thread that was not in Python and has ended since. */
static int is_gone(const struct answer *a, uint32_t thread)
{
	const struct frames_thread *t = &a->frames->threads[thread];

	return t->count + t->omitted == 0 && (t->tid == 0 || !a->views[thread].exists);
}

static int put_locals(struct encoder *e, uint32_t thread)
{
	const struct locals *l = e->a->locals;
	int rc = 0;

	for (; rc == 0 && l != NULL && e->next_local < l->count; e->next_local++) {
		const struct locals_one *one = &l->items[e->next_local];
		struct msg m = {.type = MSG_DUMP_LOCAL,
			.dump_local = {
				.frame = e->a->frames->threads[thread].count - 1 - one->frame,
				.name = pytext_span(&l->text, one->name),
				.value = pytext_span(&l->text, one->value),
			}};

		if (one->thread > thread)
			break;
		rc = channel_frame(e->out, &m);
	}
	return rc;
}

/* The holder's frame as it will be counted, outermost first. */
static uint32_t frame_of_holder(const struct frames *f, const struct wait *w)
{
	for (uint32_t i = 0; w->holder != 0 && w->holder_frame != WAIT_NO_FRAME && i < f->thread_count; i++)
		if (f->threads[i].tid == w->holder && w->holder_frame < f->threads[i].count)
			return f->threads[i].count - 1 - w->holder_frame;
	return WAIT_FRAME_NONE;
}

static int put_wait(struct encoder *e, uint32_t thread)
{
	const struct wait_list *l = e->a->waits;
	const struct wait *w = &l->items[thread];
	struct msg m = {.type = MSG_DUMP_WAIT,
		.dump_wait = {
			.kind = w->kind,
			.flags = w->flags,
			.confidence = w->confidence,
			.cpu_us = w->cpu_us,
			.waited_us = w->waited_us,
			.address = w->address,
			.holder = w->holder,
			.holder_frame = frame_of_holder(e->a->frames, w),
			.holder_line = w->holder_line,
			.fd = w->fd,
			.count = w->count,
			.pid = w->pid,
			.call = span_text(w->call != NULL ? w->call : ""),
			.type = pytext_span(&l->text, w->type),
			.name = pytext_span(&l->text, w->name),
			.path = pytext_span(&l->text, w->path),
			.local = pytext_span(&l->text, w->local),
			.peer = pytext_span(&l->text, w->peer),
			.command = pytext_span(&l->text, w->command),
		}};

	if (w->kind == WAIT_FOR_NONE && w->flags == 0)
		return 0;
	return channel_frame(e->out, &m);
}

static int put_thread(struct encoder *e, uint32_t thread)
{
	const struct frames_thread *t = &e->a->frames->threads[thread];
	const struct waits_view *view = &e->a->views[thread];
	struct span frames = {NULL, 0};
	int rc = stack_encoder_put(&e->stacks, t, &frames);

	if (rc == 0) {
		struct msg m = {.type = MSG_DUMP_THREAD,
			.dump_thread = {
				.ident = t->ident,
				.tid = t->tid,
				.flags = t->flags,
				.state = e->a->waits->items[thread].state,
				.name = pytext_span(&e->a->frames->text, t->name),
				.class_name = pytext_span(&e->a->frames->text, t->class_name),
				.os_name = span_text(view->name),
				.detail = span_text(view->detail),
				.omitted_frames = t->omitted,
				.frames = frames,
			}};

		rc = channel_frame(e->out, &m);
	}
	if (rc == 0)
		rc = put_wait(e, thread);
	return rc == 0 ? put_locals(e, thread) : rc;
}

/* --- whose threads they are --- */

static int put_interpreter(struct encoder *e, uint32_t interp)
{
	const struct frames_interp *i = &e->a->frames->interps[interp];
	struct msg m = {.type = MSG_DUMP_INTERPRETER,
		.dump_interpreter = {
			.id = i->id,
			.flags = (uint8_t)((interp == 0 ? INTERPRETER_MAIN : 0) | (i->gil != 0 ? INTERPRETER_OWN_GIL : 0) |
					   (i->unread ? INTERPRETER_UNREAD : 0)),
			.gil_holder = i->holder,
		}};

	return channel_frame(e->out, &m);
}

/* All interpreters up to this one, which may have none of the threads. */
static int put_interpreters(struct encoder *e, uint32_t end)
{
	int rc = 0;

	while (rc == 0 && e->next_interp < end)
		rc = put_interpreter(e, e->next_interp++);
	return rc;
}

/* How many native threads are left of the first `threads` of those that are still there. */
static uint32_t count_natives(const struct answer *a, uint32_t threads)
{
	uint32_t natives = 0;

	for (uint32_t i = 0; threads > 0 && i < a->frames->thread_count; i++) {
		if (is_gone(a, i))
			continue;
		threads--;
		natives += a->frames->threads[i].native != 0;
	}
	return natives;
}

static int put_natives(struct encoder *e, uint32_t threads)
{
	struct msg m = {.type = MSG_DUMP_NATIVES,
		.dump_natives = {.threads = count_natives(e->a, threads), .omitted = e->a->frames->omitted_natives}};
	int rc = put_interpreters(e, e->a->frames->interp_count);

	e->natives_told = 1;
	return rc == 0 ? channel_frame(e->out, &m) : rc;
}

/* What has not been told with a thread. */
static int put_threadless(struct encoder *e)
{
	if (!e->natives_told && e->a->frames->omitted_natives > 0)
		return put_natives(e, 0);
	return put_interpreters(e, e->a->frames->interp_count);
}

/* Before the thread: whose it is, where that is not whose the one before it was. */
static int put_owner(struct encoder *e, const struct frames_thread *t, uint32_t threads)
{
	if (!t->native)
		return put_interpreters(e, e->a->frames->interp_count > 0 ? t->interp + 1 : 0);
	return e->natives_told ? 0 : put_natives(e, threads);
}

static int put_begin(struct encoder *e, uint32_t threads)
{
	struct msg m = {.type = MSG_DUMP_BEGIN, .dump_begin = e->a->begin};

	m.dump_begin.threads = threads;
	return channel_frame(e->out, &m);
}

static int put_end(struct encoder *e, uint32_t left_out, uint32_t left_out_tasks)
{
	const struct frames *f = e->a->frames;
	const struct tasks *t = e->a->tasks;
	struct msg m = {.type = MSG_DUMP_END,
		.dump_end = {
			.id = e->a->begin.id,
			.omitted_threads = f->omitted_threads + left_out,
			.flags = e->a->has,
		}};

	if (f->cut || left_out > 0 || left_out_tasks > 0 || (e->a->locals != NULL && e->a->locals->cut) ||
		(t != NULL && (t->cut || t->omitted > 0)))
		m.dump_end.flags |= DUMP_CUT;

	return channel_frame(e->out, &m);
}

/*
 * Encodes the first `threads` of those that are still there. *done says how many have gone in whole
 * when it returns PYSTUCK_ETOOBIG.
 */
static int encode(struct encoder *e, uint32_t threads, uint32_t left_out, uint32_t *done)
{
	const struct frames *f = e->a->frames;
	size_t most = ANSWER_BYTES_MAX - END_BYTES - answer_tasks_least(e->a->tasks);
	uint32_t tasks_left_out = 0;
	int rc;

	buf_clear(e->out);
	stack_encoder_again(&e->stacks);
	e->next_local = e->next_interp = 0;
	e->natives_told = 0;
	*done = 0;
	rc = put_begin(e, threads);
	for (uint32_t i = 0; rc == 0 && *done < threads && i < f->thread_count; i++) {
		if (is_gone(e->a, i))
			continue;
		rc = put_owner(e, &f->threads[i], threads);
		if (rc == 0)
			rc = put_thread(e, i);
		if (rc == 0 && buf_len(e->out) > most)
			rc = PYSTUCK_ETOOBIG;
		if (rc == 0)
			(*done)++;
	}
	if (rc == 0)
		rc = put_threadless(e);
	if (rc == 0 && e->a->tasks != NULL)
		rc = answer_tasks_put(&e->stacks, e->a->tasks, ANSWER_BYTES_MAX - END_BYTES, &tasks_left_out);
	return rc == 0 ? put_end(e, left_out, tasks_left_out) : rc;
}

/* About how many bytes it will take: one allocation instead of ten, each copying what was there. */
static size_t estimate(const struct answer *a)
{
	const struct frames *f = a->frames;
	size_t bytes = (size_t)f->thread_count * 300 + a->waits->text.used + (size_t)f->frame_count * FRAME_BYTES +
		       f->text.used + a->lines->text.used + (size_t)f->code_count * 100 +
		       (size_t)a->lines->spot_count * 20 + 1024;

	if (a->locals != NULL)
		bytes += a->locals->text.used + (size_t)a->locals->count * 20;
	if (a->tasks != NULL)
		bytes += a->tasks->text.used + (size_t)a->tasks->count * 150 + (size_t)a->tasks->edge_count * FRAME_BYTES;
	return bytes < ANSWER_BYTES_MAX ? bytes : ANSWER_BYTES_MAX;
}

int answer_encode(struct buf *out, const struct answer *a)
{
	const struct frames *f = a->frames;
	struct encoder e = {.out = out, .a = a};
	uint32_t threads = 0, done = 0;
	uint8_t *room = NULL;
	int rc;

	buf_init(out, ANSWER_BYTES_MAX);
	(void)buf_reserve(out, estimate(a), &room);
	rc = stack_encoder_open(&e.stacks, out, f, a->lines);
	if (rc != 0)
		goto out;
	for (uint32_t i = 0; i < f->thread_count; i++)
		threads += !is_gone(a, i);
	rc = encode(&e, threads, 0, &done);
	/* How many fit is known now; the same ones take the same room again. */
	if (rc == PYSTUCK_ETOOBIG)
		rc = encode(&e, done, threads - done, &done);
out:
	stack_encoder_close(&e.stacks);
	return rc;
}
