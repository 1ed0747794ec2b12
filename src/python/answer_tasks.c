/*
 * answer_tasks.c: encodes loops and tasks. What is said of them has been decided elsewhere; only what does not fit is left out here.
 */
#include <Python.h>

#include "answer_tasks.h"

#include <stdlib.h>

#include "channel.h"
#include "error.h"
#include "msg.h"

#define TASKS_BYTES 128u /* MSG_DUMP_TASKS with its frame, and some */
#define HEAD_BYTES 256u  /* the numbers of a message, and the words of ours, at most */

static uint64_t id_of(const struct tasks *t, uint32_t index)
{
	return index != TASKS_NONE ? (uint64_t)(uintptr_t)t->items[index].object : 0;
}

size_t answer_tasks_least(const struct tasks *t)
{
	size_t bytes = t != NULL ? TASKS_BYTES : 0;

	for (uint32_t i = 0; t != NULL && i < t->loop_count; i++)
		bytes += HEAD_BYTES + t->loops[i].type.len + t->loops[i].callback.len;
	return bytes;
}

static int put_loop(struct buf *out, const struct tasks *t, uint32_t index)
{
	const struct tasks_loop *l = &t->loops[index];
	struct msg m = {.type = MSG_DUMP_LOOP,
		.dump_loop = {
			.loop = index,
			.flags = l->flags,
			.address = (uint64_t)(uintptr_t)l->loop,
			.tid = l->tid,
			.busy_us = l->busy_us,
			.ready = l->ready,
			.scheduled = l->scheduled,
			.task = (uint64_t)(uintptr_t)l->task,
			.type = pytext_span(&t->text, l->type),
			.callback = pytext_span(&t->text, l->callback),
		}};

	return channel_frame(out, &m);
}

static struct frames_thread stack_of(const struct tasks_one *one)
{
	return (struct frames_thread){.first = one->first, .count = one->count};
}

/* At most so many bytes, with what its frames refer to. */
static size_t bytes_of(const struct stack_encoder *e, const struct tasks_one *one)
{
	struct frames_thread stack = stack_of(one);

	return HEAD_BYTES + one->name.len + one->coroutine.len + one->awaitable.len + one->type.len + one->source_name.len +
	       one->local.len + one->peer.len + (size_t)one->edge_count * FRAME_BYTES + stack_encoder_size(e, &stack);
}

static uint32_t put_awaits(uint8_t *ids, const struct tasks *t, const struct tasks_one *one)
{
	uint32_t count = one->edge_count < MSG_AWAITS_MAX ? one->edge_count : MSG_AWAITS_MAX;

	for (uint32_t i = 0; i < count; i++)
		be64_put(ids + (size_t)i * FRAME_BYTES, id_of(t, (uint32_t)t->edges[one->first_edge + i].awaited));
	return count;
}

static int put_task(struct stack_encoder *e, uint8_t *ids, const struct tasks *t, uint32_t index)
{
	const struct tasks_one *one = &t->items[index];
	struct frames_thread stack = stack_of(one);
	uint32_t awaits = put_awaits(ids, t, one);
	struct span frames = {NULL, 0};
	int rc = stack_encoder_put(e, &stack, &frames);
	struct msg m = {.type = MSG_DUMP_TASK,
		.dump_task = {
			.id = id_of(t, index),
			.loop = one->loop,
			.state = one->state,
			.flags = one->flags,
			.kind = one->kind,
			.confidence = one->confidence,
			.address = (uint64_t)(uintptr_t)one->wanted,
			.holder = id_of(t, one->holder),
			.left_us = one->left_us,
			.count = one->items,
			.fd = one->flags & TASK_FD ? (uint32_t)one->fd : 0,
			.name = pytext_span(&t->text, one->name),
			.coroutine = pytext_span(&t->text, one->coroutine),
			.awaitable = pytext_span(&t->text, one->awaitable),
			.how = span_text(one->how != NULL ? one->how : ""),
			.type = pytext_span(&t->text, one->type),
			.object = pytext_span(&t->text, one->source_name),
			.local = pytext_span(&t->text, one->local),
			.peer = pytext_span(&t->text, one->peer),
			.omitted_frames = one->omitted,
			.omitted_awaits = one->edge_count - awaits,
			.awaits = {ids, (size_t)awaits * FRAME_BYTES},
			.frames = frames,
		}};
	return rc == 0 ? channel_frame(e->out, &m) : rc;
}

int answer_tasks_put(struct stack_encoder *e, const struct tasks *t, size_t most, uint32_t *left_out)
{
	uint8_t *ids = t->edge_count > 0 ? malloc((size_t)MSG_AWAITS_MAX * FRAME_BYTES) : NULL;
	int rc = ids != NULL || t->edge_count == 0 ? 0 : PYSTUCK_ENOMEM;
	uint32_t sent = 0;

	*left_out = 0;
	for (uint32_t i = 0; rc == 0 && i < t->loop_count; i++)
		rc = put_loop(e->out, t, i);
	for (uint32_t i = 0; rc == 0 && i < t->count; i++) {
		if (t->items[i].gone)
			continue;
		if (buf_len(e->out) + bytes_of(e, &t->items[i]) > most - TASKS_BYTES) {
			++*left_out;
			continue;
		}
		rc = put_task(e, ids, t, i);
		sent++;
	}
	free(ids);
	struct msg m = {.type = MSG_DUMP_TASKS,
		.dump_tasks = {
			.flags = t->imported ? TASKS_IMPORTED : 0,
			.tasks = sent,
			.omitted = t->omitted + *left_out,
			.took_us = t->took_ns / 1000,
			.held_us = t->held_ns / 1000,
			.longest_us = t->longest_ns / 1000,
		}};
	return rc == 0 ? channel_frame(e->out, &m) : rc;
}
