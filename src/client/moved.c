/*
 * moved.c: compares two dumps, thread by thread. Who is who is told by ident and tid, where a frame is by the texts of file and
 * function: the numbers of codes and places are of one dump only.
 */
#include "moved.h"

#include <stdlib.h>
#include <string.h>

#include "waits.h"

#define NAME_BASIS 0xcbf29ce484222325u /* FNV-1a */
#define NAME_PRIME 0x100000001b3u
#define PERCENT 10u /* permille */
#define MOVED_TICK_US 100000u /* what times of waits are told to, at the worst */

void moved_free(struct moved_list *list)
{
	free(list->at);
	*list = (struct moved_list){.at = NULL};
}

/* --- who is who --- */

struct known_thread {
	uint64_t ident;
	uint32_t tid, thread;
};

static int by_numbers(const void *a, const void *b)
{
	const struct known_thread *x = a, *y = b;

	if (x->ident != y->ident)
		return x->ident < y->ident ? -1 : 1;
	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* By what it is known. Names as a digest: of those who share one any is meant. */
static struct known_thread key_of(const struct dump_thread *t, uint32_t number, enum moved_by by)
{
	struct known_thread k = {t->head.ident, t->head.tid, number};
	struct span name = waits_thread_name(t);

	if (by == MOVED_BY_NUMBER)
		return k;
	k.tid = 0;
	k.ident = NAME_BASIS;
	for (size_t i = 0; i < name.len; i++)
		k.ident = (k.ident ^ name.data[i]) * NAME_PRIME;
	return k;
}

/* The threads of a dump, to be searched. NULL: no memory. */
static struct known_thread *index_threads(const struct dump *dump, enum moved_by by)
{
	struct known_thread *all = calloc(dump->thread_count + 1, sizeof *all);

	if (all == NULL)
		return NULL;
	for (size_t i = 0; i < dump->thread_count; i++)
		all[i] = key_of(&dump->threads[i], (uint32_t)i, by);
	qsort(all, dump->thread_count, sizeof *all, by_numbers);
	return all;
}

/* --- what became of it --- */

static int same_text(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static int same_place(const struct dump *x, uint32_t a, const struct dump *y, uint32_t b)
{
	const struct dump_place *p = &x->places[a], *q = &y->places[b];

	return p->line == q->line && same_text(x->codes[p->code].function, y->codes[q->code].function) &&
	       same_text(x->codes[p->code].file, y->codes[q->code].file);
}

static uint32_t common_frames(const struct dump *x, const struct dump_thread *a, const struct dump *y, const struct dump_thread *b)
{
	uint32_t n = 0;

	while (n < a->depth && n < b->depth && same_place(x, a->places[n], y, b->places[n]))
		n++;
	return n;
}

/* Waits that went on all the time: whoever waits less long than the time between has begun anew. */
static int waits_anew(const struct msg_dump_wait *w, uint64_t between_us)
{
	/* What is told of a wait may be rounded to the ticks of the kernel's clock. */
	return (w->flags & WAIT_SINCE) && w->waited_us + MOVED_TICK_US < between_us;
}

static struct moved compare(const struct dump *before, const struct dump_thread *a, const struct moved *known,
	const struct dump *now, const struct dump_thread *b, uint64_t between_us)
{
	struct moved m = {.kind = MOVED_STILL, .common = common_frames(before, a, now, b)};
	uint8_t both = a->wait.flags & b->wait.flags;
	uint64_t ran = b->wait.cpu_us >= a->wait.cpu_us ? b->wait.cpu_us - a->wait.cpu_us : 0;

	int known_cpu = (both & WAIT_CPU) && between_us > 0;
	if (known_cpu)
		m.permille = (uint32_t)(ran < between_us ? ran * 1000 / between_us : 1000);
	if (m.common < a->depth || m.common < b->depth || a->head.omitted_frames != b->head.omitted_frames)
		m.kind = MOVED_ON;
	else if ((known_cpu && ran > 0) || b->head.state == STATE_CPU || waits_anew(&b->wait, between_us))
		m.kind = MOVED_RAN;
	if (m.kind != MOVED_STILL)
		return m;
	m.still_us = between_us + (known != NULL && known->kind == MOVED_STILL ? known->still_us : 0);
	/* The program knows of a time before the first look. */
	if ((b->wait.flags & WAIT_SINCE) && b->wait.waited_us > m.still_us)
		m.still_us = b->wait.waited_us;
	return m;
}

int moved_compare(struct moved_list *list, const struct dump *before, const struct moved_list *known, const struct dump *now,
	uint64_t between_us, enum moved_by by)
{
	struct known_thread *all = index_threads(before, by);
	size_t stayed = 0;

	*list = (struct moved_list){.at = calloc(now->thread_count + 1, sizeof *list->at), .count = now->thread_count};
	if (list->at == NULL || all == NULL) {
		free(all);
		return PYSTUCK_ENOMEM;
	}
	for (size_t i = 0; i < now->thread_count; i++) {
		const struct dump_thread *t = &now->threads[i];
		const struct known_thread wanted = key_of(t, 0, by),
					  *found = bsearch(&wanted, all, before->thread_count, sizeof *all, by_numbers);

		list->at[i] = (struct moved){.kind = MOVED_NEW};
		if (found != NULL) {
			const struct moved *of = known != NULL && found->thread < known->count ? &known->at[found->thread] : NULL;

			list->at[i] = compare(before, &before->threads[found->thread], of, now, t, between_us);
			stayed++;
		}
		list->counts[list->at[i].kind]++;
	}
	list->ended = before->thread_count > stayed ? before->thread_count - stayed : 0;
	free(all);
	return 0;
}

int moved_each_ended(const struct dump *before, const struct dump *now, enum moved_by by,
	void (*each)(void *context, const struct dump_thread *t), void *context)
{
	struct known_thread *all = index_threads(now, by);

	if (all == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < before->thread_count; i++) {
		const struct known_thread wanted = key_of(&before->threads[i], 0, by);

		if (bsearch(&wanted, all, now->thread_count, sizeof *all, by_numbers) == NULL)
			each(context, &before->threads[i]);
	}
	free(all);
	return 0;
}

int moved_alike(const struct moved_list *list, uint32_t a, uint32_t b)
{
	return list->at[a].kind == list->at[b].kind && list->at[a].common == list->at[b].common;
}

/* --- in words --- */

const char *moved_color(enum moved_kind kind)
{
	static const char *const colors[MOVED_KINDS] = {
		[MOVED_NEW] = "\033[36m", [MOVED_ON] = "\033[32m", [MOVED_RAN] = "\033[33m", [MOVED_STILL] = "\033[31m"};

	return colors[kind];
}

void moved_words(struct out *o, const struct moved_list *list, const uint32_t *members, size_t count)
{
	static const char *const words[MOVED_KINDS] = {
		[MOVED_NEW] = "+ new", [MOVED_ON] = "> moved", [MOVED_RAN] = "~ ran", [MOVED_STILL] = "= still"};
	struct moved least = list->at[members[0]];

	for (size_t i = 1; i < count; i++) {
		const struct moved *m = &list->at[members[i]];

		least.still_us = m->still_us < least.still_us ? m->still_us : least.still_us;
		least.permille = m->permille < least.permille ? m->permille : least.permille;
	}
	out_text(o, words[least.kind]);
	if (least.kind == MOVED_STILL && least.still_us > 0) {
		out_text(o, " ");
		waits_duration(o, least.still_us);
	}
	if (least.permille < PERCENT)
		return;
	out_text(o, ", CPU ");
	out_number(o, least.permille / PERCENT);
	out_text(o, " %");
}

void moved_summary(struct out *o, const struct moved_list *list)
{
	static const struct {
		enum moved_kind kind;
		const char *word;
	} rows[] = {{MOVED_ON, " moved"}, {MOVED_RAN, " ran"}, {MOVED_STILL, " still"}, {MOVED_NEW, " new"}};
	const char *comma = "";

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (list->counts[rows[i].kind] == 0)
			continue;
		out_text(o, comma);
		out_number(o, list->counts[rows[i].kind]);
		out_text(o, rows[i].word);
		comma = ", ";
	}
	if (list->ended > 0) {
		out_text(o, comma);
		out_number(o, list->ended);
		out_text(o, " ended");
	}
}
