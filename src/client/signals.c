/*
 * signals.c: catches the client's signals into a pipe. What a signal means is for the callers
 * (eval.c, repl.c).
 */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"

static int pipe_fds[2] = {-1, -1};
/* Set by the handler, cleared by signals_take. */
static volatile sig_atomic_t unread;
static volatile sig_atomic_t unread_end; /* one of them asks for an end */

static void on_signal(int sig)
{
	int saved = errno;
	uint8_t byte = (uint8_t)sig;

	/* A full pipe drops the signal: there are thousands before it that nobody has read. */
	if (write(pipe_fds[1], &byte, 1) == 1) {
		unread = 1;
		if (sig == SIGINT || signals_are_fatal(sig))
			unread_end = 1;
	}
	errno = saved;
}

static int catch_one(int sig)
{
	struct sigaction old, ours = {.sa_handler = on_signal};

	if (sigaction(sig, NULL, &old) != 0)
		return PYSTUCK_ESYS;
	if (old.sa_handler == SIG_IGN || old.sa_handler == on_signal)
		return 0;
	sigemptyset(&ours.sa_mask);
	return sigaction(sig, &ours, NULL) == 0 ? 0 : PYSTUCK_ESYS;
}

void signals_quiet(void)
{
	signal(SIGPIPE, SIG_IGN);
}

int signals_catch(int prompt)
{
	static const int for_prompt[] = {SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

	if (pipe_fds[0] < 0 && pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) != 0)
		return PYSTUCK_ESYS;
	if (catch_one(SIGINT) != 0)
		return PYSTUCK_ESYS;
	for (size_t i = 0; prompt && i < sizeof for_prompt / sizeof for_prompt[0]; i++)
		if (catch_one(for_prompt[i]) != 0)
			return PYSTUCK_ESYS;
	return 0;
}

int signals_fd(void)
{
	return pipe_fds[0];
}

int signals_pending(void)
{
	return unread;
}

int signals_want_end(void)
{
	return unread_end;
}

int signals_take(void)
{
	uint8_t byte = 0;

	if (pipe_fds[0] < 0)
		return 0;
	/*
	 * Cleared first: a signal between the two lines is then looked for once too often, never
	 * lost.
	 */
	unread = 0;
	unread_end = 0;
	if (read(pipe_fds[0], &byte, 1) != 1)
		return 0;
	unread = 1;
	return byte;
}

int signals_are_fatal(int sig)
{
	return sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT;
}

void signals_stop(void)
{
	raise(SIGSTOP);
}

_Noreturn void signals_die(int sig)
{
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	sigemptyset(&dfl.sa_mask);
	sigaction(sig, &dfl, NULL);
	raise(sig);
	_exit(128 + sig); /* only when the signal is blocked */
}

void signals_default(void)
{
	const int all[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTERM, SIGHUP, SIGPIPE, SIGWINCH};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		signal(all[i], SIG_DFL);
}
