/*
 * tasks.c: words for tasks. Those for loops are loops.c's; who awaits whom is task_graph.c's, how that is drawn task_tree.c's.
 */
#include "tasks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loops.h"
#include "task_tree.h"
#include "waits.h"

#define GROUPS_SHOWN 20 /* of the short form; the rest is counted */
#define CIRCLE_SHOWN 20 /* members of a circle that have a line */
#define LED_SHOWN 20
#define NAMES_SHOWN 5

static int is(struct span s, const char *text)
{
	return span_equals(s, text);
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* --- one task --- */

void tasks_name(struct out *o, const struct dump *dump, uint32_t i)
{
	const struct msg_dump_task *t = &dump->tasks[i].head;

	out_safe(o, t->name.len > 0 ? t->name : span_text("a task without a name"), TEXT_LINE);
	if (t->coroutine.len > 0) {
		out_text(o, " ");
		out_safe(o, t->coroutine, TEXT_LINE);
		out_text(o, "()");
	}
}

/* " 'self._lock' (Lock at 0x7f12)" */
static void object(struct out *o, const struct msg_dump_task *t)
{
	char address[24];

	if (t->object.len > 0) {
		out_text(o, " '");
		out_safe(o, t->object, TEXT_LINE);
		out_text(o, "'");
	}
	if (t->address == 0)
		return;
	snprintf(address, sizeof address, "0x%llx", (unsigned long long)t->address);
	out_text(o, " (");
	if (t->type.len > 0) {
		out_safe(o, t->type, TEXT_LINE);
		out_text(o, " at ");
	}
	out_text(o, address);
	out_text(o, ")");
}

static const char *lock_word(const struct msg_dump_task *t)
{
	if (is(t->type, "Event"))
		return "waiting for event";
	if (is(t->type, "Condition"))
		return "waiting for condition";
	if (is(t->type, "Barrier"))
		return "waiting at barrier";
	if (is(t->type, "Semaphore") || is(t->type, "BoundedSemaphore"))
		return "waiting for semaphore";
	return "waiting for lock";
}

static void items(struct out *o, const struct msg_dump_task *t)
{
	if (!(t->flags & TASK_COUNT))
		return;
	out_text(o, ", ");
	out_number(o, t->count);
	out_text(o, t->count == 1 ? " item in it" : " items in it");
}

/* " for Task-7 work()", or " for 12 tasks", and by what. */
static void awaited(struct out *o, const struct dump *dump, const struct dump_task *t)
{
	uint64_t count = t->await_count + t->head.omitted_awaits;

	if (count == 1 && t->await_count == 1) {
		out_text(o, "waiting for ");
		tasks_name(o, dump, t->awaits[0]);
	} else if (count == 0) {
		out_text(o, "waiting for what has ended");
	} else {
		out_text(o, t->head.flags & TASK_ANY ? "waiting for one of " : "waiting for ");
		out_number(o, count);
		out_text(o, " tasks");
	}
	if (t->head.how.len > 0) {
		out_text(o, " (");
		out_safe(o, t->head.how, TEXT_LINE);
		out_text(o, ")");
	}
}

static void ends(struct out *o, const struct msg_dump_task *t)
{
	if (!(t->flags & TASK_FD))
		return;
	out_text(o, " fd ");
	out_number(o, t->fd);
	if (t->type.len > 0) {
		out_text(o, ", ");
		out_safe(o, t->type, TEXT_LINE);
	}
	if (t->local.len > 0) {
		out_text(o, " ");
		out_safe(o, t->local, TEXT_LINE);
	}
	if (t->peer.len > 0) {
		out_text(o, " -> ");
		out_safe(o, t->peer, TEXT_LINE);
	}
}

static void wait(struct out *o, const struct dump *dump, const struct dump_task *t)
{
	static const char *const words[] = {
		[TASK_FOR_NONE] = "waiting",
		[TASK_FOR_FUTURE] = "waiting for future",
		[TASK_FOR_SLEEP] = "sleeping",
		[TASK_FOR_GET] = "waiting for an item in queue",
		[TASK_FOR_PUT] = "waiting for room in queue",
		[TASK_FOR_JOIN] = "waiting until all is done of queue",
		[TASK_FOR_READ] = "reading from",
		[TASK_FOR_WRITE] = "writing to",
		[TASK_FOR_CONNECT] = "waiting for a connection on",
		[TASK_FOR_EXECUTOR] = "waiting for an executor's thread or process, future",
		[TASK_FOR_CHILD] = "waiting for the end of a process",
	};
	uint8_t kind = t->head.kind;

	if (kind == TASK_FOR_TASKS) {
		awaited(o, dump, t);
		return;
	}
	out_text(o, kind == TASK_FOR_LOCK ? lock_word(&t->head) : kind < sizeof words / sizeof *words ? words[kind] : words[0]);
	if (kind == TASK_FOR_READ || kind == TASK_FOR_WRITE || kind == TASK_FOR_CONNECT) {
		if (!(t->head.flags & TASK_FD))
			out_text(o, kind == TASK_FOR_CONNECT ? " a socket" : " a stream");
		ends(o, &t->head);
	} else if (kind != TASK_FOR_SLEEP && kind != TASK_FOR_CHILD) {
		object(o, &t->head);
	}
	items(o, &t->head);
}

void tasks_phrase(struct out *o, const struct dump *dump, uint32_t i)
{
	const struct dump_task *t = &dump->tasks[i];

	if (t->head.state == TASK_WAITS)
		wait(o, dump, t);
	else
		out_text(o, t->head.state == TASK_READY ? "ready to go on" : task_state_name(t->head.state));
	if (t->holder != DUMP_NOBODY) {
		out_text(o, ", held by ");
		if (t->holder == i)
			out_text(o, "itself");
		else
			tasks_name(o, dump, t->holder);
		if (t->head.confidence == WAIT_INFERRED || t->head.confidence == WAIT_CALLED)
			out_text(o, " (inferred)");
	}
	if (t->head.flags & TASK_LEFT) {
		out_text(o, ", ");
		waits_duration(o, t->head.left_us);
		out_text(o, " left");
	}
	if (t->head.awaitable.len > 0) {
		out_text(o, ", awaiting a ");
		out_safe(o, t->head.awaitable, TEXT_LINE);
	}
	if (t->head.flags & TASK_CANCELLED)
		out_text(o, ", being cancelled");
	if (t->head.flags & TASK_EAGER)
		out_text(o, ", started eagerly");
}

/* --- all of them --- */

void tasks_summary(struct out *o, const struct dump *dump)
{
	static const uint8_t states[] = {TASK_RUNS, TASK_READY, TASK_UNBEGUN, TASK_WAITS};
	size_t counts[TASK_UNBEGUN + 1] = {0};
	const char *comma = ": ";
	size_t total = dump->task_count + dump->tasks_head.omitted;

	for (size_t i = 0; i < dump->task_count; i++)
		counts[dump->tasks[i].head.state]++;
	out_number(o, total);
	out_text(o, " task");
	out_text(o, plural(total));
	out_text(o, " of asyncio");
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		if (counts[states[i]] == 0)
			continue;
		out_text(o, comma);
		out_number(o, counts[states[i]]);
		out_text(o, " ");
		out_text(o, task_state_name(states[i]));
		comma = ", ";
	}
	if (dump->tasks_head.omitted > 0) {
		out_text(o, ", ");
		out_number(o, dump->tasks_head.omitted);
		out_text(o, " left out");
	}
}

/* --- circles --- */

/* Does one of the waits end by itself? */
static int is_timed(const struct task_graph *g, size_t circle)
{
	for (size_t i = task_graph_begin(g, circle); i < g->deadlocks.ends[circle]; i++)
		if (g->dump->tasks[g->deadlocks.members[i]].head.flags & TASK_TIMED)
			return 1;
	return 0;
}

/* Where in its circle the task with the lowest name stands: looks at the same circle begin with the same one. */
static size_t lowest_of(const struct task_graph *g, size_t begin, size_t count)
{
	size_t found = 0;

	for (size_t i = 1; i < count; i++) {
		struct span a = g->dump->tasks[g->deadlocks.members[begin + i]].head.name;
		struct span b = g->dump->tasks[g->deadlocks.members[begin + found]].head.name;

		if (a.len != b.len ? a.len < b.len : a.len > 0 && memcmp(a.data, b.data, a.len) < 0)
			found = i;
	}
	return found;
}

static void print_circle(struct out *o, const struct task_graph *g, size_t circle)
{
	size_t begin = task_graph_begin(g, circle), count = g->deadlocks.ends[circle] - begin, lowest = lowest_of(g, begin, count);
	enum report_sure sure = task_graph_sureness(g, circle);

	out_text(o, sure == REPORT_POSSIBLE ? "Possible deadlock: " : "Deadlock: ");
	if (count > 1)
		out_number(o, count);
	out_text(o, count == 1 ? "a task waits for itself" : " tasks wait for each other");
	if (sure == REPORT_POSSIBLE)
		out_text(o, is_timed(g, circle) ? ", until the time of a wait is up"
						: ", unless another task releases a lock that one of them has acquired");
	out_text(o, "\n");
	for (size_t i = 0; i < count && i < CIRCLE_SHOWN; i++) {
		uint32_t member = g->deadlocks.members[begin + (lowest + i) % count];

		out_text(o, "  ");
		tasks_name(o, g->dump, member);
		out_text(o, ": ");
		tasks_phrase(o, g->dump, member);
		out_text(o, "\n");
	}
	if (count > CIRCLE_SHOWN) {
		out_text(o, "  ... ");
		out_number(o, count - CIRCLE_SHOWN);
		out_text(o, " more of the same circle\n");
	}
}

static void print_circles(struct out *o, const struct task_graph *g)
{
	for (size_t i = 0; i < g->deadlocks.count; i++)
		print_circle(o, g, i);
	if (g->deadlocks.led_count == 0)
		return;
	out_text(o, "Tasks that wait for those in a deadlock, directly or not: ");
	for (size_t i = 0; i < g->deadlocks.led_count && i < LED_SHOWN; i++) {
		out_text(o, i > 0 ? ", " : "");
		tasks_name(o, g->dump, g->deadlocks.led_into[i]);
	}
	if (g->deadlocks.led_count > LED_SHOWN) {
		out_text(o, " and ");
		out_number(o, g->deadlocks.led_count - LED_SHOWN);
		out_text(o, " more");
	}
	out_text(o, "\n");
}

void tasks_report(struct out *o, const struct task_graph *g)
{
	for (size_t i = 0; i < g->dump->loop_count; i++)
		loops_print_one(o, g->dump, &g->dump->loops[i]);
	print_circles(o, g);
}

int tasks_print_circles(struct out *o, const struct dump *dump)
{
	struct task_graph g;
	int rc = task_graph_open(&g, dump);

	if (rc == 0)
		print_circles(o, &g);
	task_graph_close(&g);
	return rc;
}

/* --- the short form --- */

/* Tasks that are alike, by the first of them. */
struct group {
	uint64_t likeness;
	uint32_t first, count;
};

static int by_likeness(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->likeness != y->likeness)
		return x->likeness < y->likeness ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

static int by_count(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

static void print_group(struct out *o, const struct dump *dump, const struct group *g)
{
	const struct dump_task *t = &dump->tasks[g->first];

	out_text(o, "  ");
	if (g->count > 1) {
		out_number(o, g->count);
		out_text(o, " x ");
		out_safe(o, t->head.coroutine, TEXT_LINE);
		out_text(o, "()");
	} else {
		tasks_name(o, dump, g->first);
	}
	out_text(o, ": ");
	tasks_phrase(o, dump, g->first);
	out_text(o, "\n");
	task_tree_place(o, dump, t, "    ");
}

static size_t find_groups(const struct task_graph *graph, struct group *groups)
{
	size_t n = graph->dump->task_count, kept = 0;

	for (size_t i = 0; i < n; i++)
		groups[i] = (struct group){graph->likeness[i], (uint32_t)i, 1};
	qsort(groups, n, sizeof *groups, by_likeness);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && groups[kept - 1].likeness == groups[i].likeness)
			groups[kept - 1].count++;
		else
			groups[kept++] = groups[i];
	}
	qsort(groups, kept, sizeof *groups, by_count);
	return kept;
}

int tasks_print_short(struct out *o, const struct dump *dump, const struct print_options *po)
{
	struct task_graph g;
	struct group *groups;
	size_t count;
	int rc;

	if (dump->loop_count + dump->task_count == 0 || po->view.thread_count > 0)
		return 0;
	rc = task_graph_open(&g, dump);
	groups = malloc((dump->task_count + 1) * sizeof *groups);
	if (rc == 0 && groups != NULL) {
		out_text(o, "\n");
		tasks_summary(o, dump);
		out_text(o, " (--tasks shows them as a tree)\n");
		for (size_t i = 0; i < dump->loop_count; i++)
			loops_print_one(o, dump, &dump->loops[i]);
		count = find_groups(&g, groups);
		for (size_t i = 0; i < count && i < GROUPS_SHOWN; i++)
			print_group(o, dump, &groups[i]);
		if (count > GROUPS_SHOWN) {
			out_text(o, "  ... ");
			out_number(o, count - GROUPS_SHOWN);
			out_text(o, " more kinds of tasks\n");
		}
	}
	rc = rc == 0 && groups == NULL ? PYSTUCK_ENOMEM : rc;
	free(groups);
	task_graph_close(&g);
	return rc;
}

int tasks_print(struct out *o, const struct dump *dump, const struct print_options *po)
{
	struct task_graph g;
	int rc = task_graph_open(&g, dump);

	if (rc == 0) {
		if (!dump->has_tasks)
			out_text(o, "tasks are not known without the GIL");
		else if (!(dump->tasks_head.flags & TASKS_IMPORTED))
			out_text(o, "the program has not imported asyncio: it has no tasks");
		else
			tasks_summary(o, dump);
		out_text(o, "\n");
		tasks_report(o, &g);
		rc = task_tree_print(o, &g, po);
	}
	task_graph_close(&g);
	return rc != 0 ? rc : o->error;
}
