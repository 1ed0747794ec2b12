/*
 * jobs.c: a table of background evaluations. Output is held back until its line is whole, so that lines of one job and of
 * others, and what the user types, do not run into each other.
 */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect.h"
#include "text.h"

#define JOBS_LINE_MAX 16384 /* bytes of a line that is held back */
#define JOBS_SOURCE 60      /* bytes of a source that are shown */

struct job {
	uint32_t id; /* 0: free */
	unsigned number;
	int64_t since;
	char source[JOBS_SOURCE * 2];
	struct buf lines[2]; /* stdout, stderr: the beginning of a line */
};

struct jobs {
	struct job table[JOBS_MAX];
	unsigned last;
	jobs_line *show;
	void *context;
};

struct jobs *jobs_new(jobs_line *show, void *context)
{
	struct jobs *j = calloc(1, sizeof *j);

	if (j == NULL)
		return NULL;
	j->show = show;
	j->context = context;
	return j;
}

static void end(struct job *one)
{
	one->id = 0;
	for (int i = 0; i < 2; i++)
		buf_free(&one->lines[i]);
}

void jobs_forget(struct jobs *j)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (j->table[i].id != 0)
			end(&j->table[i]);
}

void jobs_free(struct jobs *j)
{
	if (j == NULL)
		return;
	jobs_forget(j);
	free(j);
}

static struct job *of_id(struct jobs *j, uint32_t id)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (j->table[i].id == id)
			return &j->table[i];
	return NULL;
}

unsigned jobs_add(struct jobs *j, uint32_t id, struct span source)
{
	struct job *one = of_id(j, 0);
	struct span first = source;
	const uint8_t *newline = source.len > 0 ? memchr(source.data, '\n', source.len) : NULL;

	if (one == NULL)
		return 0;
	if (newline != NULL)
		first.len = (size_t)(newline - source.data);
	if (first.len > JOBS_SOURCE)
		first.len = text_whole(first, JOBS_SOURCE);
	one->id = id;
	one->number = ++j->last;
	one->since = connect_clock();
	text_copy(one->source, sizeof one->source - 4, first, TEXT_LINE);
	if (first.len < source.len)
		strcat(one->source, "...");
	for (int i = 0; i < 2; i++)
		buf_init(&one->lines[i], JOBS_LINE_MAX + MSG_MAX);
	return one->number;
}

static void show(const struct jobs *j, const struct job *one, int stream, const char *word, struct span text)
{
	char mark[48];
	struct buf line;

	buf_init(&line, 4 * MSG_MAX);
	snprintf(mark, sizeof mark, "[job %u] %s", one->number, word);
	if (buf_put(&line, mark, strlen(mark)) == 0 && buf_put(&line, text.data, text.len) == 0)
		j->show(j->context, stream, buf_span(&line));
	buf_free(&line);
}

/* All whole lines of the text, and what is left when there is no more to come. */
static void show_lines(const struct jobs *j, const struct job *one, int stream, const char *word, struct span text)
{
	while (text.len > 0) {
		const uint8_t *newline = memchr(text.data, '\n', text.len);
		struct span line = {text.data, newline != NULL ? (size_t)(newline - text.data) : text.len};

		show(j, one, stream, word, line);
		text.data += line.len + (newline != NULL);
		text.len -= line.len + (newline != NULL);
		word = "";
	}
}

static void take_output(const struct jobs *j, struct job *one, const struct msg_output *m)
{
	struct buf *held = &one->lines[m->stream == 2];
	const uint8_t *newline;
	size_t whole;

	if (buf_put(held, m->text.data, m->text.len) != 0)
		return;
	newline = memrchr(buf_bytes(held), '\n', buf_len(held));
	whole = newline != NULL ? (size_t)(newline - buf_bytes(held)) + 1 : 0;
	if (buf_len(held) - whole > JOBS_LINE_MAX)
		whole = buf_len(held);
	show_lines(j, one, m->stream, "", (struct span){buf_bytes(held), whole});
	buf_consume(held, whole);
}

static void take_result(const struct jobs *j, struct job *one, const struct msg_result *m)
{
	static const char *const words[] = {[RESULT_NONE] = "has ended", [RESULT_VALUE] = "has ended: ",
		[RESULT_RAISED] = "has ended: ", [RESULT_INTERRUPTED] = "was interrupted: ",
		[RESULT_INCOMPLETE] = "was not run", [RESULT_EXIT] = "has ended: "};
	int failed = m->status == RESULT_RAISED || m->status == RESULT_INTERRUPTED;

	for (int i = 0; i < 2; i++)
		show_lines(j, one, i + 1, "", buf_span(&one->lines[i]));
	if (m->text.len == 0)
		show(j, one, 1, words[m->status], m->text);
	else
		show_lines(j, one, failed ? 2 : 1, words[m->status], m->text);
}

int jobs_take(struct jobs *j, const struct msg *m)
{
	uint32_t id = m->type == MSG_OUTPUT   ? m->output.id
		      : m->type == MSG_RESULT ? m->result.id
		      : m->type == MSG_ERROR  ? m->error.id
		      : m->type == MSG_PLACE  ? m->place.id
					      : 0;
	struct job *one = id != 0 ? of_id(j, id) : NULL;

	if (one == NULL)
		return 0;
	if (m->type == MSG_OUTPUT)
		take_output(j, one, &m->output);
	if (m->type == MSG_RESULT)
		take_result(j, one, &m->result);
	if (m->type == MSG_ERROR)
		show(j, one, 2, "", m->error.text);
	if (m->type == MSG_RESULT || m->type == MSG_ERROR)
		end(one);
	return 1;
}

void jobs_list(const struct jobs *j, struct out *o)
{
	int any = 0;

	for (unsigned number = 1; number <= j->last; number++)
		for (size_t i = 0; i < JOBS_MAX; i++) {
			const struct job *one = &j->table[i];
			char line[64];

			if (one->id == 0 || one->number != number)
				continue;
			any = 1;
			snprintf(line, sizeof line, "[job %u] %5lld s  ", number, (long long)(connect_clock() - one->since) / 1000);
			out_text(o, line);
			out_text(o, one->source);
			out_text(o, "\n");
		}
	if (!any)
		out_text(o, "nothing runs in the background\n");
}

uint32_t jobs_find(const struct jobs *j, unsigned number)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (j->table[i].id != 0 && j->table[i].number == number)
			return j->table[i].id;
	return 0;
}
