/*
 * waits_graph.h: who waits for whom, as a picture in a page: whoever has what others wait for is on the left, those that wait for it
 * right of it, circles in red.
 */
#ifndef PYSTUCK_CLIENT_WAITS_GRAPH_H
#define PYSTUCK_CLIENT_WAITS_GRAPH_H

#include "dump.h"
#include "out.h"

/* SVG, or a sentence when nobody waits for anybody. Errors stay in *o. */
void waits_graph_write(struct out *o, const struct dump *dump);

#endif
