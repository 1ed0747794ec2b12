/*
 * natives.h: threads of the process that have no Python: those of C libraries, which no interpreter knows. From /proc/self/task, which
 * was listed before the stacks were read (wait_begin). Any thread, no GIL.
 */
#ifndef PYSTUCK_PYTHON_NATIVES_H
#define PYSTUCK_PYTHON_NATIVES_H

#include <Python.h>

#include "frames.h"
#include "wait.h"
#include "waits.h"

/* So many are looked at, since each takes some files of /proc to be read; further ones are counted. */
#define NATIVES_MAX 128u

/* Puts them behind the threads that are there, in the order of their ids, pystuck's own left out. Without memory there are none. */
void natives_add(struct frames *f, const struct wait_list *before);
/*
 * The view of a native thread: one that is ours by its name is taken for one that has ended, since a thread of ours is known by its id
 * only while it runs our code, not in the moments in which it begins and ends. So is one that waits for a GIL: it is a thread of Python that begins.
 */
void natives_hide(struct waits_view *view);

#endif
