/*
 * fuzz_msg.c: any bytes into msg_decode. What it accepts must lie inside the input and encode to
 * the same bytes again.
 */
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "msg.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int what)
{
	if (!what)
		abort();
}

/* Reads every byte of a span, so that the sanitizer sees one that is not the input's. */
static void read_all(struct span s)
{
	static volatile uint8_t sink;

	for (size_t i = 0; i < s.len; i++)
		sink = (uint8_t)(sink ^ s.data[i]);
}

static void read_spans(const struct msg *m)
{
	if (m->type == MSG_HELLO) {
		read_all(m->hello.magic);
		read_all(m->hello.client);
	} else if (m->type == MSG_WELCOME) {
		read_all(m->welcome.pystuck);
		read_all(m->welcome.python);
		read_all(m->welcome.command);
	} else if (m->type == MSG_REFUSED) {
		read_all(m->refused.text);
	}
}

/* 1 for a message of another protocol version, of which only the beginning is sure. */
static int is_foreign(const struct msg *m)
{
	return (m->type == MSG_HELLO && m->hello.version != PROTOCOL_VERSION) ||
		(m->type == MSG_WELCOME && m->welcome.version != PROTOCOL_VERSION) ||
		(m->type == MSG_REFUSED && m->refused.version != PROTOCOL_VERSION);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = { data, size };
	struct msg m, zero;
	struct buf b;
	size_t expected = 0;
	int rc;

	memset(&m, 0xa5, sizeof m);
	memset(&zero, 0, sizeof zero);
	rc = msg_decode(&m, bytes);
	if (rc != 0) {
		require(rc == PYSTUCK_EFORMAT && memcmp(&m, &zero, sizeof m) == 0);
		return 0;
	}
	require(size > 0 && m.type == data[0] && msg_type_name((int)m.type)[0] != '?');
	buf_init(&b, MSG_MAX);
	rc = msg_encode(&b, &m);
	if (is_foreign(&m)) {
		read_spans(&m);
		require(rc == 0 || (rc == PYSTUCK_EINVAL && buf_len(&b) == 0));
	} else {
		require(rc == 0 && msg_size(&m, &expected) == 0 && expected == size);
		require(buf_len(&b) == size && memcmp(buf_bytes(&b), data, size) == 0);
	}
	buf_free(&b);
	return 0;
}
