/*
 * intern.h: texts, and places in the source, each once and with a number: what is the same has the same number, whatever dump it
 * comes from. The numbers begin with 0 and have no gaps.
 */
#ifndef PYSTUCK_CLIENT_INTERN_H
#define PYSTUCK_CLIENT_INTERN_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define INTERN_BYTES (256u << 20) /* of all texts */

/* A set of numbers, found by a digest and a comparison of the caller's. */
struct intern_table {
	uint32_t *slots; /* number + 1; 0: empty */
	size_t size;     /* a power of two, or 0 */
	size_t count;
};

struct intern_text {
	size_t at;
	uint32_t len;
	uint32_t digest;
};

struct intern_place {
	uint32_t file, function; /* numbers of texts */
	uint32_t line;           /* 0: not known */
};

struct intern {
	struct buf bytes;
	struct intern_table by_text, by_place;
	struct intern_text *texts;
	struct intern_place *places;
	size_t text_count, text_room, place_count, place_room;
};

void intern_open(struct intern *in);
void intern_close(struct intern *in);
/* The number of it, made when it is new. 0, PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG. */
int intern_text(struct intern *in, struct span text, uint32_t *number);
int intern_place(struct intern *in, const struct intern_place *place, uint32_t *number);
struct span intern_span(const struct intern *in, uint32_t text);

/*
 * Where a number is, or belongs: a slot. `same` says whether the thing with this number is the one that is looked for. There is always
 * an empty slot. 0 or PYSTUCK_ENOMEM; `digest_of` gives the digest of the thing with a number, when the table must grow.
 */
int intern_find(struct intern_table *t, uint64_t digest, int (*same)(const void *context, uint32_t number),
	uint64_t (*digest_of)(const void *context, uint32_t number), const void *context, uint32_t **slot);
/* Spreads a number over all bits. */
uint64_t intern_mix(uint64_t v);

#endif
