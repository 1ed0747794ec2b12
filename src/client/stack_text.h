/*
 * stack_text.h: the names of a profile's nodes as the files that are made of it have them, and the way from a thread to a node.
 */
#ifndef PYSTUCK_CLIENT_STACK_TEXT_H
#define PYSTUCK_CLIENT_STACK_TEXT_H

#include "buf.h"
#include "profile.h"

#define STACK_TEXT_SELVES PROFILE_STATES

struct stack_text {
	const struct profile *p;
	struct buf buf;
};

/* What a node has in itself, waiting apart by what for. */
struct stack_text_self {
	const char *word; /* "[sleeping]"; NULL: on CPU. Static */
	uint64_t count;
};

void stack_text_open(struct stack_text *t, const struct profile *p);
void stack_text_close(struct stack_text *t);
/* "work (/app/a.py:12)", "MainThread (tid 812)": printable, one line. It lives until the next call; empty: no memory. */
struct span stack_text_place(struct stack_text *t, uint32_t place);
/* "work (/app/a.py)": of its function. */
struct span stack_text_function(struct stack_text *t, uint32_t place);
struct span stack_text_thread(struct stack_text *t, uint32_t thread);
struct span stack_text_node(struct stack_text *t, uint32_t node);

/* The most nodes that any path has. */
uint32_t stack_text_deepest(const struct profile *p);
/* From the node up to its thread: the node first. How many. */
uint32_t stack_text_path(const struct profile *p, uint32_t node, uint32_t *path);
/* What is not 0. How many there are. */
size_t stack_text_self(const struct profile *p, uint32_t node, struct stack_text_self self[static STACK_TEXT_SELVES]);

#endif
