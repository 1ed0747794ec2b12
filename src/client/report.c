/*
 * report.c: the top of a dump. What one thread waits for is waits.c's, circles are deadlock.c's.
 */
#include "report.h"

#include <stdlib.h>
#include <string.h>

#include "waits.h"

#define GROUPS_MAX 32 /* different things that threads do, in the summary; the rest is counted together */

/* --- circles --- */

/* Only what is proved makes a circle: each waits for this very object, and none of them has run meanwhile. */
static int is_certain(const struct dump_thread *t)
{
	const uint8_t wanted = WAIT_PROVED | WAIT_STILL;

	return (t->wait.flags & wanted) == wanted && t->wait.confidence != WAIT_UNKNOWN && t->holder != DUMP_NOBODY &&
	       (t->wait.kind == WAIT_FOR_LOCK || t->wait.kind == WAIT_FOR_JOIN || t->wait.kind == WAIT_FOR_FUTURE ||
		       t->wait.kind == WAIT_FOR_IMPORT);
}

int report_open(struct report *r, const struct dump *dump)
{
	uint32_t *to = malloc((dump->thread_count + 1) * sizeof *to);
	int rc = PYSTUCK_ENOMEM;

	*r = (struct report){.dump = dump};
	if (to == NULL)
		return rc;
	for (size_t i = 0; i < dump->thread_count; i++)
		to[i] = is_certain(&dump->threads[i]) ? dump->threads[i].holder : DEADLOCK_NOBODY;
	rc = deadlock_find(&r->deadlocks, to, dump->thread_count);
	free(to);
	return rc;
}

void report_close(struct report *r)
{
	deadlock_free(&r->deadlocks);
}

size_t report_begin(const struct report *r, size_t circle)
{
	return circle > 0 ? r->deadlocks.ends[circle - 1] : 0;
}

uint32_t report_before(const struct report *r, size_t circle, size_t member)
{
	size_t begin = report_begin(r, circle);

	return r->deadlocks.members[member > begin ? member - 1 : r->deadlocks.ends[circle] - 1];
}

enum report_sure report_sureness(const struct report *r, size_t circle)
{
	enum report_sure sure = REPORT_KNOWN;

	for (size_t i = report_begin(r, circle); i < r->deadlocks.ends[circle]; i++) {
		const struct msg_dump_wait *w = &r->dump->threads[r->deadlocks.members[i]].wait;

		if ((w->flags & WAIT_TIMED) || w->confidence == WAIT_CALLED)
			return REPORT_POSSIBLE;
		if (w->confidence != WAIT_KNOWN)
			sure = REPORT_INFERRED;
	}
	return sure;
}

/* Does one of the waits end by itself? */
static int is_timed(const struct report *r, size_t circle)
{
	for (size_t i = report_begin(r, circle); i < r->deadlocks.ends[circle]; i++)
		if (r->dump->threads[r->deadlocks.members[i]].wait.flags & WAIT_TIMED)
			return 1;
	return 0;
}

const char *report_sure_name(enum report_sure sure)
{
	switch (sure) {
	case REPORT_KNOWN:
		return "known";
	case REPORT_INFERRED:
		return "inferred";
	default:
		return "possible";
	}
}

static void print_name(struct out *o, const struct dump_thread *t)
{
	out_safe(o, waits_thread_name(t), TEXT_LINE);
	if (t->head.tid != 0) {
		out_text(o, " (tid ");
		out_number(o, t->head.tid);
		out_text(o, ")");
	}
}

/* A pool's threads that all wait for what only they could do. */
static int is_pool(const struct report *r, size_t begin, size_t count)
{
	for (size_t i = begin; i < begin + count; i++) {
		const struct msg_dump_wait *w = &r->dump->threads[r->deadlocks.members[i]].wait;

		if (w->kind != WAIT_FOR_FUTURE || !(w->flags & WAIT_COUNT))
			return 0;
	}
	return 1;
}

static void print_kind(struct out *o, const struct report *r, size_t begin, size_t count)
{
	if (is_pool(r, begin, count)) {
		out_text(o, "a thread pool waits for itself: ");
		if (count > 1)
			out_number(o, count);
		out_text(o, count == 1 ? "its only thread waits for what only it could run"
				       : " threads, all that it has, wait for what only they could run");
	} else if (count == 1) {
		out_text(o, "a thread waits for itself");
	} else {
		out_number(o, count);
		out_text(o, " threads wait for each other");
	}
}

static void print_circle(struct out *o, const struct report *r, size_t circle)
{
	size_t begin = report_begin(r, circle), count = r->deadlocks.ends[circle] - begin;
	enum report_sure sure = report_sureness(r, circle);

	out_text(o, sure == REPORT_POSSIBLE ? "Possible deadlock: " : "Deadlock: ");
	print_kind(o, r, begin, count);
	if (sure == REPORT_POSSIBLE)
		out_text(o, is_timed(r, circle) ? ", until the time of a wait is up"
						: ", unless another thread releases a lock that one of them has acquired");
	out_text(o, "\n");
	for (size_t i = begin; i < begin + count; i++) {
		const struct dump_thread *t = &r->dump->threads[r->deadlocks.members[i]];

		out_text(o, "  ");
		print_name(o, t);
		out_text(o, ": ");
		(void)waits_print(o, r->dump, t);
		out_text(o, "\n");
	}
}

static void print_led(struct out *o, const struct report *r)
{
	if (r->deadlocks.led_count == 0)
		return;
	out_text(o, "Waiting for those in a deadlock, directly or not: ");
	for (size_t i = 0; i < r->deadlocks.led_count; i++) {
		out_text(o, i > 0 ? ", " : "");
		print_name(o, &r->dump->threads[r->deadlocks.led_into[i]]);
	}
	out_text(o, "\n");
}

static void print_ended(struct out *o, const struct report *r)
{
	for (size_t i = 0; i < r->dump->thread_count; i++) {
		const struct dump_thread *t = &r->dump->threads[i];

		if (!(t->wait.flags & WAIT_ENDED))
			continue;
		out_text(o, "Stuck: ");
		print_name(o, t);
		out_text(o, ": ");
		(void)waits_print(o, r->dump, t);
		out_text(o, "\n");
	}
}

void report_deadlocks(struct out *o, const struct report *r)
{
	for (size_t i = 0; i < r->deadlocks.count; i++)
		print_circle(o, r, i);
	print_led(o, r);
	print_ended(o, r);
}

/* --- the summary --- */

/* What some threads do, by one of them. */
struct group {
	const struct dump_thread *t;
	size_t count;
	int apart; /* each waits for another object that is called the same */
};

static int same_text(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static int same_doing(const struct dump_thread *a, const struct dump_thread *b)
{
	if (a->head.state != b->head.state)
		return 0;
	if (a->head.state == STATE_LOCK)
		return a->wait.kind == b->wait.kind && same_text(a->wait.type, b->wait.type) &&
		       same_text(a->wait.name, b->wait.name) && a->holder == b->holder &&
		       (a->wait.address == 0) == (b->wait.address == 0);
	if (a->head.state == STATE_IO)
		return same_text(a->wait.call, b->wait.call) && same_text(a->head.detail, b->head.detail);
	return 1;
}

static void print_lock(struct out *o, const struct dump *dump, const struct dump_thread *t, int apart)
{
	static const char *const what[] = {
		[WAIT_FOR_NONE] = "waiting for a lock",
		[WAIT_FOR_LOCK] = "waiting for lock",
		[WAIT_FOR_JOIN] = "waiting for the end of a thread",
		[WAIT_FOR_FUTURE] = "waiting for future",
		[WAIT_FOR_QUEUE] = "waiting for queue",
		[WAIT_FOR_IMPORT] = "waiting for the import of",
	};
	const struct msg_dump_wait *w = &t->wait;

	if (w->kind >= sizeof what / sizeof *what) {
		out_text(o, what[WAIT_FOR_NONE]);
		return;
	}
	if (w->kind == WAIT_FOR_LOCK && w->type.len > 0 && waits_word(w) != NULL)
		out_text(o, waits_word(w));
	else
		out_text(o, w->kind == WAIT_FOR_LOCK && w->address == 0 ? what[WAIT_FOR_NONE] : what[w->kind]);
	if (apart && w->kind != WAIT_FOR_IMPORT)
		out_text(o, "s");
	if (w->name.len > 0 && w->kind != WAIT_FOR_JOIN) {
		out_text(o, " '");
		out_safe(o, w->name, TEXT_LINE);
		out_text(o, "'");
	}
	if (t->holder != DUMP_NOBODY && w->kind != WAIT_FOR_JOIN) {
		out_text(o, w->kind != WAIT_FOR_FUTURE ? " (held by " : w->flags & WAIT_COUNT ? " (queued behind " : " (run by ");
		out_safe(o, waits_thread_name(&dump->threads[t->holder]), TEXT_LINE);
		out_text(o, ")");
	}
}

static void print_doing(struct out *o, const struct dump *dump, const struct group *g)
{
	const struct dump_thread *t = g->t;
	uint8_t state = t->head.state;

	if (state == STATE_LOCK) {
		print_lock(o, dump, t, g->apart);
	} else if (state == STATE_IO && t->wait.call.len > 0) {
		out_text(o, "in ");
		out_safe(o, t->wait.call, TEXT_LINE);
	} else if (state == STATE_IO && t->head.detail.len > 0) {
		out_safe(o, t->head.detail, TEXT_LINE);
	} else if (state == STATE_IO) {
		out_text(o, "in I/O");
	} else {
		out_text(o, state == STATE_SLEEP ? "asleep" : waits_state(state));
	}
}

/* On CPU first, then who waits for locks, the most first. */
static int by_weight(const void *a, const void *b)
{
	static const int weights[] = {[STATE_UNKNOWN] = 9, [STATE_CPU] = 0, [STATE_GIL] = 1, [STATE_LOCK] = 3, [STATE_SLEEP] = 7,
		[STATE_IO] = 4, [STATE_CHILD] = 5, [STATE_C] = 6, [STATE_GC] = 2, [STATE_IDLE] = 8};
	const struct group *x = a, *y = b;
	int wx = weights[x->t->head.state], wy = weights[y->t->head.state];

	if (wx != wy)
		return wx - wy;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return x->t < y->t ? -1 : x->t > y->t;
}

void report_summary(struct out *o, const struct report *r)
{
	const struct dump *dump = r->dump;
	struct group groups[GROUPS_MAX] = {{NULL, 0, 0}};
	size_t n = 0, more = 0, total = dump->thread_count + dump->end.omitted_threads;

	for (size_t i = 0; i < dump->thread_count; i++) {
		size_t g = 0;

		while (g < n && !same_doing(groups[g].t, &dump->threads[i]))
			g++;
		if (g == GROUPS_MAX) {
			more++;
			continue;
		}
		if (g == n)
			groups[n++] = (struct group){&dump->threads[i], 0, 0};
		groups[g].count++;
		groups[g].apart |= groups[g].t->wait.address != dump->threads[i].wait.address;
	}
	qsort(groups, n, sizeof *groups, by_weight);
	out_number(o, total);
	out_text(o, total == 1 ? " thread" : " threads");
	for (size_t g = 0; g < n; g++) {
		out_text(o, g == 0 ? ": " : ", ");
		out_number(o, groups[g].count);
		out_text(o, " ");
		print_doing(o, dump, &groups[g]);
	}
	if (more > 0) {
		out_text(o, ", ");
		out_number(o, more);
		out_text(o, " doing something else");
	}
	if (dump->end.omitted_threads > 0) {
		out_text(o, ", ");
		out_number(o, dump->end.omitted_threads);
		out_text(o, " left out");
	}
}
