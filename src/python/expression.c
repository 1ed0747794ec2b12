/*
 * expression.c: a few rules of Python's grammar: brackets, strings, calls. No parser: what is not clear is left out.
 */
#include "expression.h"

#include <string.h>

#define OBJECT_MAX 128u /* bytes: a longer one is no name */

static const struct span nothing = {(const uint8_t *)"", 0};

static const char *const methods[] = {"acquire", "__enter__", "wait", "wait_for", "join", "get", "put", "result", "exception",
	"acquire_lock", "start", "lock"};

static int is_method(struct span name)
{
	for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
		if (name.len == strlen(methods[i]) && memcmp(name.data, methods[i], name.len) == 0)
			return 1;
	return 0;
}

static struct span trimmed(struct span s)
{
	while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
		s = (struct span){s.data + 1, s.len - 1};
	while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s.len <= OBJECT_MAX ? s : nothing;
}

/* Where a scan is: how deep in brackets. Strings are passed over in one step. */
struct scan {
	struct span s;
	size_t at;
	unsigned depth;
};

/* The next character that is not part of a string; 0 at the end. */
static uint8_t next(struct scan *c)
{
	while (c->at < c->s.len) {
		uint8_t ch = c->s.data[c->at++];

		if (ch != '"' && ch != '\'')
			return ch;
		while (c->at < c->s.len && c->s.data[c->at] != ch)
			c->at += c->s.data[c->at] == '\\' ? 2 : 1;
		c->at++;
	}
	return 0;
}

static void count_brackets(struct scan *c, uint8_t ch)
{
	if (ch == '(' || ch == '[' || ch == '{')
		c->depth++;
	else if ((ch == ')' || ch == ']' || ch == '}') && c->depth > 0)
		c->depth--;
}

/* The parts of "object.method(...)"; 0: it is not that. */
static int split_call(struct span s, struct span *object, struct span *method)
{
	struct scan c = {.s = s};
	size_t open = 0, dot = 0, open_dot = 0;
	int have = 0;

	if (s.len == 0 || s.data[s.len - 1] != ')')
		return 0;
	for (uint8_t ch = next(&c); ch != 0; ch = next(&c)) {
		if (c.depth == 0 && ch == '.')
			dot = c.at - 1;
		if (c.depth == 0 && ch == '(') {
			open = c.at - 1;
			open_dot = dot;
			have = 1;
		}
		count_brackets(&c, ch);
	}
	if (!have || c.depth != 0 || open_dot == 0 || open_dot >= open)
		return 0;
	*object = (struct span){s.data, open_dot};
	*method = (struct span){s.data + open_dot + 1, open - open_dot - 1};
	return 1;
}

struct span expression_object(struct span text, int entered)
{
	struct span s = trimmed(text), object, method;

	if (split_call(s, &object, &method) && is_method(method))
		return trimmed(object);
	if (entered || (s.len > 0 && s.data[s.len - 1] != ')' && memchr(s.data, ' ', s.len) == NULL))
		return s;
	return nothing;
}

/* --- lines --- */

/* "with X:" and "with X as y:", one item. */
static struct span with_item(struct span line)
{
	struct scan c = {.s = {line.data + 5, line.len - 5}};
	size_t end = 0;

	for (uint8_t ch = next(&c); ch != 0; ch = next(&c)) {
		if (c.depth == 0 && ch == ',')
			return nothing;
		if (c.depth == 0 && end == 0 &&
			(ch == ':' || (c.s.len - c.at >= 3 && ch == ' ' && memcmp(c.s.data + c.at, "as ", 3) == 0)))
			end = c.at - 1;
		if (c.depth == 0 && ch == ':')
			break;
		count_brackets(&c, ch);
	}
	return end > 0 ? expression_object((struct span){c.s.data, end}, 1) : nothing;
}

static int is_word(uint8_t ch)
{
	return ch == '_' || ch >= 0x80 || (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* Back over "a.b[0]" from its end; strings with brackets in them are not looked for. */
static size_t begin_of(struct span line, size_t end)
{
	unsigned depth = 0;

	while (end > 0) {
		uint8_t ch = line.data[end - 1];

		if (ch == ']' || ch == ')')
			depth++;
		else if ((ch == '[' || ch == '(') && depth > 0)
			depth--;
		else if (depth == 0 && !is_word(ch) && ch != '.')
			break;
		end--;
	}
	return end;
}

static struct span only_call(struct span line)
{
	struct span found = nothing;
	unsigned count = 0;

	for (size_t i = 1; i < line.len; i++) {
		size_t end = i + 1;

		if (line.data[i] != '.')
			continue;
		while (end < line.len && is_word(line.data[end]))
			end++;
		if (end >= line.len || line.data[end] != '(' ||
			!is_method((struct span){line.data + i + 1, end - i - 1}))
			continue;
		if (count++ == 0) {
			size_t begin = begin_of(line, i);

			found = (struct span){line.data + begin, i - begin};
		}
	}
	return count == 1 ? trimmed(found) : nothing;
}

struct span expression_in_line(struct span line)
{
	if (line.len > 5 && memcmp(line.data, "with ", 5) == 0)
		return with_item(line);
	return only_call(line);
}
