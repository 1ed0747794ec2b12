/*
 * audit_private.h: what audit.c, audit_text.c and audit_syslog.c share; tests use it too.
 */
#ifndef PYSTUCK_AUDIT_PRIVATE_H
#define PYSTUCK_AUDIT_PRIVATE_H

#include "audit.h"
#include "ownfd.h"

#define AUDIT_JOURNAL "/run/systemd/journal/socket"
#define AUDIT_DEVLOG "/dev/log"

#define AUDIT_DATAGRAM_MAX (64u << 10) /* bytes; what an event comes to is less: its texts are cut */
#define AUDIT_LINE_SOURCE 1024	       /* bytes of a source in MESSAGE and in a line of syslog */

/*
 * Readies the hash: once, when a log is made, and not by the net thread, since it may load a library. Without it there are only
 * the lengths of sources.
 */
void audit_text_init(void);
/* PRIORITY: 6 info, 5 notice, 4 warning. */
int audit_priority(enum audit_action action);
/* As audit_text: a datagram of the journal's native protocol; `source_max` for PYSTUCK_SOURCE. */
int audit_text_journal(struct buf *b, const struct audit_event *e, size_t source_max);
/* As audit_text: "<PRI>pystuck[PID]: " and the line. */
int audit_text_syslog(struct buf *b, const struct audit_event *e, pid_t pid);

/* One socket to the system's log. */
enum audit_protocol { AUDIT_NOBODY = 0, AUDIT_JOURNALD, AUDIT_SYSLOGD };
struct audit_syslog {
	const char *journal, *devlog; /* paths; tests have their own */
	struct ownfd own;	      /* the program may close ours and get its number */
	enum audit_protocol protocol;
};
void audit_syslog_init(struct audit_syslog *log, const char *journal, const char *devlog);
/* 0, or why the event was not handed over: PYSTUCK_EAGAIN (full), PYSTUCK_ECLOSED (nobody there), PYSTUCK_ENOMEM, PYSTUCK_ETOOBIG. */
int audit_syslog_send(struct audit_syslog *log, const struct audit_event *e);
void audit_syslog_close(struct audit_syslog *log);
/* Tests: audit_syslog() with other sockets. The paths are not copied. */
struct audit *audit_syslog_at(const char *listener, const char *journal, const char *devlog);

#endif
