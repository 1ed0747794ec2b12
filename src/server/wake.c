/*
 * wake.c: calls to the net thread, over a socket pair. Who is called, and why, is not known here.
 */
#include "wake.h"

#include <errno.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "error.h"

int wake_open(struct wake *w)
{
	int fds[2];
	int rc;

	w->in.fd = w->out.fd = -1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0)
		return PYSTUCK_ESYS;
	fds[0] = ownfd_raise(fds[0]);
	fds[1] = ownfd_raise(fds[1]);
	rc = ownfd_take(&w->in, fds[0]);
	if (rc == 0)
		rc = ownfd_take(&w->out, fds[1]);
	if (rc == 0)
		return 0;
	(void)ownfd_drop(&w->in);
	close(fds[0]);
	close(fds[1]);
	return rc;
}

int wake_call(const struct ownfd *out)
{
	const uint8_t call = 1;

	if (!ownfd_is(out))
		return -1;
	/* A queue that is still full means that the thread is being woken anyway. */
	for (int i = 0; i < 2; i++) {
		if (send(out->fd, &call, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -1;
	}
	return 0;
}

int wake_drain(const struct wake *w)
{
	uint8_t calls[WAKE_MOST];
	ssize_t n;

	if (!ownfd_is(&w->in))
		return -1;
	n = recv(w->in.fd, calls, sizeof(calls), MSG_DONTWAIT);
	if (n > 0)
		return (int)n;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

void wake_close(struct wake *w)
{
	ownfd_close(&w->in);
	ownfd_close(&w->out);
}
