/*
 * page.h: one HTML page about a program, with nothing outside it: what was sampled, what waits for what, the threads, the flame graph.
 */
#ifndef PYSTUCK_CLIENT_PAGE_H
#define PYSTUCK_CLIENT_PAGE_H

#include "dump.h"
#include "out.h"
#include "sample.h"

/* `dump` may be NULL: then only what was sampled is shown. Errors stay in *o. */
void page_write(struct out *o, const struct sample *s, const struct msg_welcome *peer, const struct dump *dump);

#endif
