/*
 * repl_start.c: the start-up file's lines at the prompt, each as if typed, but that they have no
 * number, show no values, are not part of the history, and that blocks end as they do in a file.
 */
#include "repl_private.h"

#include <stdlib.h>
#include <string.h>

/* Between two inputs: nothing to run. */
static int is_comment(const char *line)
{
	line += strspn(line, " \t");
	return *line == '#' || *line == '\0';
}

static int is_blank(const char *line)
{
	return line[strspn(line, " \t")] == '\0';
}

static int is_indented(const char *line)
{
	return *line == ' ' || *line == '\t';
}

/* The first line from here on that has something in it. */
static const char *next_text(const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n"), white = strspn(text, " \t");

		if (white < len)
			return text;
		text += len + (text[len] == '\n');
	}
	return text;
}

/* 1: go on. */
static int take(struct repl *r, char *line, unsigned number)
{
	r->failed = 0;
	repl_take_line(r, line);
	if (r->failed)
		out_notice("%s, line %u: this failed; the session goes on", r->o->rc_path, number);
	return !r->done && !r->lost;
}

/* A line that is not indented, but belongs to the block above it. */
static int goes_on(const char *line)
{
	static const char *const words[] = {"else", "elif", "except", "finally", ")", "]", "}"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strncmp(line, words[i], strlen(words[i])) == 0)
			return 1;
	return 0;
}

/* The last line of the input asks for another one, indented or not. */
static int asks_for_more(const struct repl *r)
{
	struct span input = buf_span(&r->input);
	const uint8_t *line = memrchr(input.data, '\n', input.len);

	line = line != NULL ? line + 1 : input.data;
	return input.len > 0 && (*line == '@' || input.data[input.len - 1] == '\\');
}

/*
 * In a file the next line that is not indented ends a block. An open bracket or string it does not end: the server knows. 1: go on.
 */
static int end_block(struct repl *r, unsigned number)
{
	char nothing[] = "";
	struct buf before;
	int go_on;

	buf_init(&before, MSG_TEXT_MAX);
	go_on = buf_put(&before, buf_bytes(&r->input), buf_len(&r->input)) == 0 && take(r, nothing, number);
	if (r->more) {
		buf_clear(&r->input);
		(void)buf_put(&r->input, buf_bytes(&before), buf_len(&before));
	}
	buf_free(&before);
	return go_on;
}

/* `rest` is what follows in the file. 1: go on. */
static int run_line(struct repl *r, char *line, const char *rest, unsigned number)
{
	if (!r->more && is_comment(line))
		return 1;
	/* An empty line in the middle of a block. */
	if (r->more && is_blank(line) && is_indented(next_text(rest)))
		return buf_put(&r->input, "\n", 1) == 0;
	if (r->more && !is_blank(line) && !is_indented(line) && !goes_on(line) && !asks_for_more(r) &&
		!end_block(r, number - 1))
		return 0;
	return take(r, line, number);
}

void repl_start(struct repl *r)
{
	char *text = r->o->rc != NULL ? strdup(r->o->rc) : NULL, *line = text, *end, nothing[] = "";
	unsigned number = 1;
	int go_on = 1;

	r->at_start = 1;
	for (; line != NULL && *line != '\0' && go_on; line = end, number++) {
		end = line + strcspn(line, "\n");
		if (*end == '\n')
			*end++ = '\0';
		go_on = run_line(r, line, end, number);
	}
	/* The end of the file ends a block. */
	if (go_on && r->more)
		go_on = take(r, nothing, number - 1);
	if (go_on && r->more) {
		out_notice("%s: the last input is not finished", r->o->rc_path);
		repl_forget_input(r);
	}
	r->at_start = 0;
	free(text);
	repl_flush(r);
}
