/*
 * test_raw_pages.c: memory by pages and by pieces, over a memory that counts how often it is asked. The python room is not linked into
 * unit tests; this file of it needs no Python.
 */
#include "../../src/python/raw_pages.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

/* In place of raw_own.c. */
int raw_array_grow(struct raw_array *a, size_t need, size_t most)
{
	assert_true(need <= most && a->at == NULL);
	a->at = calloc(1, need);
	a->bytes = need;
	return a->at != NULL ? 0 : -1;
}

void raw_array_free(struct raw_array *a)
{
	free(a->at);
	*a = (struct raw_array){NULL, 0};
}

#define PAGES 512u

static struct {
	struct raw_mem mem; /* first */
	uint8_t *bytes;     /* PAGES pages; the last one cannot be read */
	size_t reads, gathers;
} below;

static uintptr_t address(size_t page, size_t byte)
{
	return (uintptr_t)below.bytes + page * PAGE + byte;
}

static int is_there(uintptr_t from, size_t len)
{
	return from >= address(0, 0) && len <= (PAGES - 1) * PAGE && from <= address(PAGES - 1, 0) - len;
}

static int read_below(struct raw_mem *m, uintptr_t from, void *to, size_t len)
{
	(void)m;
	below.reads++;
	if (!is_there(from, len))
		return 0;
	memcpy(to, (const void *)from, len);
	return 1;
}

static void gather_below(struct raw_mem *m, struct raw_piece *pieces, size_t count)
{
	(void)m;
	below.gathers++;
	for (size_t i = 0; i < count; i++) {
		pieces[i].ok = is_there(pieces[i].from, pieces[i].len);
		if (pieces[i].ok)
			memcpy(pieces[i].to, (const void *)pieces[i].from, pieces[i].len);
	}
}

static struct raw_pages pages;

static int set_up(void **state)
{
	(void)state;
	memset(&below, 0, sizeof below);
	below.mem = (struct raw_mem){.read = read_below, .gather = gather_below};
	below.bytes = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (below.bytes == MAP_FAILED)
		return -1;
	for (size_t i = 0; i < PAGES * PAGE; i++)
		below.bytes[i] = (uint8_t)(i * 31 + i / PAGE);
	raw_pages_open(&pages, &below.mem);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	raw_pages_close(&pages);
	return munmap(below.bytes, PAGES * PAGE);
}

/* Reads it, and compares it with what is there. */
static void check(uintptr_t from, size_t len)
{
	uint8_t got[2 * PAGE] = {0};

	assert_true(len <= sizeof got);
	assert_int_equal(raw_mem_read(&pages.mem, from, got, len), 1);
	assert_memory_equal(got, (const void *)from, len);
}

static void test_raw_pages_reads_a_page_once(void **state)
{
	(void)state;
	check(address(3, 8), 16);
	check(address(3, 4000), 96);
	assert_int_equal(below.reads, 1);
	/* Over the end of one into the next. */
	check(address(3, 4090), 16);
	assert_int_equal(below.reads, 2);
}

static void test_raw_pages_a_page_that_is_not_there_is_an_error_each_time(void **state)
{
	uint8_t byte;

	(void)state;
	assert_int_equal(raw_mem_read(&pages.mem, address(PAGES - 1, 5), &byte, 1), 0);
	assert_int_equal(raw_mem_read(&pages.mem, address(PAGES - 2, 4090), &byte, 1), 1);
	assert_int_equal(raw_mem_read(&pages.mem, address(PAGES - 1, 5), &byte, 1), 0);
}

static void test_raw_pages_what_was_fetched_is_not_read_again(void **state)
{
	struct raw_piece wanted[RAW_FETCHED];

	(void)state;
	for (size_t i = 0; i < RAW_FETCHED; i++)
		wanted[i] = (struct raw_piece){.from = address(2 * i, 100 + i), .len = 64};
	raw_pages_fetch(&pages, wanted, RAW_FETCHED);
	assert_int_equal(below.gathers, 1);
	for (size_t i = 0; i < RAW_FETCHED; i++) {
		check(wanted[i].from, 64);
		check(wanted[i].from + 56, 8);
	}
	assert_int_equal(below.reads, 0);
	/* One byte more is another matter. */
	check(wanted[5].from, 65);
	check(wanted[5].from - 1, 2);
	assert_int_equal(below.reads, 1);
}

static void test_raw_pages_two_pieces_of_a_page_are_both_kept(void **state)
{
	const struct raw_piece wanted[] = {{.from = address(9, 0), .len = 32}, {.from = address(9, 2048), .len = RAW_FETCHED_BYTES},
		{.from = address(9, 4064), .len = 64}};

	(void)state;
	raw_pages_fetch(&pages, wanted, 3);
	for (size_t i = 0; i < 3; i++)
		check(wanted[i].from, wanted[i].len);
	assert_int_equal(below.reads, 0);
}

static void test_raw_pages_passes_over_what_cannot_be_fetched(void **state)
{
	const struct raw_piece wanted[] = {{.from = 0, .len = 8}, {.from = address(1, 0), .len = 0},
		{.from = address(2, 0), .len = RAW_FETCHED_BYTES + 1}, {.from = address(PAGES - 1, 0), .len = 8},
		{.from = address(4, 0), .len = 8}};
	uint8_t bytes[8];

	(void)state;
	raw_pages_fetch(&pages, wanted, sizeof wanted / sizeof *wanted);
	check(address(4, 0), 8);
	assert_int_equal(below.reads, 0);
	assert_int_equal(raw_mem_read(&pages.mem, address(PAGES - 1, 0), bytes, sizeof bytes), 0);
	check(address(2, 0), RAW_FETCHED_BYTES + 1);
}

static void test_raw_pages_the_next_pieces_take_the_place_of_these(void **state)
{
	const struct raw_piece one = {.from = address(1, 0), .len = 8}, other = {.from = address(2, 0), .len = 8};

	(void)state;
	raw_pages_fetch(&pages, &one, 1);
	raw_pages_fetch(&pages, &other, 1);
	check(other.from, 8);
	assert_int_equal(below.reads, 0);
	check(one.from, 8);
	assert_int_equal(below.reads, 1);
	raw_pages_fetch(&pages, NULL, 0);
	check(other.from, 8);
	assert_int_equal(below.reads, 2);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_raw_pages_reads_a_page_once),
		T(test_raw_pages_a_page_that_is_not_there_is_an_error_each_time),
		T(test_raw_pages_what_was_fetched_is_not_read_again),
		T(test_raw_pages_two_pieces_of_a_page_are_both_kept),
		T(test_raw_pages_passes_over_what_cannot_be_fetched),
		T(test_raw_pages_the_next_pieces_take_the_place_of_these),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
