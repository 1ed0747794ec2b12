/*
 * stepper.h: code that awaits, as a coroutine for an event loop. Between on_loop.c, which waits for it, and stepper.c. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_STEPPER_H
#define PYSTUCK_PYTHON_STEPPER_H

#include <Python.h>
#include <sys/types.h>

#include "cell.h"
#include "relay.h"
#include "stream.h"

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
	int cancelled; /* it is to be, as soon as there is a task */
};

int stepper_init(void); /* module init. 0, or -1 with an exception */
/* A code object, or NULL. */
int stepper_is_coroutine(PyObject *code);
/* `loop` may be NULL. Its method start() is for the loop to call. NULL with an exception. */
struct stepper *stepper_new(const struct cell *c, PyObject *names, PyObject *loop);

#endif
