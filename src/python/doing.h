/*
 * doing.h: what a thread of the program does now, in half a sentence.
 */
#ifndef PYSTUCK_PYTHON_DOING_H
#define PYSTUCK_PYTHON_DOING_H

#include <Python.h>
#include <stdint.h>

#include "buf.h"

#define DOING_MAX 4096

/*
 * GIL held, and let go of for a while. Appends `in wait, threading.py line 327, waiting for lock 'gate'`; nothing when there is no
 * such thread. Sets no exception.
 */
void doing_put(struct buf *out, uint64_t ident);

#endif
