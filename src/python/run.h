/*
 * run.h: runs one cell in a session's namespace and puts what came of it into bytes: the repr of
 * the value, or the traceback. Knows nothing of threads, clients and messages. The GIL is held in
 * all of these.
 */
#ifndef PYSTUCK_PYTHON_RUN_H
#define PYSTUCK_PYTHON_RUN_H

#include <Python.h>
#include <stdint.h>

#include "msg.h"
#include "space.h"

#define RUN_TEXT_MAX (256u * 1024) /* bytes of text in a result */

int run_init(void); /* module init. 0, or -1 with an exception */

struct run_request {
	const char *source; /* UTF-8 as it came, not checked */
	size_t len;
	uint32_t cell;
	int interactive;
	int prompt;      /* EVAL_PROMPT */
	int raised;      /* EVAL_RAISED: an exception is wanted by its parts too */
	const char *who; /* for the audit hooks */
};

struct run_result {
	enum result_status status;
	int vetoed; /* an audit hook said no: nothing was run, and the text is one line */
	char *text; /* not terminated, may be NULL; run_result_clear frees it */
	size_t len;
	uint64_t total; /* bytes of the whole text */
	int parts;      /* the two below are wanted */
	char *type, *message; /* of an exception; NULL: there was none, or no memory for it */
};

/*
 * run_start decodes the source and asks the audit hooks; 1: go on with run_finish; 0: *result is
 * filled. Between the two the caller sets up where the output goes. No exception is set afterwards.
 * *interrupted is looked at when KeyboardInterrupt has ended the code: not 0 says that it was we
 * who interrupted.
 */
int run_start(const struct run_request *r, PyObject **source, const int *interrupted,
	struct run_result *result);
void run_finish(struct space *s, const struct run_request *r, PyObject *source,
	const int *interrupted, struct run_result *result);
/* Fills the result from the exception that is set, one line without a traceback, and clears it. */
void run_failed(struct run_result *result);
void run_result_clear(struct run_result *result);

#endif
