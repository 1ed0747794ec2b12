/*
 * locals.h: the variables of frames as bounded text, without running any code of the program: no
 * repr of its classes, no property, no iterator. What is not of an exact builtin type is told by
 * its type and address alone.
 */
#ifndef PYSTUCK_PYTHON_LOCALS_H
#define PYSTUCK_PYTHON_LOCALS_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "pen.h"
#include "pytext.h"

#define LOCALS_VALUE_MAX PEN_MAX /* bytes of one value's text */
#define LOCALS_NAME_MAX 100u     /* bytes of a variable's name */
#define LOCALS_PER_FRAME_MAX 50u /* variables of one frame */
#define LOCALS_ITEMS_MAX 20      /* elements of a container that are looked at */
#define LOCALS_DEPTH_MAX 2       /* containers within containers */
#define LOCALS_INT_BITS_MAX                                                                        \
	512u /* larger numbers are told by their size: printing them takes long */
#define LOCALS_BYTES_MAX                                                                           \
	(1024u * 1024) /* of all texts of a dump, with LOCALS_COST for each variable */
#define LOCALS_COST 24u
#define LOCALS_US_MAX 20000u /* microseconds of GIL for all of it */

struct locals_one {
	uint32_t thread; /* index into frames.threads; ascending */
	uint32_t frame;  /* of that thread, 0 the innermost */
	struct pytext_ref name;
	struct pytext_ref value;
};

struct locals {
	struct locals_one *items;
	uint32_t count, capacity;
	struct pytext text;
	uint64_t until_ns; /* when the time is up */
	int cut;           /* a limit was reached: variables are missing */
};

/* Module init, GIL held: finds the types of locks. */
void locals_init(void);
/* GIL held, after frames_collect and before the GIL is given back. Sets no exception. */
void locals_collect(struct locals *l, const struct frames *f);
/* The same of one frame that stands still. */
void locals_of_frame(struct locals *l, const compat_frame *fr);
/*
 * No GIL needed: for variables that were found otherwise (raw.c), thread by thread: first the one, then the other for each. 0: a limit was
 * reached, no more are taken.
 */
void locals_open(struct locals *l);
int locals_put(struct locals *l, uint32_t thread, uint32_t frame, struct span name, struct span value);
void locals_free(struct locals *l);

/* GIL held: the text of one value, as it goes into a dump; how many bytes. */
size_t locals_render(char out[static LOCALS_VALUE_MAX], PyObject *value);

#endif
