/*
 * test_raw_own.c: this process's own memory, and the reader's arrays. The python room is not linked into unit tests; this file of it
 * needs no Python.
 */
#include "../../src/python/raw_own.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BLOCK (1u << 20)

static int is_mapped(const void *at)
{
	unsigned char there;

	return mincore((void *)((uintptr_t)at & ~(uintptr_t)4095), 4096, &there) == 0;
}

static void fill(struct raw_array *a, size_t from)
{
	for (size_t i = from; i < a->bytes; i++)
		((uint8_t *)a->at)[i] = (uint8_t)(i / 4096 + 1);
}

static int is_filled(const struct raw_array *a, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (((const uint8_t *)a->at)[i] != (uint8_t)(i / 4096 + 1))
			return 0;
	return 1;
}

/* Longer and longer, beyond the block too. */
static void grow_and_free(void)
{
	struct raw_array a = {NULL, 0}, b = {NULL, 0};

	for (size_t need = 1; need <= 4 * BLOCK; need *= 2) {
		size_t before = a.bytes;

		assert_int_equal(raw_array_grow(&a, need, SIZE_MAX), 0);
		assert_int_equal(raw_array_grow(&b, need / 2, SIZE_MAX), 0);
		assert_true(a.bytes >= need && b.bytes >= need / 2);
		assert_true(b.at == NULL || (uint8_t *)b.at + b.bytes <= (uint8_t *)a.at || (uint8_t *)a.at + a.bytes <= (uint8_t *)b.at);
		assert_true(is_filled(&a, before));
		fill(&a, before);
	}
	assert_int_equal(raw_array_grow(&a, a.bytes + 1, a.bytes), PYSTUCK_ETOOBIG);
	raw_array_free(&a);
	raw_array_free(&b);
	assert_null(a.at);
}

static void test_raw_own_arrays_keep_what_is_in_them(void **state)
{
	(void)state;
	grow_and_free();
	raw_own_keep(0);
	grow_and_free();
	grow_and_free();
	raw_own_let_go();
}

static void test_raw_own_arrays_are_taken_from_the_block_and_go_with_it(void **state)
{
	struct raw_array first = {NULL, 0}, again = {NULL, 0};
	const uint8_t *block;

	(void)state;
	raw_own_keep(BLOCK);
	block = kept.block;
	assert_int_equal(raw_array_grow(&first, 1, SIZE_MAX), 0);
	assert_ptr_equal(first.at, block);
	fill(&first, 0);
	raw_array_free(&first);
	assert_int_equal(raw_array_grow(&again, 1, SIZE_MAX), 0);
	assert_ptr_equal(again.at, block);
	raw_array_free(&again);
	grow_and_free();
	assert_true(is_mapped(block) && is_mapped(block + BLOCK - 1));
	raw_own_let_go();
	assert_false(is_mapped(block) || is_mapped(block + BLOCK - 1));
	/* Afterwards as if it had never been. */
	grow_and_free();
}

static void test_raw_own_reads_what_is_there_and_says_no_where_it_may_not(void **state)
{
	const char text[] = "what is there";
	char seen[sizeof text] = "";
	struct raw_own own;
	void *closed = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_ptr_not_equal(closed, MAP_FAILED);
	raw_own_keep(BLOCK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(raw_own_open(&own), 0);
		memset(seen, 0, sizeof seen);
		assert_true(raw_mem_read(&own.mem, (uintptr_t)text, seen, sizeof seen));
		assert_string_equal(seen, text);
		assert_false(raw_mem_read(&own.mem, (uintptr_t)closed, seen, 1));
		raw_own_close(&own);
	}
	raw_own_let_go();
	munmap(closed, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw_own_arrays_keep_what_is_in_them),
		cmocka_unit_test(test_raw_own_arrays_are_taken_from_the_block_and_go_with_it),
		cmocka_unit_test(test_raw_own_reads_what_is_there_and_says_no_where_it_may_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
