/*
 * error.h: the codes that every room returns, and one place for the sentence that goes with them.
 *
 * A call returns 0 (or a count) or one of the negative codes. Calls whose failure a person must act on also take a
 * struct diag and write there what was wrong, with what, and what to do.
 */
#ifndef PYSTUCK_ERROR_H
#define PYSTUCK_ERROR_H

#include <stddef.h>

enum pystuck_error {
	PYSTUCK_OK = 0,
	PYSTUCK_EAGAIN = -1,	/* nothing more for now: not an error, try again when poll(2) says so */
	PYSTUCK_ENOMEM = -2,	/* out of memory, or a limit of ours on memory */
	PYSTUCK_ESYS = -3,	/* a system call failed; diag.sys has the errno */
	PYSTUCK_EFORMAT = -4,	/* bytes that are not what the format says */
	PYSTUCK_ETOOBIG = -5,	/* longer than the named limit */
	PYSTUCK_ECLOSED = -6,	/* the other side is gone */
	PYSTUCK_ETRUNC = -7,	/* the other side went in the middle of something */
	PYSTUCK_EAUTH = -8,	/* not authenticated: wrong key, or bytes that were changed on the way */
	PYSTUCK_EPERM = -9,	/* known, but not allowed */
	PYSTUCK_EINVAL = -10,	/* the caller's argument makes no sense */
	PYSTUCK_EINUSE = -11,	/* somebody else lives at that address */
	PYSTUCK_EUNSAFE = -12,	/* a file, directory or socket that others could have changed */
	PYSTUCK_ETIME = -13,	/* the deadline passed */
	PYSTUCK_ENOENT = -14,	/* nothing there */
};

/* One short English phrase for a code, never NULL, static. */
const char *error_text(int code);

#define DIAG_TEXT 512

struct diag {
	int code;		/* enum pystuck_error */
	int sys;		/* errno where code is PYSTUCK_ESYS, else 0 */
	char text[DIAG_TEXT];	/* one sentence, no newline, made safe for a terminal; "" when code is 0 */
};

/* Fills d (which may be NULL) and returns code, so that a caller can write `return diag_set(d, ...)`. */
int diag_set(struct diag *d, int code, int sys, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
