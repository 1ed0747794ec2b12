/*
 * dumpphases.c: the parts of a dump, each with its time, as an extension module: the very functions that dump.c and dump_late.c call,
 * with a clock between them. What the program around it does: phases.py.
 */
#include <Python.h>

#include <pthread.h>
#include <time.h>

#include "answer.h"
#include "dump.h"
#include "dump_private.h"
#include "gil.h"
#include "raw.h"

#define PHASES_MAX 10

struct run {
	int raw;
	int rc;
	unsigned count;
	struct {
		const char *name;
		uint64_t ns, cpu_ns;
	} phases[PHASES_MAX];
};

/* The time, and what this thread has had of a processor: the two differ where others want it too. */
struct moment {
	uint64_t ns, cpu_ns;
};

static struct moment now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (struct moment){gil_now_ns(), (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec};
}

static void note(struct run *r, const char *name, struct moment *since)
{
	struct moment end = now();

	r->phases[r->count].name = name;
	r->phases[r->count].ns = end.ns - since->ns;
	r->phases[r->count++].cpu_ns = end.cpu_ns - since->cpu_ns;
	*since = now();
}

static void encode(struct run *r, const struct dump *d, struct moment *since)
{
	struct answer a = {.begin = d->begin, .frames = &d->frames, .lines = &d->lines, .views = d->views, .waits = &d->waits};
	struct buf out = {0};

	r->rc = r->rc != 0 ? r->rc : answer_encode(&out, &a);
	note(r, "encode", since);
	buf_free(&out);
}

/* What raw_collect has done between stacks and lines. */
struct meanwhile {
	struct run *run;
	struct dump *dump;
	struct moment *since;
};

static int look_meanwhile(void *context)
{
	struct meanwhile *m = context;
	int rc;

	note(m->run, "stacks", m->since);
	rc = dump_look(m->dump);
	note(m->run, "waits", m->since);
	return rc;
}

static void run_raw(struct run *r)
{
	struct dump d = {.begin = {.id = 1, .how = DUMP_HOW_RAW}};
	struct raw_look look;
	struct moment since = now();

	wait_begin(&d.waits);
	note(r, "waits, before", &since);
	r->rc = raw_collect(&d.frames, &d.lines, &d.locals, &look, 0, 0, look_meanwhile, &(struct meanwhile){r, &d, &since});
	note(r, "lines", &since);
	if (r->rc == 0)
		lines_read(&d.lines, &d.frames);
	note(r, "sources", &since);
	if (r->rc == 0)
		wait_names(&d.waits, &d.frames, &d.lines);
	note(r, "waits, names", &since);
	encode(r, &d, &since);
	dump_free(&d);
}

static void run_usual(struct run *r)
{
	struct dump d = {.begin = {.id = 1, .how = DUMP_HOW_GIL}};
	struct gil_hold hold;
	struct moment since = now();

	frames_init(&d.frames);
	note(r, "room", &since);
	wait_begin(&d.waits);
	note(r, "waits, before", &since);
	gil_take(&hold);
	since = now();
	r->rc = frames_collect(&d.frames, 0, 0, hold.holder);
	note(r, "GIL held", &since);
	gil_give(&hold);
	since = now();
	r->rc = r->rc != 0 ? r->rc : dump_look(&d);
	note(r, "waits", &since);
	r->rc = r->rc != 0 ? r->rc : lines_find(&d.lines, &d.frames);
	if (r->rc == 0)
		lines_read(&d.lines, &d.frames);
	note(r, "sources", &since);
	if (r->rc == 0)
		wait_names(&d.waits, &d.frames, &d.lines);
	note(r, "waits, names", &since);
	encode(r, &d, &since);
	gil_take(&hold);
	frames_release(&d.frames);
	gil_give(&hold);
	dump_free(&d);
}

static void *run_main(void *arg)
{
	struct run *r = arg;

	if (r->raw)
		run_raw(r);
	else
		run_usual(r);
	return NULL;
}

/* On a thread as the courier is one. */
static PyObject *py_phases(PyObject *self, PyObject *args)
{
	struct run r = {.count = 0};
	PyObject *result = PyDict_New(), *us;
	pthread_t thread;
	int rc = 0;

	(void)self;
	if (result == NULL || !PyArg_ParseTuple(args, "p", &r.raw))
		goto fail;
	Py_BEGIN_ALLOW_THREADS
	rc = gil_start_thread(&thread, "pystuck-phases", 0, run_main, &r);
	if (rc == 0)
		pthread_join(thread, NULL);
	Py_END_ALLOW_THREADS
	if (rc != 0 || r.rc != 0) {
		PyErr_Format(PyExc_RuntimeError, "no dump: %d, %d", rc, r.rc);
		goto fail;
	}
	for (unsigned i = 0; i < r.count; i++) {
		us = Py_BuildValue("(dd)", (double)r.phases[i].ns / 1000, (double)r.phases[i].cpu_ns / 1000);
		if (us == NULL || PyDict_SetItemString(result, r.phases[i].name, us) != 0) {
			Py_XDECREF(us);
			goto fail;
		}
		Py_DECREF(us);
	}
	return result;
fail:
	Py_XDECREF(result);
	return NULL;
}

static PyMethodDef functions[] = {
	{"phases", py_phases, METH_VARARGS, "phases(raw): {phase: (microseconds, of them on a processor)} of one dump"},
	{NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
	.m_base = PyModuleDef_HEAD_INIT,
	.m_name = "dumpphases",
	.m_size = -1,
	.m_methods = functions,
};

PyMODINIT_FUNC PyInit_dumpphases(void);
PyMODINIT_FUNC PyInit_dumpphases(void)
{
	dump_init();
	return PyModule_Create(&module);
}
