/*
 * fork.c: what happens to our threads around os.fork() and at exit, seen from Python's hooks.
 *
 * Python 3.12 and later warn when a process with more than one thread forks, and count native threads too. So ours end before
 * the fork and start again in the parent, but not before os.fork() has counted, which it does after its hooks: the restart is
 * a pending call that waits until the frame which called os.fork() runs again.
 */
#include <Python.h>

#include "fork.h"

#include <stdlib.h>

#include "compat.h"
#include "gil.h"
#include "host.h"
#include "sigwaiter.h"

#define RESTART_WAIT_NS 20000000u	/* 20 ms: by then the threads come back, whatever the frames look like */

static void restart(void)
{
	Py_BEGIN_ALLOW_THREADS
	host_after_fork();
	Py_END_ALLOW_THREADS
}

#if PY_VERSION_HEX >= 0x030c0000

/* Exported by libpython 3.12 and later, not declared in public headers. Returns 0 when the call has been queued. */
extern int _PyEval_AddPendingCall(PyInterpreterState *interpreter, int (*call)(void *), void *arg,
	int flags) __attribute__((weak));

/* A fork in progress: the frame that called os.fork() and the instruction it was at then. */
struct forking {
	PyThreadState *thread;	/* an address to compare with */
	PyFrameObject *frame;	/* NULL when C code forked */
	int instruction;
	uint64_t deadline_ns;
	int on_main_thread;
	int queue;		/* QUEUE_*, for the next try */
};

/*
 * A pending call that adds itself again is run again at once, a hundred times, by the pass over the queue it is in. The main
 * thread has two queues and looks at them in this order: so by changing queues there are two tries a pass.
 */
enum { QUEUE_ANY_THREAD = 0, QUEUE_MAIN_THREAD = 1 };

/* 1 when os.fork() has returned to the frame that called it. GIL held. */
static int has_returned(const struct forking *f)
{
	if (!f->frame || gil_now_ns() >= f->deadline_ns)
		return 1;
	if (PyThreadState_Get() == f->thread) {
		PyFrameObject *top = PyThreadState_GetFrame(f->thread);
		int same = top == f->frame;
		Py_XDECREF(top);
		if (same)
			return 1;	/* a pending call runs in it: so it is being evaluated again */
	}
	return PyFrame_GetLasti(f->frame) != f->instruction;
}

static int restart_when_returned(void *arg);

static int queue(struct forking *f)
{
	return _PyEval_AddPendingCall(PyInterpreterState_Get(), restart_when_returned, f, f->queue);
}

static int restart_when_returned(void *arg)
{
	struct forking *f = arg;
	if (!has_returned(f)) {
		int change = f->queue == QUEUE_MAIN_THREAD || f->on_main_thread;
		f->queue = change ? !f->queue : f->queue;
		if (queue(f) == 0)
			return 0;
	}
	Py_CLEAR(f->frame);
	free(f);
	restart();
	return 0;
}

static void restart_later(void)
{
	struct forking *f = _PyEval_AddPendingCall ? calloc(1, sizeof *f) : NULL;
	if (f) {
		f->thread = PyThreadState_Get();
		f->frame = PyThreadState_GetFrame(f->thread);
		f->instruction = f->frame ? PyFrame_GetLasti(f->frame) : 0;
		f->deadline_ns = gil_now_ns() + RESTART_WAIT_NS;
		f->on_main_thread = PyThread_get_thread_ident() == compat_main_ident();
		if (queue(f) == 0)
			return;
		Py_CLEAR(f->frame);
		free(f);
	}
	restart();
}

#else

static void restart_later(void)
{
	restart();	/* 3.10 and 3.11 do not count */
}

#endif

static PyObject *before(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	host_notice_fork();
	Py_BEGIN_ALLOW_THREADS
	host_before_fork();
	Py_END_ALLOW_THREADS
	Py_RETURN_NONE;
}

static PyObject *after_in_parent(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	restart_later();
	Py_RETURN_NONE;
}

static PyObject *after_in_child(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	host_after_fork_child();
	Py_RETURN_NONE;
}

static PyObject *at_exit(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	Py_BEGIN_ALLOW_THREADS
	host_stop();
	Py_END_ALLOW_THREADS
	sigwaiter_give_all();
	Py_RETURN_NONE;
}

static PyMethodDef hooks[] = {
	{ "pystuck_before_fork", before, METH_NOARGS, NULL },
	{ "pystuck_after_fork_in_parent", after_in_parent, METH_NOARGS, NULL },
	{ "pystuck_after_fork_in_child", after_in_child, METH_NOARGS, NULL },
	{ "pystuck_at_exit", at_exit, METH_NOARGS, NULL },
};

/* Calls module.function(**{names: hooks}) or module.function(hook) and leaves sys.modules as it was. */
static int register_with(const char *module_name, const char *function_name, PyObject *args,
	PyObject *kwargs)
{
	int result = -1;
	PyObject *modules = PyImport_GetModuleDict();
	int was_there = PyDict_GetItemString(modules, module_name) != NULL;
	PyObject *module = PyImport_ImportModule(module_name);
	PyObject *function = module ? PyObject_GetAttrString(module, function_name) : NULL;
	PyObject *done = function ? PyObject_Call(function, args, kwargs) : NULL;
	if (done)
		result = 0;
	if (module && !was_there) {
		PyObject *type, *value, *trace;
		PyErr_Fetch(&type, &value, &trace);
		if (PyDict_DelItemString(modules, module_name) != 0)
			PyErr_Clear();
		PyErr_Restore(type, value, trace);
	}
	Py_XDECREF(done);
	Py_XDECREF(function);
	Py_XDECREF(module);
	return result;
}

int fork_hooks(void)
{
	static int registered;
	if (registered)
		return 0;
	PyObject *made[4] = { NULL };
	PyObject *none = PyTuple_New(0), *stop = NULL, *forks = NULL;
	int result = -1;
	for (size_t i = 0; i < 4; i++)
		if (!(made[i] = PyCFunction_New(&hooks[i], NULL)))
			goto out;
	forks = Py_BuildValue("{sOsOsO}", "before", made[0], "after_in_parent", made[1],
		"after_in_child", made[2]);
	stop = PyTuple_Pack(1, made[3]);
	if (!none || !forks || !stop)
		goto out;
	if (register_with("posix", "register_at_fork", none, forks) != 0)
		goto out;
	registered = 1;		/* from here on a second try would register twice */
	result = register_with("atexit", "register", stop, NULL);
out:
	for (size_t i = 0; i < 4; i++)
		Py_XDECREF(made[i]);
	Py_XDECREF(forks);
	Py_XDECREF(stop);
	Py_XDECREF(none);
	return result;
}
