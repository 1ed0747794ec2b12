/*
 * interpreters.h: the interpreters of a process as text. Where there is only the main one, nothing is said.
 */
#ifndef PYSTUCK_CLIENT_INTERPRETERS_H
#define PYSTUCK_CLIENT_INTERPRETERS_H

#include "dump.h"
#include "out.h"

/* One line that names them: "3 interpreters: main, 1 (GIL of its own, held by tid 12), 2 (no threads)". */
void interpreters_print(struct out *o, const struct dump *dump);
/* For the first line of a thread of another interpreter than the main one: `before` and "interpreter 1". */
void interpreters_of_thread(struct out *o, const struct dump *dump, const struct dump_thread *t, const char *before);

#endif
