/*
 * spawn.c: runs one of several commands each time it is told to, and says how long that took, from
 * before the child is made to after it has been waited for. A small C program, so that the harness
 * adds as little as can be to a command of one millisecond. What to run, and what to make of the
 * figures, is harness.py's.
 *
 *   spawn MILLISECONDS COMMAND [ARG...] [';' COMMAND [ARG...]]...
 *
 * Each line on standard input is the index of a command; each line on standard output is its
 * answer, "NS STATUS BYTES": nanoseconds, exit status (128 + signal when it was killed; after
 * MILLISECONDS it is), and bytes that it wrote. Its standard output is a pipe that is drained, the
 * other two are /dev/null.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 64

struct outcome {
	uint64_t ns;
	int status;
	size_t bytes;
};

extern char **environ;

static volatile sig_atomic_t child;
static char drained[1 << 16];

static void on_alarm(int signal_number)
{
	(void)signal_number;
	if (child > 0)
		kill((pid_t)child, SIGKILL);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_alarm(long ms)
{
	struct itimerval t = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	setitimer(ITIMER_REAL, &t, NULL);
}

/* Reads until the end, or until the alarm interrupts it: then nothing more is of interest. */
static size_t drain(int fd)
{
	size_t bytes = 0;
	ssize_t got;

	while ((got = read(fd, drained, sizeof drained)) > 0)
		bytes += (size_t)got;
	return bytes;
}

static int status_of(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* 0, or -1 when the command could not be started. */
static int run(char *const argv[], long ms, const posix_spawnattr_t *attributes,
	posix_spawn_file_actions_t *actions, const int out[2], struct outcome *o)
{
	uint64_t start;
	pid_t pid = -1;
	int rc;

	set_alarm(ms);
	start = now();
	rc = posix_spawnp(&pid, argv[0], actions, attributes, argv, environ);
	child = rc == 0 ? pid : 0;
	close(out[1]);
	if (rc == 0) {
		o->bytes = drain(out[0]);
		o->status = status_of(pid);
	}
	o->ns = now() - start;
	child = 0;
	set_alarm(0);
	close(out[0]);
	return rc == 0 ? 0 : -1;
}

/* The pipe and the file actions are made before the clock starts. */
static int prepare_and_run(char *const argv[], long ms, const posix_spawnattr_t *attributes,
	int nothing, struct outcome *o)
{
	posix_spawn_file_actions_t actions;
	int out[2];
	int rc = -1;

	if (pipe2(out, O_CLOEXEC) != 0)
		return -1;
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -1;
	if (posix_spawn_file_actions_adddup2(&actions, nothing, 0) == 0 &&
	    posix_spawn_file_actions_adddup2(&actions, out[1], 1) == 0 &&
	    posix_spawn_file_actions_adddup2(&actions, nothing, 2) == 0)
		rc = run(argv, ms, attributes, &actions, out, o);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static size_t split(int argc, char **argv, char **commands[COMMANDS_MAX])
{
	size_t count = 0;
	int i, start = 2;

	for (i = 2; i <= argc && count < COMMANDS_MAX; i++) {
		if (i < argc && strcmp(argv[i], ";") != 0)
			continue;
		argv[i] = NULL;
		if (i > start)
			commands[count++] = &argv[start];
		start = i + 1;
	}
	return count;
}

/* SIGALRM must interrupt read(); and the children shall not inherit a SIGALRM that is blocked. */
static int prepare(posix_spawnattr_t *attributes)
{
	struct sigaction act = { .sa_handler = on_alarm };
	sigset_t alarm_only;

	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	if (sigaction(SIGALRM, &act, NULL) != 0 || posix_spawnattr_init(attributes) != 0)
		return -1;
	return posix_spawnattr_setsigdefault(attributes, &alarm_only) == 0 &&
		posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF) == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	char **commands[COMMANDS_MAX];
	posix_spawnattr_t attributes;
	char line[32];
	size_t count, index;
	long ms;
	int nothing;

	ms = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
	count = argc > 2 ? split(argc, argv, commands) : 0;
	nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (ms <= 0 || count == 0 || nothing < 0 || prepare(&attributes) != 0) {
		fprintf(stderr, "usage: spawn MILLISECONDS COMMAND [ARG...] [';' COMMAND...]...\n");
		return 2;
	}
	while (fgets(line, sizeof line, stdin) != NULL) {
		struct outcome o = { 0, 0, 0 };

		index = strtoul(line, NULL, 10);
		if (index >= count || prepare_and_run(commands[index], ms, &attributes, nothing, &o) != 0) {
			fprintf(stderr, "spawn: cannot run command %zu\n", index);
			return 1;
		}
		printf("%llu %d %zu\n", (unsigned long long)o.ns, o.status, o.bytes);
		fflush(stdout);
	}
	return 0;
}
