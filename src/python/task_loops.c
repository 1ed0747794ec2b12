/*
 * task_loops.c: the event loops: which thread runs each, which callback or task it runs at this moment, and for how long it has not
 * looked for events: asyncio's own notes the time when it begins with its callbacks. Loops of others (uvloop) tell less.
 */
#include <Python.h>

#include "tasks_private.h"

#include <string.h>
#include <time.h>

#include "look_dict.h"
#if PY_VERSION_HEX >= 0x030D0000
#include <internal/pycore_tstate.h>
#endif

uint32_t task_loops_add(struct tasks *t, PyObject *loop)
{
	for (uint32_t i = 0; i < t->loop_count; i++)
		if (t->loops[i].loop == loop)
			return i;
	if (t->loop_count == TASKS_LOOPS_MAX) {
		t->cut = 1;
		return TASKS_NONE;
	}
	t->loops[t->loop_count] = (struct tasks_loop){.loop = Py_NewRef(loop)};
	return t->loop_count++;
}

/* --- which run --- */

#if PY_VERSION_HEX < 0x030D0000
struct loop_holder {
	PyObject base;
	PyObject *loop;
};
#endif

/* A new reference, or NULL. */
static PyObject *running_loop(PyThreadState *s)
{
#if PY_VERSION_HEX >= 0x030D0000
	/* 3.13: a field of the thread state. */
	return Py_XNewRef(((_PyThreadStateImpl *)s)->asyncio_running_loop);
#else
	/* Before, in its dict, in a holder whose first field it is. */
	PyObject *holder = look_name(s->dict, span_text("__asyncio_running_event_loop__")), *loop = holder;

	if (holder != NULL && strstr(Py_TYPE(holder)->tp_name, "RunningLoopHolder") != NULL) {
		loop = Py_XNewRef(((const struct loop_holder *)holder)->loop);
		Py_DECREF(holder);
	}
	if (loop == Py_None)
		Py_CLEAR(loop);
	return loop;
#endif
}

/* 3.14: a field too; before, it is in a dict of asyncio's. A new reference, or NULL. */
static PyObject *running_task(PyThreadState *s)
{
#if PY_VERSION_HEX >= 0x030E0000
	return Py_XNewRef(((_PyThreadStateImpl *)s)->asyncio_running_task);
#else
	(void)s;
	return NULL;
#endif
}

static void take_running(struct tasks *t, PyThreadState *s)
{
	PyObject *loop = running_loop(s);
	uint32_t index = loop != NULL ? task_loops_add(t, loop) : TASKS_NONE;

	if (index != TASKS_NONE) {
		t->loops[index].flags |= LOOP_RUNS;
		t->loops[index].ident = s->thread_id;
		t->loops[index].task = running_task(s);
	}
	Py_XDECREF(loop);
}

/* What tasks of Python's own, and all of them up to 3.13, are noted in. */
static void take_current(struct tasks *t)
{
	PyObject *current = look_name(t->known->tasks, span_text("_current_tasks")), *loop, *task;
	Py_ssize_t at = 0;

	while (current != NULL && PyDict_CheckExact(current) && PyDict_Next(current, &at, &loop, &task))
		for (uint32_t i = 0; i < t->loop_count; i++)
			if (t->loops[i].loop == loop && t->loops[i].task == NULL && task_is_task(t->known, task))
				t->loops[i].task = Py_NewRef(task);
	Py_XDECREF(current);
}

void task_loops_find(struct tasks *t)
{
	if (!compat_head_lock())
		return;
	for (PyThreadState *s = compat_first_thread(); s != NULL; s = compat_next_thread(s))
		take_running(t, s);
	compat_head_unlock();
	take_current(t);
}

/* --- what is to be said of them --- */

/* Where the loop is in its thread's frames. */
struct turn {
	compat_frame *once, *run; /* _run_once(), and Handle._run() inside of it; NULL: not there */
	PyCodeObject *once_code, *run_code;
};

static void find_turn(struct tasks *t, const struct tasks_loop *l, struct turn *turn)
{
	PyThreadState *s;

	memset(turn, 0, sizeof *turn);
	if (!compat_head_lock())
		return;
	for (s = compat_first_thread(); s != NULL && s->thread_id != l->ident; s = compat_next_thread(s))
		;
	for (compat_frame *f = s != NULL ? compat_top_frame(s) : NULL; f != NULL && turn->once == NULL; f = compat_back(f)) {
		PyCodeObject *code = compat_code(f);
		int complete = 0;

		if (code != NULL)
			(void)compat_offset(f, code, &complete);
		if (!complete)
			continue;
		switch (task_function_of(code)) {
		case FUNCTION_RUN:
			turn->run = f;
			turn->run_code = code;
			break;
		case FUNCTION_RUN_ONCE:
			if (task_variable(t->known, f, code, TASK_WORD_SELF) != l->loop)
				break;
			turn->once = f;
			turn->once_code = code;
			break;
		default:
			break;
		}
	}
	compat_head_unlock();
}

/* The function behind what is called, as far as that is plain; borrowed. */
static PyCodeObject *code_of(PyObject *callable)
{
	if (PyMethod_Check(callable))
		callable = PyMethod_GET_FUNCTION(callable);
	return PyFunction_Check(callable) ? (PyCodeObject *)PyFunction_GET_CODE(callable) : NULL;
}

/* A callback that is no step of a task. */
static void describe_callback(struct tasks *t, struct tasks_loop *l, const struct turn *turn)
{
	PyObject *handle = task_variable(t->known, turn->run, turn->run_code, TASK_WORD_SELF);
	PyObject *callback = task_peek(t->known, handle, TASK_WORD_CALLBACK);
	PyCodeObject *code = callback != NULL ? code_of(callback) : NULL;
	struct span name = callback != NULL ? task_type_name(callback) : span_text("");

	if (l->task == NULL && code != NULL)
		t->cut |= pytext_str(&t->text, compat_qualname(code), TASKS_NAME_MAX, &l->callback) != 0;
	else if (l->task == NULL && strncmp((const char *)name.data, "Task", 4) != 0)
		t->cut |= pytext_bytes(&t->text, name.data, name.len, &l->callback) != 0;
	Py_XDECREF(callback);
}

/* The loop notes until when timers are due just before it begins with its callbacks. */
static void describe_turn(struct tasks *t, struct tasks_loop *l, const struct turn *turn)
{
	PyObject *end = task_variable(t->known, turn->once, turn->once_code, TASK_WORD_END_TIME);
	PyObject *resolution = task_peek(t->known, l->loop, TASK_WORD_RESOLUTION);
	struct timespec now;
	double busy = -1;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (end != NULL && PyFloat_CheckExact(end) && resolution != NULL && PyFloat_CheckExact(resolution))
		busy = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - (PyFloat_AS_DOUBLE(end) - PyFloat_AS_DOUBLE(resolution));
	if (busy >= 0 && busy < 1e9) {
		l->busy_us = (uint64_t)(busy * 1e6);
		l->flags |= LOOP_BUSY;
	}
	Py_XDECREF(resolution);
	describe_callback(t, l, turn);
}

static void describe_counts(struct tasks *t, struct tasks_loop *l)
{
	PyObject *ready = task_peek(t->known, l->loop, TASK_WORD_READY), *scheduled = task_peek(t->known, l->loop, TASK_WORD_SCHEDULED);

	if (ready != NULL && strcmp(Py_TYPE(ready)->tp_name, "collections.deque") == 0 && scheduled != NULL &&
		PyList_CheckExact(scheduled)) {
		l->ready = (uint32_t)Py_SIZE(ready);
		l->scheduled = (uint32_t)PyList_GET_SIZE(scheduled);
		l->flags |= LOOP_COUNTS;
	}
	Py_XDECREF(ready);
	Py_XDECREF(scheduled);
}

void task_loops_describe(struct tasks *t)
{
	for (uint32_t i = 0; i < t->loop_count; i++) {
		struct tasks_loop *l = &t->loops[i];
		struct span type = task_type_name(l->loop);
		struct turn turn;

		t->cut |= pytext_bytes(&t->text, type.data, type.len, &l->type) != 0;
		describe_counts(t, l);
		if (!(l->flags & LOOP_RUNS))
			continue;
		for (uint32_t n = 0; n < t->frames->thread_count; n++)
			if (t->frames->threads[n].ident == l->ident)
				l->tid = t->frames->threads[n].tid;
		find_turn(t, l, &turn);
		if (turn.once != NULL && turn.run != NULL)
			describe_turn(t, l, &turn);
	}
}
