/*
 * merge.c: puts stacks into the tree. How it is shown is merge_print.c's.
 */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

/* --- the tree --- */

static int grow(void **array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return 0;
	size_t more = *room > 0 ? 2 * *room : 1024;
	void *bigger = realloc(*array, more * size);
	if (bigger == NULL)
		return PYSTUCK_ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

static int add_node(struct merge *m, uint32_t parent, uint32_t place, uint32_t *number)
{
	int rc = grow((void **)&m->nodes, m->node_count, &m->node_room, sizeof *m->nodes);

	if (rc != 0)
		return rc;
	*number = (uint32_t)m->node_count++;
	m->nodes[*number] = (struct merge_node){.parent = parent, .place = place, .child = MERGE_NONE, .next = MERGE_NONE, .stack = MERGE_NONE};
	if (parent != MERGE_NONE) {
		m->nodes[*number].next = m->nodes[parent].child;
		m->nodes[parent].child = *number;
	}
	return 0;
}

struct step {
	const struct merge *m;
	uint32_t parent, place;
};

static uint64_t digest(uint32_t parent, uint32_t place)
{
	return intern_mix((uint64_t)parent << 32 | place);
}

static int is_step(const void *context, uint32_t number)
{
	const struct step *s = context;

	return s->m->nodes[number].parent == s->parent && s->m->nodes[number].place == s->place;
}

static uint64_t digest_of(const void *context, uint32_t number)
{
	const struct step *s = context;

	return digest(s->m->nodes[number].parent, s->m->nodes[number].place);
}

/* From a node to the one below it with this place. PYSTUCK_ETOOBIG: there is none, and no room. */
static int step(struct merge *m, uint32_t *node, uint32_t place)
{
	struct step s = {m, *node, place};
	uint32_t *slot = NULL;
	int rc = intern_find(&m->by_step, digest(*node, place), is_step, digest_of, &s, &slot);

	if (rc == 0 && *slot != 0) {
		*node = *slot - 1;
		return 0;
	}
	if (rc == 0 && m->node_count >= MERGE_NODES_MAX)
		rc = PYSTUCK_ETOOBIG;
	if (rc == 0)
		rc = add_node(m, *node, place, node);
	if (rc != 0)
		return rc;
	*slot = *node + 1;
	m->by_step.count++;
	return 0;
}

/* A thread more at this node, and at all above it. */
static void count_up(struct merge *m, uint32_t node)
{
	for (; node != MERGE_NONE; node = m->nodes[node].parent) {
		struct merge_node *n = &m->nodes[node];

		n->threads++;
		n->dumps += n->last_dump != m->dump;
		n->last_dump = m->dump;
	}
}

/* The stack that ends at this node in this state, made when it is new. NULL: no memory. */
static struct merge_stack *stack_at(struct merge *m, uint32_t node, const struct saved_thread *t)
{
	for (uint32_t i = m->nodes[node].stack; i != MERGE_NONE; i = m->stacks[i].next)
		if (m->stacks[i].state == t->head.state && m->stacks[i].kind == t->wait.kind)
			return &m->stacks[i];
	if (grow((void **)&m->stacks, m->stack_count, &m->stack_room, sizeof *m->stacks) != 0)
		return NULL;
	m->stacks[m->stack_count] =
		(struct merge_stack){.node = node, .next = m->nodes[node].stack, .state = t->head.state, .kind = t->wait.kind};
	m->nodes[node].stack = (uint32_t)m->stack_count;
	return &m->stacks[m->stack_count++];
}

/* --- dumps --- */

static int on_frame(void *context, const struct saved_frame *f, uint32_t *place)
{
	struct merge *m = context;
	struct intern_place p = {.line = f->line};
	int rc = intern_text(&m->names, f->file, &p.file);

	if (rc == 0)
		rc = intern_text(&m->names, f->function, &p.function);
	return rc == 0 ? intern_place(&m->names, &p, place) : rc;
}

static int add_example(struct merge *m, struct merge_stack *s, const struct saved_head *head, const struct saved_thread *t)
{
	struct merge_example e = {.file = m->file, .pid = head->pid};
	int rc;

	/* Of one dump one is enough. */
	if (s->example_count == MERGE_EXAMPLES || s->last_dump == m->dump)
		return 0;
	rc = intern_text(&m->names, t->head.name, &e.name);
	if (rc == 0)
		s->examples[s->example_count++] = e;
	return rc;
}

static int on_thread(void *context, const struct saved_head *head, const struct saved_thread *t)
{
	struct merge *m = context;
	struct merge_stack *s;
	uint32_t node = 0;
	int rc = 0;

	m->threads++;
	for (size_t i = 0; rc == 0 && i < t->depth; i++)
		rc = step(m, &node, t->places[i]);
	if (rc == PYSTUCK_ETOOBIG) {
		m->left_out++;
		return 0;
	}
	s = rc == 0 ? stack_at(m, node, t) : NULL;
	if (s == NULL)
		return PYSTUCK_ENOMEM;
	rc = add_example(m, s, head, t);
	s->threads++;
	s->dumps += s->last_dump != m->dump;
	s->last_dump = m->dump;
	count_up(m, node);
	return rc;
}

static int on_end(void *context, const struct saved_head *head)
{
	struct merge *m = context;

	m->left_out += head->omitted_threads;
	m->dump++;
	m->dumps++;
	return 0;
}

int merge_open(struct merge *m)
{
	uint32_t root;

	*m = (struct merge){.dump = 1, .cache = saved_cache_new()};
	intern_open(&m->names);
	return add_node(m, MERGE_NONE, 0, &root);
}

void merge_close(struct merge *m)
{
	intern_close(&m->names);
	saved_cache_free(m->cache);
	free(m->by_step.slots);
	free(m->nodes);
	free(m->stacks);
	*m = (struct merge){.nodes = NULL};
}

int merge_file(struct merge *m, struct jsonread *json, const char *name, size_t *dumps, struct diag *d)
{
	const struct saved_sink sink = {.context = m, .cache = m->cache, .frame = on_frame, .thread = on_thread, .end = on_end};
	int rc = intern_text(&m->names, span_text(name), &m->file);

	*dumps = 0;
	if (rc != 0)
		return diag_set(d, rc, 0, "%s", error_text(rc));
	rc = saved_read(json, &sink, dumps, d);
	/* What comes next is another dump than one that was cut off. */
	m->dump += rc != 0;
	return rc;
}

/* --- the order --- */

/* Two sorted lists as one. */
static uint32_t merge_lists(struct merge_node *nodes, uint32_t a, uint32_t b)
{
	uint32_t head = MERGE_NONE, *tail = &head;

	while (a != MERGE_NONE && b != MERGE_NONE) {
		uint64_t x = nodes[a].threads, y = nodes[b].threads;
		int first = x == y ? a < b : x < y; /* of equals the one that was seen first */
		uint32_t *from = first ? &a : &b;

		*tail = *from;
		tail = &nodes[*from].next;
		*from = *tail;
	}
	*tail = a != MERGE_NONE ? a : b;
	return head;
}

/* Merge sort from the bottom up: runs[i] has 2^i nodes. */
static uint32_t sort_list(struct merge_node *nodes, uint32_t list)
{
	uint32_t runs[32], sorted = MERGE_NONE;

	memset(runs, 0xff, sizeof runs); /* MERGE_NONE */
	while (list != MERGE_NONE) {
		uint32_t one = list;
		size_t i = 0;

		list = nodes[one].next;
		nodes[one].next = MERGE_NONE;
		for (; runs[i] != MERGE_NONE; i++) {
			one = merge_lists(nodes, runs[i], one);
			runs[i] = MERGE_NONE;
		}
		runs[i] = one;
	}
	for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
		sorted = merge_lists(nodes, runs[i], sorted);
	return sorted;
}

/* Of one node there are few: one for each state. */
static uint32_t sort_stacks(struct merge_stack *stacks, uint32_t list)
{
	uint32_t sorted = MERGE_NONE;

	while (list != MERGE_NONE) {
		uint32_t one = list, *at = &sorted;

		list = stacks[one].next;
		while (*at != MERGE_NONE && stacks[*at].threads <= stacks[one].threads)
			at = &stacks[*at].next;
		stacks[one].next = *at;
		*at = one;
	}
	return sorted;
}

void merge_sort(struct merge *m)
{
	for (size_t i = 0; i < m->node_count; i++) {
		m->nodes[i].child = sort_list(m->nodes, m->nodes[i].child);
		m->nodes[i].stack = sort_stacks(m->stacks, m->nodes[i].stack);
	}
}
