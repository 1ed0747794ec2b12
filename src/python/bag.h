/*
 * bag.h: the names that a completion collects. Between complete.c and bag.c. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_BAG_H
#define PYSTUCK_PYTHON_BAG_H

#include <Python.h>

#include "complete.h"
#include "context.h"
#include "pytext.h"

#define BAG_NAME_MAX 1024 /* bytes; longer names are left out */

/* The names that are collected. */
struct bag {
	struct complete *c;
	struct context where;
	const char *prefix; /* what they must begin with */
	size_t prefix_len;
	const char *suffix; /* "=" for keyword arguments */
	int hide;           /* names that begin with _ are not wanted, since none was typed */
	struct pytext text;
	struct pytext_ref *refs;
	size_t count, room;
	size_t seen;
	uint64_t until;
};

void bag_init(struct bag *b);
void bag_free(struct bag *b);
/* Not 0 when there is no more room, or no more time. */
int bag_add(struct bag *b, const char *name, size_t len);
/* The same for a str, as a look_visit: the context is the bag. */
int bag_add_str(void *context, PyObject *name);
/* Sorts them into the answer. */
void bag_put(struct bag *b);

#endif
