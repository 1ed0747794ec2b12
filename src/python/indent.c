/*
 * indent.c: scans an unfinished input for the indentation of its next line. What it gets wrong
 * (quotes inside an f-string's braces) costs the user a few spaces, nothing else: whether an input
 * is complete is not decided here.
 */
#include "indent.h"

#include <string.h>

#define STEP 4 /* spaces of one more level */

struct scan {
	const char *at;
	const char *end;
	int depth; /* open brackets */
	char last; /* the last character that means something, 0 at the start of a line */
};

/* At a quote: moves behind the string; returns 1 when a triple-quoted one does not end. */
static int skip_string(struct scan *s)
{
	char quote = *s->at;
	size_t width = s->end - s->at >= 3 && s->at[1] == quote && s->at[2] == quote ? 3 : 1;

	s->at += width;
	while (s->at < s->end) {
		if (*s->at == '\\' && s->at + 1 < s->end) {
			s->at += 2;
			continue;
		}
		if (width == 1 && *s->at == '\n')
			return 0;
		if (*s->at == quote && (width == 1 || (s->end - s->at >= 3 && s->at[1] == quote &&
							      s->at[2] == quote))) {
			s->at += width;
			return 0;
		}
		s->at++;
	}
	return width == 3;
}

static void skip_comment(struct scan *s)
{
	const char *newline = memchr(s->at, '\n', (size_t)(s->end - s->at));

	s->at = newline != NULL ? newline : s->end;
}

/* Returns 1 when the text ends inside a triple-quoted string. */
static int scan_all(struct scan *s)
{
	while (s->at < s->end) {
		char c = *s->at;

		if (c == '"' || c == '\'') {
			s->last = c;
			if (skip_string(s))
				return 1;
			continue;
		}
		if (c == '#') {
			skip_comment(s);
			continue;
		}
		if (c == '(' || c == '[' || c == '{')
			s->depth++;
		else if ((c == ')' || c == ']' || c == '}') && s->depth > 0)
			s->depth--;
		if (c == '\n')
			s->last = 0;
		else if (c != ' ' && c != '\t' && c != '\r')
			s->last = c;
		s->at++;
	}
	return 0;
}

void indent_scan(struct indent *out, const char *text, size_t len)
{
	struct scan s = {text, text + len, 0, 0};
	const char *newline = memrchr(text, '\n', len);

	out->line = newline != NULL ? newline + 1 : text;
	out->white = 0;
	while (out->line + out->white < s.end && strchr(" \t", out->line[out->white]) != NULL)
		out->white++;
	out->indented = out->white > 0 && out->line + out->white < s.end;
	out->in_string = scan_all(&s);
	out->depth = s.depth;
	out->last = s.last;
	out->opens = !out->in_string && s.depth == 0 && s.last == ':';
}

void indent_next(const struct indent *end, char *out, size_t size)
{
	int tabs = memchr(end->line, '\t', end->white) != NULL;
	size_t n = end->in_string ? 0 : end->white;
	size_t step = !end->opens ? 0 : tabs ? 1 : STEP;

	if (n > size - 1)
		n = size - 1;
	if (step > size - 1 - n)
		step = size - 1 - n;
	memcpy(out, end->line, n);
	memset(out + n, tabs ? '\t' : ' ', step);
	out[n + step] = '\0';
}
