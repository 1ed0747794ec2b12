/*
 * crowd.c: many clients at once, each dumping at its pace while its evaluations run. What lives here: asking, and holding each
 * session's answers to what was asked: every one of them, once, in order, and its own. What does not: the program (load.py).
 *
 *   crowd CLIENTS RATE COUNT PATH
 *
 * Each client asks for COUNT dumps, RATE a second (0: as fast as they are answered), each once the one before it has been
 * answered; with every other dump goes an evaluation, whose value tells whose and which it was. Prints "DUMPS EVALS LATEST":
 * answered dumps and evaluations, and the longest time from asking for a dump to its end in microseconds. Status 1, with a
 * sentence, when anything was lost, came twice, out of order, or to somebody else.
 */
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
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

#define CLIENTS_MAX 64
#define PATIENCE_MS 60000
#define SECOND 1000000000u /* ns */

struct client {
	pthread_t thread;
	unsigned number;
	struct channel *ch;
	struct buf out;
	uint32_t dump, eval; /* ids of what is open; 0: nothing */
	int begun;	     /* DUMP_BEGIN has come for it */
	uint32_t threads;    /* that it announced and that have not come */
	uint64_t asked;	     /* when, for the dump */
	uint64_t dumps, evals, latest;
	char trouble[160]; /* "": none */
};

static const char *path;
static uint64_t rate, count;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static int trouble(struct client *c, const char *what, unsigned long got)
{
	if (c->trouble[0] == '\0')
		(void)snprintf(c->trouble, sizeof(c->trouble),
			"client %u, after %" PRIu64 " dumps and %" PRIu64 " evaluations: %s (%lu)", c->number, c->dumps,
			c->evals, what, got);
	return -1;
}

static int dial(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(at.sun_path))
		return -1;
	memcpy(at.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&at, sizeof(at)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int put(struct client *c, const struct msg *m)
{
	buf_clear(&c->out);
	if (channel_frame(&c->out, m) != 0 || channel_put_framed(c->ch, buf_span(&c->out)) != 0)
		return trouble(c, "cannot send", 0);
	return 0;
}

/* The next message; its spans live until the next call. */
static int get(struct client *c, struct msg *m)
{
	struct pollfd ready = {.fd = channel_fd(c->ch), .events = POLLIN};
	struct span bytes;
	int rc;

	while ((rc = channel_next(c->ch, &bytes)) == 0) {
		if (poll(&ready, 1, PATIENCE_MS) <= 0)
			return trouble(c, "an answer was lost", c->dump);
		rc = channel_fill(c->ch);
		if (rc == 0)
			return trouble(c, "the connection ended", 0);
		if (rc < 0 && rc != PYSTUCK_EAGAIN)
			return trouble(c, error_text(rc), 0);
	}
	if (rc < 0 || msg_decode(m, bytes) != 0)
		return trouble(c, "bytes that are no message", 0);
	return 0;
}

static int greet(struct client *c)
{
	struct msg m = {.type = MSG_HELLO};

	m.hello.magic = span_text(PROTOCOL_MAGIC);
	m.hello.version = PROTOCOL_VERSION;
	m.hello.client = span_text("crowd");
	if (put(c, &m) != 0 || channel_flush(c->ch) != 0 || get(c, &m) != 0)
		return -1;
	return m.type == MSG_WELCOME ? 0 : trouble(c, "not let in", m.type);
}

static int take_result(struct client *c, const struct msg_result *r)
{
	char expected[64];

	if (r->id != c->eval)
		return trouble(c, "the result of another evaluation", r->id);
	(void)snprintf(expected, sizeof(expected), "(%u, %u)", c->number, (unsigned)c->eval);
	if (r->status != RESULT_VALUE || !span_equals(r->text, expected))
		return trouble(c, "not the value of what was asked", r->id);
	c->eval = 0;
	c->evals++;
	return 0;
}

static int take_end(struct client *c, uint32_t id)
{
	uint64_t took = (now_ns() - c->asked) / 1000;

	if (id != c->dump || !c->begun || c->threads != 0)
		return trouble(c, "an end of no dump, or of half a dump", id);
	if (took > c->latest)
		c->latest = took;
	c->dump = 0;
	c->begun = 0;
	c->dumps++;
	return 0;
}

static int take(struct client *c, const struct msg *m)
{
	switch (m->type) {
	case MSG_RESULT:
		return take_result(c, &m->result);
	case MSG_DUMP_BEGIN:
		if (m->dump_begin.id != c->dump || c->begun)
			return trouble(c, "a dump that was not asked for", m->dump_begin.id);
		c->begun = 1;
		c->threads = m->dump_begin.threads;
		return 0;
	case MSG_DUMP_CODE:
	case MSG_DUMP_SOURCE:
	case MSG_DUMP_WAIT:
	case MSG_DUMP_THREAD:
		if (!c->begun || (m->type == MSG_DUMP_THREAD && c->threads == 0))
			return trouble(c, "a part of no dump", m->type);
		c->threads -= m->type == MSG_DUMP_THREAD;
		return 0;
	case MSG_DUMP_END:
		return take_end(c, m->dump_end.id);
	case MSG_ERROR:
		return trouble(c, "refused", m->error.reason);
	default:
		return trouble(c, "a message that was not asked for", m->type);
	}
}

static int ask(struct client *c, uint64_t turn)
{
	struct msg m = {.type = MSG_DUMP};
	char source[64];

	c->dump = (uint32_t)(2 * turn + 1);
	c->asked = now_ns();
	m.dump.id = c->dump;
	if (put(c, &m) != 0)
		return -1;
	if (turn % 2 == 0 && c->eval == 0) {
		c->eval = c->dump + 1;
		(void)snprintf(source, sizeof(source), "(%u, sum(range(1000)) * 0 + %u)", c->number, (unsigned)c->eval);
		m = (struct msg){.type = MSG_EVAL};
		m.eval.id = c->eval;
		m.eval.cell = c->eval;
		m.eval.source = span_text(source);
		if (put(c, &m) != 0)
			return -1;
	}
	return channel_flush(c->ch) == 0 ? 0 : trouble(c, "cannot send", 0);
}

static void sleep_until(uint64_t when)
{
	struct timespec t = {.tv_sec = (time_t)(when / SECOND), .tv_nsec = (long)(when % SECOND)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

/* Until the dump has been answered; at the end (last) the evaluation too. */
static int take_answers(struct client *c, int last)
{
	struct msg m;

	while (c->dump != 0 || (last && c->eval != 0))
		if (get(c, &m) != 0 || take(c, &m) != 0)
			return -1;
	return 0;
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	uint64_t begun;

	if (greet(c) != 0)
		return NULL;
	begun = now_ns();
	for (uint64_t turn = 0; turn < count; turn++) {
		if (rate > 0)
			sleep_until(begun + turn * SECOND / rate);
		if (ask(c, turn) != 0 || take_answers(c, turn + 1 == count) != 0)
			return NULL;
	}
	return NULL;
}

static int start(struct client *c, unsigned number)
{
	int fd = dial();

	c->number = number;
	buf_init(&c->out, MSG_MAX + 4);
	c->ch = fd >= 0 ? channel_new(fd, MSG_MAX, 0) : NULL;
	if (c->ch == NULL)
		return trouble(c, "cannot connect", number);
	return pthread_create(&c->thread, NULL, client_main, c) == 0 ? 0 : trouble(c, "no thread", 0);
}

int main(int argc, char **argv)
{
	static struct client clients[CLIENTS_MAX];
	uint64_t dumps = 0, evals = 0, latest = 0;
	unsigned many, started = 0;
	int status = 0;

	if (argc != 5) {
		fprintf(stderr, "usage: crowd CLIENTS RATE COUNT PATH\n");
		return 2;
	}
	many = (unsigned)strtoul(argv[1], NULL, 10);
	rate = strtoull(argv[2], NULL, 10);
	count = strtoull(argv[3], NULL, 10);
	path = argv[4];
	while (started < many && started < CLIENTS_MAX && start(&clients[started], started) == 0)
		started++;
	for (unsigned i = 0; i < started; i++)
		pthread_join(clients[i].thread, NULL);
	for (unsigned i = 0; i < many && i < CLIENTS_MAX; i++) {
		struct client *c = &clients[i];

		dumps += c->dumps;
		evals += c->evals;
		latest = c->latest > latest ? c->latest : latest;
		if (c->trouble[0] != '\0')
			fprintf(stderr, "crowd: %s\n", c->trouble);
		status |= c->trouble[0] != '\0' || c->dumps != count;
		channel_free(c->ch);
		buf_free(&c->out);
	}
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", dumps, evals, latest);
	return status;
}
