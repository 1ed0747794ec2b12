/*
 * test_protocol.c: the worked examples of docs/PROTOCOL.md are what this code sends. Reads the
 * document: the tests run in the top directory of the source tree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "channel.h"
#include "error.h"
#include "msg.h"
#include "noise.h"

#define DOCUMENT "docs/PROTOCOL.md"
#define BYTES_MAX 512

/* The next block of bytes: what stands before a `|` in the lines between ```hex and ```. 0: none. */
static size_t next_block(FILE *f, uint8_t bytes[static BYTES_MAX])
{
	char line[512];
	size_t n = 0;

	while (fgets(line, sizeof line, f) != NULL && strcmp(line, "```hex\n") != 0)
		;
	while (fgets(line, sizeof line, f) != NULL && strcmp(line, "```\n") != 0) {
		char *at = line, *end;

		for (;;) {
			unsigned long v = strtoul(at, &end, 16);

			if (end == at || v > 255 || n == BYTES_MAX)
				break;
			bytes[n++] = (uint8_t)v;
			at = end;
		}
		assert_true(*at == ' ' || *at == '|' || *at == '\n');
	}
	return n;
}

static void assert_block(FILE *f, const char *what, const void *expected, size_t len)
{
	const uint8_t *e = expected;
	uint8_t found[BYTES_MAX];
	size_t n = next_block(f, found);

	if (n == len && memcmp(found, e, len) == 0)
		return;
	print_error("%s: %s should be:", DOCUMENT, what);
	for (size_t i = 0; i < len; i++)
		print_error("%s%02x", i % 16 == 0 ? "\n" : " ", e[i]);
	print_error("\n");
	fail();
}

static FILE *open_at(const char *heading)
{
	FILE *f = fopen(DOCUMENT, "re");
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		if (strstr(line, heading) != NULL && line[0] == '#')
			return f;
	}
	fclose(f);
	fail_msg("%s has no heading \"%s\"", DOCUMENT, heading);
	return NULL;
}

static const struct msg hello = { .type = MSG_HELLO,
	.hello = { { (const uint8_t *)"pystuck", 7 }, 1, { (const uint8_t *)"0.1.0", 5 } } };
static const struct msg welcome = { .type = MSG_WELCOME,
	.welcome = { 1, ROLE_EVAL, 4242, 1000, 1700000000000000000, { (const uint8_t *)"0.1.0", 5 },
		{ (const uint8_t *)"3.13.0", 6 }, { (const uint8_t *)"python3\0app.py", 14 } } };
static const struct msg eval = { .type = MSG_EVAL,
	.eval = { 1, 0, 0, { (const uint8_t *)"1+1", 3 } } };
static const struct msg result = { .type = MSG_RESULT,
	.result = { 1, RESULT_VALUE, 35, 1, { (const uint8_t *)"2", 1 } } };

static void assert_frame(FILE *f, const struct msg *m)
{
	struct buf b;

	buf_init(&b, MSG_MAX);
	assert_int_equal(channel_frame(&b, m), 0);
	assert_block(f, msg_type_name((int)m->type), buf_bytes(&b), buf_len(&b));
	buf_free(&b);
}

static void test_protocol_the_unix_session_is_what_is_sent(void **state)
{
	FILE *f = open_at("A Unix session");

	(void)state;
	assert_frame(f, &hello);
	assert_frame(f, &welcome);
	assert_frame(f, &eval);
	assert_frame(f, &result);
	fclose(f);
}

static void count_up(uint8_t out[static 32], uint8_t from)
{
	for (int i = 0; i < 32; i++)
		out[i] = (uint8_t)(from + i);
}

/* One handshake message from one side to the other, and its record in the document. */
static void shake(FILE *f, const char *what, struct noise_handshake *from,
	struct noise_handshake *to)
{
	uint8_t record[2 + NOISE_MESSAGE], none[1];
	size_t len = 0;

	be16_put(record, NOISE_MESSAGE);
	assert_int_equal(noise_write(from, NULL, 0, record + 2, NOISE_MESSAGE, &len), 0);
	assert_int_equal(noise_read(to, record + 2, len, none, 0, &len), 0);
	assert_block(f, what, record, sizeof record);
}

static void assert_sealed(FILE *f, struct noise_cipher *c, const struct msg *m)
{
	uint8_t record[BYTES_MAX];
	struct buf b;

	buf_init(&b, BYTES_MAX - 2 - NOISE_TAG);
	assert_int_equal(channel_frame(&b, m), 0);
	be16_put(record, (uint16_t)(buf_len(&b) + NOISE_TAG));
	assert_int_equal(noise_seal(c, buf_bytes(&b), buf_len(&b), record + 2), 0);
	assert_block(f, msg_type_name((int)m->type), record, 2 + buf_len(&b) + NOISE_TAG);
	buf_free(&b);
}

static void assert_rekeyed(FILE *f, struct noise_cipher *c)
{
	uint8_t out[1 + NOISE_TAG];

	while (c->records < NOISE_REKEY_AFTER)
		assert_int_equal(noise_seal(c, (const uint8_t *)"x", 1, out), 0);
	assert_block(f, "the key after the rekey", c->key, sizeof c->key);
}

static void test_protocol_the_tcp_session_is_what_is_sent(void **state)
{
	struct noise_cipher send, receive, server_send, server_receive;
	struct noise_handshake client, server;
	uint8_t psk[32], e1[32], e2[32], hash[NOISE_HASH];
	FILE *f = open_at("A TCP session");

	(void)state;
	assert_int_equal(noise_init(), 0);
	count_up(psk, 0x00);
	count_up(e1, 0x20);
	count_up(e2, 0x40);
	assert_block(f, "the key", psk, sizeof psk);
	assert_block(f, "the client's ephemeral secret", e1, sizeof e1);
	assert_block(f, "the server's ephemeral secret", e2, sizeof e2);
	noise_start(&client, NOISE_INITIATOR, psk, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	noise_start(&server, NOISE_RESPONDER, psk, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	noise_preset_ephemeral(&client, e1);
	noise_preset_ephemeral(&server, e2);
	assert_block(f, "h after the prologue", client.h, NOISE_HASH);
	shake(f, "the first handshake record", &client, &server);
	shake(f, "the second handshake record", &server, &client);
	assert_int_equal(noise_split(&client, &send, &receive, hash), 0);
	assert_int_equal(noise_split(&server, &server_send, &server_receive, NULL), 0);
	assert_memory_equal(send.key, server_receive.key, sizeof send.key);
	assert_block(f, "the handshake hash", hash, sizeof hash);
	assert_block(f, "the key from client to server", send.key, sizeof send.key);
	assert_block(f, "the key from server to client", receive.key, sizeof receive.key);
	assert_sealed(f, &send, &hello);
	assert_sealed(f, &server_send, &welcome);
	assert_rekeyed(f, &send);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_protocol_the_unix_session_is_what_is_sent),
		cmocka_unit_test(test_protocol_the_tcp_session_is_what_is_sent),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
