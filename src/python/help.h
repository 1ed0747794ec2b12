/*
 * help.h: what something is: obj? and obj??, found without running the program's code; and help(obj), by Python's own
 * pydoc. Both go to the client as text to be read: a pager is the client's. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_HELP_H
#define PYSTUCK_PYTHON_HELP_H

#include <Python.h>

#include "buf.h"
#include "look.h"
#include "raised.h"

#define HELP_BYTES_MAX (1u << 20)

/* Appends what is known of the object that `row` ("os.path.join") stands for; `source`: its source too. Sets no exception. */
void help_put(struct buf *out, PyObject *object, struct span row, int bound, int source, const struct raised_sources *cells);
/* Sends a text to be read to the client of this thread. 0, or -1 with an exception. */
int help_show(struct span text);
/* The function help of a session, a new reference; NULL with an exception. */
PyObject *help_new(void);

#endif
