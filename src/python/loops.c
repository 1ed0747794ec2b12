/*
 * loops.c: a loop that runs is in a variable of the frame that runs it (asyncio's own, and most callers of others), or in the
 * Runner there. What is found is then asked whether it runs, which is code of asyncio or of whoever wrote the loop.
 */
#include <Python.h>

#include "loops.h"

#include "compat.h"
#include "look.h"

/* A class of a module that the program has imported, a new reference; NULL without an exception. */
static PyTypeObject *class_of(const char *module_name, const char *name)
{
	PyObject *module = look_module(span_text(module_name));
	PyObject *class = module != NULL && PyModule_Check(module) ? look_name(PyModule_GetDict(module), span_text(name)) : NULL;

	Py_XDECREF(module);
	if (class != NULL && !PyType_Check(class))
		Py_CLEAR(class);
	return (PyTypeObject *)class;
}

static void add(struct loops *l, uint64_t ident, PyObject *loop)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->list[i].loop == loop)
			return;
	if (l->count < LOOPS_MAX)
		l->list[l->count++] = (struct loops_one){ident, Py_NewRef(loop)};
}

/* Makes no Python objects: the frames stay as they are. */
static void look_at_value(struct loops *l, uint64_t ident, PyObject *value, PyTypeObject *loop, PyTypeObject *runner)
{
	int bound, unasked = 0;

	if (PyType_IsSubtype(Py_TYPE(value), loop)) {
		add(l, ident, value);
	} else if (runner != NULL && PyType_IsSubtype(Py_TYPE(value), runner)) {
		value = look_attribute(value, span_text("_loop"), &bound, &unasked);
		if (value != NULL && PyType_IsSubtype(Py_TYPE(value), loop))
			add(l, ident, value);
		Py_XDECREF(value);
	}
}

static void look_at_thread(struct loops *l, const PyThreadState *t, PyTypeObject *loop, PyTypeObject *runner)
{
	for (compat_frame *f = compat_top_frame(t); f != NULL; f = compat_back(f)) {
		PyCodeObject *code = compat_code(f);
		int complete = 0;

		if (code != NULL)
			(void)compat_offset(f, code, &complete);
		for (Py_ssize_t i = 0; complete && i < compat_slots(code); i++) {
			PyObject *name, *value = compat_slot(f, code, i, &name);

			if (value != NULL)
				look_at_value(l, t->thread_id, value, loop, runner);
		}
	}
}

/* 1 when it runs; and by which thread, where it says so itself. */
static int is_running(struct loops_one *one)
{
	PyObject *answer = PyObject_CallMethod(one->loop, "is_running", NULL), *ident;
	int running = answer == Py_True, bound, unasked = 0;

	Py_XDECREF(answer);
	ident = look_attribute(one->loop, span_text("_thread_id"), &bound, &unasked);
	if (ident != NULL && PyLong_CheckExact(ident))
		one->ident = PyLong_AsUnsignedLongLong(ident);
	Py_XDECREF(ident);
	PyErr_Clear();
	return running;
}

int loops_find(struct loops *l)
{
	PyTypeObject *loop = class_of("asyncio.events", "AbstractEventLoop"), *runner = class_of("asyncio.runners", "Runner");
	size_t running = 0;

	l->count = 0;
	if (loop != NULL && compat_head_lock()) {
		for (PyThreadState *t = compat_first_thread(); t != NULL; t = compat_next_thread(t))
			look_at_thread(l, t, loop, runner);
		compat_head_unlock();
	}
	for (size_t i = 0; i < l->count; i++) {
		if (is_running(&l->list[i]))
			l->list[running++] = l->list[i];
		else
			Py_CLEAR(l->list[i].loop);
	}
	l->count = running;
	Py_XDECREF(loop);
	Py_XDECREF(runner);
	return PyErr_Occurred() ? -1 : 0;
}

void loops_clear(struct loops *l)
{
	for (size_t i = 0; i < l->count; i++)
		Py_CLEAR(l->list[i].loop);
	l->count = 0;
}
