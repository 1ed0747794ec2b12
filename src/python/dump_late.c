/*
 * dump_late.c: answers MSG_DUMP without the GIL: by stacks read from raw memory, on a thread of its own, or where that cannot be
 * by what the operating system knows of the threads. How stacks are read: raw.c.
 */
#include <Python.h>

#include "dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump_private.h"
#include "error.h"
#include "gil.h"
#include "lane.h"
#include "ours.h"
#include "raw.h"
#include "text.h"
#include "tids.h"

/* In an answer of the net thread's, for which others wait. */
#define OS_THREADS_MAX 4096u
#define NOTE_BYTES 400
#define HOLDER_BYTES 200

/* --- what the operating system knows --- */

/* All threads of the process but ours, the main thread first: /proc lists them by id. */
static int list_os_threads(struct dump *d, const struct waits *w, uint8_t flags)
{
	struct frames *f = &d->frames;
	pid_t *tids = malloc(OS_THREADS_MAX * sizeof *tids);
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
		int ours = ours_has(tids[i]);

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

void dump_os(
	struct port *port, const struct msg_dump *request, uint64_t waited_us, const char *note)
{
	struct dump d = {.views = NULL};
	struct waits w;
	int rc;

	waits_open(&w);
	d.begin = (struct msg_dump_begin){
		.id = request->id,
		.how = DUMP_HOW_OS,
		.time_ns = dump_time_ns(),
		.gil_wait_us = waited_us,
		.gil_holder = tids_at(gil_holder()),
		.note = span_text(note),
	};
	rc = list_os_threads(&d, &w, request->flags);
	if (rc == 0)
		rc = wait_find(&d.waits, &d.frames, &w, d.views);
	waits_close(&w);
	if (rc == 0)
		dump_send(port, &d, 0);
	else
		dump_error(
			port, request->id, REASON_LIMIT, "no memory in the program for a dump");
	dump_free(&d);
}

/* --- in words --- */

/* A time in tenths of a second. Not %.1f: the decimal point is the locale's. */
static void put_seconds(char *out, size_t size, uint64_t us)
{
	unsigned long long tenths = (us + 50000) / 100000;

	snprintf(out, size, "%llu.%llu", tenths / 10, tenths % 10);
}

/* ", held by Thread-3 (tid 815) in C code": whatever of it is known. */
static void put_holder(char out[static HOLDER_BYTES], const struct dump *d, const struct raw_look *look)
{
	struct span name = {NULL, 0};
	char safe[HOLDER_BYTES / 2] = "";
	const char *where = "";

	out[0] = '\0';
	if (look->holder != UINT32_MAX) {
		name = pytext_span(&d->frames.text, d->frames.threads[look->holder].name);
		if (name.len == 0)
			name = span_text(d->views[look->holder].name);
	}
	if (look->holder_tid == 0)
		return;
	if (look->in_c)
		where = look->collecting ? " in C code, collecting garbage" : " in C code";
	text_copy(safe, sizeof safe, name, TEXT_LINE);
	if (safe[0] != '\0')
		snprintf(out, HOLDER_BYTES, ", held by %s (tid %u)%s", safe, look->holder_tid, where);
	else
		snprintf(out, HOLDER_BYTES, ", held by thread %u%s", look->holder_tid, where);
}

/* How the stacks came about, for people. */
static void put_note(char note[static NOTE_BYTES], const struct dump *d, const struct raw_look *look, uint8_t flags)
{
	char holder[HOLDER_BYTES], moving[64] = "", waited[24] = "";

	put_holder(holder, d, look);
	put_seconds(waited, sizeof waited, d->begin.gil_wait_us);
	if (look->moving > 0)
		snprintf(moving, sizeof moving, ", but for %u thread%s that may be wrong", look->moving,
			look->moving == 1 ? "" : "s");
	if (d->begin.gil_wait_us > 0)
		snprintf(note, NOTE_BYTES, "GIL not available for %s s%s; stacks read without it%s", waited, holder, moving);
	else
		snprintf(note, NOTE_BYTES, "stacks read without the GIL%s%s", holder, moving);
	if ((flags & DUMP_LOCALS) && !look->locals)
		strncat(note, "; variables not read", NOTE_BYTES - strlen(note) - 1);
	strncat(note, look->settled ? "; settled" : "", NOTE_BYTES - strlen(note) - 1);
}

/* --- stacks from raw memory --- */

/* A request on its way to the thread that reads. */
struct late {
	struct gil_job base;
	struct port *port;
	struct msg_dump request;
	uint64_t waited_us; /* 0: the GIL was not asked for */
};

static int look_sample(struct dump *d, const struct raw_look *look)
{
	int rc = dump_look_sample(d, 1);

	if (rc == 0 && look->collecting && look->holder != UINT32_MAX)
		d->waits.items[look->holder].state = STATE_GC;
	return rc;
}

struct both {
	struct dump *d;
	const struct raw_look *look;
};

static int look_at_threads(void *context)
{
	const struct both *both = context;

	both->d->waits.collecting = both->look->collecting;
	return dump_look(both->d);
}

/* Reads all that is to be said. 0, or why it could not be read. */
static int collect(struct dump *d, struct raw_look *look, const struct late *late)
{
	const struct msg_dump *request = &late->request;
	int (*meanwhile)(void *) = NULL;
	int rc;

	if (request->flags & DUMP_SAMPLE)
		dump_expect_sample();
	else
		wait_begin(&d->waits);
	if (!(request->flags & DUMP_SAMPLE))
		meanwhile = look_at_threads;
	rc = raw_collect(&d->frames, &d->lines, &d->locals, look, request->flags, request->max_frames, meanwhile, &(struct both){d, look});

	d->begin = (struct msg_dump_begin){
		.id = request->id,
		.how = DUMP_HOW_RAW,
		.settled = (uint8_t)look->settled,
		.time_ns = dump_time_ns(),
		.gil_wait_us = late->waited_us,
		.gil_holder = look->holder_tid,
	};
	if (rc == 0 && request->flags & DUMP_SAMPLE)
		return look_sample(d, look);
	if (rc == 0) {
		lines_read(&d->lines, &d->frames);
		wait_names(&d->waits, &d->frames, &d->lines);
	}
	return rc;
}

/* What is said when stacks cannot be read. */
static void answer_os(const struct late *late, const char *why)
{
	uint32_t holder = tids_at(gil_holder());
	char by[32] = "", waited[24] = "", note[NOTE_BYTES];

	if (holder != 0)
		snprintf(by, sizeof by, ", held by thread %u", holder);
	put_seconds(waited, sizeof waited, late->waited_us);
	if (late->waited_us > 0)
		snprintf(note, sizeof note, "GIL not available for %s s%s; Python stacks unknown: %s", waited, by, why);
	else
		snprintf(note, sizeof note, "no stacks without the GIL: %s", why);
	dump_os(late->port, &late->request, late->waited_us, note);
}

static const char *reason_of(int rc)
{
	if (raw_trouble() != NULL)
		return raw_trouble();
	switch (rc) {
	case PYSTUCK_EAGAIN:
		return "the list of threads did not hold still";
	case PYSTUCK_ENOMEM:
		return "no memory to read them into";
	default:
		return "the program's memory could not be read";
	}
}

static void late_free(struct late *late)
{
	port_unref(late->port);
	free(late);
}

static int claim(const struct late *late)
{
	return port_claim(late->port, PORT_DUMP, late->request.id) == 0;
}

/*
 * On the lane, which never takes the GIL. Claimed only when there is an answer: source files may lie where reading them takes for
 * ever, and the net thread answers then.
 */
static void run_late(struct gil_job *base)
{
	struct late *late = (struct late *)base;
	struct dump d = {.views = NULL};
	struct raw_look look;
	char note[NOTE_BYTES];
	int rc = port_closed(late->port) ? PYSTUCK_ECLOSED : collect(&d, &look, late);

	if (rc != PYSTUCK_ECLOSED && claim(late)) {
		if (rc == 0) {
			put_note(note, &d, &look, late->request.flags);
			d.begin.note = span_text(note);
			dump_send(late->port, &d, look.locals);
		} else {
			answer_os(late, reason_of(rc));
		}
		port_done(late->port, PORT_DUMP, late->request.id);
	}
	dump_free(&d);
	late_free(late);
}

/* 0 when a thread has it. */
static int submit(struct port *port, const struct msg_dump *request, uint64_t waited_us)
{
	struct late *late = malloc(sizeof *late);
	int rc;

	if (late == NULL)
		return PYSTUCK_ENOMEM;
	*late = (struct late){
		.base = {.run = run_late}, .port = port_ref(port), .request = *request, .waited_us = waited_us};
	rc = lane_submit(LANE_RAW, &late->base);
	if (rc != 0)
		late_free(late);
	return rc;
}

void dump_raw(struct port *port, const struct msg_dump *request)
{
	int rc = submit(port, request, 0);

	if (rc == PYSTUCK_ECLOSED)
		dump_refuse(port, request->id, REASON_STOPPING, "the program is ending");
	else if (rc != 0)
		dump_refuse(port, request->id, REASON_LIMIT, "no thread or memory in the program for a dump");
}

void dump_without_gil(struct port *port, const struct msg_dump *request, uint64_t waited_us, int last)
{
	struct late late = {.port = port, .request = *request, .waited_us = waited_us};
	const char *why = raw_trouble();

	if (request->flags & (DUMP_GREENLETS | DUMP_GENERATORS)) {
		dump_refuse(port, request->id, REASON_GIL, "the GIL is not available, and objects are not looked at without it");
		return;
	}
	/* Then it is the thread that reads which was waited for, and it is at work. */
	if (request->flags & DUMP_RAW)
		late.waited_us = 0;
	if (why == NULL && !last && (late.waited_us == 0 || submit(port, request, waited_us) == 0))
		return;
	if (!claim(&late))
		return;
	answer_os(&late, why != NULL ? why : "they could not be read in time");
	port_done(port, PORT_DUMP, request->id);
}
