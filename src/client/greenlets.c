/*
 * greenlets.c: greenlets in words: those that stand in the same place and wait for things of the same kind as one. Generators come
 * grouped already. JSON: json_greenlets.c.
 */
#include "greenlets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "waits.h"

#define FDS_SHOWN 8u /* of a group */

static int is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

const char *greenlets_state_name(int state)
{
	return state == GREENLET_CURRENT ? "current" : state == GREENLET_NEW ? "new" : "suspended";
}

const char *greenlets_wait_name(int wait)
{
	static const char *const names[] = {
		[GREENLET_FOR_UNKNOWN] = "unknown",
		[GREENLET_FOR_TURN] = "turn",
		[GREENLET_FOR_IO] = "io",
		[GREENLET_FOR_CHILD] = "child",
		[GREENLET_FOR_OBJECT] = "object",
		[GREENLET_FOR_EVENT] = "event",
		[GREENLET_FOR_TIME] = "time",
	};

	return names[wait];
}

/* --- in words --- */

static void put_count(struct out *o, size_t n, const char *what)
{
	out_number(o, n);
	out_text(o, what);
	out_text(o, n == 1 ? "" : "s");
}

/* "Greenlet(handle)"; "main greenlet" of a thread; "Hub". */
static void put_name(struct out *o, const struct dump_greenlet *g)
{
	if (g->head.flags & GREENLET_MAIN) {
		out_text(o, "main greenlet");
		return;
	}
	out_safe(o, g->head.type, TEXT_LINE);
	if (g->head.flags & GREENLET_HUB)
		return;
	out_text(o, "(");
	out_safe(o, g->head.name, TEXT_LINE);
	out_text(o, ")");
}

static void put_address(struct out *o, uint64_t address)
{
	char text[32];

	snprintf(text, sizeof text, " at 0x%llx", (unsigned long long)address);
	out_text(o, text);
}

static void put_ends(struct out *o, const struct msg_dump_greenlet *h)
{
	if (h->fd == GREENLET_NO_FD)
		return;
	out_text(o, " fd ");
	out_number(o, h->fd);
	if (h->object_type.len > 0) {
		out_text(o, ", ");
		out_safe(o, h->object_type, TEXT_LINE);
	} else if (h->path.len > 0) {
		out_text(o, ", ");
		out_safe(o, h->path, TEXT_LINE);
	}
	if (h->local.len > 0) {
		out_text(o, " ");
		out_safe(o, h->local, TEXT_LINE);
	}
	if (h->peer.len > 0) {
		out_text(o, " -> ");
		out_safe(o, h->peer, TEXT_LINE);
	}
}

static const char *io_words(uint8_t events)
{
	if (events == GREENLET_READS)
		return "waiting to read";
	return events == GREENLET_WRITES ? "waiting to write" : "waiting for I/O";
}

/* What the others of a group have in common: only of one alone all is said. */
static void put_object(struct out *o, const struct dump *s, const struct dump_greenlet *g, int alone)
{
	const struct msg_dump_greenlet *h = &g->head;
	const struct dump_greenlet *other = dump_find_greenlet(s, h->object), *holder = dump_find_greenlet(s, h->holder);

	if (other != NULL || is(h->object_type, "Greenlet")) {
		out_text(o, "waiting for the end of ");
		if (h->count > 1)
			put_count(o, h->count, " greenlet");
		else if (alone && other != NULL)
			put_name(o, other);
		else
			out_text(o, "a greenlet");
		return;
	}
	out_text(o, "waiting for ");
	out_safe(o, h->object_type, TEXT_LINE);
	if (!alone)
		return;
	put_address(o, h->object);
	if (holder != NULL) {
		out_text(o, ", held by ");
		put_name(o, holder);
	}
}

static void put_wait(struct out *o, const struct dump *s, const struct dump_greenlet *g, int alone)
{
	const struct msg_dump_greenlet *h = &g->head;

	if (h->state == GREENLET_NEW) {
		out_text(o, h->wait == GREENLET_FOR_TIME ? "begins later" : "not begun");
	} else {
		switch (h->wait) {
		case GREENLET_FOR_TURN:
			out_text(o, "ready to go on");
			break;
		case GREENLET_FOR_IO:
			out_text(o, io_words(h->events));
			if (alone)
				put_ends(o, h);
			break;
		case GREENLET_FOR_CHILD:
			out_text(o, "waiting for a child process");
			break;
		case GREENLET_FOR_OBJECT:
			put_object(o, s, g, alone);
			break;
		case GREENLET_FOR_EVENT:
			out_text(o, "waiting for an event of the loop");
			break;
		case GREENLET_FOR_TIME:
			out_text(o, "sleeping");
			break;
		default:
			out_text(o, "suspended");
		}
	}
	if (alone && (h->flags & GREENLET_TIMED)) {
		out_text(o, ", ");
		waits_duration(o, h->left_us);
		out_text(o, " left");
	}
}

/* --- those that are as one --- */

/* What stands first: what somebody holds, then what comes from outside, then what comes by itself. */
static int rank(const struct dump_greenlet *g)
{
	static const int ranks[] = {
		[GREENLET_FOR_OBJECT] = 1,
		[GREENLET_FOR_IO] = 2,
		[GREENLET_FOR_CHILD] = 2,
		[GREENLET_FOR_EVENT] = 2,
		[GREENLET_FOR_UNKNOWN] = 3,
		[GREENLET_FOR_TIME] = 4,
		[GREENLET_FOR_TURN] = 5,
	};

	if (g->head.flags & (GREENLET_MAIN | GREENLET_HUB))
		return 0;
	return g->head.state == GREENLET_NEW ? 6 : ranks[g->head.wait];
}

static int compare_stacks(const struct dump_greenlet *x, const struct dump_greenlet *y)
{
	int c;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	c = x->depth > 0 ? memcmp(x->places, y->places, x->depth * sizeof *x->places) : 0;
	return c;
}

static int compare_texts(struct span a, struct span b)
{
	int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);

	return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* 0: they are shown as one. */
static int compare(const struct dump_greenlet *x, const struct dump_greenlet *y)
{
	const struct msg_dump_greenlet *a = &x->head, *b = &y->head;
	int c = compare_numbers((uint64_t)rank(x), (uint64_t)rank(y));

	c = c != 0 ? c : compare_numbers(a->thread, b->thread);
	c = c != 0 ? c : compare_numbers(a->state, b->state);
	c = c != 0 ? c : compare_numbers(a->wait, b->wait);
	c = c != 0 ? c : compare_numbers(a->events, b->events);
	c = c != 0 ? c : compare_texts(a->object_type, b->object_type);
	c = c != 0 ? c : compare_texts(a->type, b->type);
	c = c != 0 ? c : compare_texts(a->name, b->name);
	c = c != 0 ? c : compare_numbers(a->omitted_frames, b->omitted_frames);
	return c != 0 ? c : compare_stacks(x, y);
}

static int by_likeness(const void *a, const void *b)
{
	const struct dump_greenlet *const *x = a, *const *y = b;
	int c = compare(*x, *y);

	return c != 0 ? c : *x < *y ? -1 : *x > *y;
}

struct group {
	const struct dump_greenlet **members;
	size_t count;
};

/* By rank, then the largest first, then as they were found. */
static int by_weight(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	int c = compare_numbers((uint64_t)rank(x->members[0]), (uint64_t)rank(y->members[0]));

	c = c != 0 ? c : compare_numbers(y->count, x->count);
	return c != 0 ? c : x->members[0] < y->members[0] ? -1 : x->members[0] > y->members[0];
}

/* --- a thread --- */

static const struct dump_thread *thread_of(const struct dump *dump, uint64_t ident)
{
	for (size_t i = 0; ident != 0 && i < dump->thread_count; i++)
		if (dump->threads[i].head.ident == ident)
			return &dump->threads[i];
	return NULL;
}

/* Which greenlet the thread is in, and how many others it has. */
static const struct dump_greenlet *current_of(const struct dump *s, uint64_t ident, size_t *others, int *hub)
{
	const struct dump_greenlet *current = NULL;

	*others = 0;
	*hub = 0;
	for (size_t i = 0; i < s->greenlet_count; i++) {
		const struct msg_dump_greenlet *h = &s->greenlets[i].head;

		if (h->thread != ident)
			continue;
		*hub |= (h->flags & GREENLET_HUB) != 0;
		if (h->state == GREENLET_CURRENT)
			current = &s->greenlets[i];
		else if (!(h->flags & GREENLET_HUB))
			++*others;
	}
	return current;
}

void greenlets_of_thread(struct out *o, const struct dump *dump, const struct dump_thread *t)
{
	const struct dump *s = dump->suspended;
	const struct dump_greenlet *current;
	size_t others;
	int hub;

	if (s == NULL || t->head.ident == 0)
		return;
	current = current_of(s, t->head.ident, &others, &hub);
	if (current == NULL || others == 0)
		return;
	if (current->head.flags & GREENLET_HUB) {
		out_text(o, "; gevent's hub, with ");
		put_count(o, others, " greenlet");
		out_text(o, " that wait");
		out_text(o, others == 1 ? "s" : "");
		return;
	}
	out_text(o, "; in ");
	put_name(o, current);
	out_text(o, hub ? ": gevent's hub and " : ": ");
	put_count(o, others, " greenlet");
	out_text(o, " cannot run before it gives way");
}

/* --- all --- */

struct view_of {
	const struct dump_greenlet **list;
	struct group *groups;
	size_t count, group_count;
};

static int is_shown(const struct dump *dump, const struct dump_greenlet *g, const struct view_options *vo)
{
	const struct dump_thread *t = thread_of(dump, g->head.thread);

	/* The stack of the current one is its thread's. The hub is of interest only when it is the current one. */
	if (g->head.state == GREENLET_CURRENT || (g->head.flags & GREENLET_HUB))
		return 0;
	for (size_t i = 0; i < vo->thread_count; i++)
		if (t != NULL && view_means(t, vo->threads[i]))
			return 1;
	return vo->thread_count == 0;
}

static int view_all(struct view_of *v, const struct dump *dump, const struct view_options *vo)
{
	const struct dump *s = dump->suspended;

	*v = (struct view_of){.list = calloc(s->greenlet_count + 1, sizeof(void *)),
		.groups = calloc(s->greenlet_count + 1, sizeof *v->groups)};
	if (v->list == NULL || v->groups == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < s->greenlet_count; i++)
		if (is_shown(dump, &s->greenlets[i], vo))
			v->list[v->count++] = &s->greenlets[i];
	qsort(v->list, v->count, sizeof(void *), by_likeness);
	for (size_t i = 0; i < v->count; i++) {
		if (i == 0 || vo->no_group || compare(v->list[i - 1], v->list[i]) != 0)
			v->groups[v->group_count++] = (struct group){&v->list[i], 0};
		v->groups[v->group_count - 1].count++;
	}
	qsort(v->groups, v->group_count, sizeof *v->groups, by_weight);
	return 0;
}

/* "TCP fds 7, 8, 9, ...": what a group waits on. */
static void put_fds(struct out *o, const struct group *g)
{
	const struct msg_dump_greenlet *first = &g->members[0]->head;

	if (first->wait != GREENLET_FOR_IO || first->fd == GREENLET_NO_FD)
		return;
	out_text(o, first->object_type.len > 0 ? " " : "");
	out_safe(o, first->object_type, TEXT_LINE);
	out_text(o, " fds");
	for (size_t i = 0; i < g->count && i < FDS_SHOWN; i++) {
		out_text(o, i > 0 ? ", " : " ");
		out_number(o, g->members[i]->head.fd);
	}
	out_text(o, g->count > FDS_SHOWN ? ", ..." : "");
}

/* "(the same one)" where all wait for one object: the more of them, the more that says. */
static void put_same(struct out *o, const struct dump *s, const struct group *g)
{
	const struct msg_dump_greenlet *first = &g->members[0]->head;
	const struct dump_greenlet *holder = dump_find_greenlet(s, first->holder), *other = dump_find_greenlet(s, first->object);

	if (first->wait != GREENLET_FOR_OBJECT)
		return;
	for (size_t i = 1; i < g->count; i++)
		if (g->members[i]->head.object != first->object)
			return;
	if (other != NULL) {
		out_text(o, ", all for ");
		put_name(o, other);
	} else {
		put_address(o, first->object);
	}
	if (holder != NULL) {
		out_text(o, ", held by ");
		put_name(o, holder);
	}
}

static void put_head(struct out *o, const struct dump *s, const struct group *g, const char *thread, const char *state, const char *off)
{
	const struct dump_greenlet *first = g->members[0];
	int alone = g->count == 1;

	out_text(o, thread);
	out_text(o, "<");
	if (!alone) {
		out_number(o, g->count);
		out_text(o, " times ");
	}
	put_name(o, first);
	if (alone)
		put_address(o, first->head.address);
	out_text(o, ">");
	out_text(o, off);
	out_text(o, "  ");
	out_text(o, state);
	put_wait(o, s, first, alone);
	if (!alone) {
		put_fds(o, g);
		put_same(o, s, g);
	}
	out_text(o, off);
	out_text(o, "\n");
}

static void put_summary(struct out *o, const struct dump *dump, const struct view_of *v)
{
	const struct dump *s = dump->suspended;

	if (v->count == 0)
		out_text(o, "no greenlets that wait");
	else
		put_count(o, v->count, " greenlet");
	if (v->count > 0)
		out_text(o, v->count == 1 ? " that waits" : " that wait");
	if (v->group_count < v->count) {
		out_text(o, ", in ");
		put_count(o, v->group_count, " place");
	}
	if (s->end.flags & DUMP_CUT)
		out_text(o, "; not all of them: there was no time or no memory for more");
	out_text(o, "\n");
}

static int print_greenlets(struct out *o, struct printer *pr, const struct dump *dump, const struct print_options *po)
{
	const char *bold = po->color ? "\033[1m" : "", *state = po->color ? "\033[33m" : "", *off = po->color ? "\033[0m" : "";
	struct view_of v;
	int rc = view_all(&v, dump, &po->view);

	if (rc == 0) {
		out_text(o, "\n");
		put_summary(o, dump, &v);
	}
	for (size_t i = 0; rc == 0 && i < v.group_count; i++) {
		const struct dump_greenlet *g = v.groups[i].members[0];

		out_text(o, "\n");
		put_head(o, dump->suspended, &v.groups[i], bold, state, off);
		print_stack(pr, g->places, g->depth, g->head.omitted_frames);
	}
	free(v.list);
	free(v.groups);
	return rc;
}

/* --- generators --- */

static void print_generators(struct out *o, struct printer *pr, const struct dump *s)
{
	static const char *const kinds[] = {
		[GENERATOR_PLAIN] = "generator", [GENERATOR_COROUTINE] = "coroutine", [GENERATOR_ASYNC] = "asynchronous generator"};

	for (size_t i = 0; i < s->generator_count; i++) {
		const struct dump_generator *g = &s->generators[i];

		out_text(o, "\n<");
		if (g->head.count != 1) {
			out_number(o, g->head.count);
			out_text(o, " ");
		}
		out_text(o, kinds[g->head.kind]);
		out_text(o, g->head.count != 1 ? "s>" : ">");
		out_text(o, "  suspended\n");
		print_stack(pr, g->places, g->depth, g->head.omitted_frames);
	}
}

int greenlets_print(struct out *o, const struct dump *dump, const struct print_options *po)
{
	const struct dump *s = dump->suspended;
	struct printer *pr;
	int rc = 0, closed;

	if (s == NULL)
		return 0;
	pr = print_open(o, s, po);
	if (pr == NULL)
		return PYSTUCK_ENOMEM;
	if (s->asked & DUMP_GREENLETS)
		rc = print_greenlets(o, pr, dump, po);
	if (rc == 0 && (s->asked & DUMP_GENERATORS))
		print_generators(o, pr, s);
	closed = print_close(pr);
	return rc != 0 ? rc : closed;
}
