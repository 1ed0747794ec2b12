/*
 * raw_locals.h: the variables of frames in raw memory. The stacks are found before, by raw_stacks.c: here each thread's frames are
 * followed once more, since variables are asked for seldom. Any thread, no GIL, no lock, no malloc.
 */
#ifndef PYSTUCK_PYTHON_RAW_LOCALS_H
#define PYSTUCK_PYTHON_RAW_LOCALS_H

#include <stdint.h>

#include "buf.h"
#include "raw_code.h"
#include "raw_layout.h"
#include "raw_mem.h"
#include "raw_value.h"

#define RAW_LOCALS_SLOTS 256u    /* of a frame that are looked at */
#define RAW_LOCALS_ENTRIES 4096u /* of a namespace */
#define RAW_LOCALS_NAME 100u     /* bytes of a variable's name */

/* A variable; 0: no more of them are wanted. */
typedef int raw_locals_take(void *to, struct span name, struct span value);

struct raw_locals {
	struct raw_value_reader values;
	struct raw_dict names;
	uintptr_t frame;   /* the next one, further out; 0: the end */
	uintptr_t base;    /* 3.15: which is none */
	uint32_t walked;
	int cut;           /* a frame had more than were looked at */
};

void raw_locals_open(struct raw_locals *r, struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v);
void raw_locals_close(struct raw_locals *r);

/* Goes to the innermost frame of the thread whose state is at this address. */
void raw_locals_thread(struct raw_locals *r, uintptr_t state);
/*
 * Goes on, outwards, to the next frame of this thread that runs `code`, and tells its variables. 1; 0 when there is no such frame,
 * because the thread went on since its stack was read; -1 when `take` wanted no more.
 */
int raw_locals_frame(struct raw_locals *r, const struct raw_code *code, raw_locals_take *take, void *to);

#endif
