/*
 * intern.c: open addressing over numbers; the things themselves are in arrays beside. Whoever chooses texts badly slows down his own
 * command.
 */
#include "intern.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

#define TABLE_FIRST 1024

uint64_t intern_mix(uint64_t v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdu;
	v ^= v >> 33;
	v *= 0xc4ceb9fe1a85ec53u;
	return v ^ v >> 33;
}

void intern_open(struct intern *in)
{
	*in = (struct intern){.texts = NULL};
	buf_init(&in->bytes, INTERN_BYTES);
}

void intern_close(struct intern *in)
{
	buf_free(&in->bytes);
	free(in->by_text.slots);
	free(in->by_place.slots);
	free(in->texts);
	free(in->places);
	*in = (struct intern){.texts = NULL};
}

struct span intern_span(const struct intern *in, uint32_t text)
{
	return (struct span){buf_bytes(&in->bytes) + in->texts[text].at, in->texts[text].len};
}

/* --- tables --- */

static int grow_table(struct intern_table *t, uint64_t (*digest_of)(const void *, uint32_t), const void *context)
{
	size_t size = t->size > 0 ? 2 * t->size : TABLE_FIRST;
	uint32_t *slots = calloc(size, sizeof *slots);

	if (slots == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < t->size; i++) {
		if (t->slots[i] == 0)
			continue;
		size_t at = digest_of(context, t->slots[i] - 1) & (size - 1);
		while (slots[at] != 0)
			at = (at + 1) & (size - 1);
		slots[at] = t->slots[i];
	}
	free(t->slots);
	t->slots = slots;
	t->size = size;
	return 0;
}

int intern_find(struct intern_table *t, uint64_t digest, int (*same)(const void *, uint32_t),
	uint64_t (*digest_of)(const void *, uint32_t), const void *context, uint32_t **slot)
{
	if (2 * t->count >= t->size && grow_table(t, digest_of, context) != 0)
		return PYSTUCK_ENOMEM;
	size_t at = digest & (t->size - 1);
	while (t->slots[at] != 0 && !same(context, t->slots[at] - 1))
		at = (at + 1) & (t->size - 1);
	*slot = &t->slots[at];
	return 0;
}

/* Room for one more. */
static int grow_array(void **array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return 0;
	size_t more = *room > 0 ? 2 * *room : 256;
	void *bigger = count < UINT32_MAX / 2 ? realloc(*array, more * size) : NULL;
	if (bigger == NULL)
		return PYSTUCK_ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

/* --- texts --- */

/* Eight bytes at a time: file names are long, and there are many. */
static uint64_t digest_text(struct span s)
{
	uint64_t digest = s.len * 0x9e3779b97f4a7c15u, word;
	size_t i = 0;

	for (; i + sizeof word <= s.len; i += sizeof word) {
		memcpy(&word, s.data + i, sizeof word);
		digest = (digest ^ word) * 0x9fb21c651e98df25u;
		digest ^= digest >> 32;
	}
	word = 0;
	if (i < s.len)
		memcpy(&word, s.data + i, s.len - i);
	return intern_mix(digest ^ word);
}

struct text_search {
	const struct intern *in;
	struct span text;
	uint32_t digest;
};

static int same_text(const void *context, uint32_t number)
{
	const struct text_search *s = context;
	const struct intern_text *t = &s->in->texts[number];

	return t->digest == s->digest && t->len == s->text.len &&
	       (t->len == 0 || memcmp(buf_bytes(&s->in->bytes) + t->at, s->text.data, t->len) == 0);
}

static uint64_t digest_of_text(const void *context, uint32_t number)
{
	const struct text_search *s = context;

	return s->in->texts[number].digest;
}

int intern_text(struct intern *in, struct span text, uint32_t *number)
{
	struct text_search s = {in, text, (uint32_t)digest_text(text)};
	uint32_t *slot = NULL;
	int rc = intern_find(&in->by_text, s.digest, same_text, digest_of_text, &s, &slot);

	if (rc == 0 && *slot != 0) {
		*number = *slot - 1;
		return 0;
	}
	if (rc == 0)
		rc = grow_array((void **)&in->texts, in->text_count, &in->text_room, sizeof *in->texts);
	size_t at = buf_len(&in->bytes);
	if (rc == 0)
		rc = buf_put(&in->bytes, text.data, text.len);
	if (rc != 0)
		return rc;
	in->texts[in->text_count] = (struct intern_text){at, (uint32_t)text.len, s.digest};
	*number = (uint32_t)in->text_count++;
	*slot = *number + 1;
	in->by_text.count++;
	return 0;
}

/* --- places --- */

struct place_search {
	const struct intern *in;
	const struct intern_place *place;
};

static uint64_t digest_place(const struct intern_place *p)
{
	return intern_mix(((uint64_t)p->file << 32 | p->function) ^ intern_mix(p->line));
}

static int same_place(const void *context, uint32_t number)
{
	const struct place_search *s = context;
	const struct intern_place *p = &s->in->places[number];

	return p->file == s->place->file && p->function == s->place->function && p->line == s->place->line;
}

static uint64_t digest_of_place(const void *context, uint32_t number)
{
	const struct place_search *s = context;

	return digest_place(&s->in->places[number]);
}

int intern_place(struct intern *in, const struct intern_place *place, uint32_t *number)
{
	struct place_search s = {in, place};
	uint32_t *slot = NULL;
	int rc = intern_find(&in->by_place, digest_place(place), same_place, digest_of_place, &s, &slot);

	if (rc == 0 && *slot != 0) {
		*number = *slot - 1;
		return 0;
	}
	if (rc == 0)
		rc = grow_array((void **)&in->places, in->place_count, &in->place_room, sizeof *in->places);
	if (rc != 0)
		return rc;
	in->places[in->place_count] = *place;
	*number = (uint32_t)in->place_count++;
	*slot = *number + 1;
	in->by_place.count++;
	return 0;
}
