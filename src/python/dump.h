/*
 * dump.h: answers MSG_DUMP: collects under the GIL (frames.c), adds what the kernel says of each thread (waits.c), turns
 * instructions into lines and source (lines.c) after the GIL has been given back, and encodes the answer.
 */
#ifndef PYSTUCK_PYTHON_DUMP_H
#define PYSTUCK_PYTHON_DUMP_H

#include "msg.h"
#include "port.h"

/* Net thread; returns at once. The courier claims PORT_DUMP, answers and says port_done. */
void dump_request(struct port *port, const struct msg_dump *request);
/* Net thread, no GIL: the operating system's view of the threads, DUMP_HOW_OS, complete in itself. */
void dump_without_gil(struct port *port, const struct msg_dump *request, uint64_t waited_us);
/* At module init, GIL held: notes what cannot be found out later (the working directory, for relative file names). */
void dump_init(void);

#endif
