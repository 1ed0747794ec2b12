/*
 * paths.c: the paths that everything goes through, one function path_*() for each, so that the instructions of each can be counted; the
 * first call of each is to warm up. Everything is the same in each run. How it is counted: instructions.py; how much it may be: instructions.json.
 *
 *   paths              walks all of them
 *   paths answer       writes to standard output what a server answers to HELLO and DUMP of a program of 4 threads with 10 frames each
 *
 * LINK: -lcmocka
 */
#include "../tests/unit/session_rig.h"

#include "../src/client/dump.h"
#include "../src/client/json.h"
#include "../src/client/print.h"
#include "../src/server/turn.h"
#include "version.h"

#define CODES 40
#define SEALED 60000
/* Never inlined, and not thrown away for what is known of its arguments: it must be there under its name. */
#if defined(__clang__)
#define PATH __attribute__((noinline, used))
#else
#define PATH __attribute__((noinline, noclone, used))
#endif

void path_encode_100x30(struct buf *b);
void path_decode_100x30(struct dump *dump, struct span frames);
void path_print_100x30(const struct dump *dump);
void path_json_100x30(const struct dump *dump);
void path_serve_request(void);
void path_serve_request_led(void);
void path_handshake(void);
void path_seal_60000(struct noise_cipher *c, uint8_t *sealed);
void path_open_60000(struct noise_cipher *c, const uint8_t *sealed);
void path_message_sealed(struct channel *from, struct channel *to);

void path_end(void);

/* Called at the end of each of them: what has been counted since it began is noted. */
PATH void path_end(void)
{
	__asm__ volatile("");
}

static const uint8_t zeros[SEALED];
static uint8_t opened[SEALED];

/* ---- a dump --------------------------------------------------------------------------------------------------------------- */

static void put(struct buf *b, const struct msg *m)
{
	assert_int_equal(channel_frame(b, m), 0);
}

static void put_code(struct buf *b, uint32_t code)
{
	char file[100], function[50], line[80];
	struct msg m = {.type = MSG_DUMP_CODE};

	(void)snprintf(file, sizeof(file), "/usr/lib/python3/dist-packages/package%u/module_%u.py", code % 7, code);
	(void)snprintf(function, sizeof(function), "Class%u.method_%u", code % 5, code);
	m.dump_code = (struct msg_dump_code){.code = code, .file = span_text(file), .function = span_text(function)};
	put(b, &m);
	(void)snprintf(line, sizeof(line), "return self._call(argument_%u, timeout=30)", code);
	m = (struct msg){.type = MSG_DUMP_SOURCE, .dump_source = {.code = code, .line = 100 + code, .text = span_text(line)}};
	put(b, &m);
}

/* Each has a last frame of its own, so that no two are printed as one. */
static void put_thread(struct buf *b, uint32_t number, uint32_t depth)
{
	uint8_t frames[100 * FRAME_BYTES];
	char name[20];
	struct msg m = {.type = MSG_DUMP_THREAD};

	for (uint32_t i = 0; i < depth; i++) {
		be32_put(frames + i * FRAME_BYTES, (number * 7 + i) % CODES);
		be32_put(frames + i * FRAME_BYTES + 4, i + 1 < depth ? 100 + (number * 7 + i) % CODES : 1000 + number);
	}
	(void)snprintf(name, sizeof(name), "worker-%u", number);
	m.dump_thread = (struct msg_dump_thread){.ident = 140000000000 + number,
		.tid = 1000 + number,
		.flags = number == 0 ? THREAD_MAIN : THREAD_DAEMON,
		.state = STATE_LOCK,
		.name = span_text(name),
		.class_name = span_text("Thread"),
		.os_name = span_text("python"),
		.frames = {frames, (size_t)depth * FRAME_BYTES}};
	put(b, &m);
	m = (struct msg){.type = MSG_DUMP_WAIT};
	m.dump_wait = (struct msg_dump_wait){.kind = WAIT_FOR_LOCK,
		.flags = WAIT_PROVED | WAIT_STILL | WAIT_SINCE | WAIT_CPU,
		.cpu_us = 1234567,
		.waited_us = 7654321,
		.address = 0x7f0011223344 + number * 64,
		.holder_frame = WAIT_FRAME_NONE,
		.call = span_text("futex"),
		.type = span_text("Lock"),
		.name = span_text("self._lock")};
	put(b, &m);
}

static void put_dump(struct buf *b, uint32_t threads, uint32_t depth)
{
	struct msg m = {.type = MSG_DUMP_BEGIN};

	m.dump_begin = (struct msg_dump_begin){
		.id = 1, .how = DUMP_HOW_GIL, .settled = 1, .time_ns = 1700000000000000000, .gil_wait_us = 10, .gil_held_us = 20, .threads = threads};
	put(b, &m);
	for (uint32_t i = 0; i < CODES; i++)
		put_code(b, i);
	for (uint32_t i = 0; i < threads; i++)
		put_thread(b, i, depth);
	m = (struct msg){.type = MSG_DUMP_END, .dump_end = {.id = 1}};
	put(b, &m);
}

PATH void path_encode_100x30(struct buf *b)
{
	put_dump(b, 100, 30);
	path_end();
}

PATH void path_decode_100x30(struct dump *dump, struct span frames)
{
	struct span one;
	struct msg m;
	int rc = 0;

	while (rc == 0 && span_get_string(&frames, &one) == 0) {
		rc = msg_decode(&m, one);
		if (rc == 0)
			rc = dump_accept(dump, &m);
	}
	assert_int_equal(rc, 1);
	path_end();
}

static struct out out_to_nowhere(void)
{
	struct out o;

	out_init(&o, open("/dev/null", O_WRONLY | O_CLOEXEC));
	assert_true(o.fd >= 0);
	return o;
}

static void out_done(struct out *o)
{
	assert_int_equal(out_flush(o), 0);
	close(o->fd);
	out_free(o);
}

PATH void path_print_100x30(const struct dump *dump)
{
	struct out o = out_to_nowhere();

	assert_int_equal(print_dump(&o, dump, &(struct print_options){.color = 0}), 0);
	out_done(&o);
	path_end();
}

PATH void path_json_100x30(const struct dump *dump)
{
	struct out o = out_to_nowhere();

	assert_int_equal(json_dump(&o, fake_welcome(NULL), dump, 0, 0), 0);
	out_done(&o);
	path_end();
}

static void walk_dump(void)
{
	struct dump dump;
	struct buf b;

	buf_init(&b, 8u << 20);
	path_encode_100x30(&b);
	dump_init(&dump);
	path_decode_100x30(&dump, buf_span(&b));
	path_print_100x30(&dump);
	path_json_100x30(&dump);
	dump_free(&dump);
	buf_free(&b);
}

/* ---- one request `1+1` ------------------------------------------------------------------------------------------------------ */

/* The net thread's part, and the answer, which the service of the rig gives at once. */
PATH void path_serve_request(void)
{
	turn();
	path_end();
}

/* The evaluation thread reads in the net thread's place. */
PATH void path_serve_request_led(void)
{
	assert_int_equal(port_wait_request(fake.port), 0);
	path_end();
}

static void walk_requests(void)
{
	struct turn *led = turn_new();
	uint32_t id = 0;

	assert_int_equal(setup(NULL), 0);
	assert_non_null(led);
	led->parked = 0;
	led->until = UINT64_MAX;
	door.turn = led;
	welcome();
	for (int i = 0; i < 2; i++) {
		say(client, rig_eval(++id));
		path_serve_request();
		hears_result(id);
	}
	assert_true(session_lead(session));
	assert_true(wake_drain(&wake) >= 0);
	for (int i = 0; i < 2; i++) {
		now = rig_now();
		led->until = UINT64_MAX;
		say(client, rig_eval(++id));
		path_serve_request_led();
		hears_result(id);
	}
	assert_int_equal(teardown(NULL), 0);
	turn_unref(led);
}

/* ---- sealed ----------------------------------------------------------------------------------------------------------------- */

static struct noise_cipher client_sends, client_receives, server_sends, server_receives;

/* Both ends of it. */
PATH void path_handshake(void)
{
	static const uint8_t key[NOISE_KEY] = {1};
	uint8_t first[NOISE_MESSAGE], second[NOISE_MESSAGE], none[1];
	struct noise_handshake from, to;
	size_t len = 0;
	int rc;

	noise_start(&from, NOISE_INITIATOR, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	noise_start(&to, NOISE_RESPONDER, key, NOISE_PROLOGUE, NOISE_PROLOGUE_LEN);
	rc = noise_write(&from, NULL, 0, first, sizeof(first), &len);
	rc = rc == 0 ? noise_read(&to, first, sizeof(first), none, 0, &len) : rc;
	rc = rc == 0 ? noise_write(&to, NULL, 0, second, sizeof(second), &len) : rc;
	rc = rc == 0 ? noise_read(&from, second, sizeof(second), none, 0, &len) : rc;
	rc = rc == 0 ? noise_split(&from, &client_sends, &client_receives, NULL) : rc;
	rc = rc == 0 ? noise_split(&to, &server_sends, &server_receives, NULL) : rc;
	assert_int_equal(rc, 0);
	path_end();
}

PATH void path_seal_60000(struct noise_cipher *c, uint8_t *sealed)
{
	assert_int_equal(noise_seal(c, zeros, SEALED, sealed), 0);
	path_end();
}

PATH void path_open_60000(struct noise_cipher *c, const uint8_t *sealed)
{
	assert_int_equal(noise_open(c, sealed, SEALED + NOISE_TAG, opened), 0);
	path_end();
}

/* A question, from one end of a connection to the other. */
PATH void path_message_sealed(struct channel *from, struct channel *to)
{
	struct msg m = rig_eval(1), got;

	assert_int_equal(rig_say(from, &m), 0);
	assert_int_equal(rig_hear_within(to, &got, PATIENCE_MS), 1);
	assert_int_equal(got.type, MSG_EVAL);
	path_end();
}

static void walk_sealed(void)
{
	uint8_t *sealed = malloc(SEALED + NOISE_TAG);
	struct channel *from, *to;
	int fds[2];

	assert_non_null(sealed);
	for (int i = 0; i < 2; i++)
		path_handshake();
	for (int i = 0; i < 2; i++) {
		path_seal_60000(&client_sends, sealed);
		path_open_60000(&server_receives, sealed);
	}
	rig_pair(fds, 0);
	from = channel_new(fds[0], MSG_MAX, 1);
	to = channel_new(fds[1], MSG_MAX, 1);
	assert_true(from != NULL && to != NULL);
	channel_seal(from, &client_sends, &client_receives);
	channel_seal(to, &server_sends, &server_receives);
	for (int i = 0; i < 2; i++)
		path_message_sealed(from, to);
	channel_free(from);
	channel_free(to);
	free(sealed);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------- */

static int write_answer(void)
{
	struct msg m = {.type = MSG_WELCOME, .welcome = *fake_welcome(NULL)};
	struct buf b;
	int whole;

	m.welcome.version = PROTOCOL_VERSION;
	m.welcome.role = ROLE_EVAL;
	m.welcome.pystuck = span_text(PYSTUCK_VERSION);
	buf_init(&b, 8u << 20);
	put(&b, &m);
	put_dump(&b, 4, 10);
	whole = write(1, buf_bytes(&b), buf_len(&b)) == (ssize_t)buf_len(&b);
	buf_free(&b);
	return whole ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "answer") == 0)
		return write_answer();
	assert_int_equal(noise_init(), 0);
	for (int i = 0; i < 2; i++)
		walk_dump();
	walk_requests();
	walk_sealed();
	return 0;
}
