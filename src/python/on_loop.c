/*
 * on_loop.c: a coroutine of our own around the code's, which asyncio takes for any other. It sees to it that what is printed in a step
 * goes to the session's client, and that nothing that the code raises reaches the program's loop, but for a cancellation. The
 * evaluation thread waits meanwhile (relay.h). Which loops there are is loops.c's.
 */
#include <Python.h>

#include "on_loop.h"

#include <string.h>
#include <unistd.h>

#include "compat.h"
#include "compat_eval.h"
#include "doing.h"
#include "eval_self.h"
#include "forkgate.h"
#include "gil.h"
#include "loops.h"
#include "look.h"
#include "prompt.h"
#include "relay.h"
#include "stream_type.h"

#define SLOW_NS 2000000000u /* after which the user is told that the loop has not come by */

struct stepper {
	PyObject_HEAD
	struct relay relay;
	struct cell cell; /* what is still to be run */
	PyObject *names, *loop, *task;
	PyObject *inner; /* the coroutine of the code that runs now; or NULL */
	PyObject *value, *raised;
	struct stream_sink sink;
	pid_t pid;
	int over; /* nothing more is to be run */
	int hit;
	int cancelled; /* it is to be, as soon as there is a task */
};

static struct stepper *as_stepper(PyObject *self)
{
	return (struct stepper *)self;
}

/* --- steps, on the loop's thread ------------------------------------------ */

static int is_coroutine(PyObject *code)
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
	int drive = is_coroutine(now);

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

/* Around a step: its output is ours, and it may be interrupted. */
static int enter(struct stepper *s)
{
	s->relay.runs_on = PyThreadState_Get();
	return stream_sink_own() == NULL && stream_enter(&s->sink) == 0;
}

static void leave(struct stepper *s, int entered)
{
	PyObject *raised = compat_take_raised();

	s->relay.runs_on = NULL;
	if (s->hit)
		compat_drop_async_exc(PyThreadState_Get(), PyThread_get_thread_ident());
	s->hit = 0;
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
	if (s->task != NULL && s->cancelled)
		Py_XDECREF(PyObject_CallMethod(s->task, "cancel", NULL));
	PyErr_Clear();
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

int on_loop_init(void)
{
	return PyType_Ready(&stepper_type);
}

static struct stepper *new_stepper(const struct cell *c, PyObject *names, PyObject *loop)
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

/* --- on the evaluation thread --------------------------------------------- */

int on_loop_needed(const struct cell *c)
{
	return is_coroutine(c->body) || is_coroutine(c->value);
}

static PyObject *result_of(struct stepper *s)
{
	PyObject *value = s->value;

	if (s->raised != NULL) {
		compat_set_raised(s->raised);
		s->raised = NULL;
		return NULL;
	}
	s->value = NULL;
	return value != NULL ? value : Py_NewRef(Py_None);
}

/* loop.call_soon_threadsafe(object.method). 0, or -1 with an exception. */
static int call_soon(PyObject *loop, PyObject *object, const char *method)
{
	PyObject *bound = PyObject_GetAttrString(object, method);
	PyObject *handle = bound != NULL ? PyObject_CallMethod(loop, "call_soon_threadsafe", "O", bound) : NULL;

	Py_XDECREF(bound);
	Py_XDECREF(handle);
	return handle != NULL ? 0 : -1;
}

static int is_running(PyObject *loop)
{
	PyObject *answer = PyObject_CallMethod(loop, "is_running", NULL);
	int running = answer == Py_True;

	PyErr_Clear();
	Py_XDECREF(answer);
	return running;
}

/* It is not to be run, or not any further. An exception is set. */
static void give_up(struct stepper *s, const char *why)
{
	s->over = 1;
	if (s->relay.state == RELAY_WAITING)
		s->relay.state = RELAY_GIVEN_UP;
	cell_clear(&s->cell);
	PyErr_SetString(PyExc_KeyboardInterrupt, why);
}

/* An interrupt has come. 1: go on waiting. */
static int on_interrupt(struct stepper *s, uint64_t ident)
{
	if (s->relay.state == RELAY_WAITING) {
		give_up(s, "before the event loop came by");
		return 0;
	}
	if (s->relay.runs_on != NULL) {
		s->hit = 1;
		s->sink.interrupted = 1;
		compat_send_async_exc(s->relay.runs_on, (unsigned long)ident, eval_interrupt_type());
		return 1;
	}
	if (!is_running(s->loop)) {
		give_up(s, "the event loop does not run any more");
		return 0;
	}
	s->cancelled = 1;
	if (s->task != NULL && call_soon(s->loop, s->task, "cancel") != 0)
		PyErr_Clear();
	return 1;
}

static void say_slow(uint64_t ident)
{
	struct buf text;

	buf_init(&text, DOING_MAX);
	doing_put(&text, ident);
	(void)prompt_complain("the event loop has not come by yet (Ctrl-C gives up); its thread is ", buf_span(&text));
	buf_free(&text);
	PyErr_Clear();
}

static void await(struct stepper *s, uint64_t ident)
{
	uint64_t slow = gil_now_ns() + SLOW_NS;

	for (;;) {
		enum relay_event event = relay_wait(&s->relay, s->relay.state == RELAY_WAITING ? slow : UINT64_MAX);

		if (s->relay.state == RELAY_DONE)
			return;
		if (event == RELAY_INTERRUPTED && !on_interrupt(s, ident))
			return;
		if (event == RELAY_LATE) {
			slow = UINT64_MAX;
			say_slow(ident);
		}
	}
}

/* A task that was cancelled by an interrupt has been interrupted. */
static void rename_cancelled(struct stepper *s, int interrupted)
{
	const char *name = s->raised != NULL ? Py_TYPE(s->raised)->tp_name : "";

	if (!interrupted || strcmp(name, "CancelledError") != 0)
		return;
	Py_CLEAR(s->raised);
	s->raised = PyObject_CallFunction(PyExc_KeyboardInterrupt, "s", "the task was cancelled");
}

static PyObject *on_running(const struct cell *c, PyObject *names, const struct loops_one *one)
{
	struct stepper *s = new_stepper(c, names, one->loop);
	PyObject *value = NULL;

	if (s == NULL)
		return NULL;
	/* From here on an interrupt raises nothing in this thread, and what has been asked for is not left alone half-way. */
	if (eval_set_relay(&s->relay))
		relay_interrupt(&s->relay);
	if (call_soon(one->loop, (PyObject *)s, "start") == 0)
		await(s, one->ident);
	(void)eval_set_relay(NULL);
	if (s->relay.state == RELAY_DONE && !PyErr_Occurred()) {
		rename_cancelled(s, s->relay.seen > 0);
		value = result_of(s);
	}
	Py_DECREF(s);
	return value;
}

/* --- a loop of its own ---------------------------------------------------- */

/* An interrupt is noticed between two steps of Python, so there are some. */
static const char own_loop[] = "def run(asyncio, main):\n"
			       "    async def tick():\n"
			       "        while True:\n"
			       "            await asyncio.sleep(0.05)\n"
			       "    async def both():\n"
			       "        ticks = asyncio.ensure_future(tick())\n"
			       "        try:\n"
			       "            return await main\n"
			       "        finally:\n"
			       "            ticks.cancel()\n"
			       "    asyncio.run(both())\n";

static int mentions_asyncio(PyObject *code)
{
	PyObject *names = code != NULL ? ((PyCodeObject *)code)->co_names : NULL;

	for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++)
		if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "asyncio") == 0)
			return 1;
	return 0;
}

static PyObject *on_own(const struct cell *c, PyObject *names)
{
	PyObject *asyncio = look_module(span_text("asyncio")), *space = NULL, *done = NULL, *value = NULL;
	struct stepper *s;

	if (asyncio == NULL && (mentions_asyncio(c->body) || mentions_asyncio(c->value)))
		asyncio = forkgate_import("asyncio");
	if (asyncio == NULL) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_RuntimeError, "await takes an event loop: the program runs none, and has not imported asyncio");
		return NULL;
	}
	s = new_stepper(c, names, NULL);
	space = s != NULL ? PyDict_New() : NULL;
	if (space != NULL && PyDict_SetItemString(space, "__builtins__", PyEval_GetBuiltins()) == 0)
		done = PyRun_String(own_loop, Py_file_input, space, space);
	if (done != NULL) {
		Py_DECREF(done);
		(void)relay_begin(&s->relay);
		done = PyObject_CallFunctionObjArgs(PyDict_GetItemString(space, "run"), asyncio, (PyObject *)s, NULL);
	}
	if (done != NULL)
		value = result_of(s);
	Py_XDECREF(done);
	if (space != NULL)
		PyDict_Clear(space);
	Py_XDECREF(space);
	Py_XDECREF((PyObject *)s);
	Py_DECREF(asyncio);
	return value;
}

/* --- which loop ----------------------------------------------------------- */

/* Borrowed; NULL: none, with an exception where there are several. */
static const struct loops_one *choose(const struct loops *l, uint64_t ident)
{
	const struct loops_one *main = NULL;

	for (size_t i = 0; i < l->count; i++) {
		if (ident != 0 && l->list[i].ident == ident)
			return &l->list[i];
		if (l->list[i].ident == compat_main_ident())
			main = &l->list[i];
	}
	if (ident != 0)
		PyErr_SetString(PyExc_RuntimeError, "the thread that %loop has chosen runs no event loop now (%loop lists them)");
	else if (main == NULL && l->count > 1)
		PyErr_SetString(PyExc_RuntimeError, "several threads run event loops, and the main thread none: %loop THREAD chooses (%loop lists them)");
	if (ident != 0 || main != NULL || l->count == 0)
		return main != NULL && ident == 0 ? main : NULL;
	return l->count == 1 ? &l->list[0] : NULL;
}

PyObject *on_loop(const struct cell *c, PyObject *names, uint64_t ident)
{
	struct loops l;
	const struct loops_one *one = NULL;
	PyObject *value = NULL;

	if (loops_find(&l) == 0)
		one = choose(&l, ident);
	if (one != NULL)
		value = on_running(c, names, one);
	else if (!PyErr_Occurred())
		value = on_own(c, names);
	loops_clear(&l);
	return value;
}
