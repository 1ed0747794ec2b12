/*
 * alike.c: a digest of a dump that is the same for processes in the same place. Threads of one process are compared by view.c, which
 * is stricter: there addresses mean something.
 */
#include "alike.h"

#include "waits.h"

#define ALIKE_BASIS 0xcbf29ce484222325u /* FNV-1a */
#define ALIKE_PRIME 0x100000001b3u

static uint64_t mix_byte(uint64_t digest, uint8_t byte)
{
	return (digest ^ byte) * ALIKE_PRIME;
}

static uint64_t mix_number(uint64_t digest, uint64_t v)
{
	for (int i = 0; i < 8; i++, v >>= 8)
		digest = mix_byte(digest, (uint8_t)v);
	return digest;
}

static uint64_t mix_text(uint64_t digest, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		digest = mix_byte(digest, s.data[i]);
	return mix_number(digest, s.len);
}

static int is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* A name, in which all numbers are the same one. */
static uint64_t mix_name(uint64_t digest, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_digit(s.data[i]))
			digest = mix_byte(digest, s.data[i]);
		else if (i == 0 || !is_digit(s.data[i - 1]))
			digest = mix_byte(digest, '0');
	return mix_byte(digest, 0);
}

static uint64_t mix_places(uint64_t digest, const struct dump *dump, const uint32_t *places, size_t depth)
{
	for (size_t i = 0; i < depth; i++) {
		const struct dump_place *p = &dump->places[places[i]];

		digest = mix_text(digest, dump->codes[p->code].file);
		digest = mix_text(digest, dump->codes[p->code].function);
		digest = mix_number(digest, p->line);
	}
	return digest;
}

static uint64_t of_thread(const struct dump *dump, const struct dump_thread *t)
{
	uint64_t digest = mix_name(ALIKE_BASIS, waits_thread_name(t));

	digest = mix_text(digest, t->head.class_name);
	digest = mix_number(digest, t->head.state);
	digest = mix_number(digest, t->wait.kind);
	digest = mix_text(digest, t->wait.type);
	digest = mix_text(digest, t->wait.name);
	digest = mix_text(digest, t->wait.call);
	digest = mix_number(digest, t->head.omitted_frames);
	return mix_places(digest, dump, t->places, t->depth);
}

static uint64_t of_greenlet(const struct dump *dump, const struct dump_greenlet *g)
{
	uint64_t digest = mix_name(ALIKE_BASIS, g->head.name);

	digest = mix_text(digest, g->head.type);
	digest = mix_number(digest, g->head.state);
	digest = mix_number(digest, g->head.wait);
	digest = mix_text(digest, g->head.object_type);
	return mix_places(digest, dump, g->places, g->depth);
}

static uint64_t of_task(const struct dump *dump, const struct dump_task *t)
{
	uint64_t digest = mix_text(ALIKE_BASIS, t->head.coroutine);

	digest = mix_number(digest, t->head.state);
	digest = mix_number(digest, t->head.kind);
	return mix_places(digest, dump, t->places, t->depth);
}

/* splitmix64's finalizer: sums of what it gives say as much as a sorted list. */
static uint64_t spread(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void add(struct alike *a, uint64_t digest)
{
	a->digest[0] += spread(digest);
	a->digest[1] += spread(digest ^ 0x9e3779b97f4a7c15u);
}

struct alike alike_of(const struct dump *dump)
{
	struct alike a = {.threads = dump->thread_count};
	const struct dump *suspended = dump->suspended;

	for (size_t i = 0; i < dump->thread_count; i++)
		add(&a, of_thread(dump, &dump->threads[i]));
	for (size_t i = 0; i < dump->task_count; i++)
		add(&a, of_task(dump, &dump->tasks[i]));
	for (size_t i = 0; suspended != NULL && i < suspended->greenlet_count; i++)
		add(&a, of_greenlet(suspended, &suspended->greenlets[i]));
	return a;
}

int alike_equal(const struct alike *a, const struct alike *b)
{
	return a->threads == b->threads && a->digest[0] == b->digest[0] && a->digest[1] == b->digest[1];
}
