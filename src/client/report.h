/*
 * report.h: what is to be said of a dump as a whole: who waits for whom in a circle, and one line that sums it up.
 */
#ifndef PYSTUCK_CLIENT_REPORT_H
#define PYSTUCK_CLIENT_REPORT_H

#include "deadlock.h"
#include "dump.h"
#include "out.h"

/* How sure a circle is. */
enum report_sure {
	REPORT_POSSIBLE, /* a wait in it ends by itself some time */
	REPORT_INFERRED, /* a holder in it is inferred */
	REPORT_KNOWN,
};

struct report {
	const struct dump *dump;
	struct deadlocks deadlocks; /* members and led_into are indexes into dump.threads */
};

/* 0 or PYSTUCK_ENOMEM; report_close in any case. */
int report_open(struct report *r, const struct dump *dump);
void report_close(struct report *r);

enum report_sure report_sureness(const struct report *r, size_t circle);
const char *report_sure_name(enum report_sure sure); /* "possible", "inferred", "known" */
/* The first member of a circle in r->deadlocks.members. */
size_t report_begin(const struct report *r, size_t circle);
/* Who waits for member number i of all members: whose wish is what that one holds. */
uint32_t report_before(const struct report *r, size_t circle, size_t member);

/* "6 threads: 1 on CPU, 3 waiting for lock 'LOCK' (held by Thread-1), 1 in recv, 1 asleep", without a newline. */
void report_summary(struct out *o, const struct report *r);
/* Each circle with its members, and who is led into one; locks whose holder has ended. Nothing when there are none. */
void report_deadlocks(struct out *o, const struct report *r);

#endif
