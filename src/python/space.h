/*
 * space.h: what lasts from one evaluation of a session to the next: its names, values and sources. Knows
 * nothing of threads, clients and messages. The GIL is held in all of these.
 */
#ifndef PYSTUCK_PYTHON_SPACE_H
#define PYSTUCK_PYTHON_SPACE_H

#include <Python.h>
#include <stdint.h>

#include "look.h"
#include "raised.h"

struct space {
	PyObject *names; /* the namespace: the globals of every cell */
	PyObject *out;   /* what `Out` was at the start, whatever it is now */
	PyObject *in;    /* the same of `In` */
	PyObject *last;  /* the source of the last cell, for `_i`; NULL before the first */
	size_t width;    /* of the client's terminal */
	PyObject *view;  /* of view.h: the frame that names mean; NULL: the session's own */
	uint64_t loop;   /* of %loop: a thread's ident, or 0 */
	PyObject *raised; /* the last exception at the prompt, with its traceback, for %debug; or NULL */
	struct raised_sources sources;
};

/* `extra`: a dict whose items are put into the namespace, or NULL. NULL with an exception. */
struct space *space_new(PyObject *extra);
/* Drops everything; runs finalizers, thus any code. NULL does nothing. */
void space_free(struct space *s);

/* The source of the session's cell with this file's name, a new reference, or NULL without an exception. `s` may be NULL. */
PyObject *space_source(const struct space *s, PyObject *file);
/* Where names of the session are looked for. space_dicts_clear afterwards. */
void space_dicts(const struct space *s, struct look_spaces *out);
void space_dicts_clear(struct look_spaces *dicts);
/* Names mean those of this frame from now on; NULL: the session's own again. Takes the reference. May run any code. */
void space_look_at(struct space *s, PyObject *view);


/* What was typed, for In and _i3; and what was typed before it, for _i. 0, or -1 with an exception. */
int space_keep_input(struct space *s, PyObject *source, uint32_t cell);
/* Moves the last values on, as IPython does, and keeps this one under its cell's number. The same. */
int space_keep_value(struct space *s, PyObject *value, uint32_t cell);

#endif
