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
/*
 * Net thread, no GIL: answers without it. By stacks that a thread of its own reads (DUMP_HOW_RAW), which claims the request when it
 * has them; or at once by the operating system's view (DUMP_HOW_OS), where stacks cannot be read, and when it is the `last` moment.
 */
void dump_without_gil(struct port *port, const struct msg_dump *request, uint64_t waited_us, int last);
/* At module init, GIL held: notes what cannot be found out later (the working directory, for relative file names). */
void dump_init(void);

#endif
