/*
 * auditor.h: the program's own audit function: run_server(audit=function). It is called with one dict for each event, on a lane
 * (lane.h), with the GIL. Events wait in a queue of AUDITOR_QUEUE; what does not fit is counted and told with the next that does.
 */
#ifndef PYSTUCK_PYTHON_AUDITOR_H
#define PYSTUCK_PYTHON_AUDITOR_H

#include <Python.h>

#include "audit.h"

#define AUDITOR_QUEUE 256

struct auditor;

/* GIL held. NULL: no memory, no exception is set. */
struct auditor *auditor_new(PyObject *function);
/* GIL held. What is queued is still told. NULL is fine. */
void auditor_free(struct auditor *a);
/* An audit_call_fn with the auditor as the context. Net thread, no GIL: copies the event and returns at once. */
int auditor_put(void *auditor, const struct audit_event *e);

#endif
