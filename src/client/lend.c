/*
 * lend.c: waits for a child that has the terminal. What it is, and what the server's messages mean, is for the callers (pager.c,
 * commands.c, repl_link.c).
 */
#include "lend.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "signals.h"

#define LOOK_MS 100 /* where the kernel has no pidfd (before 5.3) */

struct lent {
	pid_t pid;
	int pidfd; /* -1: there is none */
	int to;    /* -1: everything has been written, or nobody wants it */
	struct span text;
	const struct lend *beside; /* NULL: nothing, or no more */
	int fatal;                 /* this signal has come */
};

static void close_to(struct lent *l)
{
	if (l->to >= 0)
		close(l->to);
	l->to = -1;
}

/* Until the pipe is full. */
static void feed(struct lent *l)
{
	while (l->to >= 0 && l->text.len > 0) {
		ssize_t n = write(l->to, l->text.data, l->text.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		/* It was closed before its end: the rest is not wanted. */
		if (n <= 0)
			break;
		l->text = (struct span){l->text.data + n, l->text.len - (size_t)n};
	}
	close_to(l);
}

static void take_signals(struct lent *l)
{
	int sig;

	while ((sig = signals_take()) != 0) {
		if (sig == SIGTSTP)
			signals_stop();
		else if (signals_are_fatal(sig))
			l->fatal = sig;
	}
}

static int has_ended(const struct lent *l, int *status)
{
	pid_t pid;

	do
		pid = waitpid(l->pid, status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	return pid != 0;
}

static void wait_more(struct lent *l)
{
	struct pollfd fds[] = {{.fd = l->pidfd, .events = POLLIN}, {.fd = signals_fd(), .events = POLLIN},
		{.fd = l->to, .events = POLLOUT}, {.fd = l->beside != NULL ? l->beside->fd : -1, .events = POLLIN}};

	if (poll(fds, sizeof fds / sizeof fds[0], l->pidfd < 0 ? LOOK_MS : -1) <= 0)
		return;
	if (fds[1].revents != 0)
		take_signals(l);
	if (fds[2].revents != 0)
		feed(l);
	if (l->beside != NULL && fds[3].revents != 0 && l->beside->read(l->beside->context) == 0)
		l->beside = NULL;
}

int lend_until_ended(pid_t pid, int to, struct span text, const struct lend *beside)
{
	struct lent l = {.pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0), .to = to, .text = text, .beside = beside};
	int status = 0;

	/* Ours is the one end of it: the child's is as it was. */
	if (to >= 0)
		(void)fcntl(to, F_SETFL, O_NONBLOCK);
	while (!has_ended(&l, &status))
		wait_more(&l);
	close_to(&l);
	if (l.pidfd >= 0)
		close(l.pidfd);
	take_signals(&l);
	if (l.fatal != 0)
		raise(l.fatal);
	return status;
}
