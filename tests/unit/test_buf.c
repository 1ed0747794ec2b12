/*
 * test_buf.c: the bounded buffer, and taking things from a span.
 *
 * LINK: -Wl,--wrap=malloc -Wl,--wrap=free
 */
#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "error.h"

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void __real_free(void *p);
void __wrap_free(void *p);

static int fail_malloc;			/* the next ones fail */
static void *watched;			/* when this is freed, all of watched_size must be zero */
static size_t watched_size;
static int watched_freed, watched_dirty;

void *__wrap_malloc(size_t size)
{
	return fail_malloc ? NULL : __real_malloc(size);
}

void __wrap_free(void *p)
{
	if (p != NULL && p == watched) {
		watched_freed = 1;
		for (size_t i = 0; i < watched_size; i++)
			watched_dirty |= ((uint8_t *)p)[i];
		watched = NULL;
	}
	__real_free(p);
}

static void watch(const struct buf *b)
{
	watched = b->data;
	watched_size = b->capacity;
	watched_freed = watched_dirty = 0;
}

static void assert_wiped(void)
{
	assert_true(watched_freed);
	assert_int_equal(watched_dirty, 0);
}

static void test_buf_starts_empty_and_without_memory(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_null(b.data);
	assert_int_equal(buf_len(&b), 0);
	assert_non_null(buf_bytes(&b));
	assert_int_equal(buf_span(&b).len, 0);
	buf_free(&b);
	buf_free(NULL);
}

static void test_buf_holds_exactly_its_limit(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 5);
	assert_int_equal(buf_put(&b, "abcde", 5), 0);
	assert_int_equal(buf_put_u8(&b, 1), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_put(&b, "", 0), 0);
	assert_int_equal(buf_len(&b), 5);
	assert_memory_equal(buf_bytes(&b), "abcde", 5);
	assert_true(b.capacity <= 5);
	buf_consume(&b, 1);
	assert_int_equal(buf_put_u8(&b, 'f'), 0);
	assert_memory_equal(buf_bytes(&b), "bcdef", 5);
	buf_free(&b);
}

static void test_buf_a_limit_of_zero_takes_nothing(void **state)
{
	struct buf b;
	uint8_t *at = NULL;

	(void)state;
	buf_init(&b, 0);
	assert_int_equal(buf_put_u8(&b, 1), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_reserve(&b, 0, &at), 0);
	assert_non_null(at);
	buf_free(&b);
}

static void test_buf_a_huge_length_does_not_overflow(void **state)
{
	struct buf b;
	uint8_t *at = NULL;
	struct span s = { (const uint8_t *)"x", SIZE_MAX - 1 };

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	assert_int_equal(buf_reserve(&b, SIZE_MAX, &at), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 2, &at), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_put_string(&b, s), PYSTUCK_ETOOBIG);
	s.len = (size_t)UINT32_MAX + 1;
	assert_int_equal(buf_put_string(&b, s), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_len(&b), 3);
	buf_free(&b);
}

static void test_buf_an_error_changes_nothing(void **state)
{
	struct span s = { (const uint8_t *)"0123456789", 10 };
	struct buf b, before;

	(void)state;
	buf_init(&b, 13);
	assert_int_equal(buf_put_u8(&b, 'x'), 0);
	before = b;
	assert_int_equal(buf_put_string(&b, s), PYSTUCK_ETOOBIG);
	assert_memory_equal(&b, &before, sizeof b);
	buf_free(&b);
}

static void test_buf_without_memory_keeps_its_content(void **state)
{
	struct buf b;
	uint8_t *at = NULL;
	int rc;

	(void)state;
	buf_init(&b, 100000);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	fail_malloc = 1;
	rc = buf_reserve(&b, 50000, &at);
	fail_malloc = 0;
	assert_int_equal(rc, PYSTUCK_ENOMEM);
	assert_int_equal(buf_len(&b), 3);
	assert_memory_equal(buf_bytes(&b), "abc", 3);
	buf_free(&b);
}

static void test_buf_free_wipes(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_put(&b, "secret", 6), 0);
	watch(&b);
	buf_free(&b);
	assert_wiped();
	assert_null(b.data);
	assert_int_equal(b.limit, 1000);
}

static void test_buf_growing_wipes_the_old_memory(void **state)
{
	uint8_t *at = NULL;
	struct buf b;

	(void)state;
	buf_init(&b, 100000);
	assert_int_equal(buf_put(&b, "secret", 6), 0);
	buf_consume(&b, 2);
	watch(&b);
	assert_int_equal(buf_reserve(&b, 50000, &at), 0);
	assert_wiped();
	assert_memory_equal(buf_bytes(&b), "cret", 4);
	buf_free(&b);
}

static void test_buf_clear_wipes_and_keeps_the_memory(void **state)
{
	struct buf b;
	uint8_t *data;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_put(&b, "secret", 6), 0);
	buf_consume(&b, 1);
	data = b.data;
	buf_clear(&b);
	assert_ptr_equal(b.data, data);
	assert_int_equal(buf_len(&b), 0);
	assert_memory_equal(data, "\0\0\0\0\0\0", 6);
	buf_clear(&b);
	buf_free(&b);
}

/* A model in a plain array, and a fixed sequence of pseudo-random steps. */
static void test_buf_equals_a_plain_queue_under_random_steps(void **state)
{
	enum { LIMIT = 3000 };
	static uint8_t model[LIMIT], piece[LIMIT];
	uint32_t seed = 7;
	size_t len = 0;
	struct buf b;

	(void)state;
	buf_init(&b, LIMIT);
	for (int i = 0; i < 200000; i++) {
		size_t n;

		seed = seed * 1664525u + 1013904223u;
		n = (seed >> 8) % (seed & 0x40 ? 40 : 900);
		if (seed & 0x80) {
			n = n < len ? n : len;
			buf_consume(&b, n);
			/* By hand: valgrind takes the checked memmove for a memcpy that overlaps. */
			for (size_t j = n; j < len; j++)
				model[j - n] = model[j];
			len -= n;
		} else {
			memset(piece, (int)(seed >> 24), n);
			if (n > LIMIT - len) {
				assert_int_equal(buf_put(&b, piece, n), PYSTUCK_ETOOBIG);
				continue;
			}
			assert_int_equal(buf_put(&b, piece, n), 0);
			memcpy(model + len, piece, n);
			len += n;
		}
		assert_int_equal(buf_len(&b), len);
		assert_memory_equal(buf_bytes(&b), model, len);
		assert_true(b.capacity <= LIMIT);
	}
	buf_free(&b);
}

static void test_buf_integers_are_big_endian(void **state)
{
	static const uint8_t wire[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
		0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0, 0, 0, 2, 'h', 'i' };
	struct span s, text;
	struct buf b;
	uint8_t v8 = 0;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_put_u8(&b, 0x01), 0);
	assert_int_equal(buf_put_u16(&b, 0x0203), 0);
	assert_int_equal(buf_put_u32(&b, 0x04050607), 0);
	assert_int_equal(buf_put_u64(&b, 0x08090a0b0c0d0e0full), 0);
	assert_int_equal(buf_put_string(&b, span_text("hi")), 0);
	assert_int_equal(buf_len(&b), sizeof wire);
	assert_memory_equal(buf_bytes(&b), wire, sizeof wire);

	s = buf_span(&b);
	assert_int_equal(span_get_u8(&s, &v8), 0);
	assert_int_equal(span_get_u16(&s, &v16), 0);
	assert_int_equal(span_get_u32(&s, &v32), 0);
	assert_int_equal(span_get_u64(&s, &v64), 0);
	assert_int_equal(span_get_string(&s, &text), 0);
	assert_int_equal(v8, 0x01);
	assert_int_equal(v16, 0x0203);
	assert_int_equal(v32, 0x04050607);
	assert_true(v64 == 0x08090a0b0c0d0e0full);
	assert_true(span_equals(text, "hi"));
	assert_int_equal(s.len, 0);
	buf_free(&b);
}

static void test_buf_addressed_integers_survive_their_extremes(void **state)
{
	uint8_t at[8];

	(void)state;
	be16_put(at, UINT16_MAX);
	assert_int_equal(be16_get(at), UINT16_MAX);
	be32_put(at, UINT32_MAX);
	assert_int_equal(be32_get(at), UINT32_MAX);
	be64_put(at, UINT64_MAX);
	assert_true(be64_get(at) == UINT64_MAX);
	be64_put(at, 1);
	assert_memory_equal(at, "\0\0\0\0\0\0\0\1", 8);
}

/* The bytes are on the heap and exactly as long, so that the sanitizer sees one read too many. */
static void test_buf_a_short_span_gives_nothing_and_stays(void **state)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;
	struct span text;

	(void)state;
	for (size_t n = 0; n <= 8; n++) {
		uint8_t *bytes = calloc(1, n > 0 ? n : 1);
		struct span whole = { bytes, n }, s;

		assert_non_null(bytes);
		s = whole;
		assert_int_equal(span_get_u8(&s, &v8), n >= 1 ? 0 : PYSTUCK_EFORMAT);
		assert_int_equal(s.len, n >= 1 ? n - 1 : n);
		s = whole;
		assert_int_equal(span_get_u16(&s, &v16), n >= 2 ? 0 : PYSTUCK_EFORMAT);
		assert_int_equal(s.len, n >= 2 ? n - 2 : n);
		s = whole;
		assert_int_equal(span_get_u32(&s, &v32), n >= 4 ? 0 : PYSTUCK_EFORMAT);
		assert_int_equal(s.len, n >= 4 ? n - 4 : n);
		s = whole;
		assert_int_equal(span_get_u64(&s, &v64), n >= 8 ? 0 : PYSTUCK_EFORMAT);
		assert_int_equal(s.len, n >= 8 ? n - 8 : n);
		s = whole;
		assert_int_equal(span_get_string(&s, &text), n >= 4 ? 0 : PYSTUCK_EFORMAT);
		assert_int_equal(s.len, n >= 4 ? n - 4 : n);
		free(bytes);
	}
}

static void test_buf_a_string_longer_than_the_rest_is_refused(void **state)
{
	static const uint8_t five[] = { 0, 0, 0, 3, 'a', 'b' };
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 'a' };
	struct span s = { five, sizeof five }, v = { NULL, 77 };

	(void)state;
	assert_int_equal(span_get_string(&s, &v), PYSTUCK_EFORMAT);
	assert_ptr_equal(s.data, five);
	assert_int_equal(s.len, sizeof five);
	assert_int_equal(v.len, 77);
	s = (struct span){ huge, sizeof huge };
	assert_int_equal(span_get_string(&s, &v), PYSTUCK_EFORMAT);
}

static void test_buf_spans_compare_with_text(void **state)
{
	struct span zero = { (const uint8_t *)"a\0b", 3 };

	(void)state;
	assert_true(span_equals(span_text("abc"), "abc"));
	assert_false(span_equals(span_text("abc"), "abd"));
	assert_false(span_equals(span_text("abc"), "ab"));
	assert_false(span_equals(zero, "a"));
	assert_true(span_equals(span_text(NULL), ""));
	assert_true(span_equals(span_text(""), NULL));
}

static void test_buf_spans_end_with_text(void **state)
{
	(void)state;
	assert_true(span_ends_with(span_text("a/b.py"), "/b.py"));
	assert_true(span_ends_with(span_text("/b.py"), "/b.py"));
	assert_true(span_ends_with(span_text("a"), ""));
	assert_true(span_ends_with(span_text(NULL), ""));
	assert_false(span_ends_with(span_text("b.py"), "/b.py"));
	assert_false(span_ends_with(span_text("a/b.py "), "/b.py"));
	assert_false(span_ends_with(span_text(NULL), "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf_starts_empty_and_without_memory),
		cmocka_unit_test(test_buf_holds_exactly_its_limit),
		cmocka_unit_test(test_buf_a_limit_of_zero_takes_nothing),
		cmocka_unit_test(test_buf_a_huge_length_does_not_overflow),
		cmocka_unit_test(test_buf_an_error_changes_nothing),
		cmocka_unit_test(test_buf_without_memory_keeps_its_content),
		cmocka_unit_test(test_buf_free_wipes),
		cmocka_unit_test(test_buf_growing_wipes_the_old_memory),
		cmocka_unit_test(test_buf_clear_wipes_and_keeps_the_memory),
		cmocka_unit_test(test_buf_equals_a_plain_queue_under_random_steps),
		cmocka_unit_test(test_buf_integers_are_big_endian),
		cmocka_unit_test(test_buf_addressed_integers_survive_their_extremes),
		cmocka_unit_test(test_buf_a_short_span_gives_nothing_and_stays),
		cmocka_unit_test(test_buf_a_string_longer_than_the_rest_is_refused),
		cmocka_unit_test(test_buf_spans_compare_with_text),
		cmocka_unit_test(test_buf_spans_end_with_text),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
