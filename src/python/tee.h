/*
 * tee.h: copies of what the program itself prints, for sessions that asked for them (%tee). A copy never waits: what comes faster
 * than it can be sent is dropped, with a line that says how much. The GIL is held in all of these.
 */
#ifndef PYSTUCK_PYTHON_TEE_H
#define PYSTUCK_PYTHON_TEE_H

#include <Python.h>

#include "port.h"

#define TEE_BOTH (-1)

/*
 * From here on what other threads than those that evaluate write to sys.stdout (which 0) or sys.stderr (1) also goes to this
 * client, as OUTPUT with this id. Takes the place of an earlier one of the same client. 0, or -1 with an exception.
 */
int tee_start(struct port *port, uint32_t id, int which);
/* The end of that, and of nobody else's. Runs code of the program where its stream was only kept for us. */
void tee_stop(struct port *port, int which);
/* Does anybody want this stream? */
int tee_wants(int which);
/* The program has written this. No exception is set, before and after. */
void tee_copy(int which, PyObject *text);
/* In a forked child: the clients are the parent's. */
void tee_forget(void);

#endif
