/*
 * raw_interps.c: follows the list of interpreters in raw memory. Each new one gets a higher id than all before and is put in front, so
 * that ids which fall down to the main interpreter's are what tells a list from what is none.
 */
#include "raw_interps.h"

#include "error.h"

#define LIST_TRIES 20u
#define WORD_MASK (sizeof(uintptr_t) - 1)

/* The interpreter at `at`, and in *next the one behind it. 0: there is none. */
static int read_one(struct raw_interp *i, uintptr_t *next, struct raw_mem *m, const struct raw_layout *l, uintptr_t at)
{
	uintptr_t id;

	*i = (struct raw_interp){.at = at, .gil = l->gil};
	if ((at & WORD_MASK) != 0 || !raw_mem_word(m, at + l->interp_id, &id) || !raw_mem_word(m, at + l->interp_next, next))
		return 0;
	i->id = id;
	return l->interp_gil == RAW_NONE || raw_mem_word(m, at + l->interp_gil, &i->gil);
}

static int read_list(struct raw_interps *list, struct raw_mem *m, const struct raw_layout *l)
{
	uint64_t before = INT64_MAX;
	struct raw_interp one;
	uintptr_t at, next;

	list->count = list->omitted = 0;
	if (!raw_mem_word(m, l->interps, &at))
		return PYSTUCK_EAGAIN;
	while (at != l->interp) {
		if (!read_one(&one, &next, m, l, at) || one.id == 0 || one.id >= before)
			return PYSTUCK_EAGAIN;
		if (list->count < RAW_INTERPS_MAX)
			list->at[list->count++] = one;
		else if (++list->omitted > RAW_INTERPS_WALK)
			return PYSTUCK_EAGAIN;
		before = one.id;
		at = next;
	}
	return 0;
}

int raw_interps_read(struct raw_interps *list, struct raw_mem *m, const struct raw_layout *l)
{
	int rc = PYSTUCK_EAGAIN;

	for (unsigned i = 0; rc == PYSTUCK_EAGAIN && i < LIST_TRIES; i++)
		rc = read_list(list, m, l);
	if (rc != 0)
		list->count = list->omitted = 0;
	return rc;
}

static int has(struct raw_mem *m, const struct raw_layout *l, const struct raw_interp *wanted)
{
	uint64_t before = INT64_MAX;
	struct raw_interp one;
	uintptr_t at, next;

	if (!raw_mem_word(m, l->interps, &at))
		return 0;
	for (uint32_t i = 0; at != l->interp && i < RAW_INTERPS_WALK; i++) {
		if (!read_one(&one, &next, m, l, at) || one.id >= before)
			return 0;
		if (at == wanted->at)
			return one.id == wanted->id;
		before = one.id;
		at = next;
	}
	return 0;
}

int raw_interps_has(struct raw_mem *m, const struct raw_layout *l, const struct raw_interp *wanted)
{
	for (unsigned i = 0; i < LIST_TRIES; i++)
		if (has(m, l, wanted))
			return 1;
	return 0;
}
