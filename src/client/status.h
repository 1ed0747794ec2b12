/*
 * status.h: the exit status of the client. They are part of its interface: pystuck(1) lists them.
 */
#ifndef PYSTUCK_CLIENT_STATUS_H
#define PYSTUCK_CLIENT_STATUS_H

#include "error.h"

enum status {
	STATUS_DONE = 0,
	STATUS_RAISED = 1, /* the evaluated code raised */
	STATUS_USAGE = 2,
	STATUS_LOST = 3,     /* nobody there, connection lost, no answer in time */
	STATUS_REFUSED = 4,  /* not authenticated, not trusted, or not allowed */
	STATUS_PARTIAL = 5,  /* answered, but degraded or cut short */
	STATUS_SIGINT = 130, /* ended by Ctrl-C, as shells count it */
};

/* The status that goes with an error. */
int status_of(int code);
/*
 * Says d on standard error, with the time that was waited when it is PYSTUCK_ETIME, and returns its
 * status.
 */
int status_fail(const struct diag *d, long long timeout_ms);

#endif
