/*
 * execute.c: %time, %atomic, and code without either. %main is on_main.c's, code that awaits on_loop.c's.
 */
#include <Python.h>

#include "execute.h"

#include <stdio.h>
#include <sys/resource.h>

#include "atomic.h"
#include "compat_eval.h"
#include "eval_self.h"
#include "gil.h"
#include "on_loop.h"
#include "on_main.h"
#include "view.h"

PyObject *execute_code(const struct cell *c, PyObject *names)
{
	PyObject *value;

	if (c->body != NULL) {
		value = PyEval_EvalCode(c->body, names, names);
		if (value == NULL || c->value == NULL)
			return value;
		Py_DECREF(value);
	}
	return c->value != NULL ? PyEval_EvalCode(c->value, names, names) : Py_NewRef(Py_None);
}

/* Keeps the exception that is set. */
static void say_keeping(int (*say)(const char *), const char *text)
{
	PyObject *raised = compat_take_raised();

	if (say(text) != 0)
		PyErr_Clear();
	if (raised != NULL)
		compat_set_raised(raised);
}

/* --- %time ---------------------------------------------------------------- */

static double ms_of(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

/* What it took, to standard output, as IPython says it. */
static PyObject *execute_timed(PyObject *names, const struct cell *c)
{
	struct rusage before, after;
	uint64_t began = gil_now_ns();
	char text[160];
	double user, system;
	PyObject *value;

	getrusage(RUSAGE_THREAD, &before);
	value = execute_code(c, names);
	getrusage(RUSAGE_THREAD, &after);
	user = ms_of(after.ru_utime) - ms_of(before.ru_utime);
	system = ms_of(after.ru_stime) - ms_of(before.ru_stime);
	snprintf(text, sizeof text, "CPU times: user %.3f ms, sys: %.3f ms, total: %.3f ms\nWall time: %.3f ms\n", user, system,
		user + system, (double)(gil_now_ns() - began) / 1e6);
	say_keeping(prompt_say, text);
	return value;
}

/* --- %atomic -------------------------------------------------------------- */

static void say_atomic(int rang, int alone, uint64_t ns, unsigned ms)
{
	char text[400], broken[200] = "";

	/* Then it may also have taken so long because one of them did not give the GIL back. */
	if (!alone)
		snprintf(broken, sizeof broken,
			"not atomic: other Python threads ran during the %.3f ms, since the code let go of the GIL (input, output, a lock, a sleep)\n",
			(double)ns / 1e6);
	if (rang)
		snprintf(text, sizeof text, "interrupted: it took longer than %u ms (%%atomic --ms N allows up to %d)\n%s", ms,
			PROMPT_ATOMIC_MS_MAX, broken);
	else if (alone)
		snprintf(text, sizeof text, "atomic: no other Python thread ran for %.3f ms\n", (double)ns / 1e6);
	else
		snprintf(text, sizeof text, "%s", broken);
	say_keeping(rang || !alone ? prompt_say_error : prompt_say, text);
}

static PyObject *execute_atomic(PyObject *names, const struct cell *c, unsigned ms)
{
	struct atomic a;
	struct eval_alarm *alarm;
	PyObject *value;
	uint64_t ns;
	int alone, rang;

	if (atomic_begin(&a, ms) != 0)
		return NULL;
	alarm = eval_alarm_begin((uint64_t)ms * 1000000u, atomic_restore);
	if (alarm == NULL) {
		atomic_end(&a, &ns);
		return PyErr_NoMemory();
	}
	value = execute_code(c, names);
	alone = atomic_end(&a, &ns);
	rang = eval_alarm_end(alarm);
	say_atomic(rang, alone, ns, ms);
	return value;
}

/* --- all of them ---------------------------------------------------------- */

static PyObject *execute_as(PyObject *names, const struct cell *c, const struct prompt_cell *how)
{
	if (on_loop_needed(c) && how->way != PROMPT_PLAIN) {
		PyErr_SetString(PyExc_RuntimeError, "code that awaits runs on the event loop, as it comes: without %time, %atomic and %main");
		return NULL;
	}
	if (on_loop_needed(c))
		return on_loop(c, names, how->loop);
	switch (how->way) {
	case PROMPT_TIMED:
		return execute_timed(names, c);
	case PROMPT_ATOMIC:
		return execute_atomic(names, c, how->ms);
	case PROMPT_MAIN:
		return on_main(c, names, how->ms);
	case PROMPT_PLAIN:
	default:
		return execute_code(c, names);
	}
}

PyObject *execute(PyObject *names, const struct cell *c, const struct prompt_cell *how)
{
	PyObject *value;

	/* The session may look at another frame by the time it has been run. */
	Py_INCREF(names);
	value = execute_as(names, c, how);
	if (!PyDict_CheckExact(names))
		view_settle(names);
	Py_DECREF(names);
	return value;
}
