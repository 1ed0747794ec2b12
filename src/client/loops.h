/*
 * loops.h: the event loops of asyncio as text.
 */
#ifndef PYSTUCK_CLIENT_LOOPS_H
#define PYSTUCK_CLIENT_LOOPS_H

#include "dump.h"
#include "out.h"

/* For the top of a dump: loops that have not looked for events for a second, and what holds them up. */
void loops_print_blocked(struct out *o, const struct dump *dump);
/* A line: "Loop _UnixSelectorEventLoop in thread MainThread (tid 4242): waits for events; 2 timers". */
void loops_print_one(struct out *o, const struct dump *dump, const struct msg_dump_loop *l);

#endif
