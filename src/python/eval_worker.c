/*
 * eval_worker.c: the thread that evaluates for one session: waits for a request, takes the GIL with
 * a thread state of its own, runs the code, answers. How code is run and shown is run.c's, where
 * its output goes stream.c's.
 */
#include <Python.h>

#include "eval_private.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compat_eval.h"
#include "complete.h"
#include "forkgate.h"
#include "tee.h"
#include "threading.h"

#define WORKER_NAME "pystuck-eval"
#define WORKERS_MAX 200        /* evaluation threads, those that were let go of included */
#define STACK_BYTES (8u << 20) /* at least, where the system's default is less: deep recursion */

static _Thread_local struct eval_worker *self;

struct eval_worker *eval_worker_self(void)
{
	return self;
}

/* --- one evaluation ------------------------------------------------------- */

/* The code has forked, and this is the child: its thread is the whole process, and what it knows of
 * us is the parent's. */
static void end_forked_child(const struct eval_worker *w, const struct run_result *result)
{
	if (getpid() == w->pid)
		return;
	_exit(result->status == RESULT_RAISED || result->status == RESULT_INTERRUPTED ? 1 : 0);
}

/* 1 when the request was interrupted before it began. */
static int is_cancelled(struct eval_worker *w)
{
	int cancelled;

	pthread_mutex_lock(&eval_lock);
	cancelled = w->cancelled;
	pthread_mutex_unlock(&eval_lock);
	return cancelled;
}

static void cancelled_result(struct run_result *result)
{
	static const char text[] = "KeyboardInterrupt: before it began";

	result->status = RESULT_INTERRUPTED;
	result->text = strdup(text);
	result->len = result->text != NULL ? sizeof text - 1 : 0;
	result->total = result->len;
}

/* GIL held. Between the two the evaluation can be interrupted. */
static void open_guard(struct eval_worker *w)
{
	w->interrupted = 0;
	w->running_id = w->sink.id;
	w->running = 1;
	atomic_store(&w->computing_since, gil_now_ns());
	atomic_store(&w->computing, w->state);
}

/* In this order and with the GIL held throughout: an exception that was sent late must not hit what comes next. */
static void close_guard(struct eval_worker *w)
{
	w->running = 0;
	atomic_store(&w->computing, NULL);
	compat_drop_async_exc(w->state, w->ident);
}

static void run_guarded(
	struct eval_worker *w, const struct run_request *r, struct run_result *result)
{
	struct eval_session *s = w->session;
	PyObject *source = NULL;
	int entered = 0;

	open_guard(w);
	/* Asked once more: an interrupt that came just before found nothing running. */
	if (is_cancelled(w))
		cancelled_result(result);
	else if (run_start(r, &source, &w->interrupted, result)) {
		entered = stream_enter(&w->sink) == 0;
		if (entered)
			run_finish(s->space, r, source, &w->interrupted, result);
		else
			run_failed(result);
		Py_DECREF(source);
	}
	close_guard(w);
	end_forked_child(w, result);
	if (entered)
		stream_leave();
}

/* GIL held. 1 when the session has a namespace, else an exception is set. */
static int has_space(struct eval_session *s)
{
	threading_import();
	if (s->space == NULL)
		s->space = space_new(s->extra);
	return s->space != NULL;
}

/* GIL held. */
static void run_request(
	struct eval_worker *w, const struct eval_request *r, struct run_result *result)
{
	struct eval_session *s = w->session;
	struct run_request request = {.source = r->source,
		.len = r->len,
		.cell = r->cell,
		.interactive = (r->flags & EVAL_INTERACTIVE) != 0,
		.prompt = (r->flags & EVAL_PROMPT) != 0,
		.raised = (r->flags & EVAL_RAISED) != 0,
		.who = s->who};

	if (is_cancelled(w)) {
		cancelled_result(result);
		return;
	}
	if (!has_space(s)) {
		run_failed(result);
		return;
	}
	w->sink.port = s->port;
	w->sink.id = r->id;
	w->sink.interrupted = 0;
	run_guarded(w, &request, result);
	threading_forget_us();
}

/* 1 when somebody still waits for the answer. From here on the thread counts as idle. */
static int finish(struct eval_worker *w)
{
	int wanted;

	pthread_mutex_lock(&eval_lock);
	if (w->request == NULL)
		w->busy = 0;
	wanted = !w->detached;
	pthread_mutex_unlock(&eval_lock);
	return wanted;
}

/* The program's audit hooks are asked as for an evaluation: a no means that its code is not run. */
static int may_ask(const struct eval_worker *w, const struct eval_request *r)
{
	PyObject *source = PyUnicode_DecodeUTF8(r->source, (Py_ssize_t)r->len, "replace");
	int may = source != NULL && PySys_Audit("pystuck.eval", "sO", w->session->who, source) == 0;

	PyErr_Clear();
	Py_XDECREF(source);
	return may;
}

/* GIL held. Where the program's own code is run, it prints to nobody. */
static void run_complete(struct eval_worker *w, const struct eval_request *r, struct complete *c)
{
	int entered = 0;

	if (is_cancelled(w) || !has_space(w->session)) {
		PyErr_Clear();
		return;
	}
	space_dicts(w->session->space, &c->spaces);
	w->sink.port = NULL;
	w->sink.id = r->id;
	if (c->ask)
		entered = stream_enter(&w->sink) == 0;
	open_guard(w);
	c->ask = c->ask && entered && may_ask(w, r);
	if (!is_cancelled(w))
		complete_find(c);
	PyErr_Clear();
	space_dicts_clear(&c->spaces);
	close_guard(w);
	end_forked_child(w, &(struct run_result){.status = RESULT_NONE});
	if (entered)
		stream_leave();
	threading_forget_us();
}

static void complete(struct eval_worker *w, const struct eval_request *r)
{
	struct port *port = w->session->port;
	struct complete c = {.source = {(const uint8_t *)r->source, r->len},
		.ask = (r->flags & COMPLETE_ASK) != 0,
		.from = (uint32_t)r->len};

	gil_restore(w->state);
	if (port_claim(port, PORT_EVAL, r->id) != 0) {
		PyEval_SaveThread();
		finish(w);
		return;
	}
	run_complete(w, r, &c);
	PyEval_SaveThread();
	if (finish(w)) {
		eval_answer_complete(port, r->id, &c);
		port_done(port, PORT_EVAL, r->id);
	}
	complete_free(&c);
}

static void evaluate(struct eval_worker *w, const struct eval_request *r)
{
	struct port *port = w->session->port;
	struct run_result result = {.status = RESULT_NONE};
	uint64_t began;

	gil_restore(w->state);
	if (port_claim(port, PORT_EVAL, r->id) != 0) {
		PyEval_SaveThread();
		finish(w);
		return;
	}
	began = gil_now_ns();
	run_request(w, r, &result);
	PyEval_SaveThread();
	if (finish(w)) {
		eval_answer(port, r->id, &result, (gil_now_ns() - began) / 1000);
		port_done(port, PORT_EVAL, r->id);
	}
	run_result_clear(&result);
}

static void refuse_without_state(struct eval_worker *w, const struct eval_request *r)
{
	struct port *port = w->session->port;

	finish(w);
	if (port_claim(port, PORT_EVAL, r->id) != 0)
		return;
	eval_refuse(port, r->id, REASON_LIMIT, "no memory for a Python thread state");
	port_done(port, PORT_EVAL, r->id);
}

/* --- the thread ----------------------------------------------------------- */

void eval_worker_rouse(struct eval_worker *w)
{
	if (w == self)
		return;
	if (!w->reading)
		pthread_cond_signal(&w->wake);
	else if (port_rouse(w->session->port) != 0)
		pthread_cancel(w->thread);
}

/* Locked, but while it waits. 0: the port is the net thread's to read. */
static int read_request(struct eval_worker *w)
{
	int rc;

	w->reading = 1;
	pthread_mutex_unlock(&eval_lock);
	rc = port_wait_request(w->session->port);
	pthread_mutex_lock(&eval_lock);
	w->reading = 0;
	return rc == 0;
}

/* The next request, the caller's to free; NULL: the thread is to end. */
static struct eval_request *next_request(struct eval_worker *w)
{
	struct eval_request *r;
	int may_read = 1;

	pthread_mutex_lock(&eval_lock);
	while (w->request == NULL && !w->quit) {
		if (may_read)
			may_read = read_request(w);
		else
			pthread_cond_wait(&w->wake, &eval_lock);
	}
	r = w->request;
	w->request = NULL;
	pthread_mutex_unlock(&eval_lock);
	return r;
}

/* What is dropped may run any code: it prints to nobody. */
static void drop_space(struct eval_worker *w, struct eval_session *s)
{
	int entered;

	PyEval_RestoreThread(w->state);
	w->sink.port = NULL;
	entered = stream_enter(&w->sink) == 0;
	PyErr_Clear();
	tee_stop(s->port, TEE_BOTH);
	space_free(s->space);
	s->space = NULL;
	end_forked_child(w, &(struct run_result){.status = RESULT_NONE});
	if (entered)
		stream_leave();
	threading_forget_us();
	PyEval_SaveThread();
}

static void leave_session(struct eval_worker *w)
{
	struct eval_session *s = w->session;
	int last;

	port_wait_end(s->port);
	pthread_mutex_lock(&eval_lock);
	if (s->worker == w)
		s->worker = NULL;
	last = eval_session_release(s);
	w->session = NULL;
	w->busy = last; /* dropping may take its time: nothing for a fork to wait for */
	pthread_mutex_unlock(&eval_lock);
	if (last && w->state != NULL && s->space != NULL)
		drop_space(w, s);
	if (w->state != NULL) {
		PyEval_RestoreThread(w->state);
		PyThreadState_Clear(w->state);
		PyThreadState_DeleteCurrent();
	}
	if (last)
		eval_session_free(s);
}

static void leave_workers(struct eval_worker *w)
{
	struct eval_worker **at;

	pthread_mutex_lock(&eval_lock);
	for (at = &eval_workers; *at != w; at = &(*at)->next)
		;
	*at = w->next;
	w->over = 1;
	if (!w->awaited)
		pthread_detach(pthread_self());
	pthread_cond_broadcast(&eval_changed);
	eval_worker_release(w);
	pthread_mutex_unlock(&eval_lock);
}

/* Cancelled, which it is only while it reads: the program has closed all fds, and nothing else would have woken it. */
static void leave_cancelled(void *arg)
{
	struct eval_worker *w = arg;
	int reading;

	pthread_mutex_lock(&eval_lock);
	reading = w->reading;
	w->reading = 0;
	pthread_mutex_unlock(&eval_lock);
	/* Else it is Python that ends the thread, at exit: it asks for nothing of Python's any more. */
	if (!reading)
		return;
	leave_session(w);
	leave_workers(w);
}

static void *worker_main(void *arg)
{
	struct eval_worker *w = arg;
	struct eval_request *r;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	self = w;
	forkgate_enter();
	w->state = PyThreadState_New(PyInterpreterState_Main());
	forkgate_leave();
	w->ident = PyThread_get_thread_ident();
	pthread_cleanup_push(leave_cancelled, w);
	while ((r = next_request(w)) != NULL) {
		if (w->state != NULL && r->complete)
			complete(w, r);
		else if (w->state != NULL)
			evaluate(w, r);
		else
			refuse_without_state(w, r);
		free(r);
	}
	pthread_cleanup_pop(0);
	leave_session(w);
	leave_workers(w);
	return NULL;
}

void eval_worker_release(struct eval_worker *w)
{
	if (--w->references > 0)
		return;
	pthread_cond_destroy(&w->wake);
	free(w->request);
	free(w);
}

/* 0: the system's default is enough. */
static size_t stack_bytes(void)
{
	pthread_attr_t attr;
	size_t standard = 0;

	if (pthread_attr_init(&attr) != 0)
		return 0;
	if (pthread_attr_getstacksize(&attr, &standard) != 0)
		standard = STACK_BYTES;
	pthread_attr_destroy(&attr);
	return standard < STACK_BYTES ? STACK_BYTES : 0;
}

static size_t count_workers(void)
{
	size_t n = 0;

	for (struct eval_worker *w = eval_workers; w != NULL; w = w->next)
		n++;
	return n;
}

struct eval_worker *eval_worker_start(struct eval_session *s)
{
	struct eval_worker *w;

	if (count_workers() >= WORKERS_MAX)
		return NULL;
	w = calloc(1, sizeof *w);
	if (w == NULL)
		return NULL;
	w->references = 1;
	w->session = s;
	w->pid = getpid();
	pthread_cond_init(&w->wake, NULL);
	/* It waits for the lock, which is ours, before it looks at anything that is set below. */
	if (gil_start_thread(&w->thread, WORKER_NAME, stack_bytes(), worker_main, w) != 0) {
		pthread_cond_destroy(&w->wake);
		free(w);
		return NULL;
	}
	s->references++;
	w->next = eval_workers;
	eval_workers = w;
	return w;
}
