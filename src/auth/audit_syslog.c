/*
 * audit_syslog.c: hands an event to the system's log: the journal by its native socket, else
 * /dev/log. Not syslog(3), whose socket, name and settings are the whole process's, and which may
 * wait. What an event looks like is audit_text.c's.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "audit_private.h"
#include "error.h"

void audit_syslog_init(struct audit_syslog *log, const char *journal, const char *devlog)
{
	*log = (struct audit_syslog){.journal = journal, .devlog = devlog, .own = {.fd = -1}};
}

void audit_syslog_close(struct audit_syslog *log)
{
	ownfd_close(&log->own);
	log->protocol = AUDIT_NOBODY;
}

/* Takes fd over. */
static int keep(struct audit_syslog *log, int fd, enum audit_protocol protocol)
{
	fd = ownfd_raise(fd);
	if (ownfd_take(&log->own, fd) != 0) {
		close(fd);
		return PYSTUCK_ECLOSED;
	}
	log->protocol = protocol;
	return 0;
}

static int open_at(struct audit_syslog *log, const char *path, enum audit_protocol protocol)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t len = strlen(path);
	int fd;

	if (len >= sizeof(to.sun_path))
		return PYSTUCK_ECLOSED;
	memcpy(to.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return PYSTUCK_ECLOSED;
	/* Connected, so that a program that calls chroot later is still heard. */
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		close(fd);
		return PYSTUCK_ECLOSED;
	}
	return keep(log, fd, protocol);
}

static int open_any(struct audit_syslog *log)
{
	audit_syslog_close(log);
	if (open_at(log, log->journal, AUDIT_JOURNALD) == 0)
		return 0;
	return open_at(log, log->devlog, AUDIT_SYSLOGD);
}

static int format(
	const struct audit_syslog *log, const struct audit_event *e, size_t source_max, struct buf *b)
{
	if (log->protocol == AUDIT_JOURNALD)
		return audit_text_journal(b, e, source_max);
	return audit_text_syslog(b, e, getpid());
}

/* 0, or the errno of one try. */
static int send_once(const struct audit_syslog *log, const struct buf *b)
{
	ssize_t n;

	do {
		n = send(log->own.fd, buf_bytes(b), buf_len(b), MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? errno : 0;
}

/* Formats and sends. PYSTUCK_ECLOSED: nobody is there any more. */
static int send_event(const struct audit_syslog *log, const struct audit_event *e, size_t source_max)
{
	struct buf b;
	int sys = 0;
	int rc;

	buf_init(&b, AUDIT_DATAGRAM_MAX);
	rc = format(log, e, source_max, &b);
	if (rc == 0)
		sys = send_once(log, &b);
	buf_free(&b);
	if (rc != 0 || sys == 0)
		return rc;
	if (sys == EMSGSIZE)
		return PYSTUCK_ETOOBIG;
	return sys == EAGAIN || sys == ENOBUFS || sys == ENOMEM ? PYSTUCK_EAGAIN : PYSTUCK_ECLOSED;
}

int audit_syslog_send(struct audit_syslog *log, const struct audit_event *e)
{
	int rc = PYSTUCK_ECLOSED;

	if (ownfd_is(&log->own))
		rc = send_event(log, e, AUDIT_SOURCE_MAX);
	/* The daemon has been started anew, or for the first time. */
	if (rc == PYSTUCK_ECLOSED && open_any(log) == 0)
		rc = send_event(log, e, AUDIT_SOURCE_MAX);
	/* A machine with small socket buffers: the hash says what the source was. */
	if (rc == PYSTUCK_ETOOBIG)
		rc = send_event(log, e, 0);
	if (rc == PYSTUCK_ECLOSED)
		audit_syslog_close(log);
	return rc;
}
