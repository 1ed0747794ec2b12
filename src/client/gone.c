/*
 * gone.c: watches a process by a pidfd, which stays its own when the number is used again. How it
 * ended only its parent is told; what /proc shows until then is used where it is there.
 */
#include "gone.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "procs.h"

#define GONE_STAT 1024
#define GONE_WORDS 48

void gone_watch(struct gone *g, int fd, pid_t told)
{
	struct ucred who = {.pid = 0};
	socklen_t len = sizeof who;

	gone_unwatch(g);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
		g->pid = procs_here(who.pid, told);
	if (g->pid > 0)
		g->pidfd = (int)syscall(SYS_pidfd_open, g->pid, 0);
	if (g->pidfd < 0)
		g->pid = 0;
}

void gone_unwatch(struct gone *g)
{
	if (g->pidfd >= 0)
		close(g->pidfd);
	*g = (struct gone){.pidfd = -1};
}

static int has_ended(const struct gone *g)
{
	struct pollfd p = {.fd = g->pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, GONE_WAIT_MS);
	while (n < 0 && errno == EINTR);
	return n == 1 && (p.revents & POLLIN) != 0;
}

/* The status as of waitpid(2) of a process that has ended and that its parent has not looked at yet; -1: it has. */
static int unread_status(pid_t pid)
{
	char path[64], text[GONE_STAT], *at;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof text - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
	/* The name may have anything in it, brackets too. The state is behind it, the status the last of all. */
	at = strrchr(text, ')');
	if (at == NULL || strncmp(at, ") Z", 3) != 0)
		return -1;
	at = strrchr(at, ' ');
	return at != NULL ? (int)strtol(at, NULL, 10) : -1;
}

static const char *signal_name(int sig)
{
	static const struct {
		int sig;
		const char *name;
	} names[] = {{SIGKILL, "SIGKILL"}, {SIGTERM, "SIGTERM"}, {SIGSEGV, "SIGSEGV"},
		{SIGABRT, "SIGABRT"}, {SIGINT, "SIGINT"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"},
		{SIGILL, "SIGILL"}, {SIGHUP, "SIGHUP"}, {SIGQUIT, "SIGQUIT"}, {SIGPIPE, "SIGPIPE"},
		{SIGALRM, "SIGALRM"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGSYS, "SIGSYS"}};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (names[i].sig == sig)
			return names[i].name;
	return NULL;
}

/* "exit", "exit status 3", "killed by SIGKILL", or "" where that is not known. */
static void how(const struct gone *g, int told, char words[static GONE_WORDS])
{
	int status = unread_status(g->pid);

	if (status < 0)
		snprintf(words, GONE_WORDS, "%s", told ? "exit" : "");
	else if (WIFSIGNALED(status) && signal_name(WTERMSIG(status)) != NULL)
		snprintf(words, GONE_WORDS, "killed by %s", signal_name(WTERMSIG(status)));
	else if (WIFSIGNALED(status))
		snprintf(words, GONE_WORDS, "killed by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		snprintf(words, GONE_WORDS, "exit status %d", WEXITSTATUS(status));
	else
		snprintf(words, GONE_WORDS, "exit");
}

int gone_words(const struct gone *g, int told, const char *doing, char text[static GONE_TEXT])
{
	char words[GONE_WORDS];

	if (g->pidfd < 0 || !has_ended(g))
		return 0;
	how(g, told, words);
	if (words[0] == '\0' && doing == NULL)
		snprintf(text, GONE_TEXT, "process %ld has gone", (long)g->pid);
	else if (doing == NULL)
		snprintf(text, GONE_TEXT, "process %ld has gone (%s)", (long)g->pid, words);
	else
		snprintf(text, GONE_TEXT, "process %ld has gone (%s in %s)", (long)g->pid,
			words[0] != '\0' ? words : "exit or a signal,", doing);
	return 1;
}
