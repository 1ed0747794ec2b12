/*
 * markup.c: escapes what means something in XML and HTML. What cannot stand in XML at all is made visible by text.c before.
 */
#include "markup.h"

#include <string.h>

#include "error.h"

#define MARKUP_MAX (16u << 20)

static const char *escape_of(uint8_t c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

void markup_text(struct out *o, struct span text)
{
	size_t plain = 0;

	for (size_t i = 0; i < text.len; i++) {
		const char *escape = escape_of(text.data[i]);

		if (escape == NULL)
			continue;
		out_bytes(o, text.data + plain, i - plain);
		out_text(o, escape);
		plain = i + 1;
	}
	out_bytes(o, text.data + plain, text.len - plain);
}

void markup_safe(struct out *o, struct span text, enum text_mode mode)
{
	struct buf safe;
	int rc;

	buf_init(&safe, MARKUP_MAX);
	rc = text_append(&safe, text, mode);
	if (rc == 0)
		markup_text(o, buf_span(&safe));
	else if (o->error == 0)
		o->error = rc;
	buf_free(&safe);
}
