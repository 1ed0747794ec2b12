/*
 * eval_where.c: where an evaluation is, told by the courier to a client that waits for it: the call that its innermost frame is
 * in, as it stands in the cell, or the function.
 */
#include <Python.h>

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "eval_private.h"
#include "look.h"

#define CALL_MAX 100 /* bytes of a call's text */

struct where {
	struct gil_job job; /* first: the courier knows only this */
	struct eval_worker *worker;
	struct port *port;
	uint32_t id;
};

static void where_free(struct where *w)
{
	pthread_mutex_lock(&eval_lock);
	eval_worker_release(w->worker);
	pthread_mutex_unlock(&eval_lock);
	port_unref(w->port);
	free(w);
}

#if PY_VERSION_HEX >= 0x030B0000
/* Line `line`, from 1, of a text. */
static struct span line_of(struct span text, int line)
{
	const uint8_t *newline;

	for (; line > 1; line--) {
		newline = memchr(text.data, '\n', text.len);
		if (newline == NULL)
			return (struct span){text.data, 0};
		text.len -= (size_t)(newline + 1 - text.data);
		text.data = newline + 1;
	}
	newline = memchr(text.data, '\n', text.len);
	if (newline != NULL)
		text.len = (size_t)(newline - text.data);
	return text;
}

/* "time.sleep" of "time.sleep(100)", where the frame is in a cell. 1 when it was put. */
static int put_call(struct buf *out, struct eval_worker *w, PyFrameObject *frame, PyCodeObject *code)
{
	PyObject *source = w->session != NULL ? space_source(w->session->space, code->co_filename) : NULL;
	int line = 0, column = 0, end_line = 0, end = 0, put = 0;
	struct buf text;

	if (source == NULL)
		return 0;
	buf_init(&text, MSG_MAX);
	if (look_text(&text, source) == 0 && PyCode_Addr2Location(code, PyFrame_GetLasti(frame), &line, &column, &end_line, &end)) {
		struct span part = line_of(buf_span(&text), line);
		const uint8_t *bracket;

		if (column >= 0 && (size_t)column < part.len) {
			part = (struct span){part.data + column, part.len - (size_t)column};
			if (line == end_line && end > column && (size_t)(end - column) < part.len)
				part.len = (size_t)(end - column);
			bracket = memchr(part.data, '(', part.len);
			if (bracket != NULL)
				part.len = (size_t)(bracket - part.data);
			put = part.len > 0 && part.len <= CALL_MAX && buf_put(out, part.data, part.len) == 0;
		}
	}
	buf_free(&text);
	Py_DECREF(source);
	return put;
}
#else
/* Before 3.11 a code object knows only lines. */
static int put_call(struct buf *out, struct eval_worker *w, PyFrameObject *frame, PyCodeObject *code)
{
	(void)out;
	(void)w;
	(void)frame;
	(void)code;
	return 0;
}
#endif

static void put_function(struct buf *out, PyFrameObject *frame, PyCodeObject *code)
{
	struct buf file;
	char line[32];

	buf_init(&file, 8192);
	(void)look_text(out, compat_qualname(code));
	(void)look_text(&file, code->co_filename);
	struct span name = buf_span(&file);
	const uint8_t *slash = memrchr(name.data, '/', name.len);
	if (slash != NULL)
		name = (struct span){slash + 1, name.len - (size_t)(slash + 1 - name.data)};
	(void)buf_put(out, ", ", 2);
	(void)buf_put(out, name.data, name.len);
	snprintf(line, sizeof line, " line %d", PyFrame_GetLineNumber(frame));
	(void)buf_put(out, line, strlen(line));
	buf_free(&file);
}

/* GIL held: the evaluation cannot end meanwhile. */
static void find(struct where *w, struct buf *out)
{
	const struct relay *relay = w->worker->relay;
	PyFrameObject *frame;
	PyCodeObject *code;

	if (!w->worker->running || w->worker->running_id != w->id)
		return;
	if (relay != NULL && relay->runs_on == NULL) {
		(void)buf_put(out, relay->place, strlen(relay->place));
		return;
	}
	frame = PyThreadState_GetFrame(relay != NULL ? relay->runs_on : w->worker->state);
	if (frame == NULL)
		return;
	code = PyFrame_GetCode(frame);
	if (!put_call(out, w->worker, frame, code))
		put_function(out, frame, code);
	Py_DECREF(code);
	Py_DECREF(frame);
	PyErr_Clear();
}

static void where_run(struct gil_job *job)
{
	struct where *w = (struct where *)job;
	struct msg m = {.type = MSG_PLACE, .place = {.id = w->id}};
	struct gil_hold hold;
	struct buf text;

	buf_init(&text, MSG_SENTENCE_MAX);
	gil_take(&hold);
	find(w, &text);
	gil_give(&hold);
	m.place.text = buf_span(&text);
	if (m.place.text.len > 0)
		(void)port_answer(w->port, &m);
	buf_free(&text);
	where_free(w);
}

void eval_where_worker(struct eval_worker *worker)
{
	struct where *w = calloc(1, sizeof *w);

	if (w == NULL)
		return;
	w->job.run = where_run;
	w->worker = worker;
	w->port = port_ref(worker->session->port);
	w->id = worker->id;
	worker->references++;
	if (gil_submit(&w->job) != 0) {
		eval_worker_release(worker);
		port_unref(w->port);
		free(w);
	}
}
