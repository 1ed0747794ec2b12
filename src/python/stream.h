/*
 * stream.h: output by thread. sys.stdout and sys.stderr are one per process; while an evaluation
 * runs, a switch stands there which sends what the evaluating thread prints to its client and hands
 * everything else through to the program's own stream. What threads print that were started by
 * evaluated code is the program's output. In sys.stdin stands one that has nothing for the evaluating
 * thread: what somebody types into the program is not for code that is evaluated beside it.
 */
#ifndef PYSTUCK_PYTHON_STREAM_H
#define PYSTUCK_PYTHON_STREAM_H

#include <Python.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "port.h"

/* Where the output of one evaluation goes. Lives from stream_enter to stream_leave, in its owner's
 * memory. */
struct stream_sink {
	struct port *port; /* borrowed; NULL: output goes nowhere */
	uint32_t id;       /* of the evaluation */
	pid_t pid;         /* who may use the port: a forked child prints to the program's stream */
	atomic_int silent; /* set by any thread: from now on output goes nowhere */
	int interrupted;   /* GIL held: set to cut the write that is going on short */
	struct stream_sink *outer; /* whose output this thread's is again after stream_leave; or NULL */
};

/* Module init, GIL held: readies the types. 0, or -1 with an exception. Calling it again does
 * nothing. */
int stream_init(void);

/* On the evaluating thread, GIL held; one within another, whose output it is not meanwhile. 0, or -1 with an exception: nothing has
 * changed. */
int stream_enter(struct stream_sink *sink);
/* On the same thread, GIL held: of the last one that was entered. Puts the program's streams back when it is the last one, and only
 * where ours still stand. */
void stream_leave(void);

/* In a forked child, GIL held: evaluations of other threads do not exist here. */
void stream_forget(void);

#endif
