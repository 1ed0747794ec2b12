/*
 * out.c: buffered output without stdio: a dump is megabytes of small pieces. Knows nothing of what
 * is written.
 */
#include "out.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "signals.h"

/* Bytes: small enough to stay in the cache, big enough for few writes. */
#define OUT_FLUSH_AT (64u * 1024)
/* Above OUT_FLUSH_AT and the longest single piece: a message, escaped. */
#define OUT_LIMIT (16u << 20)
#define OUT_NOTICE 1024
#define COLORED_NAME "\033[35mpystuck:\033[0m "

static void (*copy_to)(const void *bytes, size_t len);

void out_copy(void (*to)(const void *bytes, size_t len))
{
	copy_to = to;
}

void out_init(struct out *o, int fd)
{
	o->fd = fd;
	o->error = 0;
	o->sys = 0;
	o->column0 = 1;
	buf_init(&o->buf, OUT_LIMIT);
}

void out_free(struct out *o)
{
	buf_free(&o->buf);
}

static void fail(struct out *o, int code)
{
	if (o->error == 0)
		o->error = code;
}

/* Notes where the line stands, and writes when enough has come together. */
static void added(struct out *o)
{
	size_t len = buf_len(&o->buf);

	if (len == 0)
		return;
	o->column0 = buf_bytes(&o->buf)[len - 1] == '\n';
	if (len >= OUT_FLUSH_AT && o->fd >= 0)
		out_flush(o);
}

void out_bytes(struct out *o, const void *bytes, size_t len)
{
	if (o->error != 0 || len == 0)
		return;
	int rc = buf_put(&o->buf, bytes, len);
	if (rc != 0)
		fail(o, rc);
	added(o);
}

void out_text(struct out *o, const char *text)
{
	out_bytes(o, text, strlen(text));
}

void out_safe(struct out *o, struct span text, enum text_mode mode)
{
	if (o->error != 0 || text.len == 0)
		return;
	int rc = text_append(&o->buf, text, mode);
	if (rc != 0)
		fail(o, rc);
	added(o);
}

char *out_decimal(char at[static OUT_DIGITS], uint64_t v)
{
	char *p = &at[OUT_DIGITS - 1];

	*p = '\0';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	return p;
}

void out_number(struct out *o, uint64_t v)
{
	char digits[OUT_DIGITS] = "";

	out_text(o, out_decimal(digits, v));
}

void out_pad(struct out *o, size_t n)
{
	static const char spaces[] = "                                ";

	for (; n > sizeof spaces - 1; n -= sizeof spaces - 1)
		out_bytes(o, spaces, sizeof spaces - 1);
	out_bytes(o, spaces, n);
}

void out_end_line(struct out *o)
{
	if (!o->column0)
		out_bytes(o, "\n", 1);
}

/* Standard output may be somebody's non-blocking pipe: wait for room then. 0 to try again. */
static int write_failed(struct out *o)
{
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};

	if (errno == EINTR || (errno == EAGAIN && poll(&p, 1, -1) >= 0))
		return 0;
	if (errno == EPIPE)
		return PYSTUCK_ECLOSED;
	o->sys = errno;
	return PYSTUCK_ESYS;
}

int out_flush(struct out *o)
{
	while (o->error == 0 && buf_len(&o->buf) > 0) {
		ssize_t n = write(o->fd, buf_bytes(&o->buf), buf_len(&o->buf));

		if (n > 0 && copy_to != NULL && o->fd <= STDERR_FILENO)
			copy_to(buf_bytes(&o->buf), (size_t)n);
		if (n >= 0)
			buf_consume(&o->buf, (size_t)n);
		else
			o->error = write_failed(o);
		/* Ctrl-C while a long text scrolls by: the rest of it is not wanted. */
		if (buf_len(&o->buf) > 0 && o->error == 0 && signals_want_end())
			o->error = PYSTUCK_ECLOSED;
	}
	if (o->error != 0)
		buf_clear(&o->buf);
	return o->error;
}

void out_recover(struct out *o)
{
	o->error = 0;
	o->sys = 0;
	o->column0 = 0;
}

static int notice_color;

void out_notice_color(int on)
{
	notice_color = on;
}

void out_notice(const char *format, ...)
{
	char raw[OUT_NOTICE], line[OUT_NOTICE + 32] = "pystuck: ";
	size_t len;
	va_list args;

	if (notice_color)
		memcpy(line, COLORED_NAME, sizeof COLORED_NAME);
	len = strlen(line);

	va_start(args, format);
	vsnprintf(raw, sizeof raw, format, args);
	va_end(args);
	text_copy(line + len, sizeof line - 1 - len, span_text(raw), TEXT_LINE);
	len = strlen(line);
	line[len++] = '\n';
	if (copy_to != NULL)
		copy_to(line, len);
	/* Nobody is left to be told when this fails. */
	ssize_t ignored = write(STDERR_FILENO, line, len);
	(void)ignored;
}
