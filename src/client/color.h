/*
 * color.h: values and tracebacks as Python writes them, in colour. What comes out is the text as text.c makes it safe, with
 * sequences of ours around some of its words and nothing else. The colours are of the first eight, and neither black nor white,
 * so that they can be read on dark and on light terminals.
 */
#ifndef PYSTUCK_CLIENT_COLOR_H
#define PYSTUCK_CLIENT_COLOR_H

#include "buf.h"

/* Each appends the text (TEXT_BLOCK). 0, or PYSTUCK_ETOOBIG or PYSTUCK_ENOMEM: then some of it may be there. */
int color_value(struct buf *out, struct span text);
int color_traceback(struct buf *out, struct span text);

#endif
