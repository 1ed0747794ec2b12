/*
 * test_channel.c: what holds for a channel whether plain or sealed: messages arrive whole and in
 * order, a cut is told from an end, memory is bounded. Records: test_channel_sealed.c.
 *
 * LINK: -Wl,--wrap=send -Wl,--wrap=recv -Wl,--wrap=malloc
 */
#include "channel.h"

#include <fcntl.h>
#include <signal.h>

#include "channel_pair.h"
#include "msg.h"

static void arrives_in_every_size(int sealed)
{
	static const size_t sizes[] = { 1, 2, 40, 1019, 1020, 1021, 1024, 4096, 65515, 65516, 65519,
		65535, 65536, 65537, 200000, 3 * 65519 + 1020, MSG_MAX };
	struct pair p = both(MSG_MAX, sealed);

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint8_t *bytes = pattern(sizes[i]);

		assert_int_equal(channel_put(p.a, (struct span){ bytes, sizes[i] }), 0);
		assert_arrives(p.a, p.b, bytes, sizes[i]);
		assert_int_equal(channel_put(p.b, (struct span){ bytes, sizes[i] }), 0);
		assert_arrives(p.b, p.a, bytes, sizes[i]);
		free(bytes);
	}
	assert_int_equal(channel_pending(p.a), 0);
	end(&p);
}

static void test_channel_plain_messages_of_every_size_arrive(void **state)
{
	(void)state;
	arrives_in_every_size(0);
}

static void test_channel_sealed_messages_of_every_size_arrive(void **state)
{
	(void)state;
	arrives_in_every_size(1);
}

static void arrives_in_order(int sealed, size_t most)
{
	struct pair p = both(MSG_MAX, sealed);
	struct span m;

	for (uint32_t i = 0; i < 2000; i++) {
		uint8_t bytes[90];

		memset(bytes, (int)(i & 0xff), sizeof bytes);
		be32_put(bytes, i);
		assert_int_equal(channel_put(p.a, (struct span){ bytes, 4 + i % 87 }), 0);
	}
	world.most = most;
	world.interrupts = 5;
	for (uint32_t i = 0; i < 2000; i++) {
		assert_int_equal(pump(p.a, p.b, &m), 1);
		assert_int_equal(m.len, 4 + i % 87);
		assert_int_equal(be32_get(m.data), i);
	}
	assert_int_equal(pump(p.a, p.b, &m), 0);
	assert_false(channel_partial(p.b));
	end(&p);
}

static void test_channel_many_messages_arrive_in_order(void **state)
{
	(void)state;
	arrives_in_order(0, 0);
	arrives_in_order(1, 0);
}

static void test_channel_short_counts_and_interrupts_change_nothing(void **state)
{
	(void)state;
	arrives_in_order(0, 3);
	arrives_in_order(1, 3);
}

static void test_channel_a_frame_is_a_length_and_the_message(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	uint8_t space[100];
	struct span wire;

	(void)state;
	assert_int_equal(channel_put(p.a, span_text("hello")), 0);
	assert_int_equal(channel_pending(p.a), 9);
	wire = wire_of(&p, space, sizeof space);
	assert_int_equal(wire.len, 9);
	assert_memory_equal(wire.data, "\0\0\0\5hello", 9);
	end(&p);
}

static void test_channel_a_short_message_is_one_send(void **state)
{
	struct pair p = half(MSG_MAX, 0);

	(void)state;
	assert_int_equal(channel_put(p.a, span_text("1+1")), 0);
	assert_int_equal(world.sends, 0);
	assert_int_equal(channel_flush(p.a), 0);
	assert_int_equal(world.sends, 1);
	assert_int_equal(channel_flush(p.a), 0);
	assert_int_equal(world.sends, 1);
	end(&p);
}

static void framed_run_arrives(int sealed)
{
	struct pair p = both(MSG_MAX, sealed);
	struct msg m = { .type = MSG_DUMP_END, .dump_end = { .omitted_threads = 7 } };
	struct span got;
	struct msg back;
	struct buf run;

	buf_init(&run, 4 * MSG_MAX);
	for (uint32_t i = 0; i < 60000; i++) {
		m.dump_end.id = i;
		assert_int_equal(channel_frame(&run, &m), 0);
	}
	assert_int_equal(channel_put(p.a, span_text("first")), 0);
	assert_int_equal(channel_flush(p.a), 0);
	assert_int_equal(channel_put_framed(p.a, buf_span(&run)), 0);
	assert_int_equal(channel_put(p.a, span_text("last")), 0);
	buf_free(&run);
	assert_arrives(p.a, p.b, (const uint8_t *)"first", 5);
	for (uint32_t i = 0; i < 60000; i++) {
		assert_int_equal(pump(p.a, p.b, &got), 1);
		assert_int_equal(msg_decode(&back, got), 0);
		assert_int_equal(back.dump_end.id, i);
	}
	assert_arrives(p.a, p.b, (const uint8_t *)"last", 4);
	end(&p);
}

static void test_channel_a_run_of_frames_arrives_in_its_place(void **state)
{
	(void)state;
	framed_run_arrives(0);
	framed_run_arrives(1);
}

static void test_channel_a_long_plain_run_goes_out_without_a_copy(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	uint8_t *bytes = pattern(50000);

	(void)state;
	assert_int_equal(channel_put_framed(p.a, (struct span){ bytes, 50000 }), 0);
	assert_int_equal(channel_pending(p.a), 0);
	assert_int_equal(world.sends, 1);
	assert_int_equal(world.largest, 0);
	/* Behind something that waits it must wait too. */
	assert_int_equal(channel_put(p.a, span_text("x")), 0);
	assert_int_equal(channel_put_framed(p.a, (struct span){ bytes, 50000 }), 0);
	assert_int_equal(channel_pending(p.a), 5 + 50000);
	free(bytes);
	end(&p);
}

static void test_channel_framing_that_fails_leaves_the_buffer(void **state)
{
	struct msg m = { .type = MSG_BYE, .bye = { .text = span_text("see you") } };
	struct buf b;

	(void)state;
	buf_init(&b, 19);
	assert_int_equal(channel_frame(&b, &m), 0);
	assert_int_equal(buf_len(&b), 4 + 13);
	assert_int_equal(channel_frame(&b, &m), PYSTUCK_ETOOBIG);
	assert_int_equal(buf_len(&b), 17);
	m.type = (enum msg_type)200;
	assert_int_equal(channel_frame(&b, &m), PYSTUCK_EINVAL);
	assert_int_equal(buf_len(&b), 17);
	buf_free(&b);
}

static void test_channel_a_length_over_the_limit_is_told_by_its_four_bytes(void **state)
{
	struct pair p = half(MSG_MAX_HELLO, 0);
	struct span m;

	(void)state;
	write_raw(p.raw, "\0\0\2", 3);
	assert_int_equal(channel_fill(p.a), 3);
	assert_int_equal(channel_next(p.a, &m), 0);
	write_raw(p.raw, "\1", 1);
	assert_int_equal(channel_fill(p.a), 1);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_ETOOBIG);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_ETOOBIG);
	end(&p);
}

static void test_channel_a_limit_above_the_protocols_is_the_protocols(void **state)
{
	struct pair p = half(SIZE_MAX, 0);
	struct span m;

	(void)state;
	write_raw(p.raw, "\0\x10\0\1", 4);
	assert_int_equal(channel_fill(p.a), 4);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_ETOOBIG);
	end(&p);
}

static void test_channel_a_length_of_zero_is_refused(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	struct span m;

	(void)state;
	write_raw(p.raw, "\0\0\0\0\0\0\0\1x", 9);
	assert_int_equal(channel_fill(p.a), 9);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_EFORMAT);
	end(&p);
}

static void test_channel_put_refuses_what_no_receiver_would_take(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	uint8_t *bytes = pattern(MSG_MAX + 1);

	(void)state;
	assert_int_equal(channel_put(p.a, (struct span){ bytes, 0 }), PYSTUCK_EINVAL);
	assert_int_equal(channel_put(p.a, (struct span){ bytes, MSG_MAX + 1 }), PYSTUCK_ETOOBIG);
	assert_int_equal(channel_pending(p.a), 0);
	free(bytes);
	end(&p);
}

static void test_channel_an_announced_length_allocates_nothing(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	struct span m;

	(void)state;
	write_raw(p.raw, "\0\x10\0\0xyz", 7);
	assert_int_equal(channel_fill(p.a), 7);
	assert_int_equal(channel_next(p.a, &m), 0);
	assert_int_equal(channel_fill(p.a), PYSTUCK_EAGAIN);
	assert_true(world.largest <= 8192);
	assert_true(channel_partial(p.a));
	end(&p);
}

/* A stranger who sends as much as he can, without a reader on this side. */
static void strangers_memory_is_bounded(int sealed)
{
	struct pair p = half(MSG_MAX_HELLO, sealed);
	static uint8_t flood[60000];
	int rc = 1;

	memset(flood, 1, sizeof flood);
	write_raw(p.raw, flood, sizeof flood);
	for (int i = 0; i < 1000 && rc > 0; i++)
		rc = channel_fill(p.a);
	assert_int_equal(rc, PYSTUCK_EAGAIN);
	assert_true(world.largest <= 2 * (4 + MSG_MAX_HELLO + NOISE_TAG + 2));
	end(&p);
}

static void test_channel_a_stranger_gets_no_memory_beyond_a_hello(void **state)
{
	(void)state;
	strangers_memory_is_bounded(0);
	strangers_memory_is_bounded(1);
}

/* After HELLO the limit is raised; the request right behind it was in the same packet. */
static void request_behind_hello(int sealed)
{
	struct pair p = both(MSG_MAX_HELLO, sealed);
	uint8_t *bytes = pattern(100000);

	assert_int_equal(channel_put(p.a, span_text("hello")), 0);
	assert_int_equal(channel_put(p.a, (struct span){ bytes, 100000 }), 0);
	assert_arrives(p.a, p.b, (const uint8_t *)"hello", 5);
	channel_limit_in(p.b, MSG_MAX);
	assert_arrives(p.a, p.b, bytes, 100000);
	free(bytes);
	end(&p);
}

static void test_channel_a_request_may_follow_hello_at_once(void **state)
{
	(void)state;
	request_behind_hello(0);
	request_behind_hello(1);
}

/* The largest buffer is given back: later short messages allocate only short ones. */
static void memory_is_given_back(int sealed)
{
	struct pair p = both(MSG_MAX, sealed);
	uint8_t *bytes = pattern(MSG_MAX);

	for (int round = 0; round < 3; round++) {
		world.largest = 0;
		assert_int_equal(channel_put(p.a, (struct span){ bytes, MSG_MAX }), 0);
		assert_arrives(p.a, p.b, bytes, MSG_MAX);
		/* Had it been kept, the next one would not have to be asked for again. */
		assert_true(world.largest >= MSG_MAX);
		assert_int_equal(channel_put(p.a, span_text("x")), 0);
		assert_arrives(p.a, p.b, (const uint8_t *)"x", 1);
	}
	free(bytes);
	end(&p);
}

static void test_channel_memory_of_a_long_message_is_given_back(void **state)
{
	(void)state;
	memory_is_given_back(0);
	memory_is_given_back(1);
}

/* Every prefix of a conversation: messages that were whole, then an end that is told from a cut. */
static void cut_at_every_byte(int sealed)
{
	static const size_t lens[] = { 5, 1, 30 };
	struct pair p = half(MSG_MAX, sealed);
	uint8_t space[300], text[30] = { 0 };
	size_t ends[3], at = 0;
	struct span wire;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(channel_put(p.a, (struct span){ text, lens[i] }), 0);
		at += lens[i] + 4 + (sealed ? 2 + NOISE_TAG : 0);
		ends[i] = at;
	}
	wire = wire_of(&p, space, sizeof space);
	assert_int_equal(wire.len, at);
	end(&p);
	for (size_t cut = 0; cut <= wire.len; cut++) {
		struct pair q = half(MSG_MAX, sealed);
		int expected = 0, whole = cut == 0, messages;

		if (sealed)
			seal(q.a, 2, 1);
		for (size_t i = 0; i < 3; i++) {
			expected += cut >= ends[i];
			whole |= cut == ends[i];
		}
		if (cut > 0)
			write_raw(q.raw, wire.data, cut);
		close(q.raw);
		q.raw = -1;
		assert_int_equal(drain(q.a, &messages), 0);
		assert_int_equal(messages, expected);
		assert_int_equal(channel_partial(q.a), !whole);
		end(&q);
	}
}

static void test_channel_a_cut_at_any_byte_is_told_from_an_end(void **state)
{
	(void)state;
	cut_at_every_byte(0);
	cut_at_every_byte(1);
}

static void test_channel_a_reader_that_is_gone_is_told_without_a_signal(void **state)
{
	struct pair p = half(MSG_MAX, 0);

	(void)state;
	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	close(p.raw);
	p.raw = -1;
	assert_int_equal(channel_put(p.a, span_text("x")), 0);
	assert_int_equal(channel_flush(p.a), PYSTUCK_ECLOSED);
	assert_int_equal(channel_flush(p.a), PYSTUCK_ECLOSED);
	end(&p);
}

static void test_channel_a_failing_fd_gives_its_errno(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	uint8_t *bytes = pattern(50000);

	(void)state;
	world.send_errno = ENOBUFS;
	assert_int_equal(channel_put_framed(p.a, (struct span){ bytes, 50000 }), 0);
	assert_int_equal(channel_flush(p.a), PYSTUCK_ESYS);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(channel_pending(p.a), 50000);
	free(bytes);
	end(&p);
}

static void test_channel_a_full_socket_is_not_an_error(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	uint8_t *bytes = pattern(MSG_MAX);

	(void)state;
	assert_int_equal(channel_put(p.a, (struct span){ bytes, MSG_MAX }), 0);
	assert_int_equal(channel_flush(p.a), PYSTUCK_EAGAIN);
	assert_in_range(channel_pending(p.a), 1, MSG_MAX);
	free(bytes);
	end(&p);
}

/* Memory that is missing for one message costs that message, not the stream. */
static void stream_survives_no_memory(int sealed)
{
	struct pair p = both(MSG_MAX, sealed);
	uint8_t *bytes = pattern(100000);
	struct span big = { bytes, 100000 };

	assert_int_equal(channel_put(p.a, span_text("before")), 0);
	world.fail_malloc = 1;
	assert_int_equal(channel_put(p.a, big), PYSTUCK_ENOMEM);
	assert_int_equal(channel_put_framed(p.a, big), PYSTUCK_ENOMEM);
	world.fail_malloc = 0;
	assert_int_equal(channel_put(p.a, span_text("after")), 0);
	assert_arrives(p.a, p.b, (const uint8_t *)"before", 6);
	assert_arrives(p.a, p.b, (const uint8_t *)"after", 5);
	free(bytes);
	end(&p);
}

static void test_channel_without_memory_the_stream_stays_whole(void **state)
{
	(void)state;
	stream_survives_no_memory(0);
	stream_survives_no_memory(1);
}

/* A run that went out in part and cannot be queued: whatever followed would be read as its rest. */
static void test_channel_half_a_run_ends_the_sending(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	uint8_t *bytes = pattern(MSG_MAX);

	(void)state;
	world.fail_malloc = 1;
	assert_int_equal(channel_put_framed(p.a, (struct span){ bytes, MSG_MAX }), PYSTUCK_ENOMEM);
	world.fail_malloc = 0;
	assert_int_equal(channel_put(p.a, span_text("x")), PYSTUCK_ENOMEM);
	assert_int_equal(channel_put_framed(p.a, span_text("x")), PYSTUCK_ENOMEM);
	assert_int_equal(channel_flush(p.a), PYSTUCK_ENOMEM);
	free(bytes);
	end(&p);
}

static void test_channel_freeing_closes_the_fd(void **state)
{
	struct pair p = half(MSG_MAX, 0);
	int fd = channel_fd(p.a);

	(void)state;
	assert_true(fcntl(fd, F_GETFD) >= 0);
	channel_free(p.a);
	p.a = NULL;
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	channel_free(NULL);
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_channel_plain_messages_of_every_size_arrive),
		cmocka_unit_test(test_channel_sealed_messages_of_every_size_arrive),
		cmocka_unit_test(test_channel_many_messages_arrive_in_order),
		cmocka_unit_test(test_channel_short_counts_and_interrupts_change_nothing),
		cmocka_unit_test(test_channel_a_frame_is_a_length_and_the_message),
		cmocka_unit_test(test_channel_a_short_message_is_one_send),
		cmocka_unit_test(test_channel_a_run_of_frames_arrives_in_its_place),
		cmocka_unit_test(test_channel_a_long_plain_run_goes_out_without_a_copy),
		cmocka_unit_test(test_channel_framing_that_fails_leaves_the_buffer),
		cmocka_unit_test(test_channel_a_length_over_the_limit_is_told_by_its_four_bytes),
		cmocka_unit_test(test_channel_a_limit_above_the_protocols_is_the_protocols),
		cmocka_unit_test(test_channel_a_length_of_zero_is_refused),
		cmocka_unit_test(test_channel_put_refuses_what_no_receiver_would_take),
		cmocka_unit_test(test_channel_an_announced_length_allocates_nothing),
		cmocka_unit_test(test_channel_a_stranger_gets_no_memory_beyond_a_hello),
		cmocka_unit_test(test_channel_a_request_may_follow_hello_at_once),
		cmocka_unit_test(test_channel_memory_of_a_long_message_is_given_back),
		cmocka_unit_test(test_channel_a_cut_at_any_byte_is_told_from_an_end),
		cmocka_unit_test(test_channel_a_reader_that_is_gone_is_told_without_a_signal),
		cmocka_unit_test(test_channel_a_failing_fd_gives_its_errno),
		cmocka_unit_test(test_channel_a_full_socket_is_not_an_error),
		cmocka_unit_test(test_channel_without_memory_the_stream_stays_whole),
		cmocka_unit_test(test_channel_half_a_run_ends_the_sending),
		cmocka_unit_test(test_channel_freeing_closes_the_fd),
	};

	alarm(TEST_TIMEOUT_S);
	if (noise_init() != 0)
		return 1;
	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
