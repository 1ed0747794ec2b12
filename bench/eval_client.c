/*
 * eval_client.c: evaluates `1+1` again and again by the client's own code: over one connection, over a new one each time, or so many
 * times a second. The same over one connection in Python, to compare with peers, is in eval_rounds.py.
 *
 *   eval_client PATH
 *   eval_client PORT KEYFILE		on the loopback interface, sealed
 *
 * Each line on standard input is a question, and one line is the answer:
 *
 *   COUNT				as many durations in ns, of one request each
 *   connect COUNT			the same, from before socket(2) to the answer to the first request
 *   pace RATE SECONDS			asks RATE times a second; how often it has asked
 *
 * The first WARM_UP round trips after a pause are not counted.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../src/client/connect.h"
#include "../src/client/dial.h"
#include "../src/client/eval.h"
#include "keyfile.h"
#include "noise.h"

#define PATIENCE_MS 20000
#define WARM_UP 20

static struct addr address;
static struct keyring *keys; /* NULL: a Unix socket */
static struct diag said;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int set_address(int argc, char **argv)
{
	uint16_t port = 0;

	if (argc == 2)
		return addr_unix(&address, argv[1], &said);
	if (argc != 3 || addr_parse_port(argv[1], &port, &said) != 0)
		return PYSTUCK_EINVAL;
	keys = noise_init() == 0 ? connect_keys(argv[2], &said) : NULL;
	return keys != NULL ? addr_tcp(&address, "127.0.0.1", port, &said) : PYSTUCK_EINVAL;
}

/* As far as HELLO, which leaves with the first request. */
static int dial(struct connection **c)
{
	int64_t deadline = connect_clock() + PATIENCE_MS;
	int fd = dial_open(&address, deadline, NULL, NULL, &said);
	int rc;

	if (fd < 0)
		return fd;
	rc = connect_open(c, fd, &address, keys != NULL ? keyring_key(keys, 0) : NULL, deadline, &said);
	return rc == 0 ? connect_hello(*c, &said) : rc;
}

/* Its answer is the next message. */
static int answer(struct connection *c, uint32_t id)
{
	struct msg m;
	int rc = connect_receive(c, &m, connect_clock() + PATIENCE_MS, "answer", &said);

	if (rc == 1 && (m.type != MSG_RESULT || m.result.id != id || !span_equals(m.result.text, "2")))
		return diag_set(&said, PYSTUCK_EFORMAT, 0, "a wrong answer");
	return rc == 1 ? 0 : rc;
}

static int round_trip(struct connection *c, uint32_t id)
{
	int rc = eval_ask(c, id, 0, id, span_text("1+1"), &said);

	return rc == 0 ? answer(c, id) : rc;
}

static int whole_visit(void)
{
	struct connection *c = NULL;
	int rc = dial(&c);

	rc = rc == 0 ? eval_ask(c, 1, 0, 1, span_text("1+1"), &said) : rc;
	rc = rc == 0 ? connect_welcome(c, connect_clock() + PATIENCE_MS, &said) : rc;
	rc = rc == 0 ? answer(c, 1) : rc;
	connect_close(c);
	return rc;
}

/* Of one connection: made with the first question that needs it. */
static int ask(void)
{
	static struct connection *c;
	static uint32_t id;
	int rc = 0;

	if (c == NULL) {
		rc = dial(&c);
		rc = rc == 0 ? connect_welcome(c, connect_clock() + PATIENCE_MS, &said) : rc;
	}
	return rc == 0 ? round_trip(c, ++id) : rc;
}

static int say_durations(int (*what)(void), long count)
{
	uint64_t start;
	int rc = 0;

	for (long i = 0; i < WARM_UP + count && rc == 0; i++) {
		start = now();
		rc = what();
		if (i >= WARM_UP)
			printf("%llu ", (unsigned long long)(now() - start));
	}
	return rc;
}

static int pace(long rate, double seconds)
{
	uint64_t next = now(), end = next + (uint64_t)(seconds * 1e9);
	struct timespec at;
	long asked = 0;
	int rc = 0;

	for (; rc == 0 && next < end; next += 1000000000u / (uint64_t)rate, asked++) {
		at = (struct timespec){(time_t)(next / 1000000000u), (long)(next % 1000000000u)};
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
			;
		rc = ask();
	}
	printf("%ld", asked);
	return rc;
}

int main(int argc, char **argv)
{
	char line[64];
	long count;
	double seconds;
	int rc = set_address(argc, argv);

	while (rc == 0 && fgets(line, sizeof line, stdin) != NULL) {
		if (sscanf(line, "connect %ld", &count) == 1)
			rc = say_durations(whole_visit, count);
		else if (sscanf(line, "pace %ld %lf", &count, &seconds) == 2 && count > 0)
			rc = pace(count, seconds);
		else
			rc = say_durations(ask, strtol(line, NULL, 10));
		putchar('\n');
		fflush(stdout);
	}
	if (rc != 0)
		fprintf(stderr, "eval_client: %s\n", said.text[0] != '\0' ? said.text : error_text(rc));
	keyring_free(keys);
	return rc == 0 ? 0 : 1;
}
