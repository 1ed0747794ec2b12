/*
 * visitor.h: implements include/service.h: what a client that the server has let in may ask of Python. One visitor for each
 * session: its port, and its evaluations once it asks for one.
 */
#ifndef PYSTUCK_PYTHON_VISITOR_H
#define PYSTUCK_PYTHON_VISITOR_H

#include <Python.h>

#include "audit.h"
#include "service.h"

extern const struct service visitor_service;

/* What a listener hands to its visitors; the context of server.h. */
struct visitor_context;

/*
 * `namespace` is a dict, `audit` a function that is called with each event; references are taken; either may be NULL. `hurry`: clients
 * may have the GIL sooner (hurry.h). GIL held.
 * NULL: no memory, no exception set.
 */
struct visitor_context *visitor_context_new(PyObject *namespace, PyObject *audit, int hurry);
/* No GIL. A log to the function that was given, for a listener at this address; the context outlives it. NULL: no memory. */
struct audit *visitor_context_audit(struct visitor_context *c, const char *listener);
/* Notes pid and start time of this process; again in a forked child. */
void visitor_context_refresh(struct visitor_context *c);
/* GIL held; after the listener has been removed. NULL is fine. */
void visitor_context_free(struct visitor_context *c);

#endif
