/*
 * raw.h: the stacks without the GIL, in the shape of those that were collected with it (frames.h, lines.h). How they are read is in
 * raw_stacks.h and below it.
 */
#ifndef PYSTUCK_PYTHON_RAW_H
#define PYSTUCK_PYTHON_RAW_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "lines.h"
#include "locals.h"

/* What is to be said of stacks that were read without the GIL. */
struct raw_look {
	int settled;         /* they are of one moment */
	uint32_t moving;     /* so many threads may be wrong (THREAD_MOVING) */
	uint32_t holder;     /* index of the thread that had the GIL all the while; UINT32_MAX: nobody, or not known */
	uint32_t holder_tid; /* of a thread state that is not shown too; 0: nobody, or not known */
	int in_c;            /* it did not execute a single instruction of Python */
	int collecting;      /* the garbage collector was at work */
	int locals;          /* variables were asked for, and read */
};

/*
 * At module init, after names_init, GIL held: tries out on the calling thread whether reading without the GIL is right with this
 * interpreter. Sets no exception.
 */
void raw_init(void);
/* Why stacks cannot be read without the GIL in this process; NULL: they can. Any thread. */
const char *raw_trouble(void);

/*
 * Any thread, no GIL, never takes it. Fills in frames and lines, both of which the caller frees, as frames_collect and lines_find
 * would: there are only copies of code objects in it, so no frames_release. `meanwhile` (or NULL) is called when the stacks are there and
 * their offsets are still those of instructions, and says 0 or what raw_collect is to say. `flags` are DUMP_* of msg.h; with DUMP_LOCALS also fills in `locals`, as
 * locals_collect would, which the caller frees too. 0; PYSTUCK_ESYS when memory cannot be
 * read; PYSTUCK_EAGAIN when the list of threads could not be followed; PYSTUCK_ENOMEM.
 */
int raw_collect(struct frames *f, struct lines *lines, struct locals *locals, struct raw_look *look, uint8_t flags, uint32_t max_frames,
	int (*meanwhile)(void *), void *context);

/*
 * Any thread, after frames_collect and, for variables (DUMP_LOCALS), locals_collect, when the GIL has been given back, and before
 * lines_find: adds the threads of the other interpreters (raw_others.h). What cannot be read is left out, and that is noted. 0,
 * PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG.
 */
int raw_collect_others(struct frames *f, struct locals *locals, uint8_t flags, uint32_t max_frames);

#endif
