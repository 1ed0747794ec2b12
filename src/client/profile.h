/*
 * profile.h: many dumps added up: for each thread a tree of the places that it was at, with how often it was there, and what it did.
 * A pure data structure of bounded size: dumps are not kept. How it looks is for those who write it.
 */
#ifndef PYSTUCK_CLIENT_PROFILE_H
#define PYSTUCK_CLIENT_PROFILE_H

#include <stddef.h>
#include <stdint.h>

#include "dump.h"

/* What is beyond these is counted where there is still room: see struct profile. */
#define PROFILE_NODES_MAX (1u << 20)
#define PROFILE_PLACES_MAX (1u << 18)
#define PROFILE_THREADS_MAX 10000u
#define PROFILE_TEXT_MAX (64u << 20) /* bytes of all names */

#define PROFILE_STATES (STATE_IDLE + 1) /* enum thread_state */
#define PROFILE_NONE UINT32_MAX

/* How often; the time is that times the time between two dumps. */
struct profile_count {
	uint64_t cpu, wait;
};

struct profile_code {
	struct span file, function;
};

/* A line of a function. */
struct profile_place {
	uint32_t code;
	uint32_t line; /* 0: unknown */
};

/* Children come behind their parent. */
struct profile_node {
	uint32_t parent; /* PROFILE_NONE: of a thread, without a place */
	uint32_t place;
	uint32_t thread;
	uint8_t code_again, place_again; /* it is further up, too: counted there */
	uint32_t self[PROFILE_STATES]; /* it was the innermost frame, in this state */
};

struct profile_thread {
	uint64_t ident;
	uint32_t tid;
	struct span name; /* empty: of all those for which there was no room */
	int named;        /* by threading; else it is the system's name, until threading has one */
	uint32_t node;
	uint64_t moving; /* so often it ran on while its stack was read */
	struct profile_count total;
	uint64_t states[PROFILE_STATES];
};

/* What functions or lines have come to: by profile_functions, profile_lines. */
struct profile_row {
	uint32_t place; /* of a function: one of its places; its line means nothing */
	struct profile_count self, total;
};

/* Read the fields; only profile.c writes them. Indexes are right, spans live as long as the profile. */
struct profile {
	struct profile_code *codes;
	struct profile_place *places;
	struct profile_node *nodes;
	struct profile_thread *threads;
	uint32_t code_count, place_count, node_count, thread_count;
	uint64_t samples;  /* dumps that were added */
	uint64_t unplaced; /* of a thread in a dump: it was deeper than there was room for */
	uint64_t unknown;  /* the same: what it did is not known; it counts as waiting */

	uint32_t nodes_max, threads_max; /* by profile_init; tests have less */
	size_t code_room, place_room, node_room, thread_room;
	uint32_t *code_index, *place_index, *node_index; /* hashes: index + 1; of a power of two in size */
	uint32_t code_slots, place_slots, node_slots;
	struct profile_chunk *chunks;
	size_t text;
};

void profile_init(struct profile *p);
void profile_free(struct profile *p);

/* Adds a complete dump. 0 or PYSTUCK_ENOMEM, after which the profile is as it was, or has some of the dump. */
int profile_add(struct profile *p, const struct dump *dump);

/* Whether a thread in this state uses a processor. */
int profile_is_cpu(int state);
/* What a node has in itself. */
struct profile_count profile_self(const struct profile_node *n);

/*
 * Of each node what it and all below it have: an array of node_count, which the caller frees; NULL: no memory.
 */
struct profile_count *profile_totals(const struct profile *p);

/*
 * The functions, or the lines, of one thread (PROFILE_NONE: of all), those with most on CPU first (`by_wait`: with most waiting): an
 * array of *count, which the caller frees; NULL: no memory. Recursion counts once.
 */
struct profile_row *profile_functions(const struct profile *p, uint32_t thread, int by_wait, size_t *count);
struct profile_row *profile_lines(const struct profile *p, uint32_t thread, int by_wait, size_t *count);

/*
 * Of each thread a number that is the same for those that waited most at the same place, reached the same way; 0: it never waited. An array
 * of thread_count, which the caller frees; NULL: no memory.
 */
uint64_t *profile_wait_places(const struct profile *p);

#endif
