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

void dump_suspended_free(struct dump *dump)
{
	for (size_t i = 0; i < dump->greenlet_count; i++)
		free(dump->greenlets[i].places);
	for (size_t i = 0; i < dump->generator_count; i++)
		free(dump->generators[i].places);
	free(dump->greenlets);
	free(dump->generators);
	if (dump->suspended != NULL)
		dump_free(dump->suspended);
	free(dump->suspended);
}
