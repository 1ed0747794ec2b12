/*
 * frames_idents.c: a table of a dump's threads by their idents.
 */
#include "frames.h"

#include <stdlib.h>

static uint32_t hash_address(const void *p)
{
	uint64_t h = (uint64_t)(uintptr_t)p * 0x9E3779B97F4A7C15u;

	return (uint32_t)(h >> 32);
}

struct frames_idents {
	uint32_t mask;
	uint32_t slots[]; /* index + 1, 0 for none */
};

static uint32_t *ident_slot(struct frames_idents *map, const struct frames *f, uint64_t ident)
{
	uint32_t i = hash_address((const void *)(uintptr_t)ident) & map->mask;

	while (map->slots[i] != 0 && f->threads[map->slots[i] - 1].ident != ident)
		i = (i + 1) & map->mask;
	return &map->slots[i];
}

struct frames_idents *frames_idents_new(const struct frames *f)
{
	return frames_idents_from(f, 0);
}

struct frames_idents *frames_idents_from(const struct frames *f, uint32_t first)
{
	uint32_t size = 16, *slot;
	struct frames_idents *map;

	while (size < (f->thread_count - first) * 2)
		size *= 2;
	map = calloc(1, sizeof *map + size * sizeof *map->slots);
	if (map == NULL)
		return NULL;
	map->mask = size - 1;
	for (uint32_t i = first; i < f->thread_count; i++) {
		slot = ident_slot(map, f, f->threads[i].ident);
		if (*slot == 0 || (f->threads[*slot - 1].count == 0 && f->threads[i].count > 0))
			*slot = i + 1;
	}
	return map;
}

struct frames_thread *frames_idents_find(
	const struct frames_idents *map, struct frames *f, uint64_t ident)
{
	uint32_t i = hash_address((const void *)(uintptr_t)ident) & map->mask;

	for (; map->slots[i] != 0; i = (i + 1) & map->mask)
		if (f->threads[map->slots[i] - 1].ident == ident)
			return &f->threads[map->slots[i] - 1];
	return NULL;
}

void frames_idents_free(struct frames_idents *map)
{
	free(map);
}
