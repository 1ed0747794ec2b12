/*
 * test_msg.c: every message against bytes written by hand, and the ways in which bytes can be
 * wrong.
 */
#include "msg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "error.h"

#define TEXT(s) { (const uint8_t *)(s), sizeof(s) - 1 }

/*
 * One message and its bytes: docs/PROTOCOL.md, written out. Integers differ in every byte, so that
 * their order shows.
 */
struct sample {
	struct msg m;
	struct span wire;
};

static const struct sample samples[] = {
	{ { .type = MSG_HELLO, .hello = { TEXT("pystuck"), 1, TEXT("0.1") } },
		TEXT("\x01" "\0\0\0\7pystuck" "\0\1" "\0\0\0\3" "0.1") },
	{ { .type = MSG_DUMP, .dump = { 0x01020304, DUMP_LOCALS | DUMP_OURS, 0x05060708 } },
		TEXT("\x02" "\1\2\3\4" "\3" "\5\6\7\10") },
	{ { .type = MSG_EVAL, .eval = { 0x01020304, EVAL_INTERACTIVE | EVAL_PROMPT, 9, TEXT("1+1") } },
		TEXT("\x03" "\1\2\3\4" "\3" "\0\0\0\11" "\0\0\0\3" "1+1") },
	{ { .type = MSG_INTERRUPT, .interrupt = { 0x01020304 } }, TEXT("\x04" "\1\2\3\4") },
	{ { .type = MSG_DETACH, .detach = { 0x01020304 } }, TEXT("\x05" "\1\2\3\4") },
	{ { .type = MSG_COMPLETE, .complete = { 0x01020304, COMPLETE_ASK, TEXT("os.") } },
		TEXT("\x07" "\1\2\3\4" "\1" "\0\0\0\3" "os.") },
	{ { .type = MSG_WHERE, .where = { 0x01020304 } }, TEXT("\x08" "\1\2\3\4") },
	{ { .type = MSG_BACKGROUND, .background = { 0x01020304 } }, TEXT("\x09" "\1\2\3\4") },
	{ { .type = MSG_BYE, .bye = { REASON_STOPPING, TEXT("bye") } },
		TEXT("\x06" "\6" "\0\0\0\3" "bye") },
	{ { .type = MSG_WELCOME, .welcome = { 1, ROLE_LOCALS, 0x01020304, 0x05060708,
		0x0102030405060708, TEXT("0.1"), TEXT("3.13"), TEXT("py\0x") } },
		TEXT("\x40" "\0\1" "\2" "\1\2\3\4" "\5\6\7\10" "\1\2\3\4\5\6\7\10"
			"\0\0\0\3" "0.1" "\0\0\0\4" "3.13" "\0\0\0\4" "py\0x") },
	{ { .type = MSG_REFUSED, .refused = { 1, REASON_FULL, TEXT("full") } },
		TEXT("\x41" "\0\1" "\3" "\0\0\0\4" "full") },
	{ { .type = MSG_ERROR, .error = { 0x01020304, REASON_BUSY, TEXT("busy") } },
		TEXT("\x42" "\1\2\3\4" "\5" "\0\0\0\4" "busy") },
	{ { .type = MSG_DUMP_BEGIN, .dump_begin = { 0x01020304, DUMP_HOW_RAW, 1,
		0x0102030405060708, 0x1112131415161718, 0x2122232425262728, 0x05060708, 7,
		TEXT("note") } },
		TEXT("\x43" "\1\2\3\4" "\2" "\1" "\1\2\3\4\5\6\7\10"
			"\x11\x12\x13\x14\x15\x16\x17\x18" "\x21\x22\x23\x24\x25\x26\x27\x28"
			"\5\6\7\10" "\0\0\0\7" "\0\0\0\4" "note") },
	{ { .type = MSG_DUMP_CODE, .dump_code = { 0x01020304, TEXT("a.py"), TEXT("A.b") } },
		TEXT("\x44" "\1\2\3\4" "\0\0\0\4" "a.py" "\0\0\0\3" "A.b") },
	{ { .type = MSG_DUMP_SOURCE, .dump_source = { 0x01020304, 0x05060708, TEXT("x = 1") } },
		TEXT("\x45" "\1\2\3\4" "\5\6\7\10" "\0\0\0\5" "x = 1") },
	{ { .type = MSG_DUMP_THREAD, .dump_thread = { 0x0102030405060708, 0x11121314,
		THREAD_MAIN | THREAD_OURS, STATE_LOCK, TEXT("n"), TEXT("cl"), TEXT("os"),
		TEXT("in recv"), 0x21222324, TEXT("\1\2\3\4\5\6\7\10" "\0\0\0\1\0\0\0\2") } },
		TEXT("\x46" "\1\2\3\4\5\6\7\10" "\x11\x12\x13\x14" "\5" "\3" "\0\0\0\1" "n"
			"\0\0\0\2" "cl" "\0\0\0\2" "os" "\0\0\0\7" "in recv" "\x21\x22\x23\x24"
			"\0\0\0\2" "\1\2\3\4\5\6\7\10" "\0\0\0\1\0\0\0\2") },
	{ { .type = MSG_DUMP_LOCAL, .dump_local = { 0x01020304, TEXT("x"), TEXT("[1]") } },
		TEXT("\x47" "\1\2\3\4" "\0\0\0\1" "x" "\0\0\0\3" "[1]") },
	{ { .type = MSG_DUMP_END, .dump_end = { 0x01020304, 0x05060708, 1 } },
		TEXT("\x48" "\1\2\3\4" "\5\6\7\10" "\1") },
	{ { .type = MSG_OUTPUT, .output = { 0x01020304, 2, TEXT("out") } },
		TEXT("\x49" "\1\2\3\4" "\2" "\0\0\0\3" "out") },
	{ { .type = MSG_RESULT, .result = { 0x01020304, RESULT_EXIT, 0x0102030405060708,
		0x1112131415161718, TEXT("2") } },
		TEXT("\x4a" "\1\2\3\4" "\5" "\1\2\3\4\5\6\7\10"
			"\x11\x12\x13\x14\x15\x16\x17\x18" "\0\0\0\1" "2") },
	{ { .type = MSG_PLACE, .place = { 0x01020304, TEXT("time.sleep") } },
		TEXT("\x4d" "\1\2\3\4" "\0\0\0\12" "time.sleep") },
	{ { .type = MSG_RAISED, .raised = { 0x01020304, TEXT("KeyError"), TEXT("'k'") } },
		TEXT("\x4e" "\1\2\3\4" "\0\0\0\10" "KeyError" "\0\0\0\3" "'k'") },
	{ { .type = MSG_MATCHES, .matches = { 0x01020304, MATCHES_CUT | MATCHES_UNASKED, 0x05060708,
		0x11121314, TEXT("f(x)"), TEXT("a\0b\0") } },
		TEXT("\x4b" "\1\2\3\4" "\3" "\5\6\7\10" "\x11\x12\x13\x14" "\0\0\0\4" "f(x)"
			"\0\0\0\4" "a\0b\0") },
	{ { .type = MSG_DUMP_WAIT, .dump_wait = { WAIT_FOR_IO, WAIT_PROVED | WAIT_FD, WAIT_KNOWN, 0x0102030405060708,
		0x1112131415161718, 0x2122232425262728, 0x31323334, 0x41424344, 0x51525354, 0x61626364,
		0x7172737475767778, 0x01020304, TEXT("recv"), TEXT("TCP"), TEXT("n"), TEXT("/p"), TEXT("l"), TEXT("r"),
		TEXT("cmd") } },
		TEXT("\x4c" "\6" "\x11" "\2" "\1\2\3\4\5\6\7\10" "\x11\x12\x13\x14\x15\x16\x17\x18"
			"\x21\x22\x23\x24\x25\x26\x27\x28" "\x31\x32\x33\x34" "\x41\x42\x43\x44" "\x51\x52\x53\x54"
			"\x61\x62\x63\x64" "\x71\x72\x73\x74\x75\x76\x77\x78" "\1\2\3\4" "\0\0\0\4" "recv"
			"\0\0\0\3" "TCP" "\0\0\0\1" "n" "\0\0\0\2" "/p" "\0\0\0\1" "l" "\0\0\0\1" "r"
			"\0\0\0\3" "cmd") },
	{ { .type = MSG_DUMP_GREENLET, .dump_greenlet = { 0x0102030405060708, 0x1112131415161718, 0x2122232425262728,
		GREENLET_SUSPENDED, GREENLET_HUB | GREENLET_TIMED, TEXT("Hub"), TEXT("n"), GREENLET_FOR_IO, GREENLET_WRITES,
		0x31323334, 0x41424344, 0x5152535455565758, 0x6162636465666768, 0x7172737475767778, TEXT("TCP"), TEXT("l"),
		TEXT("r"), TEXT("/p"), 0x01020304, TEXT("\1\2\3\4\5\6\7\10") } },
		TEXT("\x4f" "\1\2\3\4\5\6\7\10" "\x11\x12\x13\x14\x15\x16\x17\x18" "\x21\x22\x23\x24\x25\x26\x27\x28"
			"\2" "\5" "\0\0\0\3" "Hub" "\0\0\0\1" "n" "\2" "\2" "\x31\x32\x33\x34" "\x41\x42\x43\x44"
			"\x51\x52\x53\x54\x55\x56\x57\x58" "\x61\x62\x63\x64\x65\x66\x67\x68"
			"\x71\x72\x73\x74\x75\x76\x77\x78" "\0\0\0\3" "TCP" "\0\0\0\1" "l" "\0\0\0\1" "r" "\0\0\0\2" "/p"
			"\1\2\3\4" "\0\0\0\1" "\1\2\3\4\5\6\7\10") },
	{ { .type = MSG_DUMP_GENERATOR, .dump_generator = { GENERATOR_ASYNC, 0x01020304, 0x11121314,
		TEXT("\1\2\3\4\5\6\7\10") } },
		TEXT("\x50" "\3" "\1\2\3\4" "\x11\x12\x13\x14" "\0\0\0\1" "\1\2\3\4\5\6\7\10") },
	{ { .type = MSG_DUMP_TASKS, .dump_tasks = { TASKS_IMPORTED, 0x01020304, 0x05060708, 0x1112131415161718,
		0x2122232425262728, 0x3132333435363738 } },
		TEXT("\x51" "\1" "\1\2\3\4" "\5\6\7\10" "\x11\x12\x13\x14\x15\x16\x17\x18"
			"\x21\x22\x23\x24\x25\x26\x27\x28" "\x31\x32\x33\x34\x35\x36\x37\x38") },
	{ { .type = MSG_DUMP_LOOP, .dump_loop = { 0x01020304, LOOP_RUNS | LOOP_COUNTS, 0x1112131415161718, 0x05060708,
		0x2122232425262728, 0x31323334, 0x41424344, 0x5152535455565758, TEXT("Loop"), TEXT("cb") } },
		TEXT("\x52" "\1\2\3\4" "\5" "\x11\x12\x13\x14\x15\x16\x17\x18" "\5\6\7\10"
			"\x21\x22\x23\x24\x25\x26\x27\x28" "\x31\x32\x33\x34" "\x41\x42\x43\x44"
			"\x51\x52\x53\x54\x55\x56\x57\x58" "\0\0\0\4" "Loop" "\0\0\0\2" "cb") },
	{ { .type = MSG_DUMP_TASK, .dump_task = { 0x0102030405060708, 0x11121314, TASK_READY, TASK_STILL | TASK_FD, TASK_FOR_READ,
		WAIT_INFERRED, 0x2122232425262728, 0x3132333435363738, 0x4142434445464748, 0x5152535455565758, 0x61626364,
		TEXT("n"), TEXT("c"), TEXT("a"), TEXT("h"), TEXT("TCP"), TEXT("o"), TEXT("l"), TEXT("p"), 0x01020304, 0x05060708,
		TEXT("\1\2\3\4\5\6\7\10"), TEXT("\0\0\0\1\0\0\0\2" "\0\0\0\3\0\0\0\4") } },
		TEXT("\x53" "\1\2\3\4\5\6\7\10" "\x11\x12\x13\x14" "\2" "\x44" "\10" "\1" "\x21\x22\x23\x24\x25\x26\x27\x28"
			"\x31\x32\x33\x34\x35\x36\x37\x38" "\x41\x42\x43\x44\x45\x46\x47\x48"
			"\x51\x52\x53\x54\x55\x56\x57\x58" "\x61\x62\x63\x64" "\0\0\0\1" "n" "\0\0\0\1" "c" "\0\0\0\1" "a"
			"\0\0\0\1" "h" "\0\0\0\3" "TCP" "\0\0\0\1" "o" "\0\0\0\1" "l" "\0\0\0\1" "p" "\1\2\3\4" "\5\6\7\10"
			"\0\0\0\1" "\1\2\3\4\5\6\7\10" "\0\0\0\2" "\0\0\0\1\0\0\0\2" "\0\0\0\3\0\0\0\4") },
	{ { .type = MSG_DUMP_INTERPRETER, .dump_interpreter = { 0x0102030405060708, INTERPRETER_OWN_GIL, 0x11121314 } },
		TEXT("\x54" "\1\2\3\4\5\6\7\10" "\2" "\x11\x12\x13\x14") },
	{ { .type = MSG_DUMP_NATIVES, .dump_natives = { 0x01020304, 0x11121314 } },
		TEXT("\x55" "\1\2\3\4" "\x11\x12\x13\x14") },
};

#define SAMPLES (sizeof samples / sizeof samples[0])

/* Decodes from heap memory of exactly this length, so that the sanitizer sees one read too many. */
static int decode_exact(struct msg *m, struct span bytes)
{
	uint8_t *copy = malloc(bytes.len > 0 ? bytes.len : 1);
	int rc;

	assert_non_null(copy);
	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	rc = msg_decode(m, (struct span){ copy, bytes.len });
	free(copy);
	return rc;
}

/* A changed copy of a sample's bytes. */
static int decode_with_byte(const struct sample *s, size_t at, uint8_t value)
{
	uint8_t bytes[256];
	struct msg m;

	assert_true(s->wire.len <= sizeof bytes && at < s->wire.len);
	memcpy(bytes, s->wire.data, s->wire.len);
	bytes[at] = value;
	return decode_exact(&m, (struct span){ bytes, s->wire.len });
}

static const struct sample *sample_of(enum msg_type type)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		if (samples[i].m.type == type)
			return &samples[i];
	}
	fail_msg("no sample of type %d", (int)type);
	return NULL;
}

static void test_msg_every_type_has_a_sample(void **state)
{
	size_t known = 0;

	(void)state;
	for (int type = 0; type < 256; type++) {
		if (strcmp(msg_type_name(type), "?") == 0)
			continue;
		assert_non_null(sample_of((enum msg_type)type));
		known++;
	}
	assert_int_equal(known, SAMPLES);
}

static void test_msg_parts_of_a_dump_are_told_from_all_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		enum msg_type type = samples[i].m.type;

		assert_int_equal(msg_is_of_dump(type), strncmp(msg_type_name((int)type), "DUMP_", 5) == 0);
	}
}

static void test_msg_encodes_to_the_bytes_of_the_protocol(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct buf b;
		size_t size = 0;

		buf_init(&b, MSG_MAX);
		assert_int_equal(msg_encode(&b, &samples[i].m), 0);
		assert_int_equal(buf_len(&b), samples[i].wire.len);
		assert_memory_equal(buf_bytes(&b), samples[i].wire.data, buf_len(&b));
		assert_int_equal(msg_size(&samples[i].m, &size), 0);
		assert_int_equal(size, buf_len(&b));
		buf_free(&b);
	}
}

/* With the test above: the fields are the same too. */
static void test_msg_decodes_what_it_encodes(void **state)
{
	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		struct buf b;
		struct msg m;

		memset(&m, 0xa5, sizeof m);
		buf_init(&b, MSG_MAX);
		assert_int_equal(msg_decode(&m, samples[i].wire), 0);
		assert_int_equal(m.type, samples[i].m.type);
		assert_int_equal(msg_encode(&b, &m), 0);
		assert_int_equal(buf_len(&b), samples[i].wire.len);
		assert_memory_equal(buf_bytes(&b), samples[i].wire.data, buf_len(&b));
		buf_free(&b);
	}
}

static void test_msg_decoded_fields_are_where_they_belong(void **state)
{
	struct msg m;

	(void)state;
	assert_int_equal(msg_decode(&m, sample_of(MSG_DUMP_THREAD)->wire), 0);
	assert_true(m.dump_thread.ident == 0x0102030405060708);
	assert_int_equal(m.dump_thread.tid, 0x11121314);
	assert_int_equal(m.dump_thread.flags, THREAD_MAIN | THREAD_OURS);
	assert_int_equal(m.dump_thread.state, STATE_LOCK);
	assert_true(span_equals(m.dump_thread.name, "n"));
	assert_true(span_equals(m.dump_thread.class_name, "cl"));
	assert_true(span_equals(m.dump_thread.os_name, "os"));
	assert_true(span_equals(m.dump_thread.detail, "in recv"));
	assert_int_equal(m.dump_thread.omitted_frames, 0x21222324);
	assert_int_equal(m.dump_thread.frames.len, 2 * FRAME_BYTES);
	assert_int_equal(be32_get(m.dump_thread.frames.data), 0x01020304);
}

static void test_msg_cut_at_any_byte_is_refused(void **state)
{
	struct msg m;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		for (size_t n = 0; n < samples[i].wire.len; n++) {
			struct span cut = { samples[i].wire.data, n };

			assert_int_equal(decode_exact(&m, cut), PYSTUCK_EFORMAT);
			assert_int_equal(m.type, 0);
		}
	}
}

static void test_msg_leftover_bytes_are_refused(void **state)
{
	uint8_t bytes[256];
	struct msg m;

	(void)state;
	for (size_t i = 0; i < SAMPLES; i++) {
		size_t n = samples[i].wire.len;

		memcpy(bytes, samples[i].wire.data, n);
		bytes[n] = 0;
		assert_int_equal(decode_exact(&m, (struct span){ bytes, n + 1 }), PYSTUCK_EFORMAT);
	}
}

static void test_msg_unknown_types_are_refused(void **state)
{
	struct buf b;
	struct msg m;

	(void)state;
	buf_init(&b, 100);
	for (int type = 0; type < 256; type++) {
		uint8_t bytes[64] = { (uint8_t)type };

		if (strcmp(msg_type_name(type), "?") != 0)
			continue;
		for (size_t n = 1; n < sizeof bytes; n++)
			assert_int_equal(decode_exact(&m, (struct span){ bytes, n }),
				PYSTUCK_EFORMAT);
		m = (struct msg){ .type = (enum msg_type)type };
		assert_int_equal(msg_encode(&b, &m), PYSTUCK_EINVAL);
	}
	assert_int_equal(buf_len(&b), 0);
	buf_free(&b);
}

/* Every byte with a range: where it stands in the sample, and what is allowed there. */
static void test_msg_values_out_of_range_are_refused(void **state)
{
	static const struct {
		enum msg_type type;
		size_t at;
		int least, most;
	} ranged[] = {
		{ MSG_DUMP, 5, 0, 127 },
		{ MSG_EVAL, 5, 0, 7 },
		{ MSG_BYE, 1, 0, 10 },
		{ MSG_WELCOME, 3, 1, 3 },
		{ MSG_REFUSED, 3, 1, 10 },
		{ MSG_ERROR, 5, 1, 10 },
		{ MSG_DUMP_BEGIN, 5, 1, 3 },
		{ MSG_DUMP_BEGIN, 6, 0, 1 },
		{ MSG_DUMP_THREAD, 13, 0, 15 },
		{ MSG_DUMP_THREAD, 14, 0, 9 },
		{ MSG_DUMP_END, 9, 0, 3 },
		{ MSG_OUTPUT, 5, 1, 3 },
		{ MSG_COMPLETE, 5, 0, 1 },
		{ MSG_MATCHES, 5, 0, 3 },
		{ MSG_RESULT, 5, 0, 5 },
		{ MSG_DUMP_GREENLET, 25, 1, 3 },
		{ MSG_DUMP_GREENLET, 26, 0, 7 },
		{ MSG_DUMP_GENERATOR, 1, 1, 3 },
		{ MSG_DUMP_WAIT, 1, 0, 9 },
		{ MSG_DUMP_WAIT, 3, 0, 3 },
		{ MSG_DUMP_TASKS, 1, 0, 1 },
		{ MSG_DUMP_LOOP, 5, 0, 7 },
		{ MSG_DUMP_TASK, 13, 0, 3 },
		{ MSG_DUMP_TASK, 15, 0, 12 },
		{ MSG_DUMP_TASK, 16, 0, 3 },
		{ MSG_DUMP_INTERPRETER, 9, 0, 7 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof ranged / sizeof ranged[0]; i++) {
		const struct sample *s = sample_of(ranged[i].type);

		for (int v = 0; v < 256; v++) {
			int fine = v >= ranged[i].least && v <= ranged[i].most;

			assert_int_equal(decode_with_byte(s, ranged[i].at, (uint8_t)v),
				fine ? 0 : PYSTUCK_EFORMAT);
		}
	}
}

static void test_msg_values_out_of_range_are_not_sent(void **state)
{
	struct msg bad[] = {
		{ .type = MSG_WELCOME, .welcome = { .version = 1, .role = ROLE_NONE } },
		{ .type = MSG_WELCOME, .welcome = { .version = 1, .role = 4 } },
		{ .type = MSG_DUMP, .dump = { .flags = 128 } },
		{ .type = MSG_OUTPUT, .output = { .stream = 4 } },
		{ .type = MSG_RESULT, .result = { .status = 6 } },
		{ .type = MSG_ERROR, .error = { .reason = 0 } },
		{ .type = MSG_DUMP_THREAD, .dump_thread = { .frames = TEXT("1234567") } },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(msg_encode(&b, &bad[i]), PYSTUCK_EINVAL);
	assert_int_equal(buf_len(&b), 0);
	buf_free(&b);
}

static void test_msg_a_frame_count_beyond_the_bytes_is_refused(void **state)
{
	const struct sample *s = sample_of(MSG_DUMP_THREAD);
	size_t at = s->wire.len - 2 * FRAME_BYTES - 4;

	(void)state;
	assert_int_equal(decode_with_byte(s, at + 3, 2), 0);
	assert_int_equal(decode_with_byte(s, at + 3, 1), PYSTUCK_EFORMAT);
	assert_int_equal(decode_with_byte(s, at + 3, 3), PYSTUCK_EFORMAT);
	assert_int_equal(decode_with_byte(s, at, 0x20), PYSTUCK_EFORMAT);
	assert_int_equal(decode_with_byte(s, at, 0xff), PYSTUCK_EFORMAT);
}

static void test_msg_any_magic_decodes_so_that_a_wrong_one_can_be_told(void **state)
{
	static const uint8_t other[] = "\x01" "\0\0\0\20" "0123456789abcdef" "\0\1" "\0\0\0\0";
	static const uint8_t longer[] = "\x01" "\0\0\0\21" "0123456789abcdef!" "\0\1" "\0\0\0\0";
	struct msg m;

	(void)state;
	assert_int_equal(msg_decode(&m, (struct span){ other, sizeof other - 1 }), 0);
	assert_true(span_equals(m.hello.magic, "0123456789abcdef"));
	assert_int_equal(decode_exact(&m, (struct span){ longer, sizeof longer - 1 }),
		PYSTUCK_EFORMAT);
}

static void test_msg_hello_from_the_future_decodes(void **state)
{
	static const uint8_t more[] = "\x01" "\0\0\0\7pystuck" "\0\2" "\0\0\0\3" "9.0" "new\xff";
	static const uint8_t bare[] = "\x01" "\0\0\0\7pystuck" "\0\2";
	static const uint8_t changed[] = "\x01" "\0\0\0\7pystuck" "\0\2" "\xff\xff\xff\xff?";
	static const uint8_t cut[] = "\x01" "\0\0\0\7pystuck" "\2";
	struct msg m;

	(void)state;
	assert_int_equal(decode_exact(&m, (struct span){ bare, sizeof bare - 1 }), 0);
	assert_int_equal(decode_exact(&m, (struct span){ changed, sizeof changed - 1 }), 0);
	assert_int_equal(m.hello.client.len, 0);
	assert_int_equal(decode_exact(&m, (struct span){ cut, sizeof cut - 1 }), PYSTUCK_EFORMAT);
	assert_int_equal(msg_decode(&m, (struct span){ more, sizeof more - 1 }), 0);
	assert_int_equal(m.hello.version, 2);
	assert_true(span_equals(m.hello.magic, PROTOCOL_MAGIC));
	assert_true(span_equals(m.hello.client, "9.0"));
}

static void test_msg_answers_of_another_version_decode_as_far_as_it_matters(void **state)
{
	static const uint8_t refused[] = "\x41" "\0\2" "\x63" "\0\0\0\4" "what" "more";
	static const uint8_t bare[] = "\x41" "\0\2" "\x63";
	static const uint8_t cut[] = "\x41" "\0\2";
	static const uint8_t welcome[] = "\x40" "\x01\x00" "\x09";
	struct msg m;

	(void)state;
	assert_int_equal(msg_decode(&m, (struct span){ refused, sizeof refused - 1 }), 0);
	assert_int_equal(m.refused.version, 2);
	assert_int_equal(m.refused.reason, 0x63);
	assert_true(span_equals(m.refused.text, "what"));
	assert_int_equal(decode_exact(&m, (struct span){ bare, sizeof bare - 1 }), 0);
	assert_int_equal(m.refused.reason, 0x63);
	assert_int_equal(decode_exact(&m, (struct span){ cut, sizeof cut - 1 }), PYSTUCK_EFORMAT);
	assert_int_equal(decode_exact(&m, (struct span){ welcome, sizeof welcome - 1 }), 0);
	assert_int_equal(m.welcome.version, 256);
}

static struct span filled(size_t n)
{
	uint8_t *bytes = malloc(n);

	assert_non_null(bytes);
	memset(bytes, 'x', n);
	return (struct span){ bytes, n };
}

/* Encodes m, which has a string that is too long, and decodes it again: its length; -1: refused. */
static long encoded_length(const struct msg *m, struct msg *back, struct buf *b)
{
	int rc = msg_encode(b, m);

	if (rc != 0) {
		assert_int_equal(rc, PYSTUCK_ETOOBIG);
		assert_int_equal(buf_len(b), 0);
		return -1;
	}
	assert_true(buf_len(b) <= MSG_MAX);
	assert_int_equal(msg_decode(back, buf_span(b)), 0);
	return (long)buf_len(b);
}

static void test_msg_text_for_showing_is_cut_at_its_limit(void **state)
{
	struct span s = filled(2 * MSG_MAX);
	struct msg back, m = { .type = MSG_DUMP_CODE, .dump_code = { .file = s, .function = s } };
	struct buf b;

	(void)state;
	buf_init(&b, 4 * MSG_MAX);
	assert_true(encoded_length(&m, &back, &b) > 0);
	assert_int_equal(back.dump_code.file.len, MSG_FILE_MAX);
	assert_int_equal(back.dump_code.function.len, MSG_NAME_MAX);
	buf_clear(&b);
	m = (struct msg){ .type = MSG_RESULT, .result = { .total = s.len, .text = s } };
	assert_true(encoded_length(&m, &back, &b) > 0);
	assert_int_equal(back.result.text.len, MSG_TEXT_MAX);
	assert_true(back.result.total == s.len);
	buf_free(&b);
	free((void *)(uintptr_t)s.data);
}

static void test_msg_text_is_cut_at_a_whole_character(void **state)
{
	struct span s = filled(MSG_NAME_MAX + 10);
	struct msg back, m = { .type = MSG_DUMP_LOCAL, .dump_local = { .name = s } };
	struct buf b;

	(void)state;
	/* A character of two bytes across the limit. */
	memcpy((uint8_t *)(uintptr_t)s.data + MSG_NAME_MAX - 1, "\xc3\xa9", 2);
	buf_init(&b, MSG_MAX);
	assert_true(encoded_length(&m, &back, &b) > 0);
	assert_int_equal(back.dump_local.name.len, MSG_NAME_MAX - 1);
	buf_free(&b);
	free((void *)(uintptr_t)s.data);
}

static void test_msg_what_must_arrive_whole_is_refused_over_its_limit(void **state)
{
	struct span s = filled(MSG_MAX);
	struct span over = { s.data, MSG_TEXT_MAX + 1 }, most = { s.data, MSG_TEXT_MAX };
	struct span frames = { s.data, (size_t)MSG_FRAMES_MAX * FRAME_BYTES };
	struct span many = { s.data, frames.len + FRAME_BYTES };
	struct msg back, m[] = {
		{ .type = MSG_EVAL, .eval = { .source = over } },
		{ .type = MSG_OUTPUT, .output = { .stream = 1, .text = over } },
		{ .type = MSG_HELLO, .hello = { .magic = { s.data, MSG_MAGIC_MAX + 1 } } },
		{ .type = MSG_DUMP_THREAD, .dump_thread = { .frames = many } },
	};
	struct buf b;

	(void)state;
	buf_init(&b, 4 * MSG_MAX);
	for (size_t i = 0; i < sizeof m / sizeof m[0]; i++)
		assert_int_equal(encoded_length(&m[i], &back, &b), -1);
	m[0].eval.source = most;
	assert_true(encoded_length(&m[0], &back, &b) > 0);
	buf_clear(&b);
	m[3].dump_thread = (struct msg_dump_thread){ .name = s, .class_name = s, .os_name = s,
		.detail = s, .frames = frames };
	assert_true(encoded_length(&m[3], &back, &b) > 0);
	assert_int_equal(back.dump_thread.frames.len, frames.len);
	buf_free(&b);
	free((void *)(uintptr_t)s.data);
}

static void test_msg_a_string_over_its_limit_is_refused_when_it_comes(void **state)
{
	struct msg m;
	struct buf b;

	(void)state;
	buf_init(&b, MSG_MAX);
	for (size_t n = MSG_SENTENCE_MAX; n <= MSG_SENTENCE_MAX + 1; n++) {
		struct span s = filled(n);

		buf_clear(&b);
		assert_int_equal(buf_put_u8(&b, MSG_BYE), 0);
		assert_int_equal(buf_put_u8(&b, 0), 0);
		assert_int_equal(buf_put_string(&b, s), 0);
		assert_int_equal(msg_decode(&m, buf_span(&b)),
			n <= MSG_SENTENCE_MAX ? 0 : PYSTUCK_EFORMAT);
		free((void *)(uintptr_t)s.data);
	}
	buf_free(&b);
}

static void test_msg_a_list_whose_last_text_does_not_end_is_refused(void **state)
{
	static const uint8_t open_list[] = { 'a', 0, 'b' };
	struct msg m = { .type = MSG_MATCHES, .matches = { .matches = { open_list, sizeof open_list } } };
	struct span wire = sample_of(MSG_MATCHES)->wire;
	struct buf b;

	(void)state;
	buf_init(&b, MSG_MAX);
	assert_int_equal(msg_encode(&b, &m), PYSTUCK_EINVAL);
	assert_int_equal(buf_len(&b), 0);
	buf_free(&b);
	assert_int_equal(decode_with_byte(sample_of(MSG_MATCHES), wire.len - 1, 'c'), PYSTUCK_EFORMAT);
	assert_int_equal(decode_with_byte(sample_of(MSG_MATCHES), wire.len - 2, 'c'), 0);
}

static void test_msg_the_longest_hello_fits_before_the_client_is_known(void **state)
{
	struct span s = filled(MSG_MAX);
	struct msg back, m = { .type = MSG_HELLO, .hello = { { s.data, MSG_MAGIC_MAX }, 1, s } };
	struct buf b;

	(void)state;
	buf_init(&b, MSG_MAX_HELLO);
	assert_true(encoded_length(&m, &back, &b) > 0);
	buf_free(&b);
	free((void *)(uintptr_t)s.data);
}

static void test_msg_a_full_buffer_stays_as_it_was(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 10);
	assert_int_equal(buf_put(&b, "abc", 3), 0);
	assert_int_equal(msg_encode(&b, &sample_of(MSG_DUMP)->m), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_len(&b), 3);
	assert_memory_equal(buf_bytes(&b), "abc", 3);
	buf_free(&b);
}

static void test_msg_names_are_the_documented_ones(void **state)
{
	static const char *const states[] = { "unknown", "cpu", "gil", "lock", "sleep", "io",
		"child", "c", "gc", "idle", "?" };
	static const char *const reasons[] = { "?", "denied", "version", "full", "gil", "busy",
		"stopping", "disabled", "limit", "unknown", "veto", "?" };
	static const char *const roles[] = { "none", "stacks", "locals", "eval", "?" };

	(void)state;
	for (int i = 0; i < (int)(sizeof states / sizeof states[0]); i++)
		assert_string_equal(state_name(i), states[i]);
	for (int i = 0; i < (int)(sizeof reasons / sizeof reasons[0]); i++)
		assert_string_equal(reason_name(i), reasons[i]);
	for (int i = 0; i < (int)(sizeof roles / sizeof roles[0]); i++)
		assert_string_equal(role_name(i), roles[i]);
	assert_string_equal(role_name(-1), "?");
	assert_string_equal(reason_name(-1), "?");
	assert_string_equal(state_name(-1), "?");
	assert_string_equal(wait_name(WAIT_FOR_NONE), "?");
	assert_string_equal(wait_name(WAIT_FOR_LOCK), "lock");
	assert_string_equal(wait_name(WAIT_FOR_CHILD), "child");
	assert_string_equal(wait_name(WAIT_FOR_CHILD + 1), "?");
	assert_string_equal(confidence_name(WAIT_UNKNOWN), "unknown");
	assert_string_equal(confidence_name(WAIT_KNOWN), "known");
	assert_string_equal(msg_type_name(-1), "?");
	assert_string_equal(msg_type_name(1000), "?");
	assert_string_equal(msg_type_name(MSG_DUMP_BEGIN), "DUMP_BEGIN");
}

static void test_msg_roles_are_parsed_only_when_spelled_exactly(void **state)
{
	(void)state;
	for (int role = ROLE_NONE; role <= ROLE_EVAL; role++)
		assert_int_equal(role_parse(role_name(role)), role);
	assert_int_equal(role_parse("Eval"), PYSTUCK_EINVAL);
	assert_int_equal(role_parse("eval "), PYSTUCK_EINVAL);
	assert_int_equal(role_parse(""), PYSTUCK_EINVAL);
	assert_int_equal(role_parse("?"), PYSTUCK_EINVAL);
	assert_int_equal(role_parse(NULL), PYSTUCK_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msg_every_type_has_a_sample),
		cmocka_unit_test(test_msg_parts_of_a_dump_are_told_from_all_others),
		cmocka_unit_test(test_msg_encodes_to_the_bytes_of_the_protocol),
		cmocka_unit_test(test_msg_decodes_what_it_encodes),
		cmocka_unit_test(test_msg_decoded_fields_are_where_they_belong),
		cmocka_unit_test(test_msg_cut_at_any_byte_is_refused),
		cmocka_unit_test(test_msg_leftover_bytes_are_refused),
		cmocka_unit_test(test_msg_unknown_types_are_refused),
		cmocka_unit_test(test_msg_values_out_of_range_are_refused),
		cmocka_unit_test(test_msg_values_out_of_range_are_not_sent),
		cmocka_unit_test(test_msg_a_frame_count_beyond_the_bytes_is_refused),
		cmocka_unit_test(test_msg_any_magic_decodes_so_that_a_wrong_one_can_be_told),
		cmocka_unit_test(test_msg_hello_from_the_future_decodes),
		cmocka_unit_test(test_msg_answers_of_another_version_decode_as_far_as_it_matters),
		cmocka_unit_test(test_msg_text_for_showing_is_cut_at_its_limit),
		cmocka_unit_test(test_msg_text_is_cut_at_a_whole_character),
		cmocka_unit_test(test_msg_what_must_arrive_whole_is_refused_over_its_limit),
		cmocka_unit_test(test_msg_a_string_over_its_limit_is_refused_when_it_comes),
		cmocka_unit_test(test_msg_a_list_whose_last_text_does_not_end_is_refused),
		cmocka_unit_test(test_msg_the_longest_hello_fits_before_the_client_is_known),
		cmocka_unit_test(test_msg_a_full_buffer_stays_as_it_was),
		cmocka_unit_test(test_msg_names_are_the_documented_ones),
		cmocka_unit_test(test_msg_roles_are_parsed_only_when_spelled_exactly),
	};

	return cmocka_run_group_tests_name("msg", tests, NULL, NULL);
}
