/*
 * context.c: one scan forward over the text for brackets and strings, then a few steps back from its end. Nothing here
 * recurses, and nothing is allocated: of brackets that are still open the innermost CONTEXT_DEPTH are known, of those that
 * have been closed the last CONTEXT_PAIRS.
 */
#include "context.h"

#include <limits.h>
#include <string.h>

#define CONTEXT_DEPTH 64
#define CONTEXT_PAIRS 64

/* Brackets that belong together, or the two ends of a string. */
struct pair {
	size_t open, close; /* of the last character */
};

struct scan {
	const char *text;
	size_t len;
	size_t open[CONTEXT_DEPTH]; /* a ring: depth % CONTEXT_DEPTH */
	size_t depth;
	struct pair pairs[CONTEXT_PAIRS]; /* a ring too */
	size_t pair_count;
	size_t line;       /* where the statement begins */
	size_t string;     /* the quote of the string that does not end */
	size_t inside;     /* behind its quotes */
	int in_string, in_comment;
};

static int is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80) != 0;
}

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int is_quote(char c)
{
	return c == '"' || c == '\'';
}

static void note_pair(struct scan *s, size_t open, size_t close)
{
	s->pairs[s->pair_count++ % CONTEXT_PAIRS] = (struct pair){open, close};
}

/* Where what ends with the character at `close` begins; 1 when that is known. */
static int find_open(const struct scan *s, size_t close, size_t *open)
{
	size_t n = s->pair_count < CONTEXT_PAIRS ? s->pair_count : CONTEXT_PAIRS;

	for (size_t i = 0; i < n; i++) {
		if (s->pairs[i].close == close) {
			*open = s->pairs[i].open;
			return 1;
		}
	}
	return 0;
}

/* Three quotes at `at`. */
static int is_triple(const struct scan *s, size_t at)
{
	return s->len - at >= 3 && s->text[at + 1] == s->text[at] && s->text[at + 2] == s->text[at];
}

/* At a quote; returns the place behind the string. */
static size_t scan_string(struct scan *s, size_t at)
{
	char quote = s->text[at];
	size_t width = is_triple(s, at) ? 3 : 1;
	size_t i = at + width;

	while (i < s->len) {
		if (s->text[i] == '\\') {
			i += 2;
		} else if (width == 1 && s->text[i] == '\n') {
			return i;
		} else if (s->text[i] == quote && (width == 1 || is_triple(s, i))) {
			note_pair(s, at, i + width - 1);
			return i + width;
		} else {
			i++;
		}
	}
	s->in_string = 1;
	s->string = at;
	s->inside = at + width < s->len ? at + width : s->len;
	return s->len;
}

static void close_bracket(struct scan *s, size_t at)
{
	if (s->depth == 0)
		return;
	s->depth--;
	note_pair(s, s->open[s->depth % CONTEXT_DEPTH], at);
}

static size_t scan_comment(struct scan *s, size_t at)
{
	while (at < s->len && s->text[at] != '\n')
		at++;
	s->in_comment = at == s->len;
	return at;
}

static void scan_all(struct scan *s)
{
	size_t i = 0;

	while (i < s->len) {
		char c = s->text[i];

		if (is_quote(c)) {
			i = scan_string(s, i);
			continue;
		}
		if (c == '#') {
			i = scan_comment(s, i);
			continue;
		}
		if (c == '(' || c == '[' || c == '{')
			s->open[s->depth++ % CONTEXT_DEPTH] = i;
		else if (c == ')' || c == ']' || c == '}')
			close_bracket(s, i);
		else if ((c == '\n' || c == ';') && s->depth == 0)
			s->line = i + 1;
		i++;
	}
}

/* Back over a word; returns where it begins. */
static size_t word_start(const struct scan *s, size_t end)
{
	while (end > 0 && is_word(s->text[end - 1]))
		end--;
	return end;
}

/* A row that ends before `end`: 1 and where it begins. */
static int row_start(const struct scan *s, size_t end, size_t *start)
{
	size_t at = end;

	while (at > 0) {
		char c = s->text[at - 1];

		if (c == ']') {
			if (!find_open(s, at - 1, &at))
				return 0;
			continue;
		}
		if (is_quote(c)) {
			if (!find_open(s, at - 1, &at) || (at > 0 && is_word(s->text[at - 1])))
				return 0;
			*start = at;
			return 1;
		}
		if (!is_word(c))
			return 0;
		at = word_start(s, at);
		if (is_digit(s->text[at]))
			return 0;
		if (at == 0 || s->text[at - 1] != '.') {
			*start = at;
			return 1;
		}
		at--;
	}
	return 0;
}

static int find_row(const struct scan *s, size_t end, struct context_part *part)
{
	size_t start;

	if (!row_start(s, end, &start))
		return 0;
	*part = (struct context_part){start, end - start};
	return 1;
}

/* The innermost call that is open before `end`, if what is called is a row. */
static void find_call(const struct scan *s, struct context *out)
{
	size_t known = s->depth < CONTEXT_DEPTH ? s->depth : CONTEXT_DEPTH;

	for (size_t i = 1; i <= known; i++) {
		size_t at = s->open[(s->depth - i) % CONTEXT_DEPTH];

		if (s->text[at] != '(')
			continue;
		out->has_call = find_row(s, at, &out->callee);
		return;
	}
}

/* Nothing but white space between the innermost bracket, which is a [ behind a row, and `at`. */
static int is_key(const struct scan *s, size_t at, struct context_part *object)
{
	size_t open;

	if (s->depth == 0)
		return 0;
	open = s->open[(s->depth - 1) % CONTEXT_DEPTH];
	if (s->text[open] != '[')
		return 0;
	for (size_t i = open + 1; i < at; i++)
		if (!is_white(s->text[i]))
			return 0;
	return find_row(s, open, object);
}

static void in_string(const struct scan *s, struct context *out)
{
	int prefixed = s->string > 0 && is_word(s->text[s->string - 1]);

	out->quote = s->text[s->string];
	out->from = s->inside;
	if (s->inside - s->string == 1 && !prefixed && is_key(s, s->string, &out->object))
		out->kind = CONTEXT_KEY;
	else
		out->kind = CONTEXT_FILE;
}

/* Is `word` at `at`, with white space behind it? Returns the place behind that, else 0. */
static size_t after_word(const struct scan *s, size_t at, const char *word)
{
	size_t len = strlen(word);

	if (s->len - at <= len || memcmp(s->text + at, word, len) != 0 || !is_white(s->text[at + len]))
		return 0;
	for (at += len; at < s->len && is_white(s->text[at]); at++)
		;
	return at;
}

/* The end of a dotted name. */
static size_t dotted_end(const struct scan *s, size_t at)
{
	while (at < s->len && (is_word(s->text[at]) || s->text[at] == '.'))
		at++;
	return at;
}

/* import a, b.c   from a import b, c: 1 when the end of the text is in such a statement. */
static int in_import(const struct scan *s, struct context *out)
{
	size_t at = s->line, end, next;

	while (at < s->len && is_white(s->text[at]))
		at++;
	next = after_word(s, at, "import");
	if (next > 0) {
		out->kind = CONTEXT_IMPORT;
		out->from = s->len;
		while (out->from > next && (is_word(s->text[out->from - 1]) || s->text[out->from - 1] == '.'))
			out->from--;
		return 1;
	}
	next = after_word(s, at, "from");
	if (next == 0)
		return 0;
	end = dotted_end(s, next);
	if (end == s->len) {
		out->kind = CONTEXT_IMPORT;
		out->from = next;
		return 1;
	}
	for (at = end; at < s->len && is_white(s->text[at]); at++)
		;
	if (end == next || after_word(s, at, "import") == 0)
		return 0;
	out->kind = CONTEXT_FROM;
	out->object = (struct context_part){next, end - next};
	out->from = word_start(s, s->len);
	return 1;
}

static void in_code(const struct scan *s, struct context *out)
{
	size_t start = word_start(s, s->len);

	out->from = start;
	if (in_import(s, out))
		return;
	if (start > 0 && s->text[start - 1] == '.') {
		out->kind = find_row(s, start - 1, &out->object) ? CONTEXT_ATTRIBUTE : CONTEXT_NOTHING;
		return;
	}
	if (is_key(s, start, &out->object))
		out->kind = CONTEXT_KEY;
	else if (start < s->len && is_digit(s->text[start]))
		out->kind = CONTEXT_NOTHING;
	else
		out->kind = CONTEXT_NAME;
}

/* Commands whose argument is Python. */
static int takes_code(const char *name, size_t len)
{
	static const char *const names[] = {"%time", "%atomic", "%main"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0)
			return 1;
	return 0;
}

/* Text that begins with %: 1 when it is not the code behind a command; else *skip is where that begins. */
static int in_command(struct context *out, const char *text, size_t len, size_t *skip)
{
	size_t at = 0, end;

	*skip = 0;
	while (at < len && is_white(text[at]))
		at++;
	if (at == len || text[at] != '%')
		return 0;
	end = at;
	while (end < len && !is_white(text[end]))
		end++;
	if (end < len && takes_code(text + at, end - at)) {
		*skip = end;
		return 0;
	}
	out->from = len;
	while (out->from > end && !is_white(text[out->from - 1]))
		out->from--;
	out->object = (struct context_part){at, end - at};
	out->kind = end < len ? CONTEXT_ARGUMENT : CONTEXT_NOTHING;
	return 1;
}

void context_find(struct context *out, const char *text, size_t len)
{
	struct scan s = {.text = text, .len = len};
	size_t skip;

	*out = (struct context){.kind = CONTEXT_NOTHING, .from = len};
	if (in_command(out, text, len, &skip))
		return;
	s.text += skip;
	s.len -= skip;
	scan_all(&s);
	out->from = s.len;
	if (s.in_string)
		in_string(&s, out);
	else if (!s.in_comment)
		in_code(&s, out);
	find_call(&s, out);
	out->from += skip;
	out->object.at += skip;
	out->callee.at += skip;
}

/* --- steps ---------------------------------------------------------------- */

/* A string without escapes at *text. */
static int take_string(struct context_step *step, const char **text, const char *end)
{
	const char *at = *text, *close;

	if (at == end || !is_quote(*at))
		return 0;
	close = memchr(at + 1, *at, (size_t)(end - at - 1));
	step->text = at + 1;
	if (close == NULL)
		return 0;
	step->len = (size_t)(close - step->text);
	if (memchr(step->text, '\\', step->len) != NULL)
		return 0;
	*text = close + 1;
	return 1;
}

static int take_number(struct context_step *step, const char **text, const char *end)
{
	const char *at = *text;
	int negative = at < end && *at == '-';
	long value = 0;

	at += negative;
	if (at == end || !is_digit(*at))
		return 0;
	for (; at < end && is_digit(*at); at++) {
		if (value > (LONG_MAX - 9) / 10)
			return 0;
		value = value * 10 + (*at - '0');
	}
	step->kind = CONTEXT_STEP_INDEX;
	step->index = negative ? -value : value;
	*text = at;
	return 1;
}

static int take_subscript(struct context_step *step, const char **text, const char *end)
{
	const char *at = *text + 1;

	while (at < end && is_white(*at))
		at++;
	step->kind = CONTEXT_STEP_KEY;
	if (!take_string(step, &at, end) && !take_number(step, &at, end))
		return -1;
	while (at < end && is_white(*at))
		at++;
	if (at == end || *at != ']')
		return -1;
	*text = at + 1;
	return 1;
}

int context_step(struct context_step *step, const char **text, const char *end, int first)
{
	const char *at = *text;

	if (at == end)
		return 0;
	if (!first && *at == '[')
		return take_subscript(step, text, end);
	if (first && is_quote(*at)) {
		step->kind = CONTEXT_STEP_STRING;
		return take_string(step, text, end) ? 1 : -1;
	}
	if (!first && *at++ != '.')
		return -1;
	step->kind = CONTEXT_STEP_NAME;
	step->text = at;
	while (at < end && is_word(*at))
		at++;
	step->len = (size_t)(at - step->text);
	*text = at;
	return step->len > 0 && !is_digit(*step->text) ? 1 : -1;
}
