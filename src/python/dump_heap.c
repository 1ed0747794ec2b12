/*
 * dump_heap.c: answers a MSG_DUMP that asks for greenlets or generators, by jobs of the courier: one slice of the heap each, with
 * time for the program, and for other jobs, in between. What is looked for: greenlets.c, generators.c.
 */
#include <Python.h>

#include "dump.h"

#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "dump_private.h"
#include "error.h"
#include "generators.h"
#include "gil.h"
#include "greenlets.h"
#include "heap.h"
#include "stack_encoder.h"

#define SLICE_NS 5000000u      /* so long the program stands still at a time, */
#define BUDGET_NS 1000000000u  /* and so long all of it may take */
#define ANSWER_MAX (PORT_ANSWER_MAX - 4u * MSG_MAX) /* then the last one, with its codes, fits */

struct heap_job {
	struct gil_job base;
	struct port *port;
	struct msg_dump request;
	int begun;
	uint32_t slices;
	struct heap heap;
	struct frames frames;
	struct greenlets greenlets;
	struct generators generators;
	struct msg_dump_begin begin; /* gil_held_us: the longest of all */
	uint64_t until_ns;
	int cut;
};

/* No GIL. */
static void job_free(struct heap_job *job)
{
	frames_free(&job->frames);
	greenlets_free(&job->greenlets);
	generators_free(&job->generators);
	port_unref(job->port);
	free(job);
}

/* --- the answer --- */

static int put_greenlet(struct stack_encoder *e, const struct greenlets *g, const struct greenlet *one)
{
	const struct frames_thread none = {.count = 0};
	const struct frames_thread *stack = one->stack < g->frames->thread_count ? &g->frames->threads[one->stack] : &none;
	struct msg m = {.type = MSG_DUMP_GREENLET,
		.dump_greenlet = {
			.address = one->at,
			.parent = one->parent,
			.thread = one->ident,
			.state = one->state,
			.flags = one->flags,
			.type = pytext_span(&g->text, one->type),
			.name = pytext_span(&g->text, one->name),
			.wait = one->wait,
			.events = (uint8_t)one->events,
			.fd = one->fd,
			.count = one->count,
			.left_us = one->left_us,
			.object = one->object,
			.holder = one->holder,
			.object_type = pytext_span(&g->text, one->object_type),
			.local = pytext_span(&g->text, one->local),
			.peer = pytext_span(&g->text, one->peer),
			.path = pytext_span(&g->text, one->path),
			.omitted_frames = stack->omitted,
		}};
	int rc = stack_encoder_put(e, stack, &m.dump_greenlet.frames);

	return rc == 0 ? channel_frame(e->out, &m) : rc;
}

static int put_generators(struct stack_encoder *e, const struct generators *g, const struct generator_group *group)
{
	struct msg m = {.type = MSG_DUMP_GENERATOR,
		.dump_generator = {.kind = group->kind, .count = group->count, .omitted_frames = group->omitted}};
	int rc = stack_encoder_put(e, &g->frames->threads[group->stack], &m.dump_generator.frames);

	return rc == 0 ? channel_frame(e->out, &m) : rc;
}

/* As many as there is room for; what is not is left out. */
static int put_all(struct heap_job *job, struct buf *out, struct stack_encoder *e)
{
	const struct greenlets *g = &job->greenlets;
	const struct generators *s = &job->generators;
	uint32_t i = 0, n = 0;
	int rc = 0;

	for (; rc == 0 && i < g->count && buf_len(out) < ANSWER_MAX; i++)
		rc = put_greenlet(e, g, &g->list[i]);
	for (; rc == 0 && n < s->group_count && buf_len(out) < ANSWER_MAX; n++)
		rc = put_generators(e, s, &s->groups[n]);
	if (i < g->count || n < s->group_count)
		job->cut = 1;
	return rc;
}

static int encode(struct heap_job *job, struct buf *out, const struct lines *lines)
{
	struct msg begin = {.type = MSG_DUMP_BEGIN, .dump_begin = job->begin}, end = {.type = MSG_DUMP_END};
	struct stack_encoder e;
	int rc = stack_encoder_open(&e, out, &job->frames, lines);

	if (rc == 0)
		rc = channel_frame(out, &begin);
	if (rc == 0)
		rc = put_all(job, out, &e);
	end.dump_end.id = job->request.id;
	if (job->cut || job->greenlets.cut || job->generators.cut || job->frames.cut)
		end.dump_end.flags = DUMP_CUT;
	if (rc == 0)
		rc = channel_frame(out, &end);
	stack_encoder_close(&e);
	return rc;
}

/* No GIL. */
static void answer(struct heap_job *job)
{
	struct lines lines = {.spots = NULL};
	struct buf out = {0};
	int rc;

	if (job->request.flags & DUMP_GREENLETS)
		greenlets_finish(&job->greenlets);
	if (job->request.flags & DUMP_GENERATORS)
		generators_finish(&job->generators);
	rc = lines_find(&lines, &job->frames);
	buf_init(&out, PORT_ANSWER_MAX);
	if (rc == 0) {
		lines_read(&lines, &job->frames);
		rc = encode(job, &out, &lines);
	}
	if (rc == 0)
		rc = port_answer_framed(job->port, &out);
	if (rc != 0 && rc != PYSTUCK_ECLOSED)
		dump_error(job->port, job->request.id, REASON_LIMIT, "no memory in the program for what was asked for");
	port_done(job->port, PORT_DUMP, job->request.id);
	buf_free(&out);
	lines_free(&lines);
}

/* --- the slices --- */

static void visit(void *to, PyObject *object)
{
	struct heap_job *job = to;

	if (job->request.flags & DUMP_GREENLETS)
		greenlets_visit(&job->greenlets, object);
	if (job->request.flags & DUMP_GENERATORS)
		generators_visit(&job->generators, object);
}

/* GIL held. 1 when there is nothing to look for any more, or no time. */
static int slice(struct heap_job *job, const struct gil_hold *hold)
{
	int more = 1, there = 1;

	if (job->request.flags & DUMP_GREENLETS)
		there = greenlets_slice(&job->greenlets) || (job->request.flags & DUMP_GENERATORS) != 0;
	generators_slice(&job->generators);
	if (there)
		more = heap_walk(&job->heap, visit, job, hold->since_ns + SLICE_NS);
	else
		more = 0;
	if (more && gil_now_ns() > job->until_ns)
		job->cut = 1;
	return !more || job->cut || port_closed(job->port);
}

/* GIL held: the last slice is over. */
static void finish(struct heap_job *job, struct gil_hold *hold)
{
	heap_close(&job->heap);
	gil_give(hold);
	answer(job);
	/* This may run finalizers of the program's. */
	if (job->frames.code_count > 0) {
		gil_take(hold);
		frames_release(&job->frames);
		gil_give(hold);
	}
	job_free(job);
}

/* GIL held at first. 0: the request has been taken back. */
static int begin(struct heap_job *job, const struct gil_hold *hold)
{
	if (port_claim(job->port, PORT_DUMP, job->request.id) != 0)
		return 0;
	job->begin = (struct msg_dump_begin){
		.id = job->request.id,
		.how = DUMP_HOW_GIL,
		.time_ns = dump_time_ns(),
		.gil_wait_us = hold->wait_us,
	};
	job->until_ns = hold->since_ns + BUDGET_NS;
	job->begun = 1;
	return 1;
}

static void run_heap(struct gil_job *base)
{
	struct heap_job *job = (struct heap_job *)base;
	struct gil_hold hold;
	uint64_t held_ns;
	int done;

	gil_take(&hold);
	if (!job->begun && !begin(job, &hold)) {
		heap_close(&job->heap);
		gil_give(&hold);
		job_free(job);
		return;
	}
	done = slice(job, &hold);
	held_ns = gil_now_ns() - hold.since_ns;
	if (held_ns / 1000 > job->begin.gil_held_us)
		job->begin.gil_held_us = held_ns / 1000;
	if (done) {
		job->begin.settled = job->slices++ == 0;
		finish(job, &hold);
		return;
	}
	job->slices++;
	gil_give(&hold);
	/* The program goes on for as long as it has stood still. Refused only when it ends: what we have goes with it. */
	if (gil_submit_after(&job->base, held_ns) != 0)
		dump_error(job->port, job->request.id, REASON_STOPPING, "the program is ending");
}

int dump_heap(struct port *port, const struct msg_dump *request)
{
	struct heap_job *job = calloc(1, sizeof *job);
	int rc = PYSTUCK_ENOMEM;

	if (job == NULL)
		return rc;
	job->base.run = run_heap;
	job->port = port_ref(port);
	job->request = *request;
	frames_init(&job->frames);
	generators_open(&job->generators, &job->frames, request->max_frames);
	rc = greenlets_open(&job->greenlets, &job->frames, request->max_frames);
	if (rc == 0)
		rc = heap_open(&job->heap);
	if (rc == 0)
		rc = gil_submit(&job->base);
	if (rc != 0) {
		heap_drop(&job->heap);
		job_free(job);
	}
	return rc;
}
