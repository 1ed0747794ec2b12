/*
 * error.c: the phrase for each code, and the sentence for a person. Nothing is printed here: who
 * understands an error decides what becomes of it.
 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "text.h"

static const char *const phrases[] = {
	[-PYSTUCK_OK] = "no error",
	[-PYSTUCK_EAGAIN] = "nothing more for now",
	[-PYSTUCK_ENOMEM] = "out of memory",
	[-PYSTUCK_ESYS] = "a system call failed",
	[-PYSTUCK_EFORMAT] = "malformed data",
	[-PYSTUCK_ETOOBIG] = "too long",
	[-PYSTUCK_ECLOSED] = "connection closed by the other side",
	[-PYSTUCK_ETRUNC] = "connection lost in the middle of a message",
	[-PYSTUCK_EAUTH] = "not authenticated",
	[-PYSTUCK_EPERM] = "not allowed",
	[-PYSTUCK_EINVAL] = "invalid argument",
	[-PYSTUCK_EINUSE] = "address in use",
	[-PYSTUCK_EUNSAFE] = "unsafe file, directory or socket",
	[-PYSTUCK_ETIME] = "timed out",
	[-PYSTUCK_ENOENT] = "not found",
};

#define PHRASES ((int)(sizeof phrases / sizeof phrases[0]))

const char *error_text(int code)
{
	if (code > 0 || code <= -PHRASES || phrases[-code] == NULL)
		return "unknown error";
	return phrases[-code];
}

int diag_set(struct diag *d, int code, int sys, const char *format, ...)
{
	char raw[DIAG_TEXT];
	int saved_errno = errno;
	va_list args;
	int length;

	if (d == NULL)
		return code;
	d->code = code;
	d->sys = code == PYSTUCK_ESYS ? sys : 0;
	d->text[0] = '\0';
	if (code != PYSTUCK_OK) {
		va_start(args, format);
		length = vsnprintf(raw, sizeof raw, format, args);
		va_end(args);
		/* The arguments hold paths and names that others chose. */
		if (length >= 0)
			text_copy(d->text, sizeof d->text, span_text(raw), TEXT_LINE);
	}
	errno = saved_errno;
	return code;
}
