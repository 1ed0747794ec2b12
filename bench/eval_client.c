/*
 * eval_client.c: evaluates `1+1` over one Unix socket again and again, with the project's own wire
 * code: what a client in C sees. The same in Python, to compare with peers, is in eval_rounds.py.
 *
 *   eval_client PATH
 *
 * Each line on standard input is a count; the answer is one line with as many durations, in
 * nanoseconds. The first WARM_UP round trips after a pause are not counted.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "channel.h"
#include "error.h"
#include "msg.h"

#define PATIENCE_MS 20000
#define WARM_UP 20

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int dial(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof at.sun_path)
		return -1;
	memcpy(at.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static int send_message(struct channel *ch, struct buf *out, const struct msg *m)
{
	int rc;

	buf_clear(out);
	rc = channel_frame(out, m);
	if (rc == 0)
		rc = channel_put_framed(ch, buf_span(out));
	return rc == 0 ? channel_flush(ch) : rc;
}

static int wait_message(struct channel *ch, struct msg *m)
{
	struct pollfd ready = { .fd = channel_fd(ch), .events = POLLIN };
	struct span bytes;
	int rc;

	while ((rc = channel_next(ch, &bytes)) == 0) {
		if (poll(&ready, 1, PATIENCE_MS) <= 0)
			return PYSTUCK_ETIME;
		rc = channel_fill(ch);
		if (rc == 0)
			return PYSTUCK_ECLOSED;
		if (rc < 0 && rc != PYSTUCK_EAGAIN)
			return rc;
	}
	return rc < 0 ? rc : msg_decode(m, bytes);
}

static int greet(struct channel *ch, struct buf *out)
{
	struct msg m = { .type = MSG_HELLO };
	int rc;

	m.hello.magic = span_text(PROTOCOL_MAGIC);
	m.hello.version = PROTOCOL_VERSION;
	m.hello.client = span_text("bench");
	rc = send_message(ch, out, &m);
	if (rc == 0)
		rc = wait_message(ch, &m);
	if (rc == 0 && m.type != MSG_WELCOME)
		rc = PYSTUCK_EPERM;
	return rc;
}

static int round_trip(struct channel *ch, struct buf *out, uint32_t id)
{
	struct msg m = { .type = MSG_EVAL };
	int rc;

	m.eval.id = id;
	m.eval.cell = id;
	m.eval.source = span_text("1+1");
	rc = send_message(ch, out, &m);
	if (rc == 0)
		rc = wait_message(ch, &m);
	if (rc == 0 && (m.type != MSG_RESULT || m.result.id != id || !span_equals(m.result.text, "2")))
		rc = PYSTUCK_EFORMAT;
	return rc;
}

int main(int argc, char **argv)
{
	struct channel *ch = NULL;
	struct buf out;
	char line[32];
	uint32_t id = 0;
	uint64_t start;
	long count, i;
	int fd, rc = PYSTUCK_ECLOSED;

	buf_init(&out, MSG_MAX + 4);
	fd = argc == 2 ? dial(argv[1]) : -1;
	ch = fd >= 0 ? channel_new(fd, MSG_MAX, 0) : NULL;
	if (ch != NULL)
		rc = greet(ch, &out);
	while (rc == 0 && fgets(line, sizeof line, stdin) != NULL) {
		count = strtol(line, NULL, 10);
		for (i = 0; i < WARM_UP + count && rc == 0; i++) {
			start = now();
			rc = round_trip(ch, &out, ++id);
			if (i >= WARM_UP)
				printf("%llu ", (unsigned long long)(now() - start));
		}
		putchar('\n');
		fflush(stdout);
	}
	if (rc != 0)
		fprintf(stderr, "eval_client: %s\n", error_text(rc));
	channel_free(ch);
	buf_free(&out);
	return rc == 0 ? 0 : 1;
}
