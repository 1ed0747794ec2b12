/*
 * raw_pages.c: reads memory by whole pages and remembers them. Where from: raw_own.c, or whatever was given.
 */
#include "raw_mem.h"

#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; before, they are given one by one */
#endif

#define PAGE 4096u
#define PAGE_NONE 1u /* no page's address: the slot has a place, and nothing in it */
#define AT_ONCE 16u  /* pages */
#define INDEX_MASK (2 * RAW_FETCHED - 1)

/* Equal distances are usual: what is mapped for one thread lies as far from the next one's. */
static size_t hash(uintptr_t address)
{
	return (size_t)((uint64_t)(address / PAGE) * 0x9E3779B97F4A7C15u >> 32);
}

/* A place for another copy: the places are used in the order in which they lie, and the kernel gives memory for some at once. */
static uint8_t next_place(struct raw_pages *p)
{
	if (p->used % AT_ONCE == 0)
		(void)madvise((uint8_t *)p->copies.at + (size_t)p->used * PAGE, AT_ONCE * PAGE, MADV_POPULATE_WRITE);
	return p->used++;
}

/* The copy of the page at this address, or NULL. */
static const uint8_t *page_at(struct raw_pages *p, uintptr_t page)
{
	size_t slot = hash(page) % RAW_PAGES;
	uint8_t *copy;

	if (p->kept[slot] == 0)
		p->places[slot] = next_place(p);
	copy = (uint8_t *)p->copies.at + (size_t)p->places[slot] * PAGE;
	if (p->kept[slot] == page)
		return copy;
	p->kept[slot] = PAGE_NONE;
	if (!raw_mem_read(p->under, page, copy, PAGE))
		return NULL;
	p->kept[slot] = page;
	return copy;
}

/* Is all of it in a piece that was fetched? */
static int read_fetched(const struct raw_pages *p, uintptr_t from, void *to, size_t len)
{
	for (size_t i = hash(from) & INDEX_MASK; p->index[i] != 0; i = (i + 1) & INDEX_MASK) {
		const struct raw_piece *piece = &p->fetched[p->index[i] - 1];

		if (from >= piece->from && from - piece->from <= piece->len && len <= piece->len - (from - piece->from)) {
			memcpy(to, (const uint8_t *)piece->to + (from - piece->from), len);
			return 1;
		}
	}
	return 0;
}

static int read_pages(struct raw_mem *m, uintptr_t from, void *to, size_t len)
{
	struct raw_pages *p = (struct raw_pages *)m;
	uint8_t *at = to;

	if (p->copies.at == NULL || len > PAGE)
		return raw_mem_read(p->under, from, to, len);
	if (read_fetched(p, from, to, len))
		return 1;
	while (len > 0) {
		uintptr_t page = from - from % PAGE;
		size_t n = PAGE - (size_t)(from - page) < len ? PAGE - (size_t)(from - page) : len;
		const uint8_t *copy = page != 0 ? page_at(p, page) : NULL;

		if (copy == NULL)
			return 0;
		memcpy(at, copy + (from - page), n);
		from += n;
		at += n;
		len -= n;
	}
	return 1;
}

/* Pieces that are read together lie far apart: whole pages of them would be of no use to anybody. */
static void gather_pages(struct raw_mem *m, struct raw_piece *pieces, size_t count)
{
	raw_mem_gather(((struct raw_pages *)m)->under, pieces, count);
}

void raw_pages_open(struct raw_pages *p, struct raw_mem *under)
{
	*p = (struct raw_pages){.mem = {.read = read_pages, .gather = gather_pages}, .under = under};
	(void)raw_array_grow(&p->copies, (size_t)RAW_PAGES * PAGE + (size_t)RAW_FETCHED * RAW_FETCHED_BYTES, SIZE_MAX);
}

void raw_pages_fetch(struct raw_pages *p, const struct raw_piece *wanted, size_t count)
{
	uint8_t *to = (uint8_t *)p->copies.at + (size_t)RAW_PAGES * PAGE;
	size_t n = 0;

	memset(p->index, 0, sizeof p->index);
	if (p->copies.at == NULL)
		return;
	for (size_t i = 0; i < count && n < RAW_FETCHED; i++)
		if (wanted[i].from != 0 && wanted[i].len > 0 && wanted[i].len <= RAW_FETCHED_BYTES) {
			p->fetched[n] = (struct raw_piece){wanted[i].from, to + n * RAW_FETCHED_BYTES, wanted[i].len, 0};
			n++;
		}
	if (n > 0)
		raw_mem_gather(p->under, p->fetched, n);
	for (size_t i = 0; i < n; i++) {
		size_t at = hash(p->fetched[i].from) & INDEX_MASK;

		while (p->index[at] != 0)
			at = (at + 1) & INDEX_MASK;
		if (p->fetched[i].ok)
			p->index[at] = (uint8_t)(i + 1);
	}
}

void raw_pages_close(struct raw_pages *p)
{
	raw_array_free(&p->copies);
}
