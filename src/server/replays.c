/*
 * replays.c: a table of ephemeral keys that have been seen, one place for each, where the last one that fell there stays. What is
 * done about a replay is session_auth.c's.
 */
#include "replays.h"

#include <stdlib.h>
#include <string.h>

#define PLACES 1024u /* a power of two */

struct replays {
	uint64_t seen[PLACES]; /* eight bytes of the key; 0: none. Two fresh keys are never alike in these and the place. */
};

struct replays *replays_new(void)
{
	return calloc(1, sizeof(struct replays));
}

void replays_free(struct replays *r)
{
	free(r);
}

static size_t place(const uint8_t *ephemeral)
{
	return (ephemeral[0] | (size_t)ephemeral[1] << 8) % PLACES;
}

static uint64_t mark(const uint8_t *ephemeral)
{
	uint64_t bytes;

	memcpy(&bytes, ephemeral + 8, sizeof(bytes));
	return bytes;
}

int replays_has(const struct replays *r, const uint8_t ephemeral[static REPLAYS_KEY])
{
	return r != NULL && mark(ephemeral) != 0 && r->seen[place(ephemeral)] == mark(ephemeral);
}

void replays_note(struct replays *r, const uint8_t ephemeral[static REPLAYS_KEY])
{
	if (r != NULL)
		r->seen[place(ephemeral)] = mark(ephemeral);
}
