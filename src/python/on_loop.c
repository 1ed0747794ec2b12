/*
 * on_loop.c: which loop code that awaits goes to, and the wait of the evaluation thread for it (relay.h). What the loop gets is
 * stepper.c's, which loops there are loops.c's.
 */
#include <Python.h>

#include "on_loop.h"

#include <string.h>

#include "compat.h"
#include "compat_eval.h"
#include "doing.h"
#include "eval_self.h"
#include "forkgate.h"
#include "gil.h"
#include "loops.h"
#include "look.h"
#include "prompt.h"
#include "stepper.h"

#define SLOW_NS 2000000000u /* after which the user is told that the loop has not come by */

int on_loop_init(void)
{
	return stepper_init();
}

/* --- on the evaluation thread --------------------------------------------- */

int on_loop_needed(const struct cell *c)
{
	return stepper_is_coroutine(c->body) || stepper_is_coroutine(c->value);
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
static int on_interrupt(struct stepper *s)
{
	if (s->relay.state == RELAY_WAITING) {
		give_up(s, "before the event loop came by");
		return 0;
	}
	if (relay_hit(&s->relay)) {
		s->sink.interrupted = 1;
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
		if (event == RELAY_INTERRUPTED && !on_interrupt(s))
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
	struct stepper *s = stepper_new(c, names, one->loop);
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
	s = stepper_new(c, names, NULL);
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
	/* A loop that was interrupted while it was asked has not said that it does not run. */
	if (eval_was_interrupted() && !PyErr_Occurred())
		PyErr_SetString(PyExc_KeyboardInterrupt, "before the event loop was found");
	if (one != NULL && !PyErr_Occurred())
		value = on_running(c, names, one);
	else if (!PyErr_Occurred())
		value = on_own(c, names);
	loops_clear(&l);
	return value;
}
