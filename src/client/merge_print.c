/*
 * merge_print.c: the tree of merge.h, from the top down and the rarest way first, as text and as JSON.
 */
#include "merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_private.h"
#include "msg.h"
#include "waits.h"

#define COLUMN 10    /* of a count */
#define INDENT_MAX 40 /* forks inside each other that are seen */

static void base_name(struct span *file)
{
	const uint8_t *slash = memrchr(file->data, '/', file->len);

	if (slash != NULL) {
		file->len -= (size_t)(slash + 1 - file->data);
		file->data = slash + 1;
	}
}

static void right(struct out *o, uint64_t v)
{
	char digits[OUT_DIGITS];
	const char *text = out_decimal(digits, v);
	size_t len = strlen(text);

	out_pad(o, len < COLUMN ? COLUMN - len : 1);
	out_text(o, text);
}

static void counted(struct out *o, uint64_t v, const char *what)
{
	out_number(o, v);
	out_text(o, what);
	out_text(o, v == 1 ? "" : "s");
}

/* --- the stacks that end here --- */

static void examples(struct out *o, const struct merge *m, const struct merge_stack *s)
{
	for (size_t i = 0; i < s->example_count; i++) {
		const struct merge_example *e = &s->examples[i];

		out_text(o, i > 0 ? "; " : "");
		out_safe(o, intern_span(&m->names, e->name), TEXT_LINE);
		out_text(o, " of pid ");
		out_number(o, e->pid);
		out_text(o, " in ");
		out_safe(o, intern_span(&m->names, e->file), TEXT_LINE);
	}
	out_text(o, s->dumps > s->example_count ? "; ..." : "");
}

static void print_stacks(struct out *o, const struct merge *m, const struct merge_node *n, size_t indent, int color)
{
	for (uint32_t i = n->stack; i != MERGE_NONE; i = m->stacks[i].next) {
		const struct merge_stack *s = &m->stacks[i];

		out_pad(o, 2 * COLUMN + 2 + indent);
		out_text(o, color ? "\033[33m" : "");
		out_text(o, waits_state(s->state));
		out_text(o, color ? "\033[0m" : "");
		out_text(o, ": ");
		counted(o, s->threads, " thread");
		out_text(o, color ? "\033[2m (" : " (");
		examples(o, m, s);
		out_text(o, color ? ")\033[0m\n" : ")\n");
	}
}

/* --- the tree --- */

static int is_fork(const struct merge *m, const struct merge_node *n)
{
	return n->child != MERGE_NONE && (m->nodes[n->child].next != MERGE_NONE || n->stack != MERGE_NONE);
}

/* `counts`: it has others than the one above it. */
static void print_node(struct out *o, const struct merge *m, const struct merge_node *n, size_t indent, int counts, int color)
{
	const struct intern_place *p = &m->names.places[n->place];
	struct span file = intern_span(&m->names, p->file);

	base_name(&file);
	if (counts) {
		right(o, n->threads);
		right(o, n->dumps);
	} else {
		out_pad(o, 2 * COLUMN);
	}
	out_pad(o, 2 + indent);
	out_text(o, color ? "\033[34m" : "");
	out_safe(o, intern_span(&m->names, p->function), TEXT_LINE);
	out_text(o, color ? "\033[0m (\033[36m" : " (");
	out_safe(o, file, TEXT_LINE);
	out_text(o, color ? "\033[0m" : "");
	if (p->line != 0) {
		out_text(o, ":");
		out_text(o, color ? "\033[32m" : "");
		out_number(o, p->line);
		out_text(o, color ? "\033[0m" : "");
	}
	out_text(o, ")\n");
	print_stacks(o, m, n, indent + 2, color);
}

/* The next node from the top down, and how many forks are above it; MERGE_NONE at the end. */
static uint32_t advance(const struct merge *m, uint32_t at, size_t *forks)
{
	if (m->nodes[at].child != MERGE_NONE) {
		*forks += (size_t)is_fork(m, &m->nodes[at]);
		return m->nodes[at].child;
	}
	while (at != MERGE_NONE && m->nodes[at].next == MERGE_NONE) {
		at = m->nodes[at].parent;
		if (at != MERGE_NONE)
			*forks -= (size_t)is_fork(m, &m->nodes[at]);
	}
	return at != MERGE_NONE ? m->nodes[at].next : MERGE_NONE;
}

int merge_print(struct out *o, const struct merge *m, int color)
{
	size_t forks = 0;

	counted(o, m->dumps, " dump");
	out_text(o, ", ");
	counted(o, m->threads, " thread");
	out_text(o, ": ");
	out_number(o, m->stack_count);
	out_text(o, m->stack_count == 1 ? " stack\n" : " different stacks, the rarest first\n");
	if (m->left_out > 0) {
		counted(o, m->left_out, " thread");
		out_text(o, " left out\n");
	}
	out_text(o, "\n   threads     dumps\n");
	print_stacks(o, m, &m->nodes[0], 0, color);
	for (uint32_t at = advance(m, 0, &forks); at != MERGE_NONE; at = advance(m, at, &forks)) {
		const struct merge_node *n = &m->nodes[at], *above = &m->nodes[n->parent];

		print_node(o, m, n, 2 * (forks < INDENT_MAX ? forks : INDENT_MAX), n->parent == 0 || is_fork(m, above), color);
	}
	return o->error;
}

/* --- JSON --- */

static const struct merge *sorted_of;

static int by_rarity(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint64_t i = sorted_of->stacks[x].threads, k = sorted_of->stacks[y].threads;

	if (i != k)
		return i < k ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void put_frames(struct json *j, const struct merge *m, const struct merge_stack *s, uint32_t **path, size_t *room)
{
	size_t depth = 0;

	for (uint32_t at = s->node; at != 0; at = m->nodes[at].parent) {
		if (depth == *room) {
			size_t more = *room > 0 ? 2 * *room : 128;
			uint32_t *bigger = realloc(*path, more * sizeof *bigger);

			if (bigger == NULL)
				return;
			*path = bigger;
			*room = more;
		}
		(*path)[depth++] = m->nodes[at].place;
	}
	while (depth-- > 0) {
		const struct intern_place *p = &m->names.places[(*path)[depth]];

		element(j);
		begin(j, "{");
		key_string(j, "file", intern_span(&m->names, p->file));
		key_number_or_null(j, "line", p->line);
		key_string(j, "function", intern_span(&m->names, p->function));
		end(j, "}");
	}
}

static void put_stack(struct json *j, const struct merge *m, const struct merge_stack *s, uint32_t **path, size_t *room)
{
	element(j);
	begin(j, "{");
	key_number(j, "threads", s->threads);
	key_number(j, "dumps", s->dumps);
	key_string(j, "state", span_text(state_name(s->state)));
	key(j, "examples");
	begin(j, "[");
	for (size_t i = 0; i < s->example_count; i++) {
		element(j);
		begin(j, "{");
		key_string(j, "file", intern_span(&m->names, s->examples[i].file));
		key_number(j, "pid", s->examples[i].pid);
		key_string(j, "thread", intern_span(&m->names, s->examples[i].name));
		end(j, "}");
	}
	end(j, "]");
	key(j, "frames");
	begin(j, "[");
	put_frames(j, m, s, path, room);
	end(j, "]");
	end(j, "}");
}

int merge_json(struct out *o, const struct merge *m, int pretty)
{
	struct json j = {.o = o, .pretty = pretty, .first = 1};
	uint32_t *order = calloc(m->stack_count + 1, sizeof *order), *path = NULL;
	size_t room = 0;

	if (order == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < m->stack_count; i++)
		order[i] = (uint32_t)i;
	sorted_of = m;
	qsort(order, m->stack_count, sizeof *order, by_rarity);
	begin(&j, "{");
	key_number(&j, "schema", JSON_SCHEMA);
	key_number(&j, "dumps", m->dumps);
	key_number(&j, "threads", m->threads);
	key_number(&j, "omitted_threads", m->left_out);
	key(&j, "stacks");
	begin(&j, "[");
	for (size_t i = 0; i < m->stack_count; i++)
		put_stack(&j, m, &m->stacks[order[i]], &path, &room);
	end(&j, "]");
	end(&j, "}");
	out_text(o, "\n");
	free(order);
	free(path);
	return o->error;
}
