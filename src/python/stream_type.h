/*
 * stream_type.h: the switch as a Python object, between stream.c, which decides where it stands,
 * and stream_type.c and stream_buffer.c, which say how it behaves. For these files only. The GIL is
 * held in all of these.
 */
#ifndef PYSTUCK_PYTHON_STREAM_TYPE_H
#define PYSTUCK_PYTHON_STREAM_TYPE_H

#include <Python.h>

#include "stream.h"

#define STREAMS 3 /* 0 sys.stdout, 1 sys.stderr */
#define STREAM_INPUT 2 /* sys.stdin */
#define STREAM_ERRORS "backslashreplace"

struct stream_switch {
	PyObject_HEAD
	PyObject *original; /* what it stands for; NULL when missing, or when nobody needs it */
	int which;
	int missing;   /* there was no such attribute of sys at all */
	int installed; /* an evaluation that still runs may have put it there */
	struct stream_switch *next;
};

/* What the two kinds of switch differ in. Static: the types refer to it. */
struct stream_kind {
	const char *name;
	PyMethodDef *methods; /* of the evaluating thread, and of others that have got hold of one */
	PyGetSetDef *getset;  /* of the evaluating thread */
	getiterfunc iter;
	iternextfunc next; /* may be NULL */
};
extern const struct stream_kind stream_input_kind;

/* The switches of output stand there until stream_release, evaluations or not. 0, or -1 with an exception. */
int stream_hold(void);
void stream_release(void);

int stream_type_init(void);                    /* 0, or -1 with an exception */
struct stream_switch *stream_switch_new(int which); /* never to be freed; NULL with an exception */
int stream_is_switch(PyObject *o);
int stream_buffer_init(void); /* 0, or -1 with an exception */
PyObject *stream_buffer_new(struct stream_switch *owner);
PyObject *stream_unsupported(const char *name); /* raises io.UnsupportedOperation, returns NULL */

/* The sink of the thread that calls, NULL when it is none of ours. */
struct stream_sink *stream_sink_own(void);
/* The program's own stream behind the switch, a new reference; NULL without an exception: there is
 * none. */
PyObject *stream_target(struct stream_switch *s);
/* The same, or NULL with the exception that print() raises then. */
PyObject *stream_target_or_raise(struct stream_switch *s);
/* Calls this method of the program's stream. args: a tuple; it and kwargs may be NULL. */
PyObject *stream_forward(PyObject *self, const char *name, PyObject *args, PyObject *kwargs);
/* Sends UTF-8, or a str. 0, also when nobody listens; -1 with an exception. */
int stream_send(struct stream_sink *sink, int which, struct span text);
int stream_send_str(struct stream_sink *sink, int which, PyObject *str);

#endif
