/*
 * on_main.c: a pending call that the evaluation thread waits for (relay.h). What is printed goes to the session's client; an
 * interrupt is passed on to the main thread as long as the code is running there, and to nothing afterwards.
 *
 * A pending call cannot be taken back: one that was given up finds that, and does nothing; its code and names are gone by then.
 */
#include <Python.h>

#include "on_main.h"

#include <stdlib.h>
#include <unistd.h>

#include "compat.h"
#include "compat_eval.h"
#include "doing.h"
#include "eval_self.h"
#include "execute.h"
#include "gil.h"
#include "relay.h"
#include "stream_type.h"

/* Counted: the evaluation and the pending call are one each. All under the GIL. */
struct call {
	struct relay relay;
	int references;
	pid_t pid;
	struct cell cell;
	PyObject *names, *value, *raised;
	struct stream_sink sink;
	int interrupted; /* before the code was on the main thread */
};

static void forget_code(struct call *m)
{
	cell_clear(&m->cell);
	Py_CLEAR(m->names);
}

static void release(struct call *m)
{
	if (--m->references > 0)
		return;
	forget_code(m);
	Py_CLEAR(m->value);
	Py_CLEAR(m->raised);
	if (m->sink.port != NULL)
		port_unref(m->sink.port);
	relay_destroy(&m->relay);
	free(m);
}

static void pass_on(struct call *m)
{
	m->sink.interrupted = 1;
	m->interrupted = !relay_hit(&m->relay);
}

/* --- on the main thread --------------------------------------------------- */

static void run_here(struct call *m)
{
	int entered = stream_enter(&m->sink) == 0;

	PyErr_Clear();
	relay_enter(&m->relay);
	if (m->interrupted)
		pass_on(m);
	m->value = execute_code(&m->cell, m->names);
	if (m->value == NULL)
		m->raised = compat_take_raised();
	(void)relay_leave(&m->relay);
	if (entered)
		stream_leave();
}

static int come_by(void *arg)
{
	struct call *m = arg;

	/* A forked child has the queue of its parent, but not the thread that waits. */
	if (m->pid != getpid())
		return 0;
	if (relay_begin(&m->relay)) {
		run_here(m);
		relay_end(&m->relay);
	}
	release(m);
	return 0;
}

/* --- on the evaluation thread --------------------------------------------- */

static struct call *new_call(const struct cell *c, PyObject *names)
{
	const struct stream_sink *own = stream_sink_own();
	struct call *m = calloc(1, sizeof *m);

	if (m == NULL)
		return NULL;
	relay_init(&m->relay);
	m->relay.place = "the queue of the main thread, which has not come by yet";
	m->references = 1;
	m->pid = getpid();
	m->cell = (struct cell){Py_XNewRef(c->body), Py_XNewRef(c->value)};
	m->names = Py_NewRef(names);
	if (own != NULL && own->port != NULL) {
		m->sink.port = port_ref(own->port);
		m->sink.id = own->id;
	}
	return m;
}

/* It never came: what it does instead. An exception is set. */
static void raise_late(unsigned ms)
{
	struct buf text;

	buf_init(&text, DOING_MAX);
	doing_put(&text, compat_main_ident());
	(void)buf_put_u8(&text, 0);
	PyErr_Format(PyExc_RuntimeError, "nothing was run: the main thread did not come by in %u ms; it is %s", ms,
		buf_len(&text) > 1 ? (const char *)buf_bytes(&text) : "busy");
	buf_free(&text);
}

/* Until it has ended, or will never begin. */
static void await(struct call *m, unsigned ms)
{
	uint64_t deadline = gil_now_ns() + (uint64_t)ms * 1000000u;

	for (;;) {
		enum relay_event event = relay_wait(&m->relay, m->relay.state == RELAY_WAITING ? deadline : UINT64_MAX);

		if (event == RELAY_ENDED || m->relay.state == RELAY_DONE)
			return;
		if (m->relay.state == RELAY_WAITING) {
			m->relay.state = RELAY_GIVEN_UP;
			forget_code(m);
			if (event == RELAY_LATE)
				raise_late(ms);
			else
				PyErr_SetString(PyExc_KeyboardInterrupt, "before the main thread came by");
			return;
		}
		if (event == RELAY_INTERRUPTED)
			pass_on(m);
	}
}

static PyObject *result_of(struct call *m)
{
	PyObject *value = m->value;

	m->value = NULL;
	if (value == NULL && m->raised != NULL) {
		compat_set_raised(m->raised);
		m->raised = NULL;
	}
	return value;
}

PyObject *on_main(const struct cell *c, PyObject *names, unsigned ms)
{
	struct call *m = new_call(c, names);
	PyObject *value = NULL;

	if (m == NULL)
		return PyErr_NoMemory();
	m->references++;
	if (Py_AddPendingCall(come_by, m) != 0) {
		m->references--;
		PyErr_SetString(PyExc_RuntimeError, "nothing was run: too many calls wait for the main thread already");
	} else {
		if (eval_set_relay(&m->relay))
			relay_interrupt(&m->relay);
		await(m, ms);
		(void)eval_set_relay(NULL);
		if (m->relay.state == RELAY_DONE)
			value = result_of(m);
	}
	release(m);
	return value;
}
