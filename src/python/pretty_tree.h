/*
 * pretty_tree.h: what pretty.c makes of a value and pretty_layout.c puts into lines.
 */
#ifndef PYSTUCK_PYTHON_PRETTY_TREE_H
#define PYSTUCK_PYTHON_PRETTY_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "pytext.h"

#define NONE UINT32_MAX

enum kind { LEAF, GROUP, PAIR };

/* A GROUP has children between two brackets; a PAIR has two of them, with a colon in between. */
struct node {
	enum kind kind;
	uint32_t next, first; /* NONE: no more */
	struct pytext_ref text; /* of a LEAF */
	const char *open, *close;
	size_t width; /* on one line; SIZE_MAX: it has line breaks */
	int alone;    /* a tuple of one */
};

struct tree {
	struct node *nodes;
	uint32_t count, room;
	struct pytext text;
	uint64_t until;
	const int *interrupted;
	int cut;
};

/* Characters of UTF-8; SIZE_MAX when there are line breaks among them. */
size_t pretty_width(struct span text);

/* Appends the text of the node and of all below it, in lines of `width` columns where it can. 0, or that of buf_put. */
int pretty_layout(struct tree *t, uint32_t root, struct buf *out, size_t width);

#endif
