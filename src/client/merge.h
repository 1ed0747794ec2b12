/*
 * merge.h: many saved dumps as one tree of stacks: what is the same is there once, with how many threads of how many dumps stand
 * there; at each fork the rarest way comes first.
 */
#ifndef PYSTUCK_CLIENT_MERGE_H
#define PYSTUCK_CLIENT_MERGE_H

#include "intern.h"
#include "out.h"
#include "saved.h"

#define MERGE_NODES_MAX (8u << 20) /* with their table half a gigabyte at the most */
#define MERGE_EXAMPLES 2           /* that are named of each stack */
#define MERGE_NONE UINT32_MAX

/* One frame of all stacks that have the same frames above it. Node 0 is above all. */
struct merge_node {
	uint32_t parent, place;
	uint32_t child, next;        /* the first one below it; the next one below its parent; MERGE_NONE */
	uint32_t dumps, last_dump;   /* in how many; the last of them, from 1 */
	uint64_t threads;
	uint32_t stack;              /* the first that ends here; MERGE_NONE */
};

struct merge_example {
	uint32_t file, name; /* numbers of texts */
	uint64_t pid;
};

/* Threads with the same frames and the same state. */
struct merge_stack {
	uint32_t node, next; /* the next one that ends at the same node */
	uint8_t state;       /* enum thread_state */
	uint8_t kind;        /* enum wait_kind */
	uint64_t threads;
	uint32_t dumps, last_dump;
	struct merge_example examples[MERGE_EXAMPLES];
	size_t example_count;
};

struct merge {
	struct intern names;
	struct saved_cache *cache;
	struct intern_table by_step; /* nodes, by parent and place */
	struct merge_node *nodes;
	struct merge_stack *stacks;
	size_t node_count, node_room, stack_count, stack_room;
	uint32_t dump;       /* that is being read, from 1 */
	uint32_t dumps;      /* that were whole */
	uint32_t file;       /* its name: a number of a text */
	uint64_t threads, left_out; /* in all dumps; those of them for which there was no room */
};

/* 0 or PYSTUCK_ENOMEM; merge_close in any case. */
int merge_open(struct merge *m);
void merge_close(struct merge *m);
/* All dumps of a file. As saved_read; what was read of a dump that was not whole counts. */
int merge_file(struct merge *m, struct jsonread *json, const char *name, size_t *dumps, struct diag *d);
/* After the last one: the rarest first. */
void merge_sort(struct merge *m);

/* As text, or as JSON (docs/merge.schema.json). 0 or an error. */
int merge_print(struct out *o, const struct merge *m, int color);
int merge_json(struct out *o, const struct merge *m, int pretty);

#endif
