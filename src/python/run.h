/*
 * run.h: runs one cell in a session's namespace and puts what came of it into bytes: the repr of
 * the value, or the traceback. Knows nothing of threads, clients and messages. The GIL is held in
 * all of these.
 */
#ifndef PYSTUCK_PYTHON_RUN_H
#define PYSTUCK_PYTHON_RUN_H

#include <Python.h>
#include <stdint.h>

#include "look.h"
#include "msg.h"

#define RUN_TEXT_MAX (256u * 1024) /* bytes of text in a result */

/* What lasts from one evaluation of a session to the next: its names, values and sources. */
struct run_space;

int run_init(void); /* module init. 0, or -1 with an exception */
/* `extra`: a dict whose items are put into the namespace, or NULL. NULL with an exception. */
struct run_space *run_space_new(PyObject *extra);
/* Drops everything; runs finalizers, thus any code. NULL does nothing. */
void run_space_free(struct run_space *s);

/* The source of the session's cell with this file's name, a new reference, or NULL without an exception. `s` may be NULL. */
PyObject *run_source(const struct run_space *s, PyObject *file);
/* Where names of the session are looked for. Borrowed. */
void run_spaces(const struct run_space *s, struct look_spaces *out);

struct run_request {
	const char *source; /* UTF-8 as it came, not checked */
	size_t len;
	uint32_t cell;
	int interactive;
	int prompt;      /* EVAL_PROMPT */
	const char *who; /* for the audit hooks */
};

struct run_result {
	enum result_status status;
	int vetoed; /* an audit hook said no: nothing was run, and the text is one line */
	char *text; /* not terminated, may be NULL; run_result_clear frees it */
	size_t len;
	uint64_t total; /* bytes of the whole text */
};

/*
 * run_start decodes the source and asks the audit hooks; 1: go on with run_finish; 0: *result is
 * filled. Between the two the caller sets up where the output goes. No exception is set afterwards.
 * *interrupted is looked at when KeyboardInterrupt has ended the code: not 0 says that it was we
 * who interrupted.
 */
int run_start(const struct run_request *r, PyObject **source, const int *interrupted,
	struct run_result *result);
void run_finish(struct run_space *s, const struct run_request *r, PyObject *source,
	const int *interrupted, struct run_result *result);
/* Fills the result from the exception that is set, one line without a traceback, and clears it. */
void run_failed(struct run_result *result);
void run_result_clear(struct run_result *result);

#endif
