/*
 * flame.h: a profile as a flame graph: an SVG picture that a browser makes searchable and zoomable by a script in it.
 */
#ifndef PYSTUCK_CLIENT_FLAME_H
#define PYSTUCK_CLIENT_FLAME_H

#include "out.h"
#include "sample.h"

/* A file of its own. Errors stay in *o. */
void flame_write(struct out *o, const struct sample *s);

/* The same in an HTML page, which has the style and the script in its own head and end. */
void flame_picture(struct out *o, const struct sample *s);
/* Neither has a character that XML and HTML read differently. Static. */
const char *flame_style(void);
const char *flame_script(void);

#endif
