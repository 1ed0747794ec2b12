/*
 * locks.c: sorts threads by what they wait for. Circles are report.c's.
 */
#include "locks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "report.h"
#include "waits.h"

#define ADDRESS_BYTES 24
#define MOMENT_US 1000000u /* what is less is not worth the room */

struct waiter {
	const struct dump_thread *t;
};

/* Those who wait for one lock. */
struct lock {
	const struct waiter *waiters;
	size_t count;
};

static int is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static int is_file_lock(const struct msg_dump_wait *w)
{
	return w->kind == WAIT_FOR_IO && (is(w->call, "flock") || is(w->call, "fcntl"));
}

static int waits_for_lock(const struct dump_thread *t)
{
	if (!t->has_wait || t->head.state == STATE_IDLE)
		return 0;
	return t->wait.kind == WAIT_FOR_LOCK || t->wait.kind == WAIT_FOR_FUTURE || t->wait.kind == WAIT_FOR_QUEUE ||
	       t->wait.kind == WAIT_FOR_IMPORT || is_file_lock(&t->wait);
}

static int compare_text(struct span a, struct span b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.data, b.data, n) : 0;

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* 0: the same lock. By its address where it has one, since threads may have different names for it. */
static int compare_locks(const struct msg_dump_wait *a, const struct msg_dump_wait *b)
{
	int order;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	if (a->address != 0)
		return 0;
	order = compare_text(a->path, b->path);
	if (order == 0)
		order = compare_text(a->type, b->type);
	return order != 0 ? order : compare_text(a->name, b->name);
}

/* By their locks; of one lock the one that has waited the longest first. */
static int by_lock(const void *left, const void *right)
{
	const struct dump_thread *a = ((const struct waiter *)left)->t, *b = ((const struct waiter *)right)->t;
	int order = compare_locks(&a->wait, &b->wait);

	if (order != 0)
		return order;
	if (a->wait.waited_us != b->wait.waited_us)
		return a->wait.waited_us > b->wait.waited_us ? -1 : 1;
	return a < b ? -1 : a > b;
}

static int by_waiters(const void *left, const void *right)
{
	const struct lock *a = left, *b = right;

	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return by_lock(&a->waiters[0], &b->waiters[0]);
}

/* --- words --- */

static void put_thread(struct out *o, const struct dump_thread *t)
{
	out_safe(o, waits_thread_name(t), TEXT_LINE);
	out_text(o, " (tid ");
	out_number(o, t->head.tid);
	out_text(o, ")");
}

static const char *kind_word(const struct msg_dump_wait *w)
{
	switch (w->kind) {
	case WAIT_FOR_FUTURE:
		return "future";
	case WAIT_FOR_QUEUE:
		return "queue";
	case WAIT_FOR_IMPORT:
		return "import";
	case WAIT_FOR_IO:
		return "file lock";
	default:
		return "lock";
	}
}

/* "lock 'pool.cond', Condition at 0x7f12", whatever of it is known. */
static void put_lock(struct out *o, const struct msg_dump_wait *w)
{
	char address[ADDRESS_BYTES];

	out_text(o, kind_word(w));
	if (w->kind == WAIT_FOR_IO) {
		out_text(o, " ");
		out_safe(o, w->path, TEXT_LINE);
		return;
	}
	if (w->name.len > 0) {
		out_text(o, " '");
		out_safe(o, w->name, TEXT_LINE);
		out_text(o, "'");
	}
	if (w->type.len > 0) {
		out_text(o, ", ");
		out_safe(o, w->type, TEXT_LINE);
	}
	if (w->address != 0) {
		snprintf(address, sizeof address, " at 0x%llx", (unsigned long long)w->address);
		out_text(o, address);
	} else if (w->name.len == 0) {
		out_text(o, ", not known which");
	}
}

static void put_place(struct out *o, const struct dump *dump, const struct dump_thread *holder, const struct msg_dump_wait *w)
{
	const struct dump_place *p = &dump->places[holder->places[w->holder_frame]];

	out_text(o, " at ");
	out_safe(o, dump->codes[p->code].file, TEXT_LINE);
	out_text(o, ":");
	out_number(o, w->holder_line != 0 ? w->holder_line : p->line);
}

static void put_holder(struct out *o, const struct dump *dump, const struct dump_thread *t)
{
	const struct msg_dump_wait *w = &t->wait;

	if (w->flags & WAIT_ENDED) {
		out_text(o, "held by a thread that has ended");
	} else if (is_file_lock(w) && w->pid != 0) {
		out_text(o, "held by pid ");
		out_number(o, w->pid);
		out_text(o, " ");
		out_safe(o, w->command, TEXT_LINE);
	} else if (t->holder != DUMP_NOBODY) {
		out_text(o, w->kind == WAIT_FOR_FUTURE ? "run by " : "held by ");
		put_thread(o, &dump->threads[t->holder]);
		if (w->holder_frame != WAIT_FRAME_NONE)
			put_place(o, dump, &dump->threads[t->holder], w);
		out_text(o, ", ");
		out_text(o, confidence_name(w->confidence));
	} else if (w->holder != 0) {
		out_text(o, "held by thread ");
		out_number(o, w->holder);
		out_text(o, ", ");
		out_text(o, confidence_name(w->confidence));
	} else {
		out_text(o, "holder unknown");
	}
}

static int rank(const struct waiter *w)
{
	static const int ranks[] = {[WAIT_UNKNOWN] = 0, [WAIT_CALLED] = 1, [WAIT_INFERRED] = 2, [WAIT_KNOWN] = 3};

	return ranks[w->t->wait.confidence];
}

/* Who says most of the holder: each waiter was looked at by itself. */
static const struct dump_thread *best_informed(const struct lock *l)
{
	const struct waiter *best = &l->waiters[0];

	for (size_t i = 1; i < l->count; i++)
		if (rank(&l->waiters[i]) > rank(best))
			best = &l->waiters[i];
	return best->t;
}

static void put_waiters(struct out *o, const struct lock *l)
{
	out_number(o, l->count);
	out_text(o, l->count == 1 ? " waits: " : " wait: ");
	for (size_t i = 0; i < l->count; i++) {
		const struct msg_dump_wait *w = &l->waiters[i].t->wait;

		out_text(o, i > 0 ? ", " : "");
		put_thread(o, l->waiters[i].t);
		if ((w->flags & WAIT_SINCE) && w->waited_us >= MOMENT_US) {
			out_text(o, " for ");
			waits_duration(o, w->waited_us);
		}
	}
}

static void print_lock(struct out *o, const struct dump *dump, const struct lock *l, int color)
{
	out_text(o, color ? "\033[1m" : "");
	put_lock(o, &l->waiters[0].t->wait);
	out_text(o, color ? "\033[0m" : "");
	out_text(o, "\n  ");
	put_holder(o, dump, best_informed(l));
	out_text(o, "\n  ");
	put_waiters(o, l);
	out_text(o, "\n");
}

/* --- all of them --- */

static int print_deadlocks(struct out *o, const struct dump *dump)
{
	struct report r;
	int rc = report_open(&r, dump);

	if (rc == 0)
		report_deadlocks(o, &r);
	report_close(&r);
	return rc;
}

/* How many locks. */
static size_t sort(struct lock *locks, struct waiter *waiters, const struct dump *dump)
{
	size_t n = 0, count = 0;

	for (size_t i = 0; i < dump->thread_count; i++)
		if (waits_for_lock(&dump->threads[i]))
			waiters[n++].t = &dump->threads[i];
	qsort(waiters, n, sizeof *waiters, by_lock);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || compare_locks(&waiters[i - 1].t->wait, &waiters[i].t->wait) != 0)
			locks[count++] = (struct lock){.waiters = waiters + i};
		locks[count - 1].count++;
	}
	qsort(locks, count, sizeof *locks, by_waiters);
	return count;
}

int locks_print(struct out *o, const struct dump *dump, const struct print_options *po)
{
	struct lock *locks = calloc(dump->thread_count + 1, sizeof *locks);
	struct waiter *waiters = calloc(dump->thread_count + 1, sizeof *waiters);
	int rc = locks != NULL && waiters != NULL ? print_deadlocks(o, dump) : PYSTUCK_ENOMEM;

	if (rc == 0) {
		size_t count = sort(locks, waiters, dump);

		if (count == 0)
			out_text(o, "no thread waits for a lock\n");
		for (size_t i = 0; i < count; i++)
			print_lock(o, dump, &locks[i], po->color);
	}
	free(locks);
	free(waiters);
	return rc != 0 ? rc : o->error;
}
