/*
 * threading.c: what evaluations would change in the program's module `threading`, put right: who its
 * main thread is, and whom it knows. What the dump reads from it is names.c's.
 */
#include <Python.h>

#include "threading.h"

#include <time.h>
#include <unistd.h>

#include "compat.h"
#include "forkgate.h"
#include "gil.h"

#define GIVE_WAY_NS 1000000 /* nothing that is there already takes as long */

/* Borrowed; NULL: not imported. */
static PyObject *find_module(void)
{
	PyObject *module = PyDict_GetItemString(PyImport_GetModuleDict(), "threading");

	return module != NULL && PyModule_Check(module) ? module : NULL;
}

/* Borrowed. */
static PyObject *module_attr(PyObject *module, const char *name)
{
	return PyDict_GetItemString(PyModule_GetDict(module), name);
}

/* ---- the main thread ------------------------------------------------------------------------- */

#if PY_VERSION_HEX < 0x030D0000
/*
 * Before 3.13 the end of a thread is told by a lock that its state lets go of, and `threading` asked
 * for the importing thread's. It is made the main thread's. That has one already where the program had
 * imported `threading` and taken it out of sys.modules again: then the new lock is nobody's, and stays
 * taken, as the end of the program expects.
 */
static void move_sentinel(uint64_t to_ident)
{
	PyThreadState *own = PyThreadState_Get();
	PyThreadState *to = PyInterpreterState_ThreadHead(PyThreadState_GetInterpreter(own));

	while (to != NULL && to->thread_id != to_ident)
		to = PyThreadState_Next(to);
	if (to == NULL || to == own || own->on_delete == NULL)
		return;
	if (to->on_delete == NULL) {
		to->on_delete = own->on_delete;
		to->on_delete_data = own->on_delete_data;
	} else {
		Py_XDECREF((PyObject *)own->on_delete_data); /* a weak reference to the lock */
	}
	own->on_delete = NULL;
	own->on_delete_data = NULL;
}

/*
 * A program that began to exit meanwhile took it for the lock of another thread, whose end it waits
 * for: it is not to find that lock, and if it has found it already, need not wait any longer.
 */
static void let_exit_pass(PyObject *module, PyObject *main)
{
	PyObject *locks = Py_XNewRef(module_attr(module, "_shutdown_locks"));
	PyObject *lock = PyObject_GetAttrString(main, "_tstate_lock");

	if (locks != NULL && PySet_Check(locks) && lock != NULL && PySet_Discard(locks, lock) == 0)
		Py_XDECREF(PyObject_CallMethod(lock, "release", NULL));
	Py_XDECREF(lock);
	Py_XDECREF(locks);
	PyErr_Clear();
}
#else
static void move_sentinel(uint64_t to_ident)
{
	(void)to_ident;
}

static void let_exit_pass(PyObject *module, PyObject *main)
{
	(void)module;
	(void)main;
}
#endif

/* What the main thread would have written had it been the one to import. 0, or -1 with an exception. */
static int write_ids(PyObject *main, PyObject *active, PyObject *ident)
{
	PyObject *own = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
	PyObject *native = PyLong_FromLong((long)getpid());
	int rc = -1;

	if (own != NULL && native != NULL && PyObject_SetAttrString(main, "_ident", ident) == 0 &&
		PyObject_SetAttrString(main, "_native_id", native) == 0 &&
		PyDict_SetItem(active, ident, main) == 0)
		rc = 0;
	if (rc == 0 && PyDict_GetItemWithError(active, own) == main)
		rc = PyDict_DelItem(active, own);
	Py_XDECREF(native);
	Py_XDECREF(own);
	return rc;
}

/* Several threads of ours may have waited for the import, but one has done it. */
static int is_taken_for_main(PyObject *main)
{
	PyObject *ident = PyObject_GetAttrString(main, "_native_id");
	int same = ident != NULL && PyLong_Check(ident) && PyLong_AsLong(ident) == (long)gettid();

	Py_XDECREF(ident);
	PyErr_Clear();
	return same;
}

static void hand_to_main(PyObject *module)
{
	uint64_t to = compat_main_ident();
	PyObject *main = Py_XNewRef(module_attr(module, "_main_thread"));
	PyObject *active = Py_XNewRef(module_attr(module, "_active"));
	PyObject *ident = PyLong_FromUnsignedLongLong(to);

	if (main != NULL && is_taken_for_main(main) && active != NULL && PyDict_Check(active) &&
		ident != NULL && write_ids(main, active, ident) == 0) {
		move_sentinel(to);
		let_exit_pass(module, main);
	}
	Py_XDECREF(ident);
	Py_XDECREF(active);
	Py_XDECREF(main);
}

/* 1 when it is there, and whole: where another thread of ours is in the middle of importing it, its end is waited for. */
static int is_imported(void)
{
	PyObject *name = PyUnicode_InternFromString("threading");
	PyObject *module = name != NULL ? PyImport_GetModule(name) : NULL;

	PyErr_Clear();
	Py_XDECREF(module);
	Py_XDECREF(name);
	return module != NULL;
}

static void import_for_main(void)
{
	PyObject *module = forkgate_import("threading");

	if (module != NULL && PyModule_Check(module))
		hand_to_main(module);
	Py_XDECREF(module);
	PyErr_Clear();
}

/*
 * A program that exits waits for the import, as other threads of ours do: step by step, each with the GIL, which code that computes lets
 * go of every 5 ms only. It is to get there before such code of ours begins.
 */
static void give_way(void)
{
	const struct timespec moment = {.tv_nsec = GIVE_WAY_NS};

	Py_BEGIN_ALLOW_THREADS
	nanosleep(&moment, NULL);
	Py_END_ALLOW_THREADS
}

void threading_import(void)
{
	uint64_t began;

	if (compat_main_ident() == PyThread_get_thread_ident())
		return;
	began = gil_now_ns();
	if (!is_imported())
		import_for_main();
	if (gil_now_ns() - began > GIVE_WAY_NS)
		give_way();
}

/* ---- who is known ---------------------------------------------------------------------------- */

void threading_forget_us(void)
{
	PyObject *module = find_module();
	PyObject *active, *dummy, *get_ident, *ident = NULL, *thread = NULL;

	if (module == NULL)
		return;
	Py_INCREF(module);
	active = Py_XNewRef(module_attr(module, "_active"));
	dummy = Py_XNewRef(module_attr(module, "_DummyThread"));
	get_ident = Py_XNewRef(module_attr(module, "get_ident"));
	if (active != NULL && PyDict_Check(active) && dummy != NULL && get_ident != NULL)
		ident = PyObject_CallNoArgs(get_ident);
	if (ident != NULL)
		thread = Py_XNewRef(PyDict_GetItemWithError(active, ident));
	if (thread != NULL && PyObject_IsInstance(thread, dummy) == 1)
		PyDict_DelItem(active, ident);
	PyErr_Clear();
	Py_XDECREF(thread);
	Py_XDECREF(ident);
	Py_XDECREF(get_ident);
	Py_XDECREF(dummy);
	Py_XDECREF(active);
	Py_DECREF(module);
}
