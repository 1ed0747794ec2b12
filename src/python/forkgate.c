/*
 * forkgate.c: a gate between forks by the program's threads and what ours do without the GIL or over a
 * while. What an evaluation itself imports does not pass here: that is the affair of whoever evaluates it.
 */
#include <Python.h>

#include "forkgate.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define GATE_S 1 /* longer than any of it takes: then something else is wrong */

static struct {
	pthread_once_t once;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned inside, forking;
} gate = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Not a static initialiser: its deadlines are of the clock that nobody sets. */
static void make_condition(void)
{
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&gate.changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static void lock_gate(void)
{
	pthread_once(&gate.once, make_condition);
	pthread_mutex_lock(&gate.lock);
}

/* Locked. Waits until *count is 0, or for GATE_S. */
static void await_none(const unsigned *count)
{
	struct timespec until;
	int rc = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += GATE_S;
	while (*count > 0 && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&gate.changed, &gate.lock, &until);
}

static void subtract(unsigned *count)
{
	lock_gate();
	if (*count > 0)
		(*count)--;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

void forkgate_enter(void)
{
	lock_gate();
	await_none(&gate.forking);
	gate.inside++;
	pthread_mutex_unlock(&gate.lock);
}

void forkgate_leave(void)
{
	subtract(&gate.inside);
}

PyObject *forkgate_import(const char *name)
{
	PyObject *module;

	/* Whoever imports what is there already does the work, if any is left. */
	if (PyDict_GetItemString(PyImport_GetModuleDict(), name) != NULL)
		return PyImport_ImportModule(name);
	Py_BEGIN_ALLOW_THREADS
	forkgate_enter();
	Py_END_ALLOW_THREADS
	module = PyImport_ImportModule(name);
	forkgate_leave();
	return module;
}

void forkgate_close(void)
{
	lock_gate();
	gate.forking++;
	await_none(&gate.inside);
	pthread_mutex_unlock(&gate.lock);
}

void forkgate_open(void)
{
	subtract(&gate.forking);
}

void forkgate_forget(void)
{
	pthread_mutex_init(&gate.lock, NULL);
	gate.once = (pthread_once_t)PTHREAD_ONCE_INIT;
	gate.inside = 0;
	gate.forking = 0;
}
