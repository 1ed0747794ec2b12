/*
 * profile_sums.c: what a profile comes to: by node, by function, by line. How dumps are added up is in profile.c.
 */
#include "profile.h"

#include <stdlib.h>

int profile_is_cpu(int state)
{
	return state == STATE_CPU || state == STATE_GC;
}

struct profile_count profile_self(const struct profile_node *n)
{
	struct profile_count c = {0, 0};

	for (int state = 0; state < PROFILE_STATES; state++)
		if (profile_is_cpu(state))
			c.cpu += n->self[state];
		else
			c.wait += n->self[state];
	return c;
}

static void add(struct profile_count *to, struct profile_count c)
{
	to->cpu += c.cpu;
	to->wait += c.wait;
}

struct profile_count *profile_totals(const struct profile *p)
{
	struct profile_count *totals = calloc((size_t)p->node_count + 1, sizeof *totals);

	for (uint32_t i = p->node_count; totals != NULL && i-- > 0;) {
		add(&totals[i], profile_self(&p->nodes[i]));
		if (p->nodes[i].parent != PROFILE_NONE)
			add(&totals[p->nodes[i].parent], totals[i]);
	}
	return totals;
}

static int compare(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int by_cpu(const void *a, const void *b)
{
	const struct profile_row *x = a, *y = b;
	int order = compare(x->self.cpu, y->self.cpu);

	order = order != 0 ? order : compare(x->total.cpu, y->total.cpu);
	return order != 0 ? order : -compare(x->place, y->place);
}

static int by_waiting(const void *a, const void *b)
{
	const struct profile_row *x = a, *y = b;
	int order = compare(x->self.wait, y->self.wait);

	order = order != 0 ? order : compare(x->total.wait, y->total.wait);
	return order != 0 ? order : -compare(x->place, y->place);
}

/* Rows for codes, or for places; those with nothing in them are left out. */
static struct profile_row *rows(const struct profile *p, uint32_t thread, int lines, int by_wait, size_t *count_of)
{
	size_t most = lines ? p->place_count : p->code_count;
	struct profile_row *r = calloc(most + 1, sizeof *r);
	struct profile_count *totals = profile_totals(p);

	*count_of = 0;
	for (uint32_t i = 0; r != NULL && totals != NULL && i < p->node_count; i++) {
		const struct profile_node *n = &p->nodes[i];
		struct profile_row *row;

		if (n->parent == PROFILE_NONE || (thread != PROFILE_NONE && n->thread != thread))
			continue;
		row = &r[lines ? n->place : p->places[n->place].code];
		row->place = n->place;
		add(&row->self, profile_self(n));
		if (!(lines ? n->place_again : n->code_again))
			add(&row->total, totals[i]);
	}
	if (totals == NULL) {
		free(r);
		return NULL;
	}
	free(totals);
	for (size_t i = 0; r != NULL && i < most; i++)
		if (r[i].total.cpu + r[i].total.wait > 0)
			r[(*count_of)++] = r[i];
	if (*count_of > 0)
		qsort(r, *count_of, sizeof *r, by_wait ? by_waiting : by_cpu);
	return r;
}

struct profile_row *profile_functions(const struct profile *p, uint32_t thread, int by_wait, size_t *count_of)
{
	return rows(p, thread, 0, by_wait, count_of);
}

struct profile_row *profile_lines(const struct profile *p, uint32_t thread, int by_wait, size_t *count_of)
{
	return rows(p, thread, 1, by_wait, count_of);
}

uint64_t *profile_wait_places(const struct profile *p)
{
	uint64_t *paths = malloc(((size_t)p->node_count + 1) * sizeof *paths);
	uint64_t *places = calloc((size_t)p->thread_count + 1, sizeof *places);
	uint64_t *most = calloc((size_t)p->thread_count + 1, sizeof *most);

	for (uint32_t i = 0; paths != NULL && places != NULL && most != NULL && i < p->node_count; i++) {
		const struct profile_node *n = &p->nodes[i];
		uint64_t wait = profile_self(n).wait;

		paths[i] = n->parent == PROFILE_NONE ? 1 : (paths[n->parent] ^ n->place) * 0x9E3779B97F4A7C15u | 1;
		if (wait <= most[n->thread])
			continue;
		most[n->thread] = wait;
		places[n->thread] = paths[i];
	}
	if (paths == NULL || most == NULL) {
		free(places);
		places = NULL;
	}
	free(paths);
	free(most);
	return places;
}
