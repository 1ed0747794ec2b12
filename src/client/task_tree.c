/*
 * task_tree.c: draws the tree, with a stack of its own: a chain may be of thousands of tasks, and is cut at a depth that a terminal
 * can show. What a task waits for is tasks.c's.
 */
#include "task_tree.h"

#include <stdlib.h>
#include <string.h>

#include "cut.h"
#include "error.h"
#include "tasks.h"

#define DEPTH_MAX 40      /* tasks below each other that are shown */
#define FRAMES_SHOWN 20u  /* of one task, the innermost, unless more are asked for */
#define NAMES_SHOWN 5u    /* of tasks that are alike */
#define BAR "\xe2\x94\x82   "        /* | */
#define TEE "\xe2\x94\x9c\xe2\x94\x80\xe2\x94\x80 "  /* |- */
#define LAST "\xe2\x94\x94\xe2\x94\x80\xe2\x94\x80 " /* `- */
#define GAP "    "

/* Tasks at one place of the tree, those that are alike side by side. */
struct level {
	uint32_t *list;
	size_t count, next;
};

/* UNDER: one like it has been shown in its place. LEFT_OUT: it is further in than what is shown. */
enum { FRESH = 0, ABOVE = 1, SHOWN = 2, UNDER = 3, LEFT_OUT = 4 };

struct tree {
	struct out *o;
	const struct task_graph *g;
	const struct print_options *po;
	uint8_t *seen; /* for each task */
	struct level levels[DEPTH_MAX + 1];
	uint32_t path[DEPTH_MAX + 1]; /* whose tasks a level has */
	size_t depth;
	int error;
};

/* --- names in the order in which people count --- */

static struct span without_digits(struct span s)
{
	while (s.len > 0 && s.data[s.len - 1] >= '0' && s.data[s.len - 1] <= '9')
		s.len--;
	return s;
}

static int compare_bytes(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int rc = len > 0 ? memcmp(a.data, b.data, len) : 0;

	return rc != 0 ? rc : a.len < b.len ? -1 : a.len > b.len;
}

/* "Task-9" before "Task-10". */
static int compare_names(struct span a, struct span b)
{
	struct span x = without_digits(a), y = without_digits(b);
	int rc = compare_bytes(x, y);

	if (rc != 0)
		return rc;
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return compare_bytes(a, b);
}

static int by_name(const void *a, const void *b, void *context)
{
	const struct dump_task *tasks = context;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int rc = compare_names(tasks[x].head.name, tasks[y].head.name);

	return rc != 0 ? rc : x < y ? -1 : x > y;
}

static int by_likeness(const void *a, const void *b, void *context)
{
	const struct task_graph *g = context;
	uint64_t x = g->likeness[*(const uint32_t *)a], y = g->likeness[*(const uint32_t *)b];

	if (x != y)
		return x < y ? -1 : 1;
	return by_name(a, b, g->dump->tasks);
}

/* A task, and the first of those that are like it. */
struct alike {
	uint32_t first, task;
};

static int by_first(const void *a, const void *b, void *context)
{
	const struct alike *x = a, *y = b;

	return x->first != y->first ? by_name(&x->first, &y->first, context) : by_name(&x->task, &y->task, context);
}

/* By name, those that are alike side by side in the place of their first. 0 or PYSTUCK_ENOMEM. */
static int put_in_order(const struct task_graph *g, uint32_t *list, size_t count)
{
	struct alike *all = malloc((count + 1) * sizeof *all);

	if (all == NULL)
		return PYSTUCK_ENOMEM;
	qsort_r(list, count, sizeof *list, by_likeness, (void *)(uintptr_t)g);
	for (size_t i = 0; i < count; i++)
		all[i] = (struct alike){i > 0 && g->likeness[list[i]] == g->likeness[list[i - 1]] ? all[i - 1].first : list[i], list[i]};
	qsort_r(all, count, sizeof *all, by_first, g->dump->tasks);
	for (size_t i = 0; i < count; i++)
		list[i] = all[i].task;
	free(all);
	return 0;
}

/* --- lines --- */

/* What stands before a line of the level that is being shown; `own` is for its last column. */
static void print_bars(struct tree *tr, const char *own)
{
	for (size_t i = 1; i < tr->depth; i++)
		out_text(tr->o, tr->levels[i].next < tr->levels[i].count ? BAR : GAP);
	if (tr->depth > 0)
		out_text(tr->o, own);
}

static int is_last(const struct tree *tr)
{
	const struct level *l = &tr->levels[tr->depth];

	return l->next == l->count;
}

static void print_place(struct out *o, const struct dump *dump, uint32_t index)
{
	const struct dump_place *p = &dump->places[index];

	out_text(o, "File \"");
	out_safe(o, dump->codes[p->code].file, TEXT_LINE);
	out_text(o, "\"");
	if (p->line != 0) {
		out_text(o, ", line ");
		out_number(o, p->line);
	}
	out_text(o, ", in ");
	out_safe(o, dump->codes[p->code].function, TEXT_LINE);
	out_text(o, "\n");
}

static int is_of_asyncio(const struct dump *dump, uint32_t index)
{
	static const char dir[] = "/asyncio/";
	struct span file = dump->codes[dump->places[index].code].file;
	const uint8_t *last = memrchr(file.data, '/', file.len);
	size_t before = last != NULL ? (size_t)(last + 1 - file.data) : 0;

	return before >= sizeof dir - 1 && memcmp(last + 1 - (sizeof dir - 1), dir, sizeof dir - 1) == 0;
}

void task_tree_place(struct out *o, const struct dump *dump, const struct dump_task *t, const char *indent)
{
	size_t i = t->depth;

	while (i > 0 && is_of_asyncio(dump, t->places[i - 1]))
		i--;
	if (t->depth == 0)
		return;
	out_text(o, indent);
	print_place(o, dump, t->places[i > 0 ? i - 1 : t->depth - 1]);
}

static void print_omitted(struct tree *tr, const char *own, uint64_t count, const char *what)
{
	if (count == 0)
		return;
	print_bars(tr, own);
	out_text(tr->o, "  ... ");
	out_number(tr->o, count);
	out_text(tr->o, what);
	out_text(tr->o, count == 1 ? " left out\n" : "s left out\n");
}

static void print_frames(struct tree *tr, const struct dump_task *t)
{
	const struct dump *dump = tr->g->dump;
	const char *own = is_last(tr) ? GAP : BAR;
	struct cut cut = cut_of(dump, t->places, t->depth, tr->po->view.frames != 0 ? tr->po->view.frames : FRAMES_SHOWN);

	print_omitted(tr, own, cut_begin(cut) + t->head.omitted_frames, " outer frame");
	for (size_t i = cut_begin(cut); i < t->depth; i = cut_next(cut, i)) {
		struct span source = dump->places[t->places[i]].source;

		print_omitted(tr, own, cut_gap(cut, i), " frame");
		print_bars(tr, own);
		out_text(tr->o, "  ");
		print_place(tr->o, dump, t->places[i]);
		if (source.len == 0)
			continue;
		print_bars(tr, own);
		out_text(tr->o, "    ");
		out_safe(tr->o, source, TEXT_LINE);
		out_text(tr->o, "\n");
	}
}

/* "Task-1, Task-2, Task-3 and 995 more" */
static void print_names(struct tree *tr, const uint32_t *list, size_t count)
{
	print_bars(tr, is_last(tr) ? GAP : BAR);
	out_text(tr->o, "  ");
	for (size_t i = 0; i < count && i < NAMES_SHOWN; i++) {
		out_text(tr->o, i > 0 ? ", " : "");
		out_safe(tr->o, tr->g->dump->tasks[list[i]].head.name, TEXT_LINE);
	}
	if (count > NAMES_SHOWN) {
		out_text(tr->o, " and ");
		out_number(tr->o, count - NAMES_SHOWN);
		out_text(tr->o, " more");
	}
	out_text(tr->o, "\n");
}

/* The line of those that are alike, from the level's next one on: they have been passed. */
static void print_head(struct tree *tr, const uint32_t *list, size_t count)
{
	const struct dump_task *t = &tr->g->dump->tasks[list[0]];

	print_bars(tr, is_last(tr) ? LAST : TEE);
	out_text(tr->o, tr->po->color ? "\033[1m" : "");
	if (count > 1) {
		out_text(tr->o, "<");
		out_number(tr->o, count);
		out_text(tr->o, " tasks> ");
		out_safe(tr->o, t->head.coroutine, TEXT_LINE);
		out_text(tr->o, "()");
	} else {
		tasks_name(tr->o, tr->g->dump, list[0]);
	}
	out_text(tr->o, tr->po->color ? "\033[0m" : "");
	out_text(tr->o, "  ");
	out_text(tr->o, tr->po->color ? "\033[33m" : "");
	tasks_phrase(tr->o, tr->g->dump, list[0]);
	out_text(tr->o, tr->po->color ? "\033[0m" : "");
}

/* --- the walk --- */

/* Opens a level with these tasks; the list is the tree's from then on. */
static void descend(struct tree *tr, uint32_t *list, size_t count, size_t depth)
{
	int rc = put_in_order(tr->g, list, count);

	tr->error = rc != 0 ? rc : tr->error;
	tr->depth = depth;
	tr->levels[depth] = (struct level){list, count, 0};
}

/* How many tasks are below that have not been shown; they get this mark. */
static size_t count_below(struct tree *tr, uint32_t task, uint8_t mark)
{
	const struct dump *dump = tr->g->dump;
	uint32_t *stack = malloc((dump->task_count + 1) * sizeof *stack);
	size_t n = 0, count = 0;

	if (stack == NULL)
		return 0;
	stack[n++] = task;
	while (n > 0) {
		const struct dump_task *t = &dump->tasks[stack[--n]];

		for (size_t i = 0; i < t->await_count; i++)
			if (tr->seen[t->awaits[i]] == FRESH) {
				tr->seen[t->awaits[i]] = mark;
				stack[n++] = t->awaits[i];
				count++;
			}
	}
	free(stack);
	return count;
}

/* How many, from the next one on, are like it and have not been shown. */
static size_t gather(const struct tree *tr, const struct level *l)
{
	uint64_t likeness = tr->g->likeness[l->list[l->next]];
	size_t end = l->next + 1;

	while (end < l->count && tr->g->likeness[l->list[end]] == likeness && tr->seen[l->list[end]] == FRESH)
		end++;
	return end - l->next;
}

static void refer(struct tree *tr, uint32_t task)
{
	print_head(tr, &task, 1);
	out_text(tr->o, tr->seen[task] == ABOVE ? "  (a circle: it is above, and waits for this)\n"
			: tr->seen[task] == UNDER    ? "  (one like it is shown above)\n"
			: tr->seen[task] == LEFT_OUT ? "  (left out above)\n"
						     : "  (see above)\n");
}

static void show(struct tree *tr)
{
	struct level *l = &tr->levels[tr->depth];
	const uint32_t *list = &l->list[l->next];
	const struct dump_task *t = &tr->g->dump->tasks[list[0]];
	size_t count = tr->seen[list[0]] == FRESH && tr->po->view.no_group == 0 ? gather(tr, l) : 1, below;
	uint32_t *next;

	l->next += count;
	if (tr->seen[list[0]] != FRESH) {
		refer(tr, list[0]);
		return;
	}
	print_head(tr, list, count);
	out_text(tr->o, "\n");
	if (count > 1)
		print_names(tr, list, count);
	print_frames(tr, t);
	tr->seen[list[0]] = ABOVE;
	for (size_t i = 1; i < count; i++) {
		tr->seen[list[i]] = UNDER;
		(void)count_below(tr, list[i], UNDER);
	}
	if (t->await_count == 0) {
		tr->seen[list[0]] = SHOWN;
		return;
	}
	if (tr->depth == DEPTH_MAX) {
		below = count_below(tr, list[0], LEFT_OUT);
		tr->seen[list[0]] = SHOWN;
		print_bars(tr, is_last(tr) ? GAP : BAR);
		out_text(tr->o, "  ... ");
		out_number(tr->o, below);
		out_text(tr->o, below == 1 ? " task below it left out\n" : " tasks below it left out\n");
		return;
	}
	next = malloc(t->await_count * sizeof *next);
	if (next == NULL) {
		tr->error = PYSTUCK_ENOMEM;
		return;
	}
	memcpy(next, t->awaits, t->await_count * sizeof *next);
	tr->path[tr->depth + 1] = list[0];
	descend(tr, next, t->await_count, tr->depth + 1);
}

static void walk(struct tree *tr)
{
	for (;;) {
		struct level *l = &tr->levels[tr->depth];

		if (l->next < l->count && tr->error == 0) {
			show(tr);
			continue;
		}
		free(l->list);
		l->list = NULL;
		if (tr->depth == 0)
			return;
		tr->seen[tr->path[tr->depth]] = SHOWN;
		tr->depth--;
	}
}

/* Whom nobody awaits. */
static void walk_roots(struct tree *tr)
{
	size_t n = tr->g->dump->task_count, count = 0;
	uint32_t *list = malloc((n + 1) * sizeof *list);

	if (list == NULL) {
		tr->error = PYSTUCK_ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (tr->g->awaiters[i] == 0)
			list[count++] = (uint32_t)i;
	descend(tr, list, count, 0);
	walk(tr);
}

/* Then, of circles that nobody outside awaits, one of each. */
static void walk_circles(struct tree *tr)
{
	for (size_t i = 0; i < tr->g->dump->task_count && tr->error == 0; i++) {
		uint32_t *one = tr->seen[i] == FRESH ? malloc(sizeof *one) : NULL;

		if (one == NULL)
			continue;
		*one = (uint32_t)i;
		descend(tr, one, 1, 0);
		walk(tr);
	}
}

int task_tree_print(struct out *o, const struct task_graph *g, const struct print_options *po)
{
	struct tree tr = {.o = o, .g = g, .po = po, .seen = calloc(g->dump->task_count + 1, 1)};

	if (tr.seen == NULL)
		return PYSTUCK_ENOMEM;
	walk_roots(&tr);
	walk_circles(&tr);
	free(tr.seen);
	return tr.error;
}
