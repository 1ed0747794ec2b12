/*
 * markup.h: text in XML and HTML.
 */
#ifndef PYSTUCK_CLIENT_MARKUP_H
#define PYSTUCK_CLIENT_MARKUP_H

#include "out.h"

/* Printable text (of stack_text.h, or ours) between tags or in a quoted attribute. */
void markup_text(struct out *o, struct span text);
/* Any text: through text.c, and then the same. */
void markup_safe(struct out *o, struct span text, enum text_mode mode);

#endif
