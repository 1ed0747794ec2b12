/*
 * eval.c: sessions of evaluation as the net thread sees them: open, request, interrupt, detach,
 * close; and the ends of all of them, for forks and at exit. Nothing here waits for the GIL. The
 * threads that evaluate are in eval_worker.c, how one is interrupted in eval_interrupt.c.
 */
#include <Python.h>

#include "eval.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "atomic.h"
#include "courtesy.h"
#include "error.h"
#include "eval_private.h"
#include "on_loop.h"
#include "raised.h"
#include "relay.h"
#include "tids.h"
#include "view.h"

#define PARK_MS 2000 /* idle threads need the GIL to end: a fork does not wait for it for ever */
#define STOP_REPEAT_MS 20 /* at exit, an evaluation is interrupted again after this time */

pthread_mutex_t eval_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t eval_changed;
struct eval_session *eval_sessions;
struct eval_worker *eval_workers;
static int stopping; /* guarded by eval_lock: no evaluation begins any more */
static int ending;   /* guarded by eval_lock: the program ends, nobody gets an answer any more */

/* Deadlines are measured by the clock that nobody sets. */
static void init_changed(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&eval_changed, &attr);
	pthread_condattr_destroy(&attr);
}

int eval_init(PyObject *module)
{
	static int done;

	(void)module;
	if (done)
		return 0;
	if (stream_init() != 0 || view_init() != 0 || on_loop_init() != 0 || run_init() != 0 || eval_interrupt_init() != 0)
		return -1;
	init_changed();
	done = 1;
	return 0;
}

/* --- sessions ------------------------------------------------------------- */

struct eval_session *eval_open(struct port *port, const char *who, PyObject *extra)
{
	struct eval_session *s = calloc(1, sizeof *s);

	if (s == NULL)
		return NULL;
	s->who = strdup(who);
	if (s->who == NULL) {
		free(s);
		return NULL;
	}
	s->references = 1;
	s->port = port_ref(port);
	s->extra = extra;
	pthread_mutex_lock(&eval_lock);
	s->next = eval_sessions;
	eval_sessions = s;
	pthread_mutex_unlock(&eval_lock);
	return s;
}

int eval_session_release(struct eval_session *s)
{
	struct eval_session **at;

	if (--s->references > 0)
		return 0;
	for (at = &eval_sessions; *at != s; at = &(*at)->next)
		;
	*at = s->next;
	return 1;
}

void eval_session_free(struct eval_session *s)
{
	if (s->port != NULL)
		port_unref(s->port);
	free(s->who);
	free(s);
}

/* Locked. The thread ends when it is idle; the session's next request gets another one. */
static void let_go(struct eval_worker *w)
{
	w->quit = 1;
	if (w->session != NULL && w->session->worker == w)
		w->session->worker = NULL;
	eval_worker_rouse(w);
}

/* --- requests ------------------------------------------------------------- */

/* NULL: no memory. */
static struct eval_request *new_request(uint32_t id, uint8_t flags, struct span source)
{
	struct eval_request *r = malloc(sizeof *r + source.len + 1);

	if (r == NULL)
		return NULL;
	*r = (struct eval_request){.id = id, .flags = flags, .len = source.len};
	if (r->len > 0)
		memcpy(r->source, source.data, r->len);
	r->source[r->len] = '\0';
	return r;
}

/* Locked. A request that is still there is late: its client has its answer. The caller wakes the worker. */
static void hand_over(struct eval_worker *w, struct eval_request *r)
{
	free(w->request);
	w->request = r;
	w->busy = 1;
	w->id = r->id;
	w->cancelled = 0;
	w->references++;
	if (w->reading)
		eval_worker_rouse(w);
}

/* Not locked, so that the thread does not wake up only to wait for the lock. The reference kept it from going meanwhile. */
static void wake(struct eval_worker *w)
{
	pthread_cond_signal(&w->wake);
	pthread_mutex_lock(&eval_lock);
	eval_worker_release(w);
	pthread_mutex_unlock(&eval_lock);
}

/* 0, or the enum reason why not. Takes the request over. */
static int accept_request(struct eval_session *s, struct eval_request *r)
{
	struct eval_worker *w;
	int reason = 0;

	if (r == NULL)
		return REASON_LIMIT;
	pthread_mutex_lock(&eval_lock);
	if (stopping)
		reason = REASON_STOPPING;
	else if (s->worker == NULL && (s->worker = eval_worker_start(s)) == NULL)
		reason = REASON_LIMIT;
	else
		hand_over(s->worker, r);
	w = s->worker;
	pthread_mutex_unlock(&eval_lock);
	if (reason == 0)
		wake(w);
	else
		free(r);
	return reason;
}

static void begin(struct eval_session *s, uint32_t id, struct eval_request *r)
{
	int reason = accept_request(s, r);

	if (reason == 0 || port_claim(s->port, PORT_EVAL, id) != 0)
		return;
	eval_refuse(s->port, id, reason,
		reason == REASON_STOPPING ? "the program is ending"
					  : "no thread or memory for an evaluation; are many "
					    "running that were let go of?");
	port_done(s->port, PORT_EVAL, id);
}

void eval_request(struct eval_session *s, const struct msg_eval *request)
{
	struct eval_request *r = new_request(request->id, request->flags, request->source);

	if (r != NULL)
		r->cell = request->cell;
	begin(s, request->id, r);
}

void eval_complete(struct eval_session *s, const struct msg_complete *request)
{
	struct eval_request *r = new_request(request->id, request->flags, request->source);

	if (r != NULL)
		r->complete = 1;
	begin(s, request->id, r);
}

void eval_late(struct eval_session *s, uint32_t id, uint64_t waited_us)
{
	unsigned long long tenths = (waited_us + 50000) / 100000;
	uint32_t holder = tids_at(gil_holder());
	char by[48] = "some thread does not let it go", text[200];

	if (holder != 0)
		snprintf(by, sizeof by, "tid %u does not let it go", holder);
	/* Not %.1f: the decimal point is the locale's. */
	snprintf(text, sizeof text,
		"nothing was run: the GIL could not be had in %llu.%llu s, because %s; its stack can be seen all the same",
		tenths / 10, tenths % 10, by);
	eval_refuse(s->port, id, REASON_GIL, text);
}

/* --- interrupts ----------------------------------------------------------- */

/* Locked. The session's thread that has the evaluation with this id, in the background or not; else NULL. */
static struct eval_worker *busy_with(struct eval_session *s, uint32_t id)
{
	struct eval_worker *w;

	for (w = eval_workers; w != NULL; w = w->next)
		if (w->session == s && w->busy && !w->detached && w->id == id)
			return w;
	return NULL;
}

void eval_interrupt(struct eval_session *s, uint32_t id)
{
	struct eval_worker *w;

	pthread_mutex_lock(&eval_lock);
	w = busy_with(s, id);
	if (w != NULL)
		eval_interrupt_worker(w);
	pthread_mutex_unlock(&eval_lock);
}

void eval_where(struct eval_session *s, uint32_t id)
{
	struct eval_worker *w;

	pthread_mutex_lock(&eval_lock);
	w = busy_with(s, id);
	if (w != NULL)
		eval_where_worker(w);
	pthread_mutex_unlock(&eval_lock);
}

void eval_background(struct eval_session *s, uint32_t id)
{
	struct eval_worker *w;

	pthread_mutex_lock(&eval_lock);
	w = busy_with(s, id);
	if (w != NULL)
		let_go(w);
	pthread_mutex_unlock(&eval_lock);
}

void eval_detach(struct eval_session *s, uint32_t id)
{
	struct eval_worker *w;

	pthread_mutex_lock(&eval_lock);
	w = busy_with(s, id);
	if (w != NULL) {
		w->detached = 1;
		atomic_store(&w->sink.silent, 1);
		let_go(w);
	}
	pthread_mutex_unlock(&eval_lock);
}

/* Locked, the last reference just gone. Objects are dropped on a thread made for it, since that may
 * run any code. */
static int drop_elsewhere(struct eval_session *s)
{
	struct eval_worker *w;

	if (s->space == NULL || stopping)
		return 0;
	s->next = eval_sessions;
	eval_sessions = s;
	w = eval_worker_start(s);
	if (w != NULL) {
		let_go(w);
		return 1;
	}
	eval_sessions = s->next;
	return 0;
}

void eval_close(struct eval_session *s)
{
	struct eval_worker *w;
	int last;

	if (s == NULL)
		return;
	pthread_mutex_lock(&eval_lock);
	for (w = eval_workers; w != NULL; w = w->next) {
		if (w->session != s)
			continue;
		if (w->busy && !w->detached) {
			atomic_store(&w->sink.silent, 1);
			eval_interrupt_worker(w);
			eval_insist(w);
		}
		let_go(w);
	}
	last = eval_session_release(s) && !drop_elsewhere(s);
	pthread_mutex_unlock(&eval_lock);
	/* What is in a namespace that could not be dropped stays: there is no memory for a thread,
	 * or no interpreter. */
	if (last)
		eval_session_free(s);
}

int eval_is_ending(void)
{
	int is;

	pthread_mutex_lock(&eval_lock);
	is = ending;
	pthread_mutex_unlock(&eval_lock);
	return is;
}

void eval_announce_end(void)
{
	pthread_mutex_lock(&eval_lock);
	ending = 1;
	pthread_mutex_unlock(&eval_lock);
}

/* --- the end of all threads ----------------------------------------------- */

static struct timespec after_ms(int ms)
{
	uint64_t t = gil_now_ns() + (uint64_t)(ms > 0 ? ms : 0) * 1000000u;

	return (struct timespec){(time_t)(t / 1000000000u), (long)(t % 1000000000u)};
}

static int is_before(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

/* Locked. Waits until w is over or the time has come; 1 when it is over, and then its thread has
 * been joined. */
static int await(struct eval_worker *w, struct timespec until)
{
	pthread_t thread = w->thread;
	int rc = 0, over;

	while (!w->over && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&eval_changed, &eval_lock, &until);
	over = w->over;
	if (!over)
		w->awaited = 0;
	eval_worker_release(w);
	if (!over)
		return 0;
	pthread_mutex_unlock(&eval_lock);
	pthread_join(thread, NULL);
	pthread_mutex_lock(&eval_lock);
	return 1;
}

/* Locked. Tells a thread to end that nobody waits for yet, an idle one or any; NULL: there is none.
 */
static struct eval_worker *end_one(int busy_too)
{
	struct eval_worker *w;

	for (w = eval_workers; w != NULL; w = w->next)
		if (!w->awaited && w != eval_worker_self() && (busy_too || !w->busy))
			break;
	if (w != NULL) {
		w->awaited = 1;
		w->references++;
		let_go(w);
	}
	return w;
}

void eval_park(void)
{
	struct timespec until = after_ms(PARK_MS);
	struct eval_worker *w;

	pthread_mutex_lock(&eval_lock);
	/* All are told before the first is waited for. */
	for (w = eval_workers; w != NULL; w = w->next)
		if (!w->busy)
			let_go(w);
	while ((w = end_one(0)) != NULL && await(w, until))
		;
	pthread_mutex_unlock(&eval_lock);
}

/* Locked. */
static void stop_all(void)
{
	struct eval_worker *w;

	for (w = eval_workers; w != NULL; w = w->next) {
		if (w == eval_worker_self())
			continue;
		if (w->busy && w->session != NULL)
			eval_interrupt_worker(w);
		let_go(w);
	}
}

int eval_stop(int timeout_ms)
{
	struct timespec until = after_ms(timeout_ms), step;
	struct eval_worker *w;
	int in_time = 1;

	pthread_mutex_lock(&eval_lock);
	stopping = 1;
	atomic_restore();
	stop_all();
	while (in_time && (w = end_one(1)) != NULL) {
		step = after_ms(STOP_REPEAT_MS);
		if (await(w, is_before(step, until) ? step : until))
			continue;
		in_time = is_before(step, until);
		stop_all();
	}
	/* Nobody but the thread that asks. */
	in_time = eval_workers == NULL ||
		  (eval_workers == eval_worker_self() && eval_workers->next == NULL);
	pthread_mutex_unlock(&eval_lock);
	return in_time;
}

/* --- in a forked child ---------------------------------------------------- */

void eval_forget(void)
{
	struct eval_worker *w = eval_worker_self();
	struct eval_session *s;

	/* The lock may have been held, and the condition waited on, by threads that are not here.
	 */
	pthread_mutex_init(&eval_lock, NULL);
	init_changed();
	/* What they used is not given back: they may have been in the middle of it. */
	eval_workers = w;
	if (w != NULL)
		w->next = NULL;
	for (s = eval_sessions; s != NULL; s = s->next) {
		int mine = w != NULL && w->session == s;

		s->worker = NULL;
		s->references = mine ? 2 : 1;
		s->port = mine ? s->port : NULL;
		s->space = mine ? s->space : NULL;
	}
	stopping = 0;
	ending = 0;
	courtesy_forget();
	atomic_forget();
	relay_forget();
	stream_forget();
	raised_forget();
}
