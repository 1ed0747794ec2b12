/*
 * stream.c: the switch objects that stand in sys.stdout, sys.stderr and sys.stdin while evaluations run, and
 * sending what an evaluation prints. What a switch looks like from Python is in stream_type.c.
 *
 * print() of CPython up to 3.13 borrows its reference to sys.stdout, so a switch must never be
 * freed: another thread may be in the middle of it. Switches are kept for ever and used again; what
 * they hold on to is only the stream they stand for, and only while somebody may still want it
 * through them.
 */
#include "stream.h"

#include <string.h>
#include <unistd.h>

#include "error.h"
#include "stream_type.h"
#include "tee.h"
#include "text.h"

#define CHUNK_BYTES (32u * 1024) /* of one MSG_OUTPUT at most */

static const char *const stream_names[STREAMS] = {"stdout", "stderr", "stdin"};

/* All under the GIL, but for the sink, which is its thread's. */
static struct stream_switch *switches; /* all that were ever made */
static int entered;                    /* evaluations that run now, and copies that are wanted */
static int evaluating;                 /* evaluations that run now */
static _Thread_local struct stream_sink *own;

struct stream_sink *stream_sink_own(void)
{
	return own != NULL && own->pid == getpid() ? own : NULL;
}

/* The object in sys.stdout, sys.stderr or sys.stdin, borrowed; NULL: missing. */
static PyObject *current(int which)
{
	return PySys_GetObject(stream_names[which]);
}

PyObject *stream_target(struct stream_switch *s)
{
	PyObject *now;

	if (s->missing)
		return NULL;
	if (s->original != NULL)
		return Py_NewRef(s->original);
	/* Taken out already: a straggler that borrowed it before. The stream that it stood for is
	 * back in its place. */
	now = current(s->which);
	if (now == NULL || stream_is_switch(now))
		return NULL;
	return Py_NewRef(now);
}

/* Nobody refers to a switch that has been taken out: it need not keep the program's stream alive
 * any longer. */
static void release_idle(void)
{
	struct stream_switch *s;
	PyObject *gone = NULL;

	for (s = switches; s != NULL; s = s->next) {
		if (s->installed || Py_REFCNT(s) > 1 || s->original == NULL)
			continue;
		gone = s->original;
		s->original = NULL;
		/* May run code of the program that comes back here: the list only ever grows at its
		 * head. */
		Py_DECREF(gone);
	}
}

static struct stream_switch *find_switch(int which, PyObject *original)
{
	struct stream_switch *s;

	for (s = switches; s != NULL; s = s->next)
		if (s->which == which && original != NULL && s->original == original)
			return s;
	for (s = switches; s != NULL; s = s->next)
		if (s->which == which && !s->installed && s->original == NULL && Py_REFCNT(s) == 1)
			return s;
	s = stream_switch_new(which);
	if (s == NULL)
		return NULL;
	s->next = switches;
	switches = s;
	return s;
}

static int install(int which)
{
	PyObject *original = current(which);
	struct stream_switch *s;

	if (original != NULL && stream_is_switch(original)) {
		((struct stream_switch *)original)->installed = 1;
		return 0;
	}
	s = find_switch(which, original);
	if (s == NULL)
		return -1;
	Py_XINCREF(original);
	Py_XSETREF(s->original, original);
	s->missing = original == NULL;
	s->installed = 1;
	if (PySys_SetObject(stream_names[which], (PyObject *)s) == 0)
		return 0;
	s->installed = 0;
	return -1;
}

static void take_out(int which)
{
	PyObject *now = current(which);
	struct stream_switch *s;

	if (now == NULL || !stream_is_switch(now))
		return; /* replaced while we were in: that is to last */
	s = (struct stream_switch *)now;
	if (PySys_SetObject(stream_names[which], s->missing ? NULL : s->original) != 0)
		PyErr_Clear();
}

int stream_init(void)
{
	return stream_type_init();
}

int stream_hold(void)
{
	if (install(0) != 0)
		return -1;
	if (install(1) != 0) {
		if (entered == 0)
			take_out(0);
		return -1;
	}
	entered++;
	return 0;
}

int stream_enter(struct stream_sink *sink)
{
	if (stream_hold() != 0)
		return -1;
	if (install(STREAM_INPUT) != 0) {
		stream_release();
		return -1;
	}
	evaluating++;
	sink->pid = getpid();
	sink->outer = own;
	own = sink;
	return 0;
}

static void restore_all(void)
{
	struct stream_switch *s;

	for (int which = 0; which < STREAMS; which++)
		take_out(which);
	for (s = switches; s != NULL; s = s->next)
		s->installed = 0;
	release_idle();
}

void stream_release(void)
{
	if (--entered == 0)
		restore_all();
}

void stream_leave(void)
{
	if (own == NULL)
		return;
	own = own->outer;
	/* Copies of output want nothing there. */
	if (--evaluating == 0)
		take_out(STREAM_INPUT);
	stream_release();
}

void stream_forget(void)
{
	tee_forget();
	entered = evaluating = 0;
	for (const struct stream_sink *s = own; s != NULL; s = s->outer)
		entered = ++evaluating;
	if (entered == 0 && switches != NULL)
		restore_all();
}

/* One message. 1: sent or dropped, go on; 0: the rest is not wanted any more; -1 with an exception.
 */
static int send_chunk(struct stream_sink *sink, int which, struct span text)
{
	struct msg m = {.type = MSG_OUTPUT,
		.output = {.id = sink->id, .stream = (uint8_t)(which + 1), .text = text}};
	int rc = port_try_write(sink->port, &m);

	if (rc == PYSTUCK_EAGAIN) {
		Py_BEGIN_ALLOW_THREADS rc = port_write(sink->port, &m);
		Py_END_ALLOW_THREADS
			/* Meanwhile the evaluation may have been stopped, which Python notices only
			   when we return. */
			if (sink->interrupted) return 0;
	}
	if (rc == PYSTUCK_ENOMEM) {
		PyErr_NoMemory();
		return -1;
	}
	return rc == 0;
}

int stream_send(struct stream_sink *sink, int which, struct span text)
{
	int rc = 1;

	sink->interrupted = 0;
	while (text.len > 0 && rc > 0) {
		struct span chunk = {text.data, text_whole(text, CHUNK_BYTES)};

		if (sink->port == NULL || atomic_load(&sink->silent))
			return 0;
		if (chunk.len == 0)
			chunk.len = text.len < CHUNK_BYTES ? text.len : CHUNK_BYTES;
		rc = send_chunk(sink, which, chunk);
		text.data += chunk.len;
		text.len -= chunk.len;
	}
	return rc < 0 ? -1 : 0;
}

int stream_send_str(struct stream_sink *sink, int which, PyObject *str)
{
	PyObject *bytes;
	int rc;

	if (PyUnicode_IS_ASCII(str)) {
		struct span text = {PyUnicode_DATA(str), (size_t)PyUnicode_GET_LENGTH(str)};

		return stream_send(sink, which, text);
	}
	/* Not the str's own UTF-8: lone surrogates have none, and it would stay in memory as long
	 * as the str. */
	bytes = PyUnicode_AsEncodedString(str, "utf-8", STREAM_ERRORS);
	if (bytes == NULL)
		return -1;
	struct span text = {
		(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
	rc = stream_send(sink, which, text);
	Py_DECREF(bytes);
	return rc;
}
