/*
 * view.c: chooses threads of a dump, sorts them and finds those that stand in the same place. Prints nothing.
 */
#include "view.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "waits.h"

#define NAME_BYTES (MSG_NAME_MAX + 1)
#define NO_BLOCK SIZE_MAX
#define TENTH_US 100000u /* what times are told to: who has waited as long stands in the order of age */

/* --- which ones --- */

/* A number that is all of the word; 0: it is none, or no thread's. */
static uint64_t number_of(const char *word)
{
	char *end = NULL;
	int hex = word[0] == '0' && (word[1] == 'x' || word[1] == 'X');

	if (*word < '0' || *word > '9')
		return 0;
	errno = 0;
	unsigned long long v = strtoull(word, &end, hex ? 16 : 10);
	return errno == 0 && *end == '\0' ? v : 0;
}

int view_means(const struct dump_thread *t, const char *word)
{
	struct span name = waits_thread_name(t);
	uint64_t number = number_of(word);
	char text[NAME_BYTES];
	size_t len = name.len < NAME_BYTES ? name.len : NAME_BYTES - 1;

	if (number != 0 && (number == t->head.tid || number == t->head.ident))
		return 1;
	memcpy(text, name.data, len);
	text[len] = '\0';
	/* A name may have brackets in it: as it stands it means itself. */
	return strcmp(text, word) == 0 || fnmatch(word, text, 0) == 0;
}

int view_means_any(const struct dump *dump, const char *word)
{
	for (size_t i = 0; i < dump->thread_count; i++)
		if (view_means(&dump->threads[i], word))
			return 1;
	for (size_t i = 0; i < dump->native_count; i++)
		if (view_means(&dump->natives[i], word))
			return 1;
	return 0;
}

int view_is_chosen(const struct view_options *o, const struct dump_thread *t)
{
	for (size_t i = 0; i < o->thread_count; i++)
		if (view_means(t, o->threads[i]))
			return 1;
	return o->thread_count == 0;
}

int view_is_native(const struct dump *dump, const struct dump_thread *t)
{
	return dump->begin.how != DUMP_HOW_OS && t->depth == 0 && t->head.omitted_frames == 0 && t->head.class_name.len == 0 &&
	       !(t->head.flags & THREAD_MAIN);
}

/* --- in what order --- */

enum rank { RANK_MAIN, RANK_STUCK, RANK_LED, RANK_WAITING, RANK_REST, RANK_IDLE };

struct place {
	enum rank rank;
	uint64_t order;  /* within the rank: the smaller first */
	uint32_t thread;
	uint64_t digest; /* the same for those that are the same */
	size_t block;
};

static enum rank rank_of(const struct dump_thread *t)
{
	if (t->head.flags & THREAD_MAIN)
		return RANK_MAIN;
	if (t->wait.flags & WAIT_ENDED)
		return RANK_STUCK;
	switch (t->head.state) {
	case STATE_GIL:
	case STATE_LOCK:
	case STATE_SLEEP:
	case STATE_IO:
	case STATE_CHILD:
		return RANK_WAITING;
	case STATE_IDLE:
		return RANK_IDLE;
	default:
		return RANK_REST;
	}
}

static void raise_rank(struct place *p, enum rank rank, uint64_t order)
{
	if (rank >= p->rank)
		return;
	p->rank = rank;
	p->order = order;
}

static void rank_all(struct place *places, const struct report *r)
{
	const struct deadlocks *d = &r->deadlocks;
	size_t members = d->count > 0 ? d->ends[d->count - 1] : 0;

	for (size_t i = 0; i < r->dump->thread_count; i++) {
		const struct dump_thread *t = &r->dump->threads[i];

		places[i] = (struct place){.rank = rank_of(t), .thread = (uint32_t)i, .order = UINT64_MAX, .block = NO_BLOCK};
		if (places[i].rank == RANK_WAITING && (t->wait.flags & WAIT_SINCE))
			places[i].order = UINT64_MAX - t->wait.waited_us / TENTH_US;
	}
	for (size_t i = 0; i < members; i++)
		raise_rank(&places[d->members[i]], RANK_STUCK, i);
	for (size_t i = 0; i < d->led_count; i++)
		raise_rank(&places[d->led_into[i]], RANK_LED, i);
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return x->thread < y->thread ? -1 : x->thread > y->thread;
}

/* --- which ones as one --- */

static int same_text(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* What a wait is for, without how long it has been going on. */
static int same_wait(const struct dump_thread *x, const struct dump_thread *y)
{
	const uint8_t told = WAIT_TIMED | WAIT_ENDED | WAIT_FD | WAIT_COUNT;
	const struct msg_dump_wait *a = &x->wait, *b = &y->wait;

	return x->has_wait == y->has_wait && a->kind == b->kind && (a->flags & told) == (b->flags & told) &&
	       a->confidence == b->confidence && a->address == b->address && a->holder == b->holder &&
	       a->holder_frame == b->holder_frame && a->holder_line == b->holder_line &&
	       (!(a->flags & WAIT_FD) || a->fd == b->fd) && (!(a->flags & WAIT_COUNT) || a->count == b->count) &&
	       a->pid == b->pid && same_text(a->call, b->call) && same_text(a->type, b->type) && same_text(a->name, b->name) &&
	       same_text(a->path, b->path) && same_text(a->local, b->local) && same_text(a->peer, b->peer) &&
	       same_text(a->command, b->command);
}

static int same_locals(const struct dump *dump, const struct dump_thread *x, const struct dump_thread *y)
{
	if (x->local_count != y->local_count)
		return 0;
	for (size_t i = 0; i < x->local_count; i++) {
		const struct dump_local *a = &dump->locals[x->first_local + i], *b = &dump->locals[y->first_local + i];

		if (a->frame != b->frame || !same_text(a->name, b->name) || !same_text(a->value, b->value))
			return 0;
	}
	return 1;
}

static int same(const struct dump *dump, const struct dump_thread *x, const struct dump_thread *y)
{
	const struct msg_dump_thread *a = &x->head, *b = &y->head;
	const uint8_t told = THREAD_MAIN | THREAD_MOVING;

	return x->interpreter == y->interpreter && a->state == b->state && (a->flags & told) == (b->flags & told) && a->omitted_frames == b->omitted_frames &&
	       x->depth == y->depth && (x->depth == 0 || memcmp(x->places, y->places, x->depth * sizeof *x->places) == 0) &&
	       same_text(a->detail, b->detail) && same_wait(x, y) && same_locals(dump, x, y);
}

static uint64_t mix(uint64_t digest, uint64_t v)
{
	return (digest ^ v) * 0x9E3779B97F4A7C15u;
}

static uint64_t digest_of(const struct dump_thread *t)
{
	uint64_t digest = mix(mix(t->head.state, t->depth), t->wait.address);

	for (size_t i = 0; i < t->depth; i++)
		digest = mix(digest, t->places[i]);
	return digest ^ digest >> 32;
}

/* A table of one member of each block, at most half full. */
struct slots {
	uint32_t *at;
	size_t mask;
};

/* The block of the thread at `at`: an older one, or `next`. */
static size_t find_block(const struct dump *dump, const struct place *places, size_t at, struct slots *slots,
	const struct moved_list *moved, size_t next)
{
	const struct dump_thread *t = &dump->threads[places[at].thread];
	size_t i = places[at].digest & slots->mask;

	for (; slots->at[i] != 0; i = (i + 1) & slots->mask) {
		const struct place *p = &places[slots->at[i] - 1];

		if (p->digest == places[at].digest && p->rank == places[at].rank && same(dump, t, &dump->threads[p->thread]) &&
			(moved == NULL || moved_alike(moved, p->thread, places[at].thread)))
			return p->block;
	}
	slots->at[i] = (uint32_t)at + 1;
	return next;
}

/* Gives each its block, in the order of their first ones. */
static int group(struct view *v, const struct dump *dump, struct place *places, size_t n, const struct view_options *o)
{
	struct slots slots;
	size_t size = 16;

	while (size < 2 * n)
		size *= 2;
	slots = (struct slots){calloc(size, sizeof *slots.at), size - 1};
	if (slots.at == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct dump_thread *t = &dump->threads[places[i].thread];

		places[i].digest = digest_of(t);
		places[i].block = v->block_count;
		if (!o->no_group && !(t->head.flags & THREAD_MAIN) && t->depth > 0)
			places[i].block = find_block(dump, places, i, &slots, o->moved, v->block_count);
		v->block_count += places[i].block == v->block_count;
		v->blocks[places[i].block].count++;
	}
	free(slots.at);
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Within a block they stand in the order of age. */
static void fill(struct view *v, const struct place *places, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < v->block_count; i++) {
		v->blocks[i].first = at;
		at += v->blocks[i].count;
		v->blocks[i].count = 0;
	}
	for (size_t i = 0; i < n; i++) {
		struct view_block *b = &v->blocks[places[i].block];

		v->members[b->first + b->count++] = places[i].thread;
	}
	for (size_t i = 0; i < v->block_count; i++)
		qsort(v->members + v->blocks[i].first, v->blocks[i].count, sizeof *v->members, by_number);
	v->shown = at;
}

int view_open(struct view *v, const struct report *r, const struct view_options *o)
{
	size_t all = r->dump->thread_count, n = 0;
	struct place *places = calloc(all + 1, sizeof *places);
	int rc = PYSTUCK_ENOMEM;

	*v = (struct view){.members = calloc(all + 1, sizeof *v->members), .blocks = calloc(all + 1, sizeof *v->blocks)};
	if (places == NULL || v->members == NULL || v->blocks == NULL)
		goto out;
	rank_all(places, r);
	for (size_t i = 0; i < all; i++)
		if (view_is_chosen(o, &r->dump->threads[i]) && !view_is_native(r->dump, &r->dump->threads[i]))
			places[n++] = places[i];
	qsort(places, n, sizeof *places, by_place);
	rc = group(v, r->dump, places, n, o);
	if (rc == 0)
		fill(v, places, n);
out:
	free(places);
	return rc;
}

void view_close(struct view *v)
{
	free(v->members);
	free(v->blocks);
	memset(v, 0, sizeof *v);
}
