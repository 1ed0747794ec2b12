/*
 * test_acctmsg.c: the request and the answer of an account check: what goes in comes out, and
 * nothing else is understood.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "acctmsg.h"
#include "error.h"

static struct acctmsg_request by_uid(uint32_t uid)
{
	return (struct acctmsg_request){.by = ACCTMSG_UID, .uid = uid};
}

static struct acctmsg_request by_name(const char *name, const char *from)
{
	struct acctmsg_request r = {.by = ACCTMSG_NAME, .uid = UINT32_MAX};

	memcpy(r.name, name, strlen(name) + 1);
	memcpy(r.from, from, strlen(from) + 1);
	return r;
}

static void there_and_back(const struct acctmsg_request *r)
{
	struct acctmsg_request got;
	struct buf b;

	buf_init(&b, ACCTMSG_REQUEST_MAX);
	assert_int_equal(acctmsg_put_request(&b, r), 0);
	assert_int_equal(acctmsg_get_request(&got, buf_span(&b)), 0);
	assert_int_equal(got.by, r->by);
	assert_int_equal(got.uid, r->uid);
	assert_string_equal(got.name, r->name);
	assert_string_equal(got.from, r->from);
	buf_free(&b);
}

static void test_acctmsg_a_request_comes_out_as_it_went_in(void **state)
{
	struct acctmsg_request r;
	char longest[ACCTMSG_NAME_MAX + 1];

	(void)state;
	r = by_uid(0);
	there_and_back(&r);
	r = by_uid(UINT32_MAX - 1);
	there_and_back(&r);
	r = by_name("ci.deploy_2-x", "2001:db8::1");
	there_and_back(&r);
	r = by_name("a", "fe80::1%eth0");
	there_and_back(&r);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	r = by_name(longest, longest);
	there_and_back(&r);
}

static void test_acctmsg_names_that_could_mean_something_else_are_refused(void **state)
{
	static const char *const names[] = {"", "-x", "a/b", "a b", "a:b", "a\n", "$x", "\xc3\xa9"};
	struct buf b;
	struct acctmsg_request r;

	(void)state;
	buf_init(&b, ACCTMSG_REQUEST_MAX);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		r = by_name(names[i], "");
		assert_int_equal(acctmsg_put_request(&b, &r), PYSTUCK_EINVAL);
	}
	r = by_name("a", "host name");
	assert_int_equal(acctmsg_put_request(&b, &r), PYSTUCK_EINVAL);
	r = by_uid(UINT32_MAX);
	assert_int_equal(acctmsg_put_request(&b, &r), PYSTUCK_EINVAL);
	r = by_name("a", "");
	r.uid = 7;
	assert_int_equal(acctmsg_put_request(&b, &r), PYSTUCK_EINVAL);
	r = by_uid(7);
	r.name[0] = 'a';
	assert_int_equal(acctmsg_put_request(&b, &r), PYSTUCK_EINVAL);
	r = by_uid(7);
	r.by = 3;
	assert_int_equal(acctmsg_put_request(&b, &r), PYSTUCK_EINVAL);
	assert_int_equal(buf_len(&b), 0);
}

static int is_zero(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)bytes)[i] != 0)
			return 0;
	return 1;
}

/* Cut at every byte, with one more, with another version; and whatever decodes was sound. */
static void test_acctmsg_only_a_whole_request_is_understood(void **state)
{
	struct acctmsg_request r = by_name("alice", "10.0.0.7");
	struct acctmsg_request got;
	struct buf b;
	uint8_t bytes[ACCTMSG_REQUEST_MAX + 1];
	size_t len;

	(void)state;
	buf_init(&b, ACCTMSG_REQUEST_MAX);
	assert_int_equal(acctmsg_put_request(&b, &r), 0);
	len = buf_len(&b);
	memcpy(bytes, buf_bytes(&b), len);
	bytes[len] = 0;
	buf_free(&b);
	for (size_t cut = 0; cut <= len + 1; cut++) {
		int rc = acctmsg_get_request(&got, (struct span){bytes, cut});

		assert_int_equal(rc, cut == len ? 0 : PYSTUCK_EFORMAT);
		assert_int_equal(is_zero(&got, sizeof(got)), cut != len);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (acctmsg_get_request(&got, (struct span){bytes, len}) == 0) {
			/* Only within the texts can a bit change and all still make sense. */
			assert_true(bit / 8 >= 10);
			there_and_back(&got);
		}
		bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
}

static size_t put_answer(uint8_t *out, uint32_t code, const char *text)
{
	struct acctmsg_answer a = {.code = code};
	struct buf b;
	size_t len;

	memcpy(a.text, text, strlen(text) + 1);
	buf_init(&b, ACCTMSG_ANSWER_MAX);
	assert_int_equal(acctmsg_put_answer(&b, &a), 0);
	len = buf_len(&b);
	memcpy(out, buf_bytes(&b), len);
	buf_free(&b);
	return len;
}

static void test_acctmsg_only_a_whole_answer_is_understood(void **state)
{
	uint8_t bytes[ACCTMSG_ANSWER_MAX + 1];
	struct acctmsg_answer got;
	size_t len = put_answer(bytes, 13, "User account has expired");

	(void)state;
	bytes[len] = 0;
	for (size_t cut = 0; cut <= len + 1; cut++) {
		int rc = acctmsg_get_answer(&got, (struct span){bytes, cut});

		assert_int_equal(rc, cut == len ? 0 : PYSTUCK_EFORMAT);
		/* A refusal must not look like code 0: the caller goes by the return value. */
		assert_int_equal(is_zero(&got, sizeof(got)), cut != len);
	}
	assert_int_equal(acctmsg_get_answer(&got, (struct span){bytes, len}), 0);
	assert_int_equal(got.code, 13);
	assert_string_equal(got.text, "User account has expired");
	bytes[0]++;
	assert_int_equal(acctmsg_get_answer(&got, (struct span){bytes, len}), PYSTUCK_EFORMAT);
}

static void test_acctmsg_the_text_of_an_answer_is_safe_to_show(void **state)
{
	uint8_t bytes[ACCTMSG_ANSWER_MAX];
	struct acctmsg_answer got;
	char longest[ACCTMSG_TEXT_MAX + 1];
	size_t len = put_answer(bytes, 6, "a\x1b[31m\nb");

	(void)state;
	assert_int_equal(acctmsg_get_answer(&got, (struct span){bytes, len}), 0);
	assert_string_equal(got.text, "a\\x1b[31m\\x0ab");
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	len = put_answer(bytes, 6, longest);
	assert_int_equal(len, ACCTMSG_ANSWER_MAX);
	assert_int_equal(acctmsg_get_answer(&got, (struct span){bytes, len}), 0);
	assert_string_equal(got.text, longest);
	/* A NUL would hide what stands behind it. */
	bytes[len - 1] = '\0';
	assert_int_equal(acctmsg_get_answer(&got, (struct span){bytes, len}), PYSTUCK_EFORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acctmsg_a_request_comes_out_as_it_went_in),
		cmocka_unit_test(test_acctmsg_names_that_could_mean_something_else_are_refused),
		cmocka_unit_test(test_acctmsg_only_a_whole_request_is_understood),
		cmocka_unit_test(test_acctmsg_only_a_whole_answer_is_understood),
		cmocka_unit_test(test_acctmsg_the_text_of_an_answer_is_safe_to_show),
	};

	return cmocka_run_group_tests_name("acctmsg", tests, NULL, NULL);
}
