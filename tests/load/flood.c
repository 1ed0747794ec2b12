/*
 * flood.c: connections of strangers, as many a second as asked for. What lives here: the attack. What does not: what must
 * hold meanwhile (load.py, tests/e2e/test_load.py, bench/flood.py).
 *
 *   flood KIND RATE SECONDS UID unix:PATH|tcp:PORT [FILE]
 *
 * KIND: silent (says nothing), slow (a byte a second), garbage (random bytes), half (a part of a message, then no more), replay
 * (the bytes of FILE: a recorded first message). UID: who it is while it attacks; -1: who it was. TCP goes to 127.0.0.1 from many
 * addresses of the loopback network. Each connection is held until HOLD newer ones have come or the server has ended it.
 *
 * Prints "on" when it begins, at the end (by itself, or at the end of its standard input) one line: "TRIED MADE": connections
 * that were tried, and that came about. It does not wait for anything, so a server that is slow is not spared.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HOLD 512	   /* connections at a time */
#define BURST 200	   /* in one go, when it is late: the attack goes on, and does not make up for what it missed */
#define TICK_NS 1000000	   /* between two looks at the clock */
#define SECOND 1000000000u /* ns */
#define FIRST_MAX 1024	   /* bytes of a recorded message */

enum kind { SILENT, SLOW, GARBAGE, HALF, REPLAY, KINDS };

static const char *const kinds[KINDS] = {"silent", "slow", "garbage", "half", "replay"};

struct target {
	int family;
	union {
		struct sockaddr any;
		struct sockaddr_un un;
		struct sockaddr_in in;
	} at;
	socklen_t len;
};

struct flood {
	enum kind kind;
	struct target target;
	int fds[HOLD];
	size_t next;	    /* whose turn it is to be replaced */
	uint64_t tried, made;
	uint8_t bytes[FIRST_MAX];
	size_t len;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void become(long uid)
{
	if (uid < 0)
		return;
	if (setgroups(0, NULL) != 0 || setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) != 0 ||
		setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid) != 0)
		die("setresuid");
}

static void parse_target(struct target *t, const char *text)
{
	memset(t, 0, sizeof(*t));
	if (strncmp(text, "unix:", 5) == 0 && strlen(text + 5) < sizeof(t->at.un.sun_path)) {
		t->family = t->at.un.sun_family = AF_UNIX;
		strcpy(t->at.un.sun_path, text + 5);
		t->len = sizeof(t->at.un);
	} else if (strncmp(text, "tcp:", 4) == 0) {
		t->family = t->at.in.sin_family = AF_INET;
		t->at.in.sin_port = htons((uint16_t)atoi(text + 4));
		t->at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		t->len = sizeof(t->at.in);
	} else {
		fprintf(stderr, "flood: %s: neither unix:PATH nor tcp:PORT\n", text);
		exit(2);
	}
}

/* What is said at once by each connection. */
static void prepare(struct flood *f, const char *file)
{
	static const uint8_t hello[] = {0, 0, 0, 23, 1, 0, 0, 0, 7, 'p', 'y', 's', 't', 'u', 'c', 'k', 0, 1};

	if (f->kind == REPLAY) {
		FILE *in = file != NULL ? fopen(file, "rb") : NULL;

		if (in == NULL)
			die("the recorded message");
		f->len = fread(f->bytes, 1, sizeof(f->bytes), in);
		fclose(in);
	} else if (f->kind == HALF) {
		memcpy(f->bytes, hello, sizeof(hello));
		f->len = f->target.family == AF_UNIX ? sizeof(hello) : 1;
	}
}

/* Many addresses, so that the ports of one do not run out. An RST at the end leaves no connection in TIME_WAIT. */
static void set_up_tcp(int fd, uint64_t number)
{
	const struct linger none = {.l_onoff = 1};
	const int on = 1;
	struct sockaddr_in from = {.sin_family = AF_INET};

	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number % 250));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	(void)bind(fd, (struct sockaddr *)&from, sizeof(from));
}

static void speak(struct flood *f, int fd)
{
	size_t len = f->len;

	if (f->kind == GARBAGE) {
		if (getrandom(f->bytes, sizeof(f->bytes), 0) < 0)
			die("getrandom");
		len = 1 + f->bytes[0] % 255u + (f->bytes[1] & 1u) * 600u;
	}
	if (len > 0)
		(void)!send(fd, f->bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (f->kind == HALF)
		(void)shutdown(fd, SHUT_WR);
}

/* On loopback the kernel has made the connection when connect says that it is in progress, if there was room for it. */
static int dial(struct flood *f)
{
	int fd = socket(f->target.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	f->tried++;
	if (fd < 0)
		return -1;
	if (f->target.family == AF_INET)
		set_up_tcp(fd, f->tried);
	if (connect(fd, &f->target.at.any, f->target.len) != 0) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		if (errno != EINPROGRESS || poll(&p, 1, 0) != 1 || (p.revents & (POLLERR | POLLHUP)) != 0) {
			close(fd);
			return -1;
		}
	}
	f->made++;
	speak(f, fd);
	return fd;
}

static void replace_oldest(struct flood *f)
{
	int *fd = &f->fds[f->next];

	f->next = (f->next + 1) % HOLD;
	if (*fd >= 0)
		close(*fd);
	*fd = dial(f);
}

static void drip(struct flood *f)
{
	for (size_t i = 0; i < HOLD; i++)
		if (f->fds[i] >= 0)
			(void)!send(f->fds[i], "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Between two bursts: 1 when it is told to end. */
static int told_to_end(void)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};
	const struct timespec tick = {.tv_nsec = TICK_NS};
	char byte;

	nanosleep(&tick, NULL);
	return poll(&p, 1, 0) > 0 && read(0, &byte, 1) == 0;
}

static void attack(struct flood *f, double rate, double seconds)
{
	uint64_t begun = now_ns(), drips = 0, missed = 0;

	for (;;) {
		uint64_t passed = now_ns() - begun;
		uint64_t due = (uint64_t)((double)passed * rate / SECOND);

		if ((double)passed > seconds * SECOND)
			return;
		if (due - missed > f->tried + BURST)
			missed = due - f->tried - BURST;
		while (f->tried + missed < due)
			replace_oldest(f);
		if (f->kind == SLOW && passed / SECOND > drips) {
			drips = passed / SECOND;
			drip(f);
		}
		if (told_to_end())
			return;
	}
}

int main(int argc, char **argv)
{
	static struct flood f;
	size_t kind = 0;

	if (argc < 6) {
		fprintf(stderr, "usage: flood KIND RATE SECONDS UID unix:PATH|tcp:PORT [FILE]\n");
		return 2;
	}
	while (kind < KINDS && strcmp(kinds[kind], argv[1]) != 0)
		kind++;
	if (kind == KINDS) {
		fprintf(stderr, "flood: %s is no kind\n", argv[1]);
		return 2;
	}
	f.kind = (enum kind)kind;
	for (size_t i = 0; i < HOLD; i++)
		f.fds[i] = -1;
	parse_target(&f.target, argv[5]);
	prepare(&f, argc > 6 ? argv[6] : NULL);
	become(atol(argv[4]));
	puts("on");
	fflush(stdout);
	attack(&f, atof(argv[2]), atof(argv[3]));
	printf("%llu %llu\n", (unsigned long long)f.tried, (unsigned long long)f.made);
	return 0;
}
