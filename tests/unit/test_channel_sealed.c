/*
 * test_channel_sealed.c: the records of a sealed channel: changed, moved, too long, before and
 * after the handshake; and one thread for each half.
 *
 * LINK: -Wl,--wrap=send -Wl,--wrap=recv -Wl,--wrap=malloc
 */
#include "channel.h"

#include <pthread.h>
#include <sched.h>

#include "channel_pair.h"
#include "msg.h"

/*
 * Three sealed messages; each bit of the whole is changed once. What comes before the change
 * arrives; from there on nothing does, and the end is an error or a truncation, never a plain end.
 */
static void test_channel_any_flipped_bit_delivers_nothing(void **state)
{
	struct pair p = half(MSG_MAX, 1);
	uint8_t space[300];
	struct span wire;
	size_t record;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(channel_put(p.a, span_text("transfer")), 0);
	wire = wire_of(&p, space, sizeof space);
	record = wire.len / 3;
	assert_int_equal(wire.len % 3, 0);
	end(&p);
	for (size_t bit = 0; bit < wire.len * 8; bit++) {
		struct pair q = half(MSG_MAX, 1);
		int messages, rc;

		seal(q.a, 2, 1);
		space[bit / 8] ^= (uint8_t)(1u << bit % 8);
		write_raw(q.raw, space, wire.len);
		space[bit / 8] ^= (uint8_t)(1u << bit % 8);
		close(q.raw);
		q.raw = -1;
		rc = drain(q.a, &messages);
		assert_int_equal(messages, bit / 8 / record);
		assert_true(rc < 0 || channel_partial(q.a));
		if (bit / 8 % record >= 2)
			assert_int_equal(rc, PYSTUCK_EAUTH);
		end(&q);
	}
}

static void test_channel_records_out_of_order_or_again_are_refused(void **state)
{
	static const int orders[][2] = { { 1, 0 }, { 0, 0 }, { 1, 1 } };
	struct pair p = half(MSG_MAX, 1);
	uint8_t space[300];
	struct span wire;

	(void)state;
	assert_int_equal(channel_put(p.a, span_text("first")), 0);
	assert_int_equal(channel_put(p.a, span_text("other")), 0);
	wire = wire_of(&p, space, sizeof space);
	end(&p);
	for (size_t i = 0; i < 3; i++) {
		struct pair q = half(MSG_MAX, 1);
		int messages;

		seal(q.a, 2, 1);
		for (int j = 0; j < 2; j++)
			write_raw(q.raw, space + (size_t)orders[i][j] * wire.len / 2, wire.len / 2);
		assert_int_equal(drain(q.a, &messages), PYSTUCK_EAUTH);
		assert_int_equal(messages, orders[i][0] == 0);
		assert_int_equal(drain(q.a, &messages), PYSTUCK_EAUTH);
		assert_int_equal(messages, 0);
		end(&q);
	}
}

static void test_channel_sealed_bytes_hide_the_message(void **state)
{
	struct pair p = half(MSG_MAX, 1);
	uint8_t space[300];
	struct span wire;

	(void)state;
	assert_int_equal(channel_put(p.a, span_text("password")), 0);
	wire = wire_of(&p, space, sizeof space);
	assert_null(memmem(wire.data, wire.len, "pass", 4));
	assert_int_equal(be16_get(wire.data), wire.len - 2);
	end(&p);
}

static void test_channel_no_record_is_longer_than_the_protocol_allows(void **state)
{
	struct pair p = half(MSG_MAX, 1);
	uint8_t *bytes = pattern(150000), *space = __real_malloc(300000);
	size_t at = 0;
	int records = 0;
	struct span wire;

	(void)state;
	assert_non_null(space);
	assert_int_equal(channel_put_framed(p.a, (struct span){ bytes, 150000 }), 0);
	wire = wire_of(&p, space, 300000);
	while (at < wire.len) {
		size_t len = be16_get(wire.data + at);

		assert_in_range(len, NOISE_TAG + 1, NOISE_RECORD_MAX);
		at += 2 + len;
		records++;
	}
	assert_int_equal(at, wire.len);
	assert_int_equal(records, 3);
	free(bytes);
	free(space);
	end(&p);
}

static void test_channel_an_empty_record_is_refused(void **state)
{
	struct noise_cipher c = { .nonce = 0 };
	struct pair p = half(MSG_MAX, 1);
	uint8_t record[2 + NOISE_TAG];
	struct span m;

	(void)state;
	memset(c.key, 2, sizeof c.key);
	be16_put(record, NOISE_TAG);
	assert_int_equal(noise_seal(&c, record, 0, record + 2), 0);
	write_raw(p.raw, record, sizeof record);
	assert_int_equal(channel_fill(p.a), sizeof record);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_EFORMAT);
	end(&p);
}

static void test_channel_a_record_longer_than_a_hello_is_told_by_its_length(void **state)
{
	struct pair p = half(MSG_MAX_HELLO, 1);
	uint8_t header[2];
	struct span m;

	(void)state;
	be16_put(header, 4 + MSG_MAX_HELLO + NOISE_TAG + 1);
	write_raw(p.raw, header, sizeof header);
	assert_int_equal(channel_fill(p.a), 2);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_ETOOBIG);
	end(&p);
}

/* More records than NOISE_REKEY_AFTER in both directions. */
static void test_channel_goes_on_after_the_keys_were_replaced(void **state)
{
	struct pair p = both(MSG_MAX, 1);
	uint8_t bytes[4];

	(void)state;
	for (uint32_t i = 0; i < NOISE_REKEY_AFTER + 20; i++) {
		be32_put(bytes, i);
		assert_int_equal(channel_put(p.a, (struct span){ bytes, 4 }), 0);
		assert_arrives(p.a, p.b, bytes, 4);
	}
	end(&p);
}

/* A channel that awaits handshake records, with its other end by hand. */
static struct pair handshaking(void)
{
	struct pair p = half(MSG_MAX_HELLO, 0);
	int fds[2];

	channel_free(p.a);
	close(p.raw);
	make_sockets(fds);
	p.a = channel_new(fds[0], MSG_MAX_HELLO, 1);
	assert_non_null(p.a);
	p.raw = fds[1];
	return p;
}

static void test_channel_handshake_records_arrive_whole(void **state)
{
	struct pair p = handshaking();
	uint8_t record[2 + NOISE_MESSAGE] = { 0, NOISE_MESSAGE, 1, 2, 3 }, space[100];
	struct span r;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < sizeof record; i++) {
		assert_int_equal(channel_take_record(p.a, NOISE_MESSAGE, &r), PYSTUCK_EAGAIN);
		assert_int_equal(channel_partial(p.a), i > 0);
		write_raw(p.raw, record + i, 1);
		assert_int_equal(channel_fill(p.a), 1);
	}
	assert_int_equal(channel_take_record(p.a, NOISE_MESSAGE, &r), 0);
	assert_int_equal(r.len, NOISE_MESSAGE);
	assert_memory_equal(r.data, record + 2, NOISE_MESSAGE);
	assert_int_equal(channel_put_record(p.a, r), 0);
	assert_int_equal(channel_flush(p.a), 0);
	n = __real_recv(p.raw, space, sizeof space, 0);
	assert_int_equal(n, sizeof record);
	assert_memory_equal(space, record, sizeof record);
	end(&p);
}

static void test_channel_what_is_no_handshake_is_told_by_its_first_byte(void **state)
{
	static const char *const others[] = { "GET / HTTP/1.1\r\n", "\x16\x03\x01", "SSH-2.0-",
		"\n" };
	struct span r;

	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		struct pair p = handshaking();

		write_raw(p.raw, others[i], 1);
		assert_int_equal(channel_fill(p.a), 1);
		assert_int_equal(channel_take_record(p.a, NOISE_MESSAGE, &r), PYSTUCK_EFORMAT);
		end(&p);
	}
}

static void test_channel_a_handshake_record_of_another_length_is_refused(void **state)
{
	struct span r;

	(void)state;
	for (int len = 0; len < 256; len++) {
		struct pair p = handshaking();
		uint8_t header[2] = { 0, (uint8_t)len };

		write_raw(p.raw, header, 2);
		assert_int_equal(channel_fill(p.a), 2);
		assert_int_equal(channel_take_record(p.a, NOISE_MESSAGE, &r),
			len == NOISE_MESSAGE ? PYSTUCK_EAGAIN : PYSTUCK_EFORMAT);
		end(&p);
	}
}

static void test_channel_no_message_passes_before_the_handshake(void **state)
{
	struct pair p = handshaking();
	struct span m = span_text("x");

	(void)state;
	assert_int_equal(channel_put(p.a, m), PYSTUCK_EINVAL);
	assert_int_equal(channel_put_framed(p.a, m), PYSTUCK_EINVAL);
	assert_int_equal(channel_next(p.a, &m), PYSTUCK_EINVAL);
	assert_int_equal(channel_pending(p.a), 0);
	seal(p.a, 1, 2);
	assert_int_equal(channel_put_record(p.a, m), PYSTUCK_EINVAL);
	assert_int_equal(channel_take_record(p.a, NOISE_MESSAGE, &m), PYSTUCK_EINVAL);
	end(&p);
}

/* The first transport record may come in one packet with the handshake message before it. */
static void test_channel_bytes_behind_the_handshake_are_not_lost(void **state)
{
	struct pair p = handshaking(), q = half(MSG_MAX, 1);
	uint8_t record[2 + NOISE_MESSAGE] = { 0, NOISE_MESSAGE }, space[200];
	struct span r, wire;

	(void)state;
	assert_int_equal(channel_put(q.a, span_text("hello")), 0);
	wire = wire_of(&q, space, sizeof space);
	write_raw(p.raw, record, sizeof record);
	write_raw(p.raw, wire.data, wire.len);
	assert_int_equal(channel_fill(p.a), sizeof record);
	assert_int_equal(channel_take_record(p.a, NOISE_MESSAGE, &r), 0);
	seal(p.a, 2, 1);
	assert_int_equal(channel_next(p.a, &r), 0);
	assert_int_equal(channel_fill(p.a), (int)wire.len);
	assert_int_equal(channel_next(p.a, &r), 1);
	assert_true(span_equals(r, "hello"));
	end(&q);
	end(&p);
}

static void test_channel_sealing_wipes_the_callers_keys(void **state)
{
	struct noise_cipher send = { .nonce = 3 }, receive = { .nonce = 4 };
	static const uint8_t zero[32];
	struct pair p = half(MSG_MAX, 1);

	(void)state;
	memset(send.key, 7, sizeof send.key);
	memset(receive.key, 8, sizeof receive.key);
	channel_seal(p.a, &send, &receive);
	assert_memory_equal(send.key, zero, sizeof zero);
	assert_memory_equal(receive.key, zero, sizeof zero);
	end(&p);
}

#define THREAD_MESSAGES 20000

/* Sends on the channel while the main thread receives on it. */
static void *sender(void *arg)
{
	struct channel *ch = arg;
	uint8_t bytes[4];

	for (uint32_t i = 0; i < THREAD_MESSAGES; i++) {
		be32_put(bytes, i);
		if (channel_put(ch, (struct span){ bytes, 4 }) != 0)
			return ch;
		while (channel_flush(ch) == PYSTUCK_EAGAIN)
			sched_yield();
	}
	return NULL;
}

static void test_channel_the_two_halves_serve_two_threads(void **state)
{
	struct pair p = both(MSG_MAX, 1);
	void *failed = p.a;
	pthread_t threads[2];
	uint32_t got[2] = { 0, 0 };

	(void)state;
	world.active = 0;
	assert_int_equal(pthread_create(&threads[0], NULL, sender, p.a), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, sender, p.b), 0);
	while (got[0] < THREAD_MESSAGES || got[1] < THREAD_MESSAGES) {
		for (int i = 0; i < 2; i++) {
			struct channel *ch = i == 0 ? p.a : p.b;
			struct span m;
			int rc = channel_fill(ch);

			assert_true(rc > 0 || rc == PYSTUCK_EAGAIN);
			while ((rc = channel_next(ch, &m)) == 1)
				assert_int_equal(be32_get(m.data), got[i]++);
			assert_int_equal(rc, 0);
		}
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_channel_any_flipped_bit_delivers_nothing),
		cmocka_unit_test(test_channel_records_out_of_order_or_again_are_refused),
		cmocka_unit_test(test_channel_sealed_bytes_hide_the_message),
		cmocka_unit_test(test_channel_no_record_is_longer_than_the_protocol_allows),
		cmocka_unit_test(test_channel_an_empty_record_is_refused),
		cmocka_unit_test(test_channel_a_record_longer_than_a_hello_is_told_by_its_length),
		cmocka_unit_test(test_channel_goes_on_after_the_keys_were_replaced),
		cmocka_unit_test(test_channel_handshake_records_arrive_whole),
		cmocka_unit_test(test_channel_what_is_no_handshake_is_told_by_its_first_byte),
		cmocka_unit_test(test_channel_a_handshake_record_of_another_length_is_refused),
		cmocka_unit_test(test_channel_no_message_passes_before_the_handshake),
		cmocka_unit_test(test_channel_bytes_behind_the_handshake_are_not_lost),
		cmocka_unit_test(test_channel_sealing_wipes_the_callers_keys),
		cmocka_unit_test(test_channel_the_two_halves_serve_two_threads),
	};

	alarm(TEST_TIMEOUT_S);
	if (noise_init() != 0)
		return 1;
	return cmocka_run_group_tests_name("channel_sealed", tests, NULL, NULL);
}
