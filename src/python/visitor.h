/*
 * visitor.h: implements include/service.h: what a client that the server has let in may ask of Python. One visitor for each
 * session: its port, and its evaluations once it asks for one.
 */
#ifndef PYSTUCK_PYTHON_VISITOR_H
#define PYSTUCK_PYTHON_VISITOR_H

#include <Python.h>

#include "service.h"

extern const struct service visitor_service;

/* What a listener hands to its visitors; the context of server.h. */
struct visitor_context;

/* `namespace` is a dict (a reference is taken) or NULL. GIL held. NULL: no memory, no exception set. */
struct visitor_context *visitor_context_new(PyObject *namespace);
/* Notes pid and start time of this process; again in a forked child. */
void visitor_context_refresh(struct visitor_context *c);
/* GIL held; after the listener has been removed. NULL is fine. */
void visitor_context_free(struct visitor_context *c);

#endif
