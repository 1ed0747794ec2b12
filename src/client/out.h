/*
 * out.h: what the client writes, in one big buffer for each fd, and one-line notices on standard
 * error. Errors are kept until the end, so that the code that formats need not look at each call.
 */
#ifndef PYSTUCK_CLIENT_OUT_H
#define PYSTUCK_CLIENT_OUT_H

#include <stdint.h>

#include "buf.h"
#include "text.h"

#define OUT_DIGITS 21 /* of a 64-bit number, with its NUL */

struct out {
	int fd; /* -1: nothing is written, all of it stays in buf, at most 16 MiB */
	struct buf buf;
	int error; /* the first PYSTUCK_E*: nothing is written after it. PYSTUCK_ECLOSED: the reader
		    * has gone, or the user typed Ctrl-C in the middle */
	int sys;   /* errno with PYSTUCK_ESYS */
	int column0; /* 1 when what was written last ended a line */
};

/* fd -1: what is written stays in o->buf, as far as there is room. */
void out_init(struct out *o, int fd);
void out_free(struct out *o);

void out_bytes(struct out *o, const void *bytes, size_t len);
void out_text(struct out *o, const char *text);                      /* ours: goes out as it is */
void out_safe(struct out *o, struct span text, enum text_mode mode); /* theirs: through text.c */
void out_number(struct out *o, uint64_t v);
void out_pad(struct out *o, size_t n); /* n spaces */
void out_end_line(struct out *o);      /* a newline, unless a line has just ended */
/* Writes all of it. 0, PYSTUCK_ECLOSED, or PYSTUCK_ESYS; also when an earlier call failed. */
int out_flush(struct out *o);
/* After an error, at a terminal that is still there: what comes from here on is written again. */
void out_recover(struct out *o);
/* Writes v to the end of `at`; returns where it begins. */
char *out_decimal(char at[static OUT_DIGITS], uint64_t v);

/* Everything that any of them writes to standard output or error, and each notice, is handed to this as well; NULL: to nothing. */
void out_copy(void (*to)(const void *bytes, size_t len));

/* From here on notices begin in colour, or not. */
void out_notice_color(int on);
/* "pystuck: ..." and a newline to standard error, made safe, in one write. */
void out_notice(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
