/*
 * dump_suspended.c: keeps what stands still and is no thread: greenlets, generators. Who asks for them, and when: suspended.c.
 */
#include <stdlib.h>

#include "dump_private.h"

int dump_accept_greenlet(struct dump *dump, const struct msg_dump_greenlet *m)
{
	struct dump_greenlet one = {.head = *m};
	struct span *texts[] = {&one.head.type, &one.head.name, &one.head.object_type, &one.head.local, &one.head.peer, &one.head.path};
	int rc = dump_grow(dump, (void **)&dump->greenlets, dump->greenlet_count, &dump->greenlet_room, sizeof *dump->greenlets);

	for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof(void *); i++)
		rc = dump_keep(dump, texts[i]);
	one.head.frames = (struct span){(const uint8_t *)"", 0};
	if (rc == 0)
		rc = dump_stack(dump, m->frames, &one.places, &one.depth);
	if (rc == 0)
		dump->greenlets[dump->greenlet_count++] = one;
	else
		free(one.places);
	return rc;
}

int dump_accept_generator(struct dump *dump, const struct msg_dump_generator *m)
{
	struct dump_generator one = {.head = *m};
	int rc = dump_grow(dump, (void **)&dump->generators, dump->generator_count, &dump->generator_room, sizeof *dump->generators);

	one.head.frames = (struct span){(const uint8_t *)"", 0};
	if (rc == 0)
		rc = dump_stack(dump, m->frames, &one.places, &one.depth);
	if (rc == 0)
		dump->generators[dump->generator_count++] = one;
	else
		free(one.places);
	return rc;
}

static int by_address(const void *a, const void *b, void *greenlets)
{
	const struct dump_greenlet *all = greenlets;
	uint64_t x = all[*(const uint32_t *)a].head.address, y = all[*(const uint32_t *)b].head.address;

	return x < y ? -1 : x > y;
}

int dump_suspended_end(struct dump *dump)
{
	if (dump->greenlet_count == 0)
		return 0;
	dump->by_address = malloc(dump->greenlet_count * sizeof *dump->by_address);
	if (dump->by_address == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < dump->greenlet_count; i++)
		dump->by_address[i] = (uint32_t)i;
	qsort_r(dump->by_address, dump->greenlet_count, sizeof *dump->by_address, by_address, dump->greenlets);
	return 0;
}

const struct dump_greenlet *dump_find_greenlet(const struct dump *dump, uint64_t address)
{
	size_t low = 0, high = dump->by_address != NULL ? dump->greenlet_count : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct dump_greenlet *g = &dump->greenlets[dump->by_address[middle]];

		if (g->head.address == address)
			return g;
		if (g->head.address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void dump_suspended_free(struct dump *dump)
{
	for (size_t i = 0; i < dump->greenlet_count; i++)
		free(dump->greenlets[i].places);
	for (size_t i = 0; i < dump->generator_count; i++)
		free(dump->generators[i].places);
	free(dump->greenlets);
	free(dump->by_address);
	free(dump->generators);
	if (dump->suspended != NULL)
		dump_free(dump->suspended);
	free(dump->suspended);
}
