/*
 * pretty_layout.c: a tree of texts put into lines: each container on one line where it fits, else an item a line.
 */
#include <Python.h>

#include <string.h>

#include "pretty_tree.h"

size_t pretty_width(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '\n')
			return SIZE_MAX;
		n += (text.data[i] & 0xC0) != 0x80;
	}
	return n;
}

/* Children have higher numbers than their parents: from the last one on, what a width is made of is known. */
static void measure(struct tree *t)
{
	for (uint32_t i = t->count; i-- > 0;) {
		struct node *n = &t->nodes[i];

		if (n->kind == LEAF)
			continue;
		n->width = strlen(n->open) + strlen(n->close) + (size_t)n->alone;
		for (uint32_t child = n->first; child != NONE; child = t->nodes[child].next) {
			size_t width = t->nodes[child].width;

			if (width == SIZE_MAX || n->width == SIZE_MAX) {
				n->width = SIZE_MAX;
				break;
			}
			n->width += width + (t->nodes[child].next != NONE ? 2 : 0);
		}
	}
}

struct page {
	struct tree *t;
	struct buf *out;
	size_t width;
	int rc;
};

static void put(struct page *p, const char *text, size_t len)
{
	if (p->rc == 0)
		p->rc = buf_put(p->out, text, len);
}

static void new_line(struct page *p, size_t indent)
{
	put(p, "\n", 1);
	for (; indent > 0; indent--)
		put(p, " ", 1);
}

/* A repr of several lines: the later ones begin where the first does. Returns the column behind it. */
static size_t put_leaf(struct page *p, const struct node *n, size_t column)
{
	struct span text = pytext_span(&p->t->text, n->text);
	const uint8_t *newline;

	while ((newline = memchr(text.data, '\n', text.len)) != NULL) {
		size_t len = (size_t)(newline - text.data);

		put(p, (const char *)text.data, len);
		new_line(p, column);
		text = (struct span){newline + 1, text.len - len - 1};
	}
	if (text.len > 0)
		put(p, (const char *)text.data, text.len);
	return column + pretty_width(text);
}

/* `tail`: columns that what follows on the same line needs. Returns the column behind it. */
static size_t put_node(struct page *p, uint32_t index, size_t column, size_t tail)
{
	const struct node *n = &p->t->nodes[index];
	int fits = n->width != SIZE_MAX && column + n->width + tail <= p->width;
	size_t inner = column + strlen(n->open), at = inner;

	if (n->kind == LEAF)
		return put_leaf(p, n, column);
	put(p, n->open, strlen(n->open));
	for (uint32_t child = n->first; child != NONE; child = p->t->nodes[child].next) {
		int last = p->t->nodes[child].next == NONE;

		at = put_node(p, child, at, last ? tail + strlen(n->close) : 1);
		if (last)
			break;
		put(p, n->kind == PAIR ? ":" : ",", 1);
		if (fits || n->kind == PAIR) {
			put(p, " ", 1);
			at += 2;
		} else {
			new_line(p, inner);
			at = inner;
		}
	}
	if (n->alone)
		put(p, ",", 1);
	put(p, n->close, strlen(n->close));
	return at + strlen(n->close) + (size_t)n->alone;
}

int pretty_layout(struct tree *t, uint32_t root, struct buf *out, size_t width)
{
	struct page p = {.t = t, .out = out, .width = width};

	measure(t);
	(void)put_node(&p, root, 0, 0);
	return p.rc;
}
