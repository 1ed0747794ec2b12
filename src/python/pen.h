/*
 * pen.h: writes the text of one value, as it goes into a dump: what does not fit is cut off, and the end then says so. Where the value
 * comes from is the caller's: render.c's from objects, raw_value.c's from raw memory.
 */
#ifndef PYSTUCK_PYTHON_PEN_H
#define PYSTUCK_PYTHON_PEN_H

#include <stddef.h>
#include <stdint.h>

#define PEN_MAX 200u /* bytes of one value's text */

struct pen {
	char text[PEN_MAX];
	size_t used;
	int full;
};

void pen_put(struct pen *p, const char *bytes, size_t n);
void pen_text(struct pen *p, const char *text);
__attribute__((format(printf, 2, 3))) void pen_format(struct pen *p, const char *format, ...);
/* One character of a str or bytes between quotes, as Python escapes it; `raw`: of bytes, where above 0x7F none is a character. */
void pen_quoted(struct pen *p, uint32_t c, char quote, int raw);
/* The text into `out`, with "..." where it was cut, never within a character. How many bytes it has. */
size_t pen_end(const struct pen *p, char out[static PEN_MAX]);

#endif
