/*
 * dump_private.h: what an answer is made of, between dump.c, which collects with the GIL, and dump_late.c, which does without; and
 * doing.c, which has words for one thread. For these files only.
 */
#ifndef PYSTUCK_PYTHON_DUMP_PRIVATE_H
#define PYSTUCK_PYTHON_DUMP_PRIVATE_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "lines.h"
#include "locals.h"
#include "msg.h"
#include "port.h"
#include "tasks.h"
#include "wait.h"
#include "waits.h"

/* All that a dump collects, from the GIL to the answer. */
struct dump {
	struct frames frames;
	struct lines lines;
	struct locals locals;
	struct waits_view *views;
	struct wait_list waits;
	struct tasks *tasks; /* NULL: none were asked for */
	int asyncio;         /* there may be some */
	struct msg_dump_begin begin;
	uint8_t has; /* DUMP_HAS_* */
};

/* Nothing here needs the GIL. */
void dump_free(struct dump *d);
uint64_t dump_time_ns(void); /* since the epoch */
void dump_error(struct port *port, uint32_t id, enum reason reason, const char *text);
/* Claims a request that no worker takes, and answers it so. */
void dump_refuse(struct port *port, uint32_t id, enum reason reason, const char *text);
/* What the kernel says of each thread. 0 or PYSTUCK_ENOMEM. */
int dump_look(struct dump *d);
/* The same for one dump of many (DUMP_SAMPLE): only the threads' states. `lane`: on LANE_RAW, which remembers the last one's. */
int dump_look_sample(struct dump *d, int lane);
/* On LANE_RAW, before the stacks of such a dump are read: another one is expected. */
void dump_expect_sample(void);
/* Encodes and sends; says so when there is no memory for it. */
void dump_send(struct port *port, const struct dump *d, int with_locals);

/* A request that asks for stacks without the GIL: claimed, answered and done by a thread of its own. Net thread, at once. */
void dump_raw(struct port *port, const struct msg_dump *request);
/* One that asks for greenlets or generators: for the courier. 0, or why it could not be handed over. */
int dump_heap(struct port *port, const struct msg_dump *request);
/* The operating system's view, from whichever thread this is; `note` says why. */
void dump_os(struct port *port, const struct msg_dump *request, uint64_t waited_us, const char *note);

#endif
