/*
 * prompt_frame.c: the commands that look at frames. What a frame's names are is view.c's, which frame is meant target.c's.
 */
#include <Python.h>

#include "prompt_frame.h"

#include <stdlib.h>
#include <string.h>

#include "locals.h"
#include "target.h"
#include "view.h"

#define TEXT_MAX (2u * LOCALS_BYTES_MAX)
#define ENDED "the frame has ended: nothing was run, and names mean the session's own again\n"

static int say_buf(struct buf *text)
{
	int rc = buf_put_u8(text, 0) == 0 ? prompt_say((const char *)buf_bytes(text)) : 0;

	buf_free(text);
	return rc;
}

int prompt_frame_is_over(const struct space *s)
{
	return s->view != NULL && !view_alive(s->view);
}

int prompt_frame_over(struct space *s)
{
	space_look_at(s, NULL);
	return prompt_say_error(ENDED);
}

/* --- %locals -------------------------------------------------------------- */

static void put_span(struct buf *out, struct span s)
{
	(void)buf_put(out, s.data, s.len);
}

static int show_locals(const struct target *t)
{
	struct locals l;
	struct buf text;

	locals_of_frame(&l, target_at(t));
	buf_init(&text, TEXT_MAX);
	for (uint32_t i = 0; i < l.count; i++) {
		put_span(&text, pytext_span(&l.text, l.items[i].name));
		(void)buf_put(&text, " = ", 3);
		put_span(&text, pytext_span(&l.text, l.items[i].value));
		(void)buf_put(&text, "\n", 1);
	}
	if (l.count == 0)
		(void)buf_put(&text, "no variables\n", 13);
	if (l.cut)
		(void)buf_put(&text, "... and more\n", 13);
	locals_free(&l);
	return say_buf(&text);
}

int prompt_frame_locals(const struct prompt *p, struct span arguments)
{
	static const char usage[] = "%locals THREAD [FRAME]: FRAME as in %stacks from the top, 0 is the outermost; -1, the innermost, without it";
	struct target t;
	int rc;

	(void)p;
	if (arguments.len == 0)
		return prompt_complain(usage, arguments);
	rc = target_find(&t, arguments, "%locals");
	if (rc == 1)
		rc = show_locals(&t);
	target_free(&t);
	return rc;
}

/* --- %frame --------------------------------------------------------------- */

static int say_where(const struct prompt *p)
{
	struct buf text;

	if (p->space->view == NULL)
		return prompt_say("in no frame: names mean the session's own (%frame THREAD [FRAME] goes into one)\n");
	buf_init(&text, TEXT_MAX);
	if (view_where(p->space->view, &text))
		return say_buf(&text);
	buf_free(&text);
	return prompt_frame_over(p->space);
}

/* Takes the reference; NULL: an exception is set. */
static int enter(const struct prompt *p, PyObject *view)
{
	if (view == NULL)
		return -1;
	space_look_at(p->space, view);
	return say_where(p);
}

int prompt_frame_enter(const struct prompt *p, struct span arguments)
{
	struct target t;
	int rc;

	if (arguments.len == 0)
		return say_where(p);
	if (span_equals(arguments, "off")) {
		space_look_at(p->space, NULL);
		return prompt_say("names mean the session's own again\n");
	}
	rc = target_find(&t, arguments, "%frame");
	if (rc == 1)
		rc = enter(p, view_of_target(p->names, &t));
	target_free(&t);
	return rc;
}

static int move(const struct prompt *p, int inwards)
{
	PyObject *next;

	if (p->space->view == NULL)
		return say_where(p);
	if (prompt_frame_is_over(p->space))
		return prompt_frame_over(p->space);
	next = view_next(p->space->view, p->names, inwards);
	if (next == NULL && !PyErr_Occurred())
		return prompt_say(inwards > 0 ? "this is the innermost frame\n" : "this is the outermost frame\n");
	return enter(p, next);
}

int prompt_frame_up(const struct prompt *p, struct span arguments)
{
	(void)arguments;
	return move(p, -1);
}

int prompt_frame_down(const struct prompt *p, struct span arguments)
{
	(void)arguments;
	return move(p, 1);
}

int prompt_frame_debug(const struct prompt *p, struct span arguments)
{
	PyObject *raised = p->space->raised;
	int rc;

	(void)arguments;
	if (raised == NULL)
		return prompt_say("no exception to look into: %debug is for the last one that was shown here\n");
	/* From here on only the frames keep it, until they are left. */
	p->space->raised = NULL;
	rc = enter(p, view_of_raised(p->names, raised));
	Py_DECREF(raised);
	return rc;
}
