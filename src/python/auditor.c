/*
 * auditor.c: events of the audit log on their way to a function of the program: copied on the net
 * thread, made a dict and handed over on a lane.
 */
#include <Python.h>

#include "auditor.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "lane.h"
#include "text.h"

#define REASON_MAX 1024 /* bytes of a reason */
#define TEXT_MAX (64u << 10)
#define LINE_SOURCE 1024 /* bytes of a source in `message` */

/* Counted: run_server's is one, each event on its way is one. */
struct auditor {
	atomic_uint references;
	atomic_uint queued;
	pid_t pid; /* whose queue that is; net thread */
	PyObject *function;
	int failed; /* GIL: it has raised, and the program has been told */
};

/* A copy of an event: the texts are safe already, and live here. */
struct auditor_job {
	struct gil_job job; /* first: the lane knows only this */
	struct auditor *to;
	double time;
	struct audit_event event;
	size_t source_bytes;
	char hash[2 * AUDIT_HASH + 1];
	char key[ADDR_TEXT], address[ADDR_TEXT], listener[ADDR_TEXT];
	struct buf message, reason, source;
};

struct auditor *auditor_new(PyObject *function)
{
	struct auditor *a = calloc(1, sizeof *a);

	if (a == NULL)
		return NULL;
	atomic_init(&a->references, 1);
	a->pid = getpid();
	a->function = Py_NewRef(function);
	return a;
}

void auditor_free(struct auditor *a)
{
	if (a == NULL || atomic_fetch_sub(&a->references, 1) != 1)
		return;
	Py_DECREF(a->function);
	free(a);
}

/* ---- on the net thread ------------------------------------------------------------------------ */

static void free_job(struct auditor_job *j)
{
	buf_free(&j->message);
	buf_free(&j->reason);
	buf_free(&j->source);
	free(j);
}

static void copy_name(char out[static ADDR_TEXT], const char *name)
{
	text_copy(out, ADDR_TEXT, span_text(name), TEXT_LINE);
}

static int copy_texts(struct auditor_job *j, const struct audit_event *e)
{
	struct span reason = {e->reason.data, text_whole(e->reason, REASON_MAX)};
	struct span source = {e->source.data, text_whole(e->source, AUDIT_SOURCE_MAX)};
	int rc = audit_text(&j->message, e, LINE_SOURCE);

	if (rc == 0)
		rc = text_append(&j->reason, reason, TEXT_LINE);
	return rc == 0 ? text_append(&j->source, source, TEXT_BLOCK) : rc;
}

static struct auditor_job *copy_event(struct auditor *a, const struct audit_event *e)
{
	struct auditor_job *j = calloc(1, sizeof *j);
	struct timespec now = {0};

	if (j == NULL)
		return NULL;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	j->to = a;
	j->time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	j->event = *e;
	j->source_bytes = e->source.len;
	audit_source_hash(e, AUDIT_SOURCE_MAX, j->hash);
	copy_name(j->key, e->key);
	copy_name(j->address, e->address);
	copy_name(j->listener, e->listener);
	buf_init(&j->message, TEXT_MAX);
	buf_init(&j->reason, TEXT_MAX);
	buf_init(&j->source, TEXT_MAX);
	if (copy_texts(j, e) == 0)
		return j;
	free_job(j);
	return NULL;
}

static void deliver(struct gil_job *job);

int auditor_put(void *auditor, const struct audit_event *e)
{
	struct auditor *a = auditor;
	struct auditor_job *j;
	int rc;

	/* In a forked child what the parent had queued is not there. */
	if (a->pid != getpid()) {
		a->pid = getpid();
		atomic_store(&a->queued, 0);
	}
	if (atomic_load(&a->queued) >= AUDITOR_QUEUE)
		return PYSTUCK_EAGAIN;
	j = copy_event(a, e);
	if (j == NULL)
		return PYSTUCK_ENOMEM;
	j->job = (struct gil_job){.run = deliver};
	atomic_fetch_add(&a->queued, 1);
	atomic_fetch_add(&a->references, 1);
	rc = lane_submit(LANE_AUDIT, &j->job);
	if (rc != 0) {
		/* Never the last reference: the listener that the event is of has one. */
		atomic_fetch_sub(&a->references, 1);
		atomic_fetch_sub(&a->queued, 1);
		free_job(j);
	}
	return rc;
}

/* ---- on the lane, GIL held -------------------------------------------------------------------- */

static PyObject *text_or_none(const char *text, size_t len)
{
	return len > 0 ? PyUnicode_DecodeUTF8(text, (Py_ssize_t)len, "replace") : Py_NewRef(Py_None);
}

static PyObject *name_or_none(const char *name)
{
	return text_or_none(name, strlen(name));
}

static PyObject *buf_or_none(const struct buf *b)
{
	return text_or_none((const char *)buf_bytes(b), buf_len(b));
}

static PyObject *number_or_none(uint64_t number, int is_known)
{
	return is_known ? PyLong_FromUnsignedLongLong(number) : Py_NewRef(Py_None);
}

/* Takes the value over. 0, or -1 with an exception, also when value is NULL. */
static int set(PyObject *dict, const char *name, PyObject *value)
{
	int rc = value != NULL ? PyDict_SetItemString(dict, name, value) : -1;

	Py_XDECREF(value);
	return rc;
}

static int fill_who(PyObject *d, const struct auditor_job *j)
{
	const struct audit_event *e = &j->event;
	const char *role = e->role != ROLE_NONE ? role_name((int)e->role) : "";

	return set(d, "session", number_or_none(e->session, e->session != 0)) == 0 &&
			       set(d, "uid", number_or_none(e->uid, e->uid != (uid_t)-1)) == 0 &&
			       set(d, "pid", number_or_none((uint64_t)e->pid, e->pid != 0)) == 0 &&
			       set(d, "key", name_or_none(j->key)) == 0 &&
			       set(d, "address", name_or_none(j->address)) == 0 &&
			       set(d, "listener", name_or_none(j->listener)) == 0 &&
			       set(d, "role", name_or_none(role)) == 0
		       ? 0
		       : -1;
}

static int fill_what(PyObject *d, const struct auditor_job *j)
{
	const struct audit_event *e = &j->event;
	int is_eval = e->action == AUDIT_EVAL, is_end = e->action == AUDIT_DISCONNECT;
	PyObject *source = is_eval ? PyUnicode_DecodeUTF8((const char *)buf_bytes(&j->source),
					     (Py_ssize_t)buf_len(&j->source), "replace")
				   : Py_NewRef(Py_None);
	PyObject *duration = is_end ? PyFloat_FromDouble((double)e->duration_us / 1e6)
				    : Py_NewRef(Py_None);
	int rc = set(d, "source", source);

	if (set(d, "duration", duration) != 0)
		rc = -1;
	return rc == 0 && set(d, "source_bytes", number_or_none(j->source_bytes, is_eval)) == 0 &&
			       set(d, "source_blake2b", name_or_none(j->hash)) == 0 &&
			       set(d, "evals", number_or_none(e->evals, is_end)) == 0 &&
			       set(d, "dumps", number_or_none(e->dumps, is_end)) == 0 &&
			       set(d, "lost", number_or_none(e->lost, e->action == AUDIT_LOST)) == 0
		       ? 0
		       : -1;
}

static PyObject *make_dict(const struct auditor_job *j)
{
	PyObject *d = PyDict_New();

	if (d != NULL && set(d, "time", PyFloat_FromDouble(j->time)) == 0 &&
		set(d, "action", name_or_none(audit_action_name(j->event.action))) == 0 &&
		set(d, "message", buf_or_none(&j->message)) == 0 && fill_who(d, j) == 0 &&
		set(d, "reason", buf_or_none(&j->reason)) == 0 && fill_what(d, j) == 0)
		return d;
	Py_XDECREF(d);
	return NULL;
}

/*
 * sys.unraisablehook is where exceptions go that nobody can catch; by default it prints. Once for each function: strangers can
 * cause events, and must not be able to fill the program's standard error.
 */
static void tell_program(struct auditor *a)
{
	if (!a->failed)
		PyErr_WriteUnraisable(a->function);
	a->failed = 1;
	PyErr_Clear();
}

static void deliver(struct gil_job *job)
{
	struct auditor_job *j = (struct auditor_job *)job;
	struct auditor *a = j->to;
	PyObject *dict, *result = NULL;
	struct gil_hold hold;

	lane_enter(&hold);
	/* Room for the next one: what is in the function's hands is no more in the queue. */
	atomic_fetch_sub(&a->queued, 1);
	dict = make_dict(j);
	if (dict != NULL)
		result = PyObject_CallOneArg(a->function, dict);
	if (result == NULL)
		tell_program(a);
	Py_XDECREF(result);
	Py_XDECREF(dict);
	auditor_free(a);
	lane_leave(&hold);
	free_job(j);
}
