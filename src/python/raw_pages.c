/*
 * raw_pages.c: reads memory by whole pages and remembers them. Where from: raw_own.c, or whatever was given.
 */
#include "raw_mem.h"

#define PAGE 4096u

/* The copy of the page at this address, or NULL. */
static const uint8_t *page_at(struct raw_pages *p, uintptr_t page)
{
	size_t slot = (page / PAGE) % RAW_PAGES;
	uint8_t *copy = (uint8_t *)p->copies.at + slot * PAGE;

	if (p->kept[slot] == page)
		return copy;
	p->kept[slot] = 0;
	if (!raw_mem_read(p->under, page, copy, PAGE))
		return NULL;
	p->kept[slot] = page;
	return copy;
}

static int read_pages(struct raw_mem *m, uintptr_t from, void *to, size_t len)
{
	struct raw_pages *p = (struct raw_pages *)m;
	uint8_t *at = to;

	if (p->copies.at == NULL || len > PAGE)
		return raw_mem_read(p->under, from, to, len);
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
	(void)raw_array_grow(&p->copies, (size_t)RAW_PAGES * PAGE, SIZE_MAX);
}

void raw_pages_close(struct raw_pages *p)
{
	raw_array_free(&p->copies);
}
