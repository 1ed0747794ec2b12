/*
 * color.c: a lexer for what repr() and the traceback module write. It looks at bytes and never
 * fails: what it does not know is left as it is. Words end at ASCII characters, so that no
 * character of UTF-8 is cut.
 */
#include "color.h"

#include <string.h>

#include "text.h"

#define OFF "\033[0m"
#define STRING "\033[32m"
#define NUMBER "\033[36m"
#define CONSTANT "\033[35m"
#define KEYWORD "\033[35m"
#define FILE_NAME "\033[36m"
#define LINE "\033[32m"
#define FUNCTION "\033[34m"
#define RAISED "\033[1;31m"
#define MARK "\033[31m"

#define WORD_MAX 16 /* bytes of the longest word that means something */

struct painter {
	struct buf *out;
	int rc;
};

static void plain(struct painter *p, const uint8_t *at, const uint8_t *end)
{
	if (p->rc == 0 && end > at)
		p->rc = text_append(p->out, (struct span){at, (size_t)(end - at)}, TEXT_BLOCK);
}

static void paint(struct painter *p, const char *color, const uint8_t *at, const uint8_t *end)
{
	if (p->rc == 0 && end > at)
		p->rc = buf_put(p->out, color, strlen(color));
	plain(p, at, end);
	if (p->rc == 0 && end > at)
		p->rc = buf_put(p->out, OFF, sizeof OFF - 1);
}

/* --- words ---------------------------------------------------------------- */

static int is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Of a name, all that is not ASCII included. */
static int is_letter(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static const uint8_t *end_of_name(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (is_letter(*at) || is_digit(*at)))
		at++;
	return at;
}

/* "12", "0x7f", "1.5e-3", "2j": digits, letters, dots, and a sign behind an exponent. */
static const uint8_t *end_of_number(const uint8_t *at, const uint8_t *end)
{
	int hex = end - at > 1 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X');

	for (; at < end; at++) {
		int exponent = !hex && (at[-1] == 'e' || at[-1] == 'E');

		if (*at < 0x80 && (is_digit(*at) || is_letter(*at) || *at == '.'))
			continue;
		if (!(exponent && (*at == '-' || *at == '+')))
			break;
	}
	return at;
}

/* Behind the closing quote, or the end of the line. */
static const uint8_t *end_of_string(const uint8_t *at, const uint8_t *end)
{
	uint8_t quote = *at++;

	while (at < end && *at != '\n' && *at != quote)
		at += *at == '\\' && at + 1 < end && at[1] != '\n' ? 2 : 1;
	return at < end && *at == quote ? at + 1 : at;
}

static int is_one_of(const uint8_t *at, const uint8_t *end, const char *const *words)
{
	size_t len = (size_t)(end - at);

	for (; len < WORD_MAX && *words != NULL; words++)
		if (strlen(*words) == len && memcmp(*words, at, len) == 0)
			return 1;
	return 0;
}

static int is_prefix(const uint8_t *at, const uint8_t *end)
{
	static const char *const prefixes[] = {"b", "r", "u", "f", "br", "rb", "fr", "rf", "B", "R", "U", "F", NULL};

	return is_one_of(at, end, prefixes);
}

static const char *const constants[] = {"True", "False", "None", "Ellipsis", "NotImplemented", "nan", "inf", NULL};
static const char *const keywords[] = {"and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
	"elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
	"not", "or", "pass", "raise", "return", "try", "while", "with", "yield", NULL};

/* One word that begins with a letter; behind it. */
static const uint8_t *name(struct painter *p, const uint8_t *at, const uint8_t *end, int source)
{
	const uint8_t *behind = end_of_name(at, end);

	if (behind < end && (*behind == '\'' || *behind == '"') && is_prefix(at, behind)) {
		behind = end_of_string(behind, end);
		paint(p, STRING, at, behind);
	} else if (is_one_of(at, behind, constants)) {
		paint(p, CONSTANT, at, behind);
	} else if (source && is_one_of(at, behind, keywords)) {
		paint(p, KEYWORD, at, behind);
	} else {
		plain(p, at, behind);
	}
	return behind;
}

/* `source`: it is a program's, and has keywords; else a value. */
static void words(struct painter *p, const uint8_t *at, const uint8_t *end, int source)
{
	const uint8_t *from = at;

	while (at < end && p->rc == 0) {
		const uint8_t *behind;

		if (is_letter(*at)) {
			plain(p, from, at);
			at = from = name(p, at, end, source);
			continue;
		}
		if (*at == '\'' || *at == '"' || is_digit(*at)) {
			plain(p, from, at);
			behind = is_digit(*at) ? end_of_number(at + 1, end) : end_of_string(at, end);
			paint(p, is_digit(*at) ? NUMBER : STRING, at, behind);
			at = from = behind;
			continue;
		}
		if (source && *at == '#')
			break;
		at++;
	}
	plain(p, from, end);
}

int color_value(struct buf *out, struct span text)
{
	struct painter p = {.out = out};

	if (text.len > 0)
		words(&p, text.data, text.data + text.len, 0);
	return p.rc;
}

/* --- tracebacks ----------------------------------------------------------- */

static int begins(const uint8_t *at, const uint8_t *end, const char *with)
{
	size_t len = strlen(with);

	return (size_t)(end - at) >= len && memcmp(at, with, len) == 0;
}

/* Nothing but what stands under a line to point at a part of it. */
static int is_marks(const uint8_t *at, const uint8_t *end)
{
	int any = 0;

	for (; at < end; at++) {
		if (*at == '^' || *at == '~')
			any = 1;
		else if (*at != ' ' && *at != '|')
			return 0;
	}
	return any;
}

/* `File "x.py", line 3, in f` */
static void place(struct painter *p, const uint8_t *at, const uint8_t *end)
{
	const uint8_t *quote = at + 5, *closing = NULL, *number, *behind;

	for (const uint8_t *c = quote + 1; c < end; c++)
		if (*c == '"')
			closing = c;
	if (quote >= end || closing == NULL || !begins(closing, end, "\", line ")) {
		plain(p, at, end);
		return;
	}
	number = closing + sizeof "\", line " - 1;
	behind = number;
	while (behind < end && is_digit(*behind))
		behind++;
	plain(p, at, quote + 1);
	paint(p, FILE_NAME, quote + 1, closing);
	plain(p, closing, number);
	paint(p, LINE, number, behind);
	if (begins(behind, end, ", in ")) {
		plain(p, behind, behind + 5);
		paint(p, FUNCTION, behind + 5, end);
	} else {
		plain(p, behind, end);
	}
}

/* `ValueError: words`, or the name alone. */
static void exception(struct painter *p, const uint8_t *at, const uint8_t *end)
{
	const uint8_t *behind = at;

	while (behind < end && (is_letter(*behind) || is_digit(*behind) || *behind == '.'))
		behind++;
	if (behind < end && *behind != ':') {
		plain(p, at, end);
		return;
	}
	paint(p, RAISED, at, behind);
	plain(p, behind, end);
}

/* Where the text of a line begins; *indent: how far in, behind the bar of a group of exceptions if there is one. */
static const uint8_t *begin_of_text(const uint8_t *at, const uint8_t *end, size_t *indent)
{
	const uint8_t *from = at, *text = at;

	for (; text < end && (*text == ' ' || *text == '|'); text++)
		if (*text == '|')
			from = text + 1 < end && text[1] == ' ' ? text + 2 : text + 1;
	*indent = text > from ? (size_t)(text - from) : 0;
	return text;
}

/* `below`: the line before was indented, so that one which is not is the exception's. 1: this one is indented. */
static int line(struct painter *p, const uint8_t *at, const uint8_t *end, int below)
{
	size_t indent;
	const uint8_t *text = begin_of_text(at, end, &indent);

	if (begins(text, end, "File \"")) {
		plain(p, at, text);
		place(p, text, end);
	} else if (is_marks(at, end)) {
		paint(p, MARK, at, end);
	} else if (indent >= 4) {
		words(p, at, end, 1);
	} else if (below && indent == 0 && text < end && is_letter(*text) && !begins(text, end, "Traceback (")) {
		plain(p, at, text);
		exception(p, text, end);
	} else {
		plain(p, at, end);
	}
	return indent > 0;
}

int color_traceback(struct buf *out, struct span text)
{
	struct painter p = {.out = out};
	const uint8_t *at = text.data, *end = at + text.len;
	int below = 1;

	while (text.len > 0 && at < end && p.rc == 0) {
		const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
		const uint8_t *stop = newline != NULL ? newline : end;

		below = line(&p, at, stop, below);
		if (newline != NULL)
			plain(&p, newline, newline + 1);
		at = newline != NULL ? newline + 1 : end;
	}
	return p.rc;
}
