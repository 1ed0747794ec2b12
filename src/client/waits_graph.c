/*
 * waits_graph.c: places threads by how many others stand between them and who must act first. Each waits for one other at most, so
 * that there are only trees, on one thread or on a circle.
 */
#include "waits_graph.h"

#include <stdlib.h>

#include "error.h"
#include "markup.h"
#include "waits.h"

#define SHOWN_MAX 300u
#define BOX_WIDTH 250u
#define BOX_HEIGHT 38u
#define COLUMN 300u
#define ROW 50u
#define MARGIN 40u
#define NONE UINT32_MAX

struct graph {
	const struct dump *dump;
	uint32_t *columns; /* of each thread: how many stand before it; NONE: it is not in the graph, or not reached yet */
	uint32_t *rows;
	uint32_t *first, *next; /* who waits for it: a list; NONE: no more */
	uint32_t *stack;
	uint8_t *marks;
	uint32_t row_count, column_count;
};

enum { MARK_IN = 1, MARK_CIRCLE = 2 };

static uint32_t holder(const struct graph *g, uint32_t thread)
{
	return g->dump->threads[thread].holder;
}

/* Marks who waits or is waited for, and the members of circles. `rows` counts who is on the way meanwhile. */
static void mark(struct graph *g)
{
	uint32_t count = (uint32_t)g->dump->thread_count;

	for (uint32_t i = 0; i < count; i++) {
		if (holder(g, i) == DUMP_NOBODY)
			continue;
		g->marks[i] |= MARK_IN;
		g->marks[holder(g, i)] |= MARK_IN;
		g->next[i] = g->first[holder(g, i)];
		g->first[holder(g, i)] = i;
	}
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i;

		/* Each way is walked until it meets an older one, or itself: then there is a circle. */
		while (at != DUMP_NOBODY && g->rows[at] == NONE) {
			g->rows[at] = i;
			at = holder(g, at);
		}
		if (at == DUMP_NOBODY || g->rows[at] != i)
			continue;
		for (uint32_t member = at; !(g->marks[member] & MARK_CIRCLE); member = holder(g, member))
			g->marks[member] |= MARK_CIRCLE;
	}
	for (uint32_t i = 0; i < count; i++)
		g->rows[i] = NONE;
}

/* A tree from its root on, in rows from top to bottom. */
static void place_tree(struct graph *g, uint32_t root)
{
	uint32_t used = 0;

	g->columns[root] = 0;
	g->stack[used++] = root;
	while (used > 0) {
		uint32_t at = g->stack[--used];

		g->rows[at] = g->row_count++;
		if (g->columns[at] >= g->column_count && g->rows[at] < SHOWN_MAX)
			g->column_count = g->columns[at] + 1;
		for (uint32_t i = g->first[at]; i != NONE; i = g->next[i])
			if (!(g->marks[i] & MARK_CIRCLE)) {
				g->columns[i] = g->columns[at] + 1;
				g->stack[used++] = i;
			}
	}
}

/* The members of a circle one below the other, each with those that wait for it. */
static void place(struct graph *g)
{
	for (uint32_t i = 0; i < g->dump->thread_count; i++) {
		if ((g->marks[i] & MARK_CIRCLE) && g->rows[i] == NONE)
			for (uint32_t member = i; g->rows[member] == NONE; member = holder(g, member))
				place_tree(g, member);
		else if (g->marks[i] == MARK_IN && holder(g, i) == DUMP_NOBODY)
			place_tree(g, i);
	}
}

/* --- the picture --- */

static void put_number(struct out *o, const char *before, uint64_t v)
{
	out_text(o, before);
	out_number(o, v);
}

static void put_text(const struct graph *g, struct out *o, uint32_t thread)
{
	const struct dump_thread *t = &g->dump->threads[thread];
	uint64_t x = MARGIN + (uint64_t)g->columns[thread] * COLUMN, y = (uint64_t)g->rows[thread] * ROW;
	struct out phrase;

	out_init(&phrase, -1);
	put_number(o, "<text x=\"", x + 8);
	put_number(o, "\" y=\"", y + 18);
	out_text(o, "\" font-weight=\"bold\">");
	markup_safe(o, waits_thread_name(t), TEXT_LINE);
	put_number(o, " (tid ", t->head.tid);
	out_text(o, ")</text>");
	if (t->wait.kind != WAIT_FOR_NONE) {
		put_number(o, "<text x=\"", x + 8);
		put_number(o, "\" y=\"", y + 34);
		out_text(o, "\">waits for ");
		out_text(o, wait_name(t->wait.kind));
		out_text(o, t->wait.name.len > 0 ? " " : "");
		markup_safe(o, t->wait.name, TEXT_LINE);
		out_text(o, "</text>");
	}
	out_text(o, "<title>");
	(void)waits_print(&phrase, g->dump, t);
	markup_text(o, buf_span(&phrase.buf));
	out_text(o, "</title>");
	out_free(&phrase);
}

static void put_box(const struct graph *g, struct out *o, uint32_t thread)
{
	put_number(o, "<g><rect rx=\"4\" x=\"", MARGIN + (uint64_t)g->columns[thread] * COLUMN);
	put_number(o, "\" y=\"", (uint64_t)g->rows[thread] * ROW + 2);
	put_number(o, "\" width=\"", BOX_WIDTH);
	put_number(o, "\" height=\"", BOX_HEIGHT);
	out_text(o, g->marks[thread] & MARK_CIRCLE ? "\" fill=\"#fbd5d5\" stroke=\"#c00\"/>" : "\" fill=\"#eef3f8\" stroke=\"#678\"/>");
	put_text(g, o, thread);
	out_text(o, "</g>\n");
}

/* From who waits to whom: within a circle along the left, else from column to column. */
static void put_arrow(const struct graph *g, struct out *o, uint32_t from)
{
	uint32_t to = holder(g, from);
	int circle = g->columns[from] == g->columns[to];
	uint64_t x = MARGIN + (uint64_t)g->columns[from] * COLUMN, y = (uint64_t)g->rows[from] * ROW + ROW / 2;
	uint64_t to_x = MARGIN + (uint64_t)g->columns[to] * COLUMN + (circle ? 0 : BOX_WIDTH);
	uint64_t to_y = (uint64_t)g->rows[to] * ROW + ROW / 2 + (circle ? 8 : 0);

	put_number(o, "<path d=\"M", x);
	put_number(o, " ", y);
	put_number(o, " C", circle ? 4 : x - (COLUMN - BOX_WIDTH) / 2);
	put_number(o, " ", y);
	put_number(o, " ", circle ? 4 : x - (COLUMN - BOX_WIDTH) / 2);
	put_number(o, " ", to_y);
	put_number(o, " ", to_x);
	put_number(o, " ", to_y);
	out_text(o, circle ? "\" fill=\"none\" stroke=\"#c00\" stroke-width=\"1.5\" marker-end=\"url(#arrow)\"/>\n"
			   : "\" fill=\"none\" stroke=\"#678\" stroke-width=\"1.5\" marker-end=\"url(#arrow)\"/>\n");
}

static void put_graph(const struct graph *g, struct out *o)
{
	uint32_t shown = g->row_count < SHOWN_MAX ? g->row_count : SHOWN_MAX;
	uint64_t width = MARGIN * 2 + (uint64_t)g->column_count * COLUMN, height = (uint64_t)shown * ROW + 10;

	put_number(o, "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"waits-graph\" font-family=\"monospace\" font-size=\"12\" width=\"", width);
	put_number(o, "\" height=\"", height);
	out_text(o, "\">\n<defs><marker id=\"arrow\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" "
		    "orient=\"auto\"><path d=\"M0 0 L10 5 L0 10 z\" fill=\"#444\"/></marker></defs>\n");
	for (uint32_t i = 0; i < g->dump->thread_count; i++)
		if (g->rows[i] < shown && holder(g, i) != DUMP_NOBODY && g->rows[holder(g, i)] < shown)
			put_arrow(g, o, i);
	for (uint32_t i = 0; i < g->dump->thread_count; i++)
		if (g->rows[i] < shown)
			put_box(g, o, i);
	out_text(o, "</svg>\n");
	if (g->row_count > shown) {
		put_number(o, "<p>", g->row_count - shown);
		out_text(o, " more threads that wait are not in the picture.</p>\n");
	}
}

static int open_graph(struct graph *g)
{
	size_t count = g->dump->thread_count + 1;
	uint32_t *all = malloc(count * 5 * sizeof *all);

	g->marks = calloc(count, sizeof *g->marks);
	g->columns = all;
	if (all == NULL || g->marks == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < count * 5; i++)
		all[i] = NONE;
	g->rows = all + count;
	g->first = all + count * 2;
	g->next = all + count * 3;
	g->stack = all + count * 4;
	return 0;
}

void waits_graph_write(struct out *o, const struct dump *dump)
{
	struct graph g = {.dump = dump};
	int rc = open_graph(&g);

	if (rc == 0) {
		mark(&g);
		place(&g);
	} else if (o->error == 0) {
		o->error = rc;
	}
	if (rc == 0 && g.row_count > 0)
		put_graph(&g, o);
	else if (rc == 0)
		out_text(o, "<p>No thread waits for another one, as far as is known.</p>\n");
	free(g.columns);
	free(g.marks);
}
