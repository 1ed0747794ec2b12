/*
 * task_graph.c: strongly connected tasks, by Tarjan's algorithm with a stack of its own; it leaves them in an order in which whoever is
 * waited for comes before who waits, so that what follows from the tasks below needs one pass. Two searches: over the waits that make
 * circles, and over all, which make a tree.
 */
#include "task_graph.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

#define OPEN UINT32_MAX

/* Where the search is in one task's list. */
struct step {
	uint32_t task;
	uint32_t next; /* of its edges */
};

struct search {
	const struct dump *dump;
	uint32_t (*edge)(const struct dump_task *t, size_t i); /* number i; DUMP_NOBODY: no more */
	uint32_t *number;    /* in which order they were met; OPEN: not yet */
	uint32_t *low;       /* the first one met that can be reached */
	uint32_t *component; /* OPEN: none yet */
	uint32_t *stack, *order; /* order: finished tasks, whoever is waited for first */
	struct step *steps;
	uint32_t met, stacked, depth, finished, components;
};

/* Only what is certain makes a circle: who has waited at one moment with all others. Of several that would do none is waited for. */
static int is_certain(const struct dump_task *t)
{
	return t->head.state == TASK_WAITS && (t->head.flags & TASK_STILL) &&
	       (!(t->head.flags & TASK_ANY) || (t->await_count == 1 && t->head.omitted_awaits == 0));
}

/* Those that it awaits, as far as anybody is certain of it, then who has what it waits for. */
static uint32_t certain_edge(const struct dump_task *t, size_t i)
{
	if (!is_certain(t))
		return DUMP_NOBODY;
	if (i < t->await_count)
		return t->awaits[i];
	return i == t->await_count ? t->holder : DUMP_NOBODY;
}

/* Those that it awaits. */
static uint32_t any_edge(const struct dump_task *t, size_t i)
{
	return i < t->await_count ? t->awaits[i] : DUMP_NOBODY;
}

static void enter(struct search *s, uint32_t task)
{
	s->number[task] = s->low[task] = s->met++;
	s->stack[s->stacked++] = task;
	s->steps[s->depth++] = (struct step){task, 0};
}

static void leave(struct search *s)
{
	uint32_t task = s->steps[--s->depth].task, member;

	if (s->depth > 0) {
		uint32_t *low = &s->low[s->steps[s->depth - 1].task];

		*low = s->low[task] < *low ? s->low[task] : *low;
	}
	if (s->low[task] != s->number[task])
		return;
	do {
		member = s->stack[--s->stacked];
		s->component[member] = s->components;
		s->order[s->finished++] = member;
	} while (member != task);
	s->components++;
}

static void walk(struct search *s, uint32_t start)
{
	enter(s, start);
	while (s->depth > 0) {
		struct step *step = &s->steps[s->depth - 1];
		uint32_t to = s->edge(&s->dump->tasks[step->task], step->next++);

		if (to == DUMP_NOBODY)
			leave(s);
		else if (s->number[to] == OPEN)
			enter(s, to);
		else if (s->component[to] == OPEN && s->number[to] < s->low[step->task])
			s->low[step->task] = s->number[to];
	}
}

static void search_free(struct search *s)
{
	free(s->number);
	free(s->low);
	free(s->component);
	free(s->stack);
	free(s->order);
	free(s->steps);
}

/* search_free in any case. */
static int search_all(struct search *s, const struct dump *dump, uint32_t (*edge)(const struct dump_task *t, size_t i))
{
	size_t n = dump->task_count + 1;

	*s = (struct search){.dump = dump,
		.edge = edge,
		.number = malloc(n * sizeof *s->number),
		.low = malloc(n * sizeof *s->low),
		.component = malloc(n * sizeof *s->component),
		.stack = malloc(n * sizeof *s->stack),
		.order = calloc(n, sizeof *s->order),
		.steps = malloc(n * sizeof *s->steps)};
	if (s->number == NULL || s->low == NULL || s->component == NULL || s->stack == NULL || s->order == NULL || s->steps == NULL)
		return PYSTUCK_ENOMEM;
	memset(s->number, 0xff, n * sizeof *s->number);
	memset(s->component, 0xff, n * sizeof *s->component);
	for (uint32_t i = 0; i < dump->task_count; i++)
		if (s->number[i] == OPEN)
			walk(s, i);
	return 0;
}

/* --- circles --- */

/* To whom each is bound: another of his component, or one who is stuck. */
static int find_circles(struct task_graph *g, const struct search *s)
{
	size_t n = g->dump->task_count;
	uint32_t *to = calloc(n + 1, sizeof *to), next;
	int rc = PYSTUCK_ENOMEM;

	if (to == NULL)
		return rc;
	for (size_t i = 0; i < n; i++) {
		uint32_t task = s->order[i];

		to[task] = DEADLOCK_NOBODY;
		for (size_t k = 0; (next = s->edge(&g->dump->tasks[task], k)) != DUMP_NOBODY && to[task] == DEADLOCK_NOBODY; k++)
			if (s->component[next] == s->component[task])
				to[task] = next;
		for (size_t k = 0; (next = s->edge(&g->dump->tasks[task], k)) != DUMP_NOBODY && to[task] == DEADLOCK_NOBODY; k++)
			if (s->component[next] != s->component[task] && to[next] != DEADLOCK_NOBODY)
				to[task] = next;
	}
	rc = deadlock_find(&g->deadlocks, to, n);
	free(to);
	return rc;
}

/* --- likeness --- */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9E3779B97F4A7C15u;
	h = (h ^ h >> 32) * 0xff51afd7ed558ccdu;
	return h ^ h >> 29;
}

static uint64_t mix_text(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.data[i]) * 0x100000001b3u;
	return mix(h, s.len);
}

/* Of all that is shown of it but its name, and of the tasks that it awaits, in any order. */
static uint64_t likeness_of(const struct task_graph *g, const struct search *s, uint32_t task)
{
	const struct dump_task *t = &g->dump->tasks[task];
	uint64_t h = mix(1, t->head.state), below = 0;

	h = mix(h, t->head.kind);
	h = mix(h, t->head.loop);
	h = mix(h, t->head.flags & (TASK_CANCELLED | TASK_EAGER | TASK_ANY));
	h = mix(h, t->holder);
	h = mix_text(h, t->head.coroutine);
	h = mix_text(h, t->head.how);
	h = mix_text(h, t->head.type);
	for (size_t i = 0; i < t->depth; i++)
		h = mix(h, t->places[i]);
	/* One that others wait for as well, or that is in a circle, is like no other. */
	for (size_t i = 0; i < t->await_count; i++) {
		uint32_t other = t->awaits[i];
		int alone = g->awaiters[other] == 1 && g->likeness[other] != 0 && s->component[other] != s->component[task];

		below += alone ? mix(2, g->likeness[other]) : mix(mix(3, other), task);
	}
	h = mix(mix(h, below), t->await_count + t->head.omitted_awaits);
	return h != 0 ? h : 1;
}

/* Whoever is awaited comes first, but in a circle, where nobody is like anybody. */
static void find_likeness(struct task_graph *g, const struct search *s)
{
	for (size_t i = 0; i < g->dump->task_count; i++)
		for (size_t k = 0; k < g->dump->tasks[i].await_count; k++)
			g->awaiters[g->dump->tasks[i].awaits[k]]++;
	for (size_t i = 0; i < g->dump->task_count; i++)
		g->likeness[s->order[i]] = likeness_of(g, s, s->order[i]);
}

/* --- all of it --- */

int task_graph_open(struct task_graph *g, const struct dump *dump)
{
	size_t n = dump->task_count + 1;
	struct search s;
	int rc;

	*g = (struct task_graph){.dump = dump, .awaiters = calloc(n, sizeof *g->awaiters), .likeness = calloc(n, sizeof *g->likeness)};
	if (g->awaiters == NULL || g->likeness == NULL)
		return PYSTUCK_ENOMEM;
	rc = search_all(&s, dump, any_edge);
	if (rc == 0)
		find_likeness(g, &s);
	search_free(&s);
	if (rc != 0)
		return rc;
	rc = search_all(&s, dump, certain_edge);
	if (rc == 0)
		rc = find_circles(g, &s);
	search_free(&s);
	return rc;
}

void task_graph_close(struct task_graph *g)
{
	deadlock_free(&g->deadlocks);
	free(g->awaiters);
	free(g->likeness);
	*g = (struct task_graph){.dump = NULL};
}

size_t task_graph_begin(const struct task_graph *g, size_t circle)
{
	return circle > 0 ? g->deadlocks.ends[circle - 1] : 0;
}

enum report_sure task_graph_sureness(const struct task_graph *g, size_t circle)
{
	enum report_sure sure = REPORT_KNOWN;

	for (size_t i = task_graph_begin(g, circle); i < g->deadlocks.ends[circle]; i++) {
		const struct dump_task *t = &g->dump->tasks[g->deadlocks.members[i]];

		if ((t->head.flags & TASK_TIMED) || t->head.confidence == WAIT_CALLED)
			return REPORT_POSSIBLE;
		if (t->holder != DUMP_NOBODY)
			sure = REPORT_INFERRED;
	}
	return sure;
}
