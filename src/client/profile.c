/*
 * profile.c: adds dumps up. Names and places are kept once, in hashes; so are the nodes of the trees, by parent and place. Nothing here
 * recurses: a node lies behind its parent, so that walking the array backwards goes up all trees at once.
 */
#include "profile.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "waits.h"

#define CHUNK (64u * 1024) /* bytes of text taken at a time */
#define FIRST_ROOM 64u
#define FIRST_SLOTS 256u

static const char ran_on[] = "(ran on while its stack was read)";
static const char left_out[] = "(outer frames left out)";
static const char nameless[] = "(more than there is room for)";

struct profile_chunk {
	struct profile_chunk *next;
	size_t used, size;
	uint8_t bytes[];
};

void profile_init(struct profile *p)
{
	*p = (struct profile){.nodes_max = PROFILE_NODES_MAX, .threads_max = PROFILE_THREADS_MAX};
}

void profile_free(struct profile *p)
{
	struct profile_chunk *next;

	for (struct profile_chunk *c = p->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(p->codes);
	free(p->places);
	free(p->nodes);
	free(p->threads);
	free(p->code_index);
	free(p->place_index);
	free(p->node_index);
	profile_init(p);
}

/* --- room --- */

/* Room for one more element at *array. */
static int grow(void **array, uint32_t count, size_t *room, size_t size)
{
	size_t more = *room > 0 ? *room * 2 : FIRST_ROOM;
	void *bigger;

	if (count < *room)
		return 0;
	bigger = realloc(*array, more * size);
	if (bigger == NULL)
		return PYSTUCK_ENOMEM;
	*array = bigger;
	*room = more;
	return 0;
}

static int keep(struct profile *p, struct span from, struct span *to)
{
	struct profile_chunk *c = p->chunks;

	*to = (struct span){(const uint8_t *)"", 0};
	if (from.len == 0)
		return 0;
	if (c == NULL || c->size - c->used < from.len) {
		size_t size = from.len > CHUNK ? from.len : CHUNK;

		c = malloc(sizeof *c + size);
		if (c == NULL)
			return PYSTUCK_ENOMEM;
		*c = (struct profile_chunk){.next = p->chunks, .size = size};
		p->chunks = c;
	}
	*to = (struct span){c->bytes + c->used, from.len};
	memcpy(c->bytes + c->used, from.data, from.len);
	c->used += from.len;
	p->text += from.len;
	return 0;
}

/* --- hashes --- */

/* FNV's step and Murmur's end: who chooses names badly slows down only who looks at his program. */
static uint64_t hash_text(uint64_t h, struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.data[i]) * 0x100000001b3u;
	return h ^ s.len;
}

static uint64_t finish(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	return h ^ h >> 33;
}

static uint64_t hash_code(const struct profile_code *c)
{
	return finish(hash_text(hash_text(0xcbf29ce484222325u, c->file) + 1, c->function));
}

static uint64_t hash_pair(uint32_t a, uint32_t b)
{
	return finish(((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15u);
}

/* Whether there is to be a bigger table: it stays at most half full. A table all of zeros, or NULL with *rc. */
static uint32_t *bigger_index(uint32_t count, uint32_t *slots, int *rc)
{
	uint32_t *index;

	*rc = 0;
	if (count < *slots / 2)
		return NULL;
	index = calloc(*slots > 0 ? (size_t)*slots * 2 : FIRST_SLOTS, sizeof *index);
	if (index == NULL)
		*rc = PYSTUCK_ENOMEM;
	else
		*slots = *slots > 0 ? *slots * 2 : FIRST_SLOTS;
	return index;
}

static void put_index(uint32_t *index, uint32_t slots, uint64_t hash, uint32_t item)
{
	uint32_t at = (uint32_t)hash & (slots - 1);

	while (index[at] != 0)
		at = (at + 1) & (slots - 1);
	index[at] = item + 1;
}

/* --- names --- */

static int same(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static int grow_codes(struct profile *p)
{
	int rc;
	uint32_t *index = bigger_index(p->code_count, &p->code_slots, &rc);

	if (index != NULL) {
		free(p->code_index);
		p->code_index = index;
		for (uint32_t i = 0; i < p->code_count; i++)
			put_index(index, p->code_slots, hash_code(&p->codes[i]), i);
	}
	return rc == 0 ? grow((void **)&p->codes, p->code_count, &p->code_room, sizeof *p->codes) : rc;
}

/* What stands for all that there is no more room for. */
static const struct profile_code full = {{(const uint8_t *)"", 0}, {(const uint8_t *)nameless, sizeof nameless - 1}};

/* PROFILE_NONE: there is no room for it. */
static int find_code(struct profile *p, const struct profile_code *wanted, uint32_t *code)
{
	uint64_t hash = hash_code(wanted);
	int rc = grow_codes(p);
	struct profile_code *c;

	if (rc != 0)
		return rc;
	for (uint32_t at = (uint32_t)hash & (p->code_slots - 1); p->code_index[at] != 0; at = (at + 1) & (p->code_slots - 1)) {
		*code = p->code_index[at] - 1;
		c = &p->codes[*code];
		if (same(c->file, wanted->file) && same(c->function, wanted->function))
			return 0;
	}
	*code = PROFILE_NONE;
	if (wanted != &full && p->text + wanted->file.len + wanted->function.len > PROFILE_TEXT_MAX)
		return 0;
	c = &p->codes[p->code_count];
	rc = keep(p, wanted->file, &c->file);
	if (rc == 0)
		rc = keep(p, wanted->function, &c->function);
	if (rc != 0)
		return rc;
	*code = p->code_count++;
	put_index(p->code_index, p->code_slots, hash, *code);
	return 0;
}

/* --- places --- */

static int grow_places(struct profile *p)
{
	int rc;
	uint32_t *index = bigger_index(p->place_count, &p->place_slots, &rc);

	if (index != NULL) {
		free(p->place_index);
		p->place_index = index;
		for (uint32_t i = 0; i < p->place_count; i++)
			put_index(index, p->place_slots, hash_pair(p->places[i].code, p->places[i].line), i);
	}
	return rc == 0 ? grow((void **)&p->places, p->place_count, &p->place_room, sizeof *p->places) : rc;
}

/* PROFILE_NONE: there is no room for it. */
static int find_line(struct profile *p, uint32_t code, uint32_t line, uint32_t *place)
{
	uint64_t hash = hash_pair(code, line);
	int rc = grow_places(p);

	if (rc != 0)
		return rc;
	for (uint32_t at = (uint32_t)hash & (p->place_slots - 1); p->place_index[at] != 0; at = (at + 1) & (p->place_slots - 1)) {
		*place = p->place_index[at] - 1;
		if (p->places[*place].code == code && p->places[*place].line == line)
			return 0;
	}
	*place = PROFILE_NONE;
	if (line != 0 && p->place_count >= PROFILE_PLACES_MAX)
		return 0;
	*place = p->place_count++;
	p->places[*place] = (struct profile_place){code, line};
	put_index(p->place_index, p->place_slots, hash, *place);
	return 0;
}

/* A place by its names, or the one for all that have no room. */
static int find_place(struct profile *p, const struct profile_code *names, uint32_t line, uint32_t *place)
{
	uint32_t code = PROFILE_NONE;
	int rc = find_code(p, names, &code);

	*place = PROFILE_NONE;
	if (rc == 0 && code != PROFILE_NONE)
		rc = find_line(p, code, line, place);
	if (rc != 0 || *place != PROFILE_NONE)
		return rc;
	rc = find_code(p, &full, &code);
	return rc == 0 ? find_line(p, code, 0, place) : rc;
}

/* --- nodes --- */

static int grow_nodes(struct profile *p)
{
	int rc;
	uint32_t *index = bigger_index(p->node_count, &p->node_slots, &rc);

	if (index != NULL) {
		free(p->node_index);
		p->node_index = index;
		for (uint32_t i = 0; i < p->node_count; i++)
			if (p->nodes[i].parent != PROFILE_NONE)
				put_index(index, p->node_slots, hash_pair(p->nodes[i].parent, p->nodes[i].place), i);
	}
	return rc == 0 ? grow((void **)&p->nodes, p->node_count, &p->node_room, sizeof *p->nodes) : rc;
}

static void look_up(const struct profile *p, struct profile_node *n)
{
	const struct profile_place *place = &p->places[n->place];

	for (uint32_t up = n->parent; p->nodes[up].parent != PROFILE_NONE && !n->place_again; up = p->nodes[up].parent) {
		n->place_again = p->nodes[up].place == n->place;
		n->code_again |= p->places[p->nodes[up].place].code == place->code;
	}
}

/* The child of a node at a place; PROFILE_NONE: there is no room for it. */
static int find_node(struct profile *p, uint32_t parent, uint32_t place, uint32_t *node)
{
	uint64_t hash = hash_pair(parent, place);
	int rc = grow_nodes(p);

	if (rc != 0)
		return rc;
	for (uint32_t at = (uint32_t)hash & (p->node_slots - 1); p->node_index[at] != 0; at = (at + 1) & (p->node_slots - 1)) {
		*node = p->node_index[at] - 1;
		if (p->nodes[*node].parent == parent && p->nodes[*node].place == place)
			return 0;
	}
	if (p->node_count >= p->nodes_max) {
		*node = PROFILE_NONE;
		return 0;
	}
	*node = p->node_count++;
	p->nodes[*node] = (struct profile_node){.parent = parent, .place = place, .thread = p->nodes[parent].thread};
	look_up(p, &p->nodes[*node]);
	put_index(p->node_index, p->node_slots, hash, *node);
	return 0;
}

/* --- threads --- */

/* Threads come in the same order each time, so it is looked for where it would be. */
static uint32_t known_thread(const struct profile *p, const struct dump_thread *t, uint32_t near)
{
	for (uint32_t i = 0; i < p->thread_count; i++) {
		uint32_t at = (near + i) % p->thread_count;

		if (p->threads[at].tid == t->head.tid && p->threads[at].ident == t->head.ident && p->threads[at].name.len > 0)
			return at;
	}
	return PROFILE_NONE;
}

/* threading knows a thread a little after it has begun. */
static int name_thread(struct profile *p, struct profile_thread *known, const struct dump_thread *t)
{
	struct span name = waits_thread_name(t);

	if (known->named || known->name.len == 0 || t->head.class_name.len == 0 || name.len == 0)
		return 0;
	known->named = 1;
	return keep(p, name, &known->name);
}

static int find_thread(struct profile *p, const struct dump_thread *t, uint32_t near, uint32_t *thread)
{
	struct profile_thread new = {.ident = t->head.ident, .tid = t->head.tid, .named = t->head.class_name.len > 0};
	struct span name = waits_thread_name(t);
	int rc, others = p->thread_count + 1 >= p->threads_max;

	*thread = known_thread(p, t, near);
	if (*thread == PROFILE_NONE && p->thread_count == p->threads_max)
		*thread = p->threads_max - 1;
	if (*thread != PROFILE_NONE)
		return name_thread(p, &p->threads[*thread], t);
	rc = grow((void **)&p->threads, p->thread_count, &p->thread_room, sizeof *p->threads);
	if (rc == 0)
		rc = grow_nodes(p);
	if (rc == 0 && name.len == 0)
		name = span_text("thread");
	if (rc == 0 && !others)
		rc = keep(p, name, &new.name);
	if (rc != 0)
		return rc;
	if (others)
		new.ident = new.tid = 0;
	*thread = p->thread_count++;
	new.node = p->node_count++;
	p->nodes[new.node] = (struct profile_node){.parent = PROFILE_NONE, .place = PROFILE_NONE, .thread = *thread};
	p->threads[*thread] = new;
	return 0;
}

/* --- dumps --- */

static void count(struct profile *p, uint32_t thread, uint32_t node, const struct msg_dump_thread *head)
{
	struct profile_thread *t = &p->threads[thread];
	uint8_t state = head->state < PROFILE_STATES ? head->state : STATE_UNKNOWN;

	p->nodes[node].self[state]++;
	t->states[state]++;
	if (profile_is_cpu(state))
		t->total.cpu++;
	else
		t->total.wait++;
	t->moving += (head->flags & THREAD_MOVING) != 0;
	p->unknown += state == STATE_UNKNOWN;
}

/* The child of a node at a place of ours that is none in the program. */
static int find_word(struct profile *p, uint32_t parent, const char *word, uint32_t *node)
{
	const struct profile_code code = {{(const uint8_t *)"", 0}, span_text(word)};
	uint32_t place = 0;
	int rc = find_place(p, &code, 0, &place);

	return rc == 0 ? find_node(p, parent, place, node) : rc;
}

/*
 * `places`: of each of the dump's places the index here. Of a thread that ran on while it was read the stack is not believed: what of it is
 * of one moment nobody knows.
 */
static int add_thread(struct profile *p, const struct dump_thread *t, uint32_t thread, const uint32_t *places)
{
	uint32_t node = p->threads[thread].node, next = node;
	int moving = (t->head.flags & THREAD_MOVING) != 0, rc = 0;

	if (moving)
		rc = find_word(p, node, ran_on, &next);
	else if (t->head.omitted_frames > 0)
		rc = find_word(p, node, left_out, &next);
	for (size_t i = 0; rc == 0 && i < t->depth && next != PROFILE_NONE && !moving; i++) {
		node = next;
		rc = find_node(p, node, places[t->places[i]], &next);
	}
	if (rc != 0)
		return rc;
	p->unplaced += next == PROFILE_NONE;
	count(p, thread, next != PROFILE_NONE ? next : node, &t->head);
	return 0;
}

int profile_add(struct profile *p, const struct dump *dump)
{
	uint32_t *places = malloc((dump->place_count + 1) * sizeof *places);
	uint32_t thread = 0;
	int rc = places != NULL ? 0 : PYSTUCK_ENOMEM;

	for (size_t i = 0; rc == 0 && i < dump->place_count; i++) {
		const struct dump_code *c = &dump->codes[dump->places[i].code];

		rc = find_place(p, &(struct profile_code){c->file, c->function}, dump->places[i].line, &places[i]);
	}
	for (size_t i = 0; rc == 0 && i < dump->thread_count; i++) {
		rc = find_thread(p, &dump->threads[i], thread, &thread);
		if (rc == 0)
			rc = add_thread(p, &dump->threads[i], thread, places);
		thread++;
	}
	if (rc == 0)
		p->samples++;
	free(places);
	return rc;
}
