/*
 * dump.c: answers MSG_DUMP, by a job of the courier, or without the GIL when that did not come in
 * time. Collecting, interpreting and encoding are done by the files around; here is what happens
 * when, and with what held.
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
#include "error.h"
#include "frames.h"
#include "gil.h"
#include "lines.h"
#include "locals.h"
#include "names.h"
#include "ours.h"
#include "tids.h"
#include "wait.h"
#include "waits.h"

#define OS_THREADS_MAX                                                                             \
	4096u /* in an answer without the GIL: it is made by the net thread, for which others wait \
	       */
/*
 * So many threads get their name from the kernel too, and all that threading does not know: each
 * costs as much as the state.
 */
#define OS_NAMES_MAX 128u
#define NOTE_BYTES 160

struct job {
	struct gil_job base;
	struct port *port;
	struct msg_dump request;
};

/* All that a dump collects, from the GIL to the answer. */
struct dump {
	struct frames frames;
	struct lines lines;
	struct locals locals;
	struct waits_view *views;
	struct wait_list waits;
	struct msg_dump_begin begin;
};

void dump_init(void)
{
	lines_init();
	names_init();
	locals_init();
}

static uint64_t time_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void answer_error(struct port *port, uint32_t id, enum reason reason, const char *text)
{
	struct msg m = {.type = MSG_ERROR,
		.error = {.id = id, .reason = (uint8_t)reason, .text = span_text(text)}};

	port_answer(port, &m);
}

static void dump_free(struct dump *d)
{
	frames_free(&d->frames);
	lines_free(&d->lines);
	locals_free(&d->locals);
	wait_free(&d->waits);
	free(d->views);
}

/* What the kernel says, as soon as possible after the frames were read. */
static int look_at_threads(struct dump *d)
{
	const struct frames *f = &d->frames;
	struct waits w;
	int rc;

	d->views = malloc((f->thread_count > 0 ? f->thread_count : 1) * sizeof *d->views);
	if (d->views == NULL)
		return PYSTUCK_ENOMEM;
	waits_open(&w);
	for (uint32_t i = 0; i < f->thread_count; i++) {
		const struct frames_thread *t = &f->threads[i];

		waits_look(&w, (pid_t)t->tid, i < OS_NAMES_MAX || t->class_name.len == 0,
			&d->views[i]);
	}
	rc = wait_find(&d->waits, f, &w, d->views);
	waits_close(&w);
	return rc;
}

static void send_answer(struct port *port, const struct dump *d, int with_locals)
{
	struct answer a = {
		.begin = d->begin,
		.frames = &d->frames,
		.lines = &d->lines,
		.locals = with_locals ? &d->locals : NULL,
		.views = d->views,
		.waits = &d->waits,
	};
	struct buf out = {0};
	int rc = answer_encode(&out, &a);

	if (rc == 0)
		rc = port_answer_framed(port, buf_span(&out));
	if (rc != 0 && rc != PYSTUCK_ECLOSED)
		answer_error(
			port, d->begin.id, REASON_LIMIT, "no memory in the program for a dump");
	buf_free(&out);
}

/* --- with the GIL --- */

/* GIL held; what is done here is what the program stands still for. */
static int collect(struct dump *d, const struct msg_dump *request, const struct gil_hold *hold)
{
	int rc = frames_collect(&d->frames, request->flags, request->max_frames, hold->holder);

	if (rc == 0 && (request->flags & DUMP_LOCALS))
		locals_collect(&d->locals, &d->frames);
	d->begin.time_ns = time_now_ns();
	return rc;
}

static void finish(struct dump *d, struct port *port, const struct msg_dump *request)
{
	int rc = look_at_threads(d);

	if (rc == 0)
		rc = lines_find(&d->lines, &d->frames);
	if (rc != 0) {
		answer_error(
			port, request->id, REASON_LIMIT, "no memory in the program for a dump");
		return;
	}
	lines_read(&d->lines, &d->frames);
	send_answer(port, d, (request->flags & DUMP_LOCALS) != 0);
}

static void answer_without_frames(
	struct port *port, const struct msg_dump *request, uint64_t waited_us, const char *note);

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
	if (rc == 0)
		finish(d, job->port, &job->request);
	else if (rc == PYSTUCK_ETIME)
		answer_without_frames(job->port, &job->request, hold->wait_us,
			"Python's list of threads is locked; Python stacks unknown");
	else
		answer_error(job->port, job->request.id, REASON_LIMIT,
			"no memory in the program for a dump");
	port_done(job->port, PORT_DUMP, job->request.id);
	/*
	 * The answer is out: only now, since it may run the program's code, are the code objects
	 * let go.
	 */
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
static void refuse(struct port *port, uint32_t id, enum reason reason, const char *text)
{
	if (port_claim(port, PORT_DUMP, id) != 0)
		return;
	answer_error(port, id, reason, text);
	port_done(port, PORT_DUMP, id);
}

void dump_request(struct port *port, const struct msg_dump *request)
{
	struct job *job = malloc(sizeof *job);
	int rc;

	if (job == NULL) {
		refuse(port, request->id, REASON_LIMIT, "no memory in the program for a dump");
		return;
	}
	job->base = (struct gil_job){.run = run_job};
	job->port = port_ref(port);
	job->request = *request;
	rc = gil_submit(&job->base);
	if (rc == 0)
		return;
	port_unref(job->port);
	free(job);
	if (rc == PYSTUCK_ECLOSED)
		refuse(port, request->id, REASON_STOPPING, "the program is ending");
	else
		refuse(port, request->id, REASON_LIMIT,
			"no thread could be started in the program");
}

/* --- without the GIL --- */

/* All threads of the process but ours, the main thread first: /proc lists them by id. */
static int list_os_threads(struct dump *d, const struct waits *w, uint8_t flags)
{
	struct frames *f = &d->frames;
	pid_t *tids = malloc(OS_THREADS_MAX * sizeof *tids);
	pid_t self = (pid_t)syscall(SYS_gettid);
	size_t n = 0;
	int rc = PYSTUCK_ENOMEM;

	if (tids == NULL)
		goto out;
	n = waits_list(w, tids, OS_THREADS_MAX, &f->omitted_threads);
	f->cut = f->omitted_threads > 0;
	f->threads = calloc(n > 0 ? n : 1, sizeof *f->threads);
	d->views = malloc((n > 0 ? n : 1) * sizeof *d->views);
	if (f->threads == NULL || d->views == NULL)
		goto out;
	rc = 0;
	for (size_t i = 0; i < n; i++) {
		int ours = tids[i] == self || ours_has(tids[i]);

		if (ours && !(flags & DUMP_OURS))
			continue;
		f->threads[f->thread_count].tid = (uint32_t)tids[i];
		f->threads[f->thread_count].flags =
			(uint8_t)((tids[i] == getpid() ? THREAD_MAIN : 0) |
				  (ours ? THREAD_OURS : 0));
		waits_look(w, tids[i], 1, &d->views[f->thread_count++]);
	}
out:
	free(tids);
	return rc;
}

static void answer_without_frames(
	struct port *port, const struct msg_dump *request, uint64_t waited_us, const char *note)
{
	struct dump d = {.views = NULL};
	struct waits w;
	int rc;

	waits_open(&w);
	d.begin = (struct msg_dump_begin){
		.id = request->id,
		.how = DUMP_HOW_OS,
		.time_ns = time_now_ns(),
		.gil_wait_us = waited_us,
		.gil_holder = tids_at(gil_holder()),
		.note = span_text(note),
	};
	rc = list_os_threads(&d, &w, request->flags);
	if (rc == 0)
		rc = wait_find(&d.waits, &d.frames, &w, d.views);
	waits_close(&w);
	if (rc == 0)
		send_answer(port, &d, 0);
	else
		answer_error(
			port, request->id, REASON_LIMIT, "no memory in the program for a dump");
	dump_free(&d);
}

void dump_without_gil(struct port *port, const struct msg_dump *request, uint64_t waited_us)
{
	unsigned long long tenths = (waited_us + 50000) / 100000;
	uint32_t holder = tids_at(gil_holder());
	char by[32] = "", note[NOTE_BYTES];

	if (holder != 0)
		snprintf(by, sizeof by, ", held by thread %u", holder);
	/* Not %.1f: the decimal point is the locale's. */
	snprintf(note, sizeof note, "GIL not available for %llu.%llu s%s; Python stacks unknown",
		tenths / 10, tenths % 10, by);
	answer_without_frames(port, request, waited_us, note);
}
