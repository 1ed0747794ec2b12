/*
 * jobs.c: a table of background evaluations. Output is held back until its line is whole, so that lines of one job and of
 * others, and what the user types, do not run into each other.
 */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "connect.h"
#include "text.h"

#define JOBS_LINE_MAX 16384 /* bytes of a line that is held back */
#define JOBS_SOURCE 60      /* bytes of a source that are shown */

struct job {
	uint32_t id; /* 0: free */
	unsigned number; /* 0: a tee */
	int64_t since;
	int tee; /* 1, 2: no evaluation, but what the program prints to that stream */
	int fd;  /* of a tee: the file that it goes to; -1: to the screen */
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
	if (one->fd >= 0)
		close(one->fd);
	one->fd = -1;
	one->tee = 0;
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

/* A free one, with the beginning of its source; NULL: there is none. */
static struct job *begin(struct jobs *j, uint32_t id, struct span source)
{
	struct job *one = of_id(j, 0);
	struct span first = source;
	const uint8_t *newline = source.len > 0 ? memchr(source.data, '\n', source.len) : NULL;

	if (one == NULL)
		return NULL;
	if (newline != NULL)
		first.len = (size_t)(newline - source.data);
	if (first.len > JOBS_SOURCE)
		first.len = text_whole(first, JOBS_SOURCE);
	one->id = id;
	one->number = 0;
	one->since = connect_clock();
	one->fd = -1;
	one->tee = 0;
	text_copy(one->source, sizeof one->source - 4, first, TEXT_LINE);
	if (first.len < source.len)
		strcat(one->source, "...");
	for (int i = 0; i < 2; i++)
		buf_init(&one->lines[i], JOBS_LINE_MAX + MSG_MAX);
	return one;
}

unsigned jobs_add(struct jobs *j, uint32_t id, struct span source)
{
	struct job *one = begin(j, id, source);

	if (one == NULL)
		return 0;
	one->number = ++j->last;
	return one->number;
}

int jobs_tee(struct jobs *j, uint32_t id, int stream, int fd)
{
	struct job *one;

	jobs_untee(j, stream);
	one = begin(j, id, span_text(stream == 1 ? "%tee stdout" : "%tee stderr"));
	if (one == NULL)
		return PYSTUCK_ETOOBIG;
	one->tee = stream;
	one->fd = fd;
	return 0;
}

static void show(const struct jobs *j, const struct job *one, int stream, const char *word, struct span text)
{
	char mark[48];
	struct buf line;

	buf_init(&line, 4 * MSG_MAX);
	if (one->tee != 0)
		snprintf(mark, sizeof mark, "[%s] ", one->tee == 1 ? "stdout" : "stderr");
	else
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

/* To the file of a tee: made safe, since somebody will look at it on a terminal. */
static void write_tee(const struct job *one, struct span text)
{
	struct buf safe;
	size_t done = 0;
	ssize_t n = 1;

	buf_init(&safe, 8 * MSG_MAX);
	if (text_append(&safe, text, TEXT_BLOCK) == 0)
		for (; done < buf_len(&safe) && n > 0; done += n > 0 ? (size_t)n : 0)
			n = write(one->fd, buf_bytes(&safe) + done, buf_len(&safe) - done);
	buf_free(&safe);
}

void jobs_untee(struct jobs *j, int stream)
{
	for (size_t i = 0; i < JOBS_MAX; i++) {
		struct job *one = &j->table[i];

		if (one->id == 0 || one->tee == 0 || (stream != JOBS_BOTH && one->tee != stream))
			continue;
		for (int s = 0; s < 2; s++)
			show_lines(j, one, one->tee, "", buf_span(&one->lines[s]));
		end(one);
	}
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

	/* The end of the request for a tee is waited for by whoever made it. */
	if (one == NULL || (one->tee != 0 && m->type != MSG_OUTPUT))
		return 0;
	if (m->type == MSG_OUTPUT && one->fd >= 0)
		write_tee(one, m->output.text);
	else if (m->type == MSG_OUTPUT)
		take_output(j, one, &m->output);
	if (m->type == MSG_RESULT)
		take_result(j, one, &m->result);
	if (m->type == MSG_ERROR)
		show(j, one, 2, "", m->error.text);
	if (m->type == MSG_RESULT || m->type == MSG_ERROR)
		end(one);
	return 1;
}

/* Those with this number; 1 when there was one. */
static int list_numbered(const struct jobs *j, unsigned number, struct out *o)
{
	int any = 0;

	for (size_t i = 0; i < JOBS_MAX; i++) {
		const struct job *one = &j->table[i];
		char line[64];

		if (one->id == 0 || one->number != number)
			continue;
		any = 1;
		snprintf(line, sizeof line, "[job %u] %5lld s  ", number, (long long)(connect_clock() - one->since) / 1000);
		out_text(o, number > 0 ? line : one->tee == 1 ? "[stdout]  " : "[stderr]  ");
		out_text(o, one->source);
		out_text(o, "\n");
	}
	return any;
}

void jobs_list(const struct jobs *j, struct out *o)
{
	int any = 0;

	for (unsigned number = 0; number <= j->last; number++)
		any |= list_numbered(j, number, o);
	if (!any)
		out_text(o, "nothing runs in the background\n");
}

uint32_t jobs_find(const struct jobs *j, unsigned number)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (j->table[i].id != 0 && number > 0 && j->table[i].number == number)
			return j->table[i].id;
	return 0;
}
