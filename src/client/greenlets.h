/*
 * greenlets.h: greenlets and generators as text, below the threads.
 */
#ifndef PYSTUCK_CLIENT_GREENLETS_H
#define PYSTUCK_CLIENT_GREENLETS_H

#include "out.h"
#include "print.h"

/* What dump->suspended has; nothing where that is NULL. 0 or an error. */
int greenlets_print(struct out *o, const struct dump *dump, const struct print_options *po);
/* For the first line of a thread: "; gevent's hub, for which 5 greenlets wait". Nothing when it has no others than its own. */
void greenlets_of_thread(struct out *o, const struct dump *dump, const struct dump_thread *t);
/* "ready", "io", ...: the words of JSON. */
const char *greenlets_state_name(int state);
const char *greenlets_wait_name(int wait);

#endif
