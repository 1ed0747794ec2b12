/*
 * dumphost.c: the dump half of src/python as an extension module of its own, for test_dump.py and test_hurry.py: with
 * a port that keeps what is answered, and with the inner functions (line decoder, rendering, text)
 * callable. No server, no sockets.
 */
#include <Python.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "channel.h"
#include "compat.h"
#include "dump.h"
#include "error.h"
#include "fakeport.h"
#include "frames.h"
#include "gil.h"
#include "hurry.h"
#include "lines.h"
#include "locals.h"
#include "ours.h"
#include "raw.h"
#include "pytext.h"
#include "waits.h"

/* --- answers as Python objects --- */

static PyObject *text(struct span s)
{
	return PyUnicode_DecodeUTF8(
		s.len > 0 ? (const char *)s.data : "", (Py_ssize_t)s.len, "backslashreplace");
}

static PyObject *thread_dict(const struct msg_dump_thread *t)
{
	PyObject *frames = PyList_New(0);

	for (size_t i = 0; i + FRAME_BYTES <= t->frames.len; i += FRAME_BYTES) {
		PyObject *pair = Py_BuildValue(
			"(II)", be32_get(t->frames.data + i), be32_get(t->frames.data + i + 4));

		PyList_Append(frames, pair);
		Py_XDECREF(pair);
	}
	return Py_BuildValue("{s:K,s:I,s:i,s:s,s:N,s:N,s:N,s:N,s:I,s:N,s:[]}", "ident", t->ident,
		"tid", t->tid, "flags", t->flags, "state", state_name(t->state), "name",
		text(t->name), "class", text(t->class_name), "os_name", text(t->os_name), "detail",
		text(t->detail), "omitted", t->omitted_frames, "frames", frames, "locals");
}

/*
 * ("begin", {...}), ("code", 0, file, function), ... in the order in which they came; NULL with an
 * exception.
 */
static PyObject *message(const struct msg *m)
{
	switch (m->type) {
	case MSG_DUMP_BEGIN:
		return Py_BuildValue("(s{s:I,s:i,s:i,s:K,s:K,s:K,s:I,s:I,s:N})", "begin", "id",
			m->dump_begin.id, "how", m->dump_begin.how, "settled",
			m->dump_begin.settled, "time_ns", m->dump_begin.time_ns, "wait_us",
			m->dump_begin.gil_wait_us, "held_us", m->dump_begin.gil_held_us, "holder",
			m->dump_begin.gil_holder, "threads", m->dump_begin.threads, "note",
			text(m->dump_begin.note));
	case MSG_DUMP_CODE:
		return Py_BuildValue("(sINN)", "code", m->dump_code.code, text(m->dump_code.file),
			text(m->dump_code.function));
	case MSG_DUMP_SOURCE:
		return Py_BuildValue("(sIIN)", "source", m->dump_source.code, m->dump_source.line,
			text(m->dump_source.text));
	case MSG_DUMP_THREAD:
		return Py_BuildValue("(sN)", "thread", thread_dict(&m->dump_thread));
	case MSG_DUMP_LOCAL:
		return Py_BuildValue("(sINN)", "local", m->dump_local.frame,
			text(m->dump_local.name), text(m->dump_local.value));
	case MSG_DUMP_WAIT:
		return Py_BuildValue("(s{s:s,s:i,s:s,s:I,s:I,s:K,s:N,s:N,s:N,s:I,s:I})", "wait", "kind",
			wait_name(m->dump_wait.kind), "flags", m->dump_wait.flags, "confidence",
			confidence_name(m->dump_wait.confidence), "holder", m->dump_wait.holder, "line",
			m->dump_wait.holder_line, "address", m->dump_wait.address, "call", text(m->dump_wait.call),
			"type", text(m->dump_wait.type), "name", text(m->dump_wait.name), "fd", m->dump_wait.fd, "pid",
			m->dump_wait.pid);
	case MSG_DUMP_INTERPRETER:
		return Py_BuildValue("(sKi)", "interpreter", m->dump_interpreter.id, m->dump_interpreter.flags);
	case MSG_DUMP_NATIVES:
		return Py_BuildValue("(sII)", "natives", m->dump_natives.threads, m->dump_natives.omitted);
	case MSG_DUMP_END:
		return Py_BuildValue("(s{s:I,s:I,s:i})", "end", "id", m->dump_end.id, "omitted",
			m->dump_end.omitted_threads, "cut", (m->dump_end.flags & DUMP_CUT) != 0);
	case MSG_ERROR:
		return Py_BuildValue("(sisN)", "error", m->error.reason,
			reason_name(m->error.reason), text(m->error.text));
	default:
		return PyErr_Format(PyExc_ValueError, "a %s in a dump", msg_type_name(m->type));
	}
}

static PyObject *messages(struct span s)
{
	PyObject *list = PyList_New(0), *one;
	struct span bytes;
	struct msg m;

	while (list != NULL && s.len > 0) {
		if (span_get_string(&s, &bytes) != 0 || msg_decode(&m, bytes) != 0) {
			PyErr_SetString(PyExc_ValueError, "bytes that are no message");
			Py_CLEAR(list);
			break;
		}
		one = message(&m);
		if (one == NULL || PyList_Append(list, one) != 0)
			Py_CLEAR(list);
		Py_XDECREF(one);
	}
	return list;
}

/* --- functions --- */

static struct port *ask(uint8_t flags, uint32_t max_frames, uint64_t *us)
{
	struct msg_dump request = {.id = 7, .flags = flags, .max_frames = max_frames};
	struct port *p = fakeport_new();
	uint64_t since = gil_now_ns();

	Py_BEGIN_ALLOW_THREADS dump_request(p, &request);
	pthread_mutex_lock(&p->lock);
	while (!p->done)
		pthread_cond_wait(&p->change, &p->lock);
	pthread_mutex_unlock(&p->lock);
	Py_END_ALLOW_THREADS *us = p->answered_ns > since ? (p->answered_ns - since) / 1000 : 0;
	return p;
}

static PyObject *py_dump(PyObject *self, PyObject *args)
{
	int flags = 0;
	unsigned most = 0;
	uint64_t us;
	struct port *p;
	PyObject *list;

	(void)self;
	if (!PyArg_ParseTuple(args, "|iI", &flags, &most))
		return NULL;
	p = ask((uint8_t)flags, most, &us);
	list = messages(buf_span(&p->bytes));
	port_unref(p);
	return list;
}

/*
 * (microseconds until the answer was handed over, GIL held in us, bytes), without making objects of
 * the answer.
 */
static PyObject *py_measure(PyObject *self, PyObject *args)
{
	int flags = 0;
	uint64_t us, held = 0;
	struct port *p;
	struct span s, bytes;
	struct msg m;
	size_t len;

	(void)self;
	if (!PyArg_ParseTuple(args, "|i", &flags))
		return NULL;
	p = ask((uint8_t)flags, 0, &us);
	s = buf_span(&p->bytes);
	len = s.len;
	if (span_get_string(&s, &bytes) == 0 && msg_decode(&m, bytes) == 0 &&
		m.type == MSG_DUMP_BEGIN)
		held = m.dump_begin.gil_held_us;
	port_unref(p);
	return Py_BuildValue("(KKn)", us, held, (Py_ssize_t)len);
}

/* On a thread that is taken for the net thread. */
static void late(struct port *p, int last)
{
	struct msg_dump request = {.id = 8};

	ours_set_net((pid_t)syscall(SYS_gettid));
	dump_without_gil(p, &request, 1040000, last);
	ours_set_net(0);
}

static void *os_thread(void *arg)
{
	late(arg, 1);
	return NULL;
}

/* The answer of dump_without_gil, called by a native thread while this one keeps the GIL. */
static PyObject *py_os_dump(PyObject *self, PyObject *none)
{
	struct port *p = fakeport_new();
	pthread_t thread;
	PyObject *list;

	(void)self;
	(void)none;
	if (pthread_create(&thread, NULL, os_thread, p) != 0)
		return PyErr_NoMemory();
	pthread_join(thread, NULL);
	list = messages(buf_span(&p->bytes));
	port_unref(p);
	return list;
}

static void *late_thread(void *arg)
{
	late(arg, 0);
	return NULL;
}

/* The answer to a request that came in vain for the GIL: this thread keeps it until the answer is there. */
static PyObject *py_late_dump(PyObject *self, PyObject *none)
{
	struct port *p = fakeport_new();
	pthread_t thread;
	PyObject *list;

	(void)self;
	(void)none;
	if (pthread_create(&thread, NULL, late_thread, p) != 0)
		return PyErr_NoMemory();
	pthread_join(thread, NULL);
	pthread_mutex_lock(&p->lock);
	while (!p->done)
		pthread_cond_wait(&p->change, &p->lock);
	pthread_mutex_unlock(&p->lock);
	list = messages(buf_span(&p->bytes));
	port_unref(p);
	return list;
}

/* How long reading all stacks without the GIL takes, in us, and how it was. */
static PyObject *py_raw_measure(PyObject *self, PyObject *none)
{
	struct frames f = {0};
	struct lines l = {0};
	struct locals locals = {0};
	struct raw_look look;
	uint64_t since, us;
	unsigned threads;
	int rc;

	(void)self;
	(void)none;
	Py_BEGIN_ALLOW_THREADS since = gil_now_ns();
	rc = raw_collect(&f, &l, &locals, &look, 0, 0, NULL, NULL);
	us = (gil_now_ns() - since) / 1000;
	Py_END_ALLOW_THREADS threads = f.thread_count;
	since = f.frame_count;
	frames_free(&f);
	lines_free(&l);
	locals_free(&locals);
	return Py_BuildValue("(iKIKi)", rc, us, threads, since, look.settled);
}

/* How often the GIL has gone from one thread to another: what tells the reader without the GIL who can have run. */
static PyObject *py_gil_switches(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	return PyLong_FromUnsignedLong(compat_gil()->switch_number);
}

/* Why stacks cannot be read without the GIL; None: they can. */
static PyObject *py_raw_trouble(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	if (raw_trouble() == NULL)
		Py_RETURN_NONE;
	return PyUnicode_FromString(raw_trouble());
}

/* A request that is claimed too late: 1 when nothing was answered. */
static PyObject *py_late(PyObject *self, PyObject *none)
{
	struct msg_dump request = {.id = 9};
	struct port *p = fakeport_new();
	int silent;

	(void)self;
	(void)none;
	p->late = 1;
	Py_BEGIN_ALLOW_THREADS dump_request(p, &request);
	gil_park();
	Py_END_ALLOW_THREADS silent = buf_len(&p->bytes) == 0 && !p->done;
	port_unref(p);
	return PyBool_FromLong(silent);
}

static PyObject *py_decode(PyObject *self, PyObject *args)
{
	Py_buffer table;
	int first, offset;
	uint32_t line;

	(void)self;
	if (!PyArg_ParseTuple(args, "y*ii", &table, &first, &offset))
		return NULL;
	line = lines_decode((struct span){table.buf, (size_t)table.len}, first, offset);
	PyBuffer_Release(&table);
	return PyLong_FromUnsignedLong(line);
}

/* Every instruction of a code object by both decoders: (instructions, differences). */
static PyObject *py_check_lines(PyObject *self, PyObject *code)
{
	PyCodeObject *co = (PyCodeObject *)code;
	long checked = 0, wrong = 0;
	struct span table;
	PyObject *bytes;

	(void)self;
	if (!PyCode_Check(code))
		return PyErr_Format(PyExc_TypeError, "not a code object");
	bytes = PyObject_GetAttrString(code, "co_code");
	if (bytes == NULL)
		return NULL;
	table.data = (const uint8_t *)PyBytes_AS_STRING(co->co_linetable);
	table.len = (size_t)PyBytes_GET_SIZE(co->co_linetable);
	for (int at = -2; at < (int)PyBytes_GET_SIZE(bytes); at += 2) {
		int line = PyCode_Addr2Line(co, at);
		uint32_t ours = lines_decode(table, co->co_firstlineno, at);

		checked++;
		wrong += ours != (line > 0 ? (uint32_t)line : 0);
	}
	Py_DECREF(bytes);
	return Py_BuildValue("(ll)", checked, wrong);
}

static PyObject *py_render(PyObject *self, PyObject *value)
{
	char out[LOCALS_VALUE_MAX];
	size_t n = locals_render(out, value);

	(void)self;
	return PyBytes_FromStringAndSize(out, (Py_ssize_t)n);
}

static PyObject *py_utf8(PyObject *self, PyObject *args)
{
	PyObject *str, *bytes;
	Py_ssize_t most;
	struct pytext t;
	struct pytext_ref ref;
	struct span s;

	(void)self;
	if (!PyArg_ParseTuple(args, "Un", &str, &most))
		return NULL;
	pytext_init(&t, 1 << 20);
	if (pytext_str(&t, str, (size_t)most, &ref) != 0) {
		pytext_free(&t);
		return PyErr_NoMemory();
	}
	s = pytext_span(&t, ref);
	bytes = PyBytes_FromStringAndSize((const char *)s.data, (Py_ssize_t)s.len);
	pytext_free(&t);
	return bytes;
}

/* (state, detail) or None */
static PyObject *py_syscall(PyObject *self, PyObject *args)
{
	struct waits_view view = {0};
	const char *line;
	struct waits w;
	int said;

	(void)self;
	if (!PyArg_ParseTuple(args, "s", &line))
		return NULL;
	waits_open(&w);
	said = waits_parse_syscall(&w, line, &view);
	waits_close(&w);
	if (!said)
		Py_RETURN_NONE;
	return Py_BuildValue("(ss)", state_name(view.state), view.detail);
}

static PyObject *py_gil_range(PyObject *self, PyObject *none)
{
	struct waits w;

	(void)self;
	(void)none;
	waits_open(&w);
	waits_close(&w);
	return Py_BuildValue("(KK)", (unsigned long long)w.gil, (unsigned long long)w.gil_end);
}

/* Busy with the GIL held, as a C extension that does not let go of it. */
static PyObject *py_hold_gil(PyObject *self, PyObject *args)
{
	unsigned ms;

	(void)self;
	if (!PyArg_ParseTuple(args, "I", &ms))
		return NULL;
	usleep(ms * 1000);
	Py_RETURN_NONE;
}

static PyObject *py_park(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	Py_BEGIN_ALLOW_THREADS gil_park();
	Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

static PyObject *py_stop(PyObject *self, PyObject *args)
{
	int ms, ended;

	(void)self;
	if (!PyArg_ParseTuple(args, "i", &ms))
		return NULL;
	Py_BEGIN_ALLOW_THREADS ended = gil_stop(ms);
	Py_END_ALLOW_THREADS return PyBool_FromLong(ended);
}

static PyObject *py_forget(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	ours_forget();
	gil_forget();
	Py_RETURN_NONE;
}

static PyObject *py_set_dumpable(PyObject *self, PyObject *args)
{
	int on;

	(void)self;
	if (!PyArg_ParseTuple(args, "i", &on))
		return NULL;
	return PyLong_FromLong(prctl(PR_SET_DUMPABLE, on, 0, 0, 0));
}

static PyObject *py_waiting_us(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	return PyLong_FromUnsignedLongLong(gil_waiting_us());
}

struct waiting {
	struct gil_job base;
	unsigned hold_ms;
};

static void run_and_hold(struct gil_job *base)
{
	struct waiting *w = (struct waiting *)base;
	struct gil_hold hold;

	gil_take(&hold);
	Py_BEGIN_ALLOW_THREADS usleep(w->hold_ms * 1000);
	Py_END_ALLOW_THREADS gil_give(&hold);
	free(w);
}

/* 0, or why not. */
static int submit_hold(unsigned ms)
{
	struct waiting *w = calloc(1, sizeof *w);
	int rc = PYSTUCK_ENOMEM;

	if (w != NULL) {
		w->base.run = run_and_hold;
		w->hold_ms = ms;
		rc = gil_submit(&w->base);
	}
	if (rc != 0)
		free(w);
	return rc;
}

/* A job that keeps the courier busy without the GIL. */
static PyObject *py_busy_courier(PyObject *self, PyObject *args)
{
	unsigned ms;

	(void)self;
	return PyArg_ParseTuple(args, "I", &ms) ? PyLong_FromLong(submit_hold(ms)) : NULL;
}

/* Gives the courier a job and does not let go of the GIL before it says that it has waited for so many microseconds, or 20 s are over. */
static PyObject *py_courier_waits(PyObject *self, PyObject *args)
{
	uint64_t until = gil_now_ns() + 20000000000u;
	unsigned us;

	(void)self;
	if (!PyArg_ParseTuple(args, "I", &us) || submit_hold(0) != 0)
		return PyErr_Occurred() != NULL ? NULL : PyErr_NoMemory();
	while (gil_waiting_us() <= us && gil_now_ns() < until)
		usleep(1000);
	return PyLong_FromUnsignedLongLong(gil_waiting_us());
}

/*
 * What frames_collect says while somebody keeps CPython's list of thread states locked, and how
 * long it takes, in us.
 */
static PyObject *py_collect_locked(PyObject *self, PyObject *none)
{
	struct frames f;
	uint64_t since = gil_now_ns();
	int rc;

	(void)self;
	(void)none;
	frames_init(&f);
	if (!compat_head_lock())
		return PyErr_Format(PyExc_RuntimeError, "locked already");
	rc = frames_collect(&f, 0, 0, NULL);
	compat_head_unlock();
	frames_release(&f);
	frames_free(&f);
	return Py_BuildValue("(OK)", rc == PYSTUCK_ETIME ? Py_True : Py_False,
		(unsigned long long)(gil_now_ns() - since) / 1000);
}

/* --- hurry.c --- */

static PyObject *py_hurry_expect(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	hurry_expect();
	Py_RETURN_NONE;
}

static PyObject *py_hurry_begin(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	return PyLong_FromUnsignedLong(hurry_begin());
}

static PyObject *py_hurry_end(PyObject *self, PyObject *args)
{
	unsigned token;

	(void)self;
	if (!PyArg_ParseTuple(args, "I", &token))
		return NULL;
	hurry_end(token);
	Py_RETURN_NONE;
}

/* In seconds from now; None: there is nothing to do. */
static PyObject *py_hurry_due(PyObject *self, PyObject *none)
{
	uint64_t due = hurry_due();

	(void)self;
	(void)none;
	if (due == UINT64_MAX)
		Py_RETURN_NONE;
	return PyFloat_FromDouble(((double)due - (double)gil_now_ns()) / 1e9);
}

/* When it is due, or so many ns before that. */
static PyObject *py_hurry_tick(PyObject *self, PyObject *args)
{
	unsigned before = 0;

	(void)self;
	if (!PyArg_ParseTuple(args, "|I", &before))
		return NULL;
	hurry_tick(hurry_due() - before);
	Py_RETURN_NONE;
}

static PyObject *py_hurry_hold(PyObject *self, PyObject *args)
{
	int hold;

	(void)self;
	if (!PyArg_ParseTuple(args, "p", &hold))
		return NULL;
	hurry_hold(hold);
	Py_RETURN_NONE;
}

static PyObject *py_hurry_exit(PyObject *self, PyObject *args)
{
	int exiting;

	(void)self;
	if (!PyArg_ParseTuple(args, "p", &exiting))
		return NULL;
	hurry_exit(exiting);
	Py_RETURN_NONE;
}

static PyObject *py_hurry_forget(PyObject *self, PyObject *none)
{
	(void)self;
	(void)none;
	hurry_forget();
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"dump", py_dump, METH_VARARGS, "dump(flags=0, max_frames=0): the messages of the answer"},
	{"measure", py_measure, METH_VARARGS, "measure(flags=0): (latency us, GIL held us, bytes)"},
	{"os_dump", py_os_dump, METH_NOARGS, "the answer without the GIL"},
	{"late_dump", py_late_dump, METH_NOARGS, "the answer of another thread while this one keeps the GIL"},
	{"gil_switches", py_gil_switches, METH_NOARGS, "how often the GIL has gone to another thread"},
	{"raw_trouble", py_raw_trouble, METH_NOARGS, "why there are no dumps without the GIL"},
	{"raw_measure", py_raw_measure, METH_NOARGS, "(rc, us, threads, frames, settled)"},
	{"late", py_late, METH_NOARGS, "a request whose claim fails"},
	{"decode", py_decode, METH_VARARGS, "decode(table, first, offset): line"},
	{"check_lines", py_check_lines, METH_O, "check_lines(code): (instructions, differences)"},
	{"render", py_render, METH_O, "render(value): bytes"},
	{"utf8", py_utf8, METH_VARARGS, "utf8(str, most): bytes"},
	{"syscall", py_syscall, METH_VARARGS, "syscall(line): (state, detail) or None"},
	{"gil_range", py_gil_range, METH_NOARGS, "addresses of the GIL's structure"},
	{"hold_gil", py_hold_gil, METH_VARARGS, "hold_gil(ms)"},
	{"park", py_park, METH_NOARGS, "gil_park"},
	{"stop", py_stop, METH_VARARGS, "stop(ms): gil_stop"},
	{"forget", py_forget, METH_NOARGS, "gil_forget"},
	{"set_dumpable", py_set_dumpable, METH_VARARGS, "prctl(PR_SET_DUMPABLE)"},
	{"waiting_us", py_waiting_us, METH_NOARGS, "gil_waiting_us"},
	{"courier_waits", py_courier_waits, METH_VARARGS, "courier_waits(us): us"},
	{"busy_courier", py_busy_courier, METH_VARARGS, "busy_courier(ms)"},
	{"collect_locked", py_collect_locked, METH_NOARGS,
		"(gave up, us) with the list of threads locked"},
	{"hurry_expect", py_hurry_expect, METH_NOARGS, "hurry_expect"},
	{"hurry_begin", py_hurry_begin, METH_NOARGS, "hurry_begin: token"},
	{"hurry_end", py_hurry_end, METH_VARARGS, "hurry_end(token)"},
	{"hurry_due", py_hurry_due, METH_NOARGS, "hurry_due: seconds from now, or None"},
	{"hurry_tick", py_hurry_tick, METH_VARARGS, "hurry_tick(ns before it is due)"},
	{"hurry_hold", py_hurry_hold, METH_VARARGS, "hurry_hold(bool)"},
	{"hurry_exit", py_hurry_exit, METH_VARARGS, "hurry_exit(bool)"},
	{"hurry_forget", py_hurry_forget, METH_NOARGS, "hurry_forget"},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "dumphost",
	.m_size = -1,
	.m_methods = functions,
};

PyMODINIT_FUNC PyInit_dumphost(void);
PyMODINIT_FUNC PyInit_dumphost(void)
{
	dump_init();
	return PyModule_Create(&module);
}
