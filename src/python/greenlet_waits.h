/*
 * greenlet_waits.h: what a suspended greenlet waits for: which of gevent's objects have it in their list of those to be switched to.
 */
#ifndef PYSTUCK_PYTHON_GREENLET_WAITS_H
#define PYSTUCK_PYTHON_GREENLET_WAITS_H

#include "greenlet_types.h"
#include "greenlets.h"

/* GIL held: one object that is not of KIND_OTHER. */
void greenlet_waits_visit(struct greenlets *g, PyObject *object, enum greenlet_kind kind);
/* No GIL; the greenlets are sorted by address. */
void greenlet_waits_join(struct greenlets *g);

#endif
