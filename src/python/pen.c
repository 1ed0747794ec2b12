/*
 * pen.c: text into a buffer of a fixed size. No Python.h, no malloc, no lock.
 */
#include "pen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text.h"
#include "ucs.h"

void pen_put(struct pen *p, const char *bytes, size_t n)
{
	if (p->full)
		return;
	if (n > PEN_MAX - p->used) {
		n = PEN_MAX - p->used;
		p->full = 1;
	}
	memcpy(p->text + p->used, bytes, n);
	p->used += n;
}

void pen_text(struct pen *p, const char *text)
{
	pen_put(p, text, strlen(text));
}

void pen_format(struct pen *p, const char *format, ...)
{
	char text[PEN_MAX];
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	if (n > 0)
		pen_put(p, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

void pen_quoted(struct pen *p, uint32_t c, char quote, int raw)
{
	char text[UCS_UTF8_MAX];

	if (c == '\n' || c == '\r' || c == '\t')
		pen_format(p, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else if (c == '\\' || c == (uint32_t)quote)
		pen_format(p, "\\%c", (int)c);
	else if (c < 0x20 || c == 0x7F || (raw && c > 0x7F))
		pen_format(p, "\\x%02x", (unsigned)c);
	else
		pen_put(p, text, ucs_utf8(text, c));
}

size_t pen_end(const struct pen *p, char out[static PEN_MAX])
{
	size_t n = p->used;

	if (p->full)
		n = text_whole((struct span){(const uint8_t *)p->text, n}, PEN_MAX - 3);
	memcpy(out, p->text, n);
	if (!p->full)
		return n;
	memcpy(out + n, "...", 3);
	return n + 3;
}
