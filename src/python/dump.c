/*
 * dump.c: answers MSG_DUMP, by a job of the courier. Collecting, interpreting and encoding are done
 * by the files around; here is what happens when, and with what held. What is answered without the
 * GIL: dump_late.c.
 */
#include <Python.h>

#include "dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "collector.h"
#include "dump_private.h"
#include "error.h"
#include "frames.h"
#include "gil.h"
#include "greenlets.h"
#include "heap.h"
#include "lines.h"
#include "locals.h"
#include "names.h"
#include "natives.h"
#include "raw.h"
#include "tids.h"
#include "wait.h"
#include "waits.h"

struct job {
	struct gil_job base;
	struct port *port;
	struct msg_dump request;
};

#define TRIALS_BYTES (4u << 20) /* of addresses: few of them are used */

void dump_init(void)
{
	lines_init();
	names_init();
	locals_init();
	/* Tries out how memory is read, many times. */
	raw_own_keep(TRIALS_BYTES);
	raw_init();
	wait_init();
	raw_own_let_go();
	greenlets_init();
	heap_init();
	tasks_init();
}

uint64_t dump_time_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void dump_error(struct port *port, uint32_t id, enum reason reason, const char *text)
{
	struct msg m = {.type = MSG_ERROR,
		.error = {.id = id, .reason = (uint8_t)reason, .text = span_text(text)}};

	port_answer(port, &m);
}

void dump_free(struct dump *d)
{
	frames_free(&d->frames);
	lines_free(&d->lines);
	locals_free(&d->locals);
	wait_free(&d->waits);
	free(d->views);
	if (d->tasks != NULL)
		tasks_free(d->tasks);
	free(d->tasks);
}

/* What the kernel says, as soon as possible after the frames were read. */
int dump_look(struct dump *d)
{
	const struct frames *f = &d->frames;
	struct waits w;
	int rc;

	natives_add(&d->frames, &d->waits);
	d->views = calloc(f->thread_count > 0 ? f->thread_count : 1, sizeof *d->views);
	if (d->views == NULL)
		return PYSTUCK_ENOMEM;
	waits_open(&w);
	for (uint32_t i = 0; i < f->interp_count; i++)
		waits_gil(&w, f->interps[i].gil, f->interps[i].gil_bytes);
	for (uint32_t i = 0; i < f->thread_count; i++) {
		const struct frames_thread *t = &f->threads[i];
		int closely = i < WAITS_CLOSELY || t->class_name.len == 0;

		if (i == WAITS_CLOSELY)
			wait_parked(d->views, f, i, &w);
		if (d->views[i].lock == 0)
			waits_look(&w, (pid_t)t->tid, closely, &d->views[i]);
		if (t->native)
			natives_hide(&d->views[i]);
		if (!closely)
			d->views[i].cpu_ns = wait_before_ns(&d->waits, (pid_t)t->tid);
	}
	rc = wait_find(&d->waits, f, &w, d->views);
	waits_close(&w);
	return rc;
}

void dump_send(struct port *port, const struct dump *d, int with_locals)
{
	struct answer a = {
		.begin = d->begin,
		.frames = &d->frames,
		.lines = &d->lines,
		.locals = with_locals ? &d->locals : NULL,
		.views = d->views,
		.waits = &d->waits,
		.has = d->has,
		.tasks = d->tasks,
	};
	struct buf out = {0};
	int rc = answer_encode(&out, &a);

	if (rc == 0)
		rc = port_answer_framed(port, &out);
	if (rc != 0 && rc != PYSTUCK_ECLOSED)
		dump_error(
			port, d->begin.id, REASON_LIMIT, "no memory in the program for a dump");
	buf_free(&out);
}

/* --- with the GIL --- */

/* GIL held; what is done here is what the program stands still for. */
static int collect(struct dump *d, const struct msg_dump *request, const struct gil_hold *hold)
{
	int rc = frames_collect(&d->frames, request->flags, request->max_frames, hold->holder);

	d->waits.collecting = collector_runs();
	if (greenlets_there())
		d->has |= DUMP_HAS_GREENLETS;
	d->asyncio = (request->flags & DUMP_TASKS) != 0 && tasks_there();
	if (rc == 0 && (request->flags & DUMP_LOCALS))
		locals_collect(&d->locals, &d->frames);
	d->begin.time_ns = dump_time_ns();
	return rc;
}

static void finish(struct dump *d, struct port *port, const struct msg_dump *request)
{
	int sample = (request->flags & DUMP_SAMPLE) != 0;
	int rc = sample ? dump_look_sample(d, 0) : dump_look(d);

	/* Not before that: the sooner the kernel is asked, the more is true of what the threads waited for. */
	if (rc == 0 && (request->flags & DUMP_TASKS) != 0) {
		d->tasks = calloc(1, sizeof *d->tasks);
		if (d->tasks == NULL)
			rc = PYSTUCK_ENOMEM;
		else if (d->asyncio)
			tasks_collect(d->tasks, &d->frames);
	}
	if (rc == 0)
		rc = lines_find(&d->lines, &d->frames);
	if (rc != 0) {
		dump_error(
			port, request->id, REASON_LIMIT, "no memory in the program for a dump");
		return;
	}
	if (!sample) {
		lines_read(&d->lines, &d->frames);
		wait_names(&d->waits, &d->frames, &d->lines);
	}
	if (d->tasks != NULL)
		tasks_names(d->tasks, &d->lines);
	dump_send(port, d, (request->flags & DUMP_LOCALS) != 0);
}

/* The courier, with the request claimed and the GIL held; gives it back. */
static void answer_claimed(const struct job *job, struct dump *d, struct gil_hold *hold)
{
	int rc = collect(d, &job->request, hold);

	d->begin.id = job->request.id;
	d->begin.how = DUMP_HOW_GIL;
	d->begin.settled = 1;
	d->begin.gil_wait_us = hold->wait_us;
	d->begin.gil_holder = d->frames.holder_tid;
	d->begin.gil_held_us = (gil_now_ns() - hold->since_ns) / 1000;
	gil_give(hold);
	/* Where all interpreters have one GIL, another one's thread may have had it. */
	if (d->begin.gil_holder == 0)
		d->begin.gil_holder = tids_at(hold->holder);
	if (rc == 0)
		rc = raw_collect_others(&d->frames, &d->locals, job->request.flags, job->request.max_frames);
	if (rc == 0)
		finish(d, job->port, &job->request);
	else if (rc == PYSTUCK_ETIME)
		dump_os(job->port, &job->request, hold->wait_us,
			"Python's list of threads is locked; Python stacks unknown");
	else
		dump_error(job->port, job->request.id, REASON_LIMIT,
			"no memory in the program for a dump");
	port_done(job->port, PORT_DUMP, job->request.id);
	/*
	 * The answer is out: only now, since it may run the program's code, are the code objects
	 * let go.
	 */
	if (d->tasks != NULL)
		tasks_release(d->tasks);
	if (d->frames.code_count > 0) {
		gil_take(hold);
		frames_release(&d->frames);
		gil_give(hold);
	}
}

static void run_job(struct gil_job *base)
{
	struct job *job = (struct job *)base;
	struct dump d = {.views = NULL};
	struct gil_hold hold;

	/* Nobody waits any more: the program is spared the stop. */
	if (!port_closed(job->port)) {
		frames_init(&d.frames);
		if (!(job->request.flags & DUMP_SAMPLE))
			wait_begin(&d.waits);
		gil_take(&hold);
		if (port_claim(job->port, PORT_DUMP, job->request.id) == 0)
			answer_claimed(job, &d, &hold);
		else
			gil_give(&hold);
		dump_free(&d);
	}
	port_unref(job->port);
	free(job);
}

/* The worker's part, done by the net thread itself, when there is no worker. */
void dump_refuse(struct port *port, uint32_t id, enum reason reason, const char *text)
{
	if (port_claim(port, PORT_DUMP, id) != 0)
		return;
	dump_error(port, id, reason, text);
	port_done(port, PORT_DUMP, id);
}

static int submit(struct port *port, const struct msg_dump *request)
{
	struct job *job = malloc(sizeof *job);
	int rc;

	if (job == NULL)
		return PYSTUCK_ENOMEM;
	job->base = (struct gil_job){.run = run_job};
	job->port = port_ref(port);
	job->request = *request;
	rc = gil_submit(&job->base);
	if (rc != 0) {
		port_unref(job->port);
		free(job);
	}
	return rc;
}

void dump_request(struct port *port, const struct msg_dump *request)
{
	int rc;

	if (request->flags & (DUMP_GREENLETS | DUMP_GENERATORS)) {
		rc = dump_heap(port, request);
	} else if (request->flags & DUMP_RAW) {
		dump_raw(port, request);
		return;
	} else {
		rc = submit(port, request);
	}
	if (rc == PYSTUCK_ECLOSED)
		dump_refuse(port, request->id, REASON_STOPPING, "the program is ending");
	else if (rc == PYSTUCK_ENOMEM)
		dump_refuse(port, request->id, REASON_LIMIT, "no memory in the program for a dump");
	else if (rc != 0)
		dump_refuse(port, request->id, REASON_LIMIT,
			"no thread could be started in the program");
}
