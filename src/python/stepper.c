/*
 * stepper.c: a coroutine of our own around the code's, which asyncio takes for any other. It sees to it that what is printed in a step
 * goes to the session's client, and that nothing that the code raises reaches the program's loop, but for a cancellation.
 */
#include <Python.h>

#include "stepper.h"

#include <string.h>
#include <unistd.h>

#include "compat_eval.h"
#include "look.h"
#include "stream_type.h"

static struct stepper *as_stepper(PyObject *self)
{
	return (struct stepper *)self;
}

/* --- steps, on the loop's thread ------------------------------------------ */

int stepper_is_coroutine(PyObject *code)
{
	return code != NULL && (((PyCodeObject *)code)->co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR)) != 0;
}

/* Ends it; what has been raised is kept for the evaluation. Sets what the loop is to get. */
static void finish(struct stepper *s)
{
	PyObject *raised = compat_take_raised(), *cancelled;
	int is_cancelled = 0;

	s->over = 1;
	cell_clear(&s->cell);
	Py_CLEAR(s->inner);
	Py_CLEAR(s->task);
	cancelled = raised != NULL ? look_module(span_text("asyncio.exceptions")) : NULL;
	if (cancelled != NULL) {
		PyObject *type = PyObject_GetAttrString(cancelled, "CancelledError");

		is_cancelled = type != NULL && PyErr_GivenExceptionMatches(raised, type);
		PyErr_Clear();
		Py_XDECREF(type);
		Py_DECREF(cancelled);
	}
	if (is_cancelled)
		compat_set_raised(Py_NewRef(raised));
	else
		PyErr_SetNone(PyExc_StopIteration);
	s->raised = raised;
	relay_end(&s->relay);
}

/* The next piece of the code. 1: s->inner is to be driven; 0: it has been run, or there is none, see s->over; -1 with an exception. */
static int next_piece(struct stepper *s)
{
	PyObject **code = s->cell.body != NULL ? &s->cell.body : &s->cell.value, *now = *code, *value;
	int drive = stepper_is_coroutine(now);

	if (now == NULL)
		return 0;
	*code = NULL;
	value = PyEval_EvalCode(now, s->names, s->names);
	Py_DECREF(now);
	if (value == NULL)
		return -1;
	if (drive)
		s->inner = value;
	else
		Py_XSETREF(s->value, value);
	return drive;
}

/* Runs until something is awaited, which is returned; NULL: the end, see finish(). `got`: what is sent in. */
static PyObject *drive(struct stepper *s, PyObject *got)
{
	PyObject *result = NULL;
	PySendResult how;
	int rc;

	for (;;) {
		if (s->inner == NULL) {
			rc = next_piece(s);
			if (rc < 0 || (rc == 0 && s->cell.body == NULL && s->cell.value == NULL))
				break;
			got = Py_None;
			continue;
		}
		how = PyIter_Send(s->inner, got, &result);
		if (how == PYGEN_NEXT)
			return result;
		Py_CLEAR(s->inner);
		if (how == PYGEN_ERROR)
			break;
		Py_XSETREF(s->value, result);
		if (s->cell.value == NULL)
			break;
	}
	finish(s);
	return NULL;
}

static void cancel(struct stepper *s)
{
	s->cancelled = 1;
	if (s->task != NULL)
		Py_XDECREF(PyObject_CallMethod(s->task, "cancel", NULL));
	PyErr_Clear();
}

/* Around a step: its output is ours, and it may be interrupted. */
static int enter(struct stepper *s)
{
	relay_enter(&s->relay);
	/* A loop of its own is on the evaluation thread, whose output is the client's already. */
	return s->loop != NULL && stream_enter(&s->sink) == 0;
}

static void leave(struct stepper *s, int entered)
{
	PyObject *raised = compat_take_raised();

	/* Where the step did not end by it, it is for what is awaited now. */
	if (relay_leave(&s->relay))
		cancel(s);
	if (entered)
		stream_leave();
	if (raised != NULL)
		compat_set_raised(raised);
}

static PyObject *step(struct stepper *s, PyObject *got)
{
	PyObject *result;
	int entered;

	if (s->over) {
		PyErr_SetNone(PyExc_StopIteration);
		return NULL;
	}
	Py_INCREF(s);
	entered = enter(s);
	result = drive(s, got);
	leave(s, entered);
	Py_DECREF(s);
	return result;
}

static PyObject *stepper_next(PyObject *self)
{
	return step(as_stepper(self), Py_None);
}

static PyObject *stepper_send(PyObject *self, PyObject *got)
{
	return step(as_stepper(self), got);
}

/* As a generator's: throw(exception), or throw(type, value, traceback). */
static PyObject *stepper_throw(PyObject *self, PyObject *args)
{
	struct stepper *s = as_stepper(self);
	PyObject *result = NULL, *throw, *inner;
	int entered;

	if (s->over || s->inner == NULL) {
		PyObject *raised = PyTuple_GET_SIZE(args) > 0 ? PyTuple_GET_ITEM(args, 0) : PyExc_RuntimeError;

		PyErr_SetObject(PyExceptionInstance_Check(raised) ? (PyObject *)Py_TYPE(raised) : raised,
			PyExceptionInstance_Check(raised) ? raised : NULL);
		if (!s->over)
			finish(s);
		return NULL;
	}
	Py_INCREF(s);
	entered = enter(s);
	inner = Py_NewRef(s->inner);
	throw = PyObject_GetAttrString(inner, "throw");
	if (throw != NULL)
		result = PyObject_CallObject(throw, args);
	Py_XDECREF(throw);
	if (result == NULL && PyErr_ExceptionMatches(PyExc_StopIteration)) {
		PyObject *stop = compat_take_raised();

		Py_XSETREF(s->value, PyObject_GetAttrString(stop, "value"));
		Py_XDECREF(stop);
		Py_CLEAR(s->inner);
		result = drive(s, Py_None);
	} else if (result == NULL) {
		Py_CLEAR(s->inner);
		finish(s);
	}
	Py_DECREF(inner);
	leave(s, entered);
	Py_DECREF(s);
	return result;
}

static PyObject *stepper_close(PyObject *self, PyObject *none)
{
	struct stepper *s = as_stepper(self);

	(void)none;
	if (!s->over) {
		PyErr_SetString(PyExc_RuntimeError, "the event loop has let go of it");
		finish(s);
		PyErr_Clear();
	}
	Py_RETURN_NONE;
}

/* Called by the loop when it comes by. */
static PyObject *stepper_start(PyObject *self, PyObject *none)
{
	struct stepper *s = as_stepper(self);
	PyObject *task;

	(void)none;
	if (s->pid != getpid() || !relay_begin(&s->relay))
		Py_RETURN_NONE;
	task = PyObject_CallMethod(s->loop, "create_task", "O", self);
	if (task == NULL && !s->over)
		finish(s);
	PyErr_Clear();
	if (!s->over)
		s->task = Py_XNewRef(task);
	if (s->cancelled)
		cancel(s);
	Py_XDECREF(task);
	Py_RETURN_NONE;
}

/* --- the type ------------------------------------------------------------- */

static PyObject *self_again(PyObject *self)
{
	return Py_NewRef(self);
}

static int stepper_traverse(PyObject *self, visitproc visit, void *arg)
{
	struct stepper *s = as_stepper(self);

	Py_VISIT(s->names);
	Py_VISIT(s->loop);
	Py_VISIT(s->task);
	Py_VISIT(s->inner);
	Py_VISIT(s->value);
	Py_VISIT(s->raised);
	return 0;
}

static int stepper_clear(PyObject *self)
{
	struct stepper *s = as_stepper(self);

	cell_clear(&s->cell);
	Py_CLEAR(s->names);
	Py_CLEAR(s->loop);
	Py_CLEAR(s->task);
	Py_CLEAR(s->inner);
	Py_CLEAR(s->value);
	Py_CLEAR(s->raised);
	return 0;
}

static void stepper_dealloc(PyObject *self)
{
	struct stepper *s = as_stepper(self);

	PyObject_GC_UnTrack(self);
	stepper_clear(self);
	if (s->sink.port != NULL)
		port_unref(s->sink.port);
	relay_destroy(&s->relay);
	PyObject_GC_Del(self);
}

static PyAsyncMethods as_async = {.am_await = self_again};
static PyMethodDef methods[] = {
	{"send", stepper_send, METH_O, NULL},
	{"throw", stepper_throw, METH_VARARGS, NULL},
	{"close", stepper_close, METH_NOARGS, NULL},
	{"start", stepper_start, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyTypeObject stepper_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pystuck.evaluation",
	.tp_basicsize = sizeof(struct stepper),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.tp_traverse = stepper_traverse,
	.tp_clear = stepper_clear,
	.tp_dealloc = stepper_dealloc,
	.tp_as_async = &as_async,
	.tp_iter = self_again,
	.tp_iternext = stepper_next,
	.tp_methods = methods,
};

int stepper_init(void)
{
	return PyType_Ready(&stepper_type);
}

struct stepper *stepper_new(const struct cell *c, PyObject *names, PyObject *loop)
{
	const struct stream_sink *own = stream_sink_own();
	struct stepper *s = PyObject_GC_New(struct stepper, &stepper_type);

	if (s == NULL)
		return NULL;
	memset((char *)s + sizeof(PyObject), 0, sizeof *s - sizeof(PyObject));
	relay_init(&s->relay);
	s->relay.place = "an await on the program's event loop";
	s->pid = getpid();
	s->cell = (struct cell){Py_XNewRef(c->body), Py_XNewRef(c->value)};
	s->names = Py_NewRef(names);
	s->loop = Py_XNewRef(loop);
	if (own != NULL && own->port != NULL) {
		s->sink.port = port_ref(own->port);
		s->sink.id = own->id;
	}
	PyObject_GC_Track((PyObject *)s);
	return s;
}
