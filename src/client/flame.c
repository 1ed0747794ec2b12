/*
 * flame.c: a profile as boxes: each function on that which called it, as wide as its time. What a browser does with them is in
 * flame_script.c; without scripts it is a picture with tooltips.
 */
#include "flame.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "markup.h"
#include "sample_print.h"
#include "stack_text.h"

#define BOXES_MAX 20000u /* the narrowest are left out beyond that */
#define WIDTH 1200u
#define ROW 18u
#define HEAD 70u
#define LETTER 73u /* width of one, in tenths */
#define COLORS_CPU 6
#define COLORS_WAIT 4

struct flame {
	struct out *o;
	const struct sample *s;
	const struct profile *p;
	struct stack_text text;
	struct profile_count *totals;
	uint32_t *sorted; /* nodes by parent, the widest first; parent NONE is last */
	uint32_t *begin;  /* of each node where its children begin in `sorted` */
	uint32_t *depths, *boxes; /* of each node: how far up; its number among the boxes */
	uint64_t *left;   /* of each node: where it begins */
	uint32_t *stack;
	uint64_t whole, least, left_out;
	uint32_t box_count, deepest;
};

/* --- order --- */

static uint64_t width_of(const struct flame *f, uint32_t node)
{
	return f->totals[node].cpu + f->totals[node].wait;
}

static int by_parent(const void *a, const void *b, void *flame)
{
	const struct flame *f = flame;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	uint32_t px = f->p->nodes[x].parent, py = f->p->nodes[y].parent;

	if (px != py)
		return px < py ? -1 : 1;
	if (width_of(f, x) != width_of(f, y))
		return width_of(f, x) > width_of(f, y) ? -1 : 1;
	return x < y ? -1 : x > y;
}

static void sort(struct flame *f)
{
	uint32_t n = f->p->node_count, at = 0;

	for (uint32_t i = 0; i < n; i++) {
		f->sorted[i] = i;
		f->whole += f->p->nodes[i].parent == PROFILE_NONE ? width_of(f, i) : 0;
	}
	if (n > 0)
		qsort_r(f->sorted, n, sizeof *f->sorted, by_parent, f);
	for (uint32_t i = 0; i < n; i++) {
		while (at < n && f->p->nodes[f->sorted[at]].parent < i)
			at++;
		f->begin[i] = at;
	}
	/* Of threads: behind all others. */
	while (at < n && f->p->nodes[f->sorted[at]].parent != PROFILE_NONE)
		at++;
	f->begin[n] = at;
}

/* How wide a box must be, so that there are not too many. */
static void choose_least(struct flame *f)
{
	uint32_t shown = BOXES_MAX + 1;

	for (f->least = 1; shown > BOXES_MAX; f->least *= 2) {
		shown = 0;
		for (uint32_t i = 0; i < f->p->node_count; i++)
			shown += width_of(f, i) >= f->least;
	}
	f->least /= 2;
	f->left_out = f->p->node_count - shown;
}

static int open_flame(struct flame *f)
{
	size_t n = (size_t)f->p->node_count + 1;

	stack_text_open(&f->text, f->p);
	f->totals = profile_totals(f->p);
	f->sorted = malloc(n * sizeof *f->sorted);
	f->begin = malloc(n * sizeof *f->begin);
	f->depths = calloc(n, sizeof *f->depths);
	f->boxes = calloc(n, sizeof *f->boxes);
	f->left = calloc(n, sizeof *f->left);
	f->stack = malloc(n * sizeof *f->stack);
	if (f->totals == NULL || f->sorted == NULL || f->begin == NULL || f->depths == NULL || f->boxes == NULL || f->left == NULL ||
		f->stack == NULL)
		return PYSTUCK_ENOMEM;
	sort(f);
	choose_least(f);
	for (uint32_t i = 0; i < f->p->node_count; i++) {
		uint32_t parent = f->p->nodes[i].parent;

		f->depths[i] = parent == PROFILE_NONE ? 1 : f->depths[parent] + 1;
		if (width_of(f, i) >= f->least && f->depths[i] > f->deepest)
			f->deepest = f->depths[i];
	}
	return 0;
}

static void close_flame(struct flame *f)
{
	stack_text_close(&f->text);
	free(f->totals);
	free(f->sorted);
	free(f->begin);
	free(f->depths);
	free(f->boxes);
	free(f->left);
	free(f->stack);
}

/* --- boxes --- */

static void put_fixed(struct out *o, uint64_t hundredths)
{
	char after[4] = {'.', (char)('0' + hundredths / 10 % 10), (char)('0' + hundredths % 10), '\0'};

	out_number(o, hundredths / 100);
	out_text(o, after);
}

static void put_attribute(struct out *o, const char *name, uint64_t v)
{
	out_text(o, " ");
	out_text(o, name);
	out_text(o, "=\"");
	out_number(o, v);
	out_text(o, "\"");
}

/* x and width in hundredths of a unit. */
static void put_label(struct out *o, struct span name, uint64_t x, uint64_t width, uint64_t y)
{
	size_t most = width > 400 ? (size_t)((width - 400) / 10 / LETTER) : 0;
	struct span label = name;

	out_text(o, "<text x=\"");
	put_fixed(o, x + 300);
	out_text(o, "\"");
	put_attribute(o, "y", y + ROW - 5);
	out_text(o, ">");
	if (name.len > most)
		label.len = most >= 3 ? text_whole(name, most - 2) : 0;
	markup_text(o, label);
	out_text(o, label.len > 0 && label.len < name.len ? ".." : "");
	out_text(o, "</text>");
}

/* A box: `parent` is the number of the one that it stands on, -1: none. */
static void put_box(struct flame *f, struct span name, const char *color, int number, int64_t parent, uint64_t left, uint32_t depth,
	struct profile_count c)
{
	struct out *o = f->o;
	uint64_t x = f->whole > 0 ? left * WIDTH * 100 / f->whole : 0, y = HEAD + (uint64_t)depth * ROW;
	uint64_t width = f->whole > 0 ? (c.cpu + c.wait) * WIDTH * 100 / f->whole : (uint64_t)WIDTH * 100;

	out_text(o, "<g class=\"box ");
	out_text(o, color);
	if (number >= 0)
		out_number(o, (uint64_t)number);
	out_text(o, "\" data-p=\"");
	out_text(o, parent < 0 ? "-" : "");
	out_number(o, (uint64_t)(parent < 0 ? -parent : parent));
	out_text(o, "\"");
	put_attribute(o, "data-c", c.cpu);
	put_attribute(o, "data-w", c.wait);
	out_text(o, "><title>");
	markup_text(o, name);
	out_text(o, "\n");
	sample_print_time(o, f->s, c.cpu, 0);
	out_text(o, " on CPU, ");
	sample_print_time(o, f->s, c.wait, 0);
	out_text(o, " waiting</title><rect x=\"");
	put_fixed(o, x);
	out_text(o, "\"");
	put_attribute(o, "y", y);
	out_text(o, " width=\"");
	put_fixed(o, width);
	out_text(o, "\"");
	put_attribute(o, "height", ROW - 1);
	out_text(o, "/>");
	put_label(o, name, x, width, y);
	out_text(o, "</g>\n");
	f->box_count++;
}

/* The same colour for the same function, whichever its line. */
static int color_of(const struct flame *f, uint32_t node, int colors)
{
	return (int)(f->p->places[f->p->nodes[node].place].code * 2654435761u % (uint32_t)colors);
}

static void put_node(struct flame *f, uint32_t node, uint64_t left)
{
	uint32_t parent = f->p->nodes[node].parent;
	int64_t on = parent == PROFILE_NONE ? 0 : f->boxes[parent];
	int waits = f->totals[node].wait > f->totals[node].cpu;
	const char *color = parent == PROFILE_NONE ? "thread" : waits ? "w" : "c";
	int number = parent == PROFILE_NONE ? -1 : color_of(f, node, waits ? COLORS_WAIT : COLORS_CPU);

	f->boxes[node] = f->box_count;
	f->left[node] = left;
	put_box(f, stack_text_node(&f->text, node), color, number, on, left, f->depths[node], f->totals[node]);
}

/* What a node waited for itself: left of its children. Returns where they begin. */
static uint64_t put_waits(struct flame *f, uint32_t node, uint64_t left)
{
	struct stack_text_self self[STACK_TEXT_SELVES];
	size_t count = stack_text_self(f->p, node, self);

	for (size_t i = 0; i < count; i++) {
		if (self[i].word == NULL || self[i].count < f->least)
			continue;
		put_box(f, span_text(self[i].word), "w", 0, f->boxes[node], left, f->depths[node] + 1,
			(struct profile_count){0, self[i].count});
		left += self[i].count;
	}
	return left;
}

/* Whether there stands a child of the node (PROFILE_NONE: a thread) that is shown. */
static int is_child(const struct flame *f, uint32_t at, uint32_t parent)
{
	return at < f->p->node_count && f->p->nodes[f->sorted[at]].parent == parent && width_of(f, f->sorted[at]) >= f->least;
}

/* Children of a node, left to right; they go on the stack the other way round, so that the leftmost is next. */
static uint32_t push_children(struct flame *f, uint32_t parent, uint64_t left, uint32_t used)
{
	uint32_t from = f->begin[parent == PROFILE_NONE ? f->p->node_count : parent], to = from;

	if (parent != PROFILE_NONE)
		left = put_waits(f, parent, left);
	for (; is_child(f, to, parent); to++) {
		f->left[f->sorted[to]] = left;
		left += width_of(f, f->sorted[to]);
	}
	while (to > from)
		f->stack[used++] = f->sorted[--to];
	return used;
}

static void put_boxes(struct flame *f)
{
	struct profile_count all = {0, 0};
	uint32_t used;

	for (uint32_t i = 0; i < f->p->thread_count; i++) {
		all.cpu += f->p->threads[i].total.cpu;
		all.wait += f->p->threads[i].total.wait;
	}
	put_box(f, span_text("all threads"), "root", -1, -1, 0, 0, all);
	used = push_children(f, PROFILE_NONE, 0, 0);
	while (used > 0 && f->o->error == 0) {
		uint32_t node = f->stack[--used];

		put_node(f, node, f->left[node]);
		used = push_children(f, node, f->left[node], used);
	}
}

/* --- the picture --- */

static const char controls[] =
	"<foreignObject x=\"0\" y=\"24\" width=\"1200\" height=\"24\"><div xmlns=\"http://www.w3.org/1999/xhtml\">\n"
	"<input id=\"flame-search\" type=\"search\" placeholder=\"search\" size=\"24\"/>\n"
	"<button name=\"measure\" value=\"all\" class=\"on\" type=\"button\">all</button>\n"
	"<button name=\"measure\" value=\"cpu\" type=\"button\">on CPU</button>\n"
	"<button name=\"measure\" value=\"wait\" type=\"button\">waiting</button>\n"
	"<button id=\"flame-whole\" type=\"button\">whole picture</button>\n"
	"<span id=\"flame-matched\"></span>\n"
	"</div></foreignObject>\n";

static void put_picture(struct out *o, const struct sample *s, int alone)
{
	struct flame f = {.o = o, .s = s, .p = &s->profile};
	int rc = open_flame(&f);

	out_text(o, "<svg xmlns=\"http://www.w3.org/2000/svg\" id=\"flame\" width=\"100%\" preserveAspectRatio=\"xMinYMin\" viewBox=\"0 0 1200 ");
	out_number(o, HEAD + (uint64_t)(f.deepest + 2) * ROW);
	out_text(o, "\">\n");
	if (alone) {
		out_text(o, "<style>\n");
		out_text(o, flame_style());
		out_text(o, "</style>\n");
	}
	out_text(o, "<text x=\"3\" y=\"16\">");
	sample_print_facts(o, s);
	if (f.left_out > 0) {
		out_text(o, "; the narrowest boxes are left out, ");
		out_number(o, f.left_out);
	}
	out_text(o, "</text>\n");
	out_text(o, controls);
	out_text(o, "<text id=\"flame-info\" x=\"3\" y=\"62\"></text>\n");
	if (rc == 0)
		put_boxes(&f);
	else if (o->error == 0)
		o->error = rc;
	if (alone) {
		out_text(o, "<script>\n");
		out_text(o, flame_script());
		out_text(o, "</script>\n");
	}
	out_text(o, "</svg>\n");
	close_flame(&f);
}

void flame_picture(struct out *o, const struct sample *s)
{
	put_picture(o, s, 0);
}

void flame_write(struct out *o, const struct sample *s)
{
	out_text(o, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	put_picture(o, s, 1);
}
