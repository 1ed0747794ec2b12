/*
 * source.c: the text of source lines, from regular files, read once each and only as far as needed.
 * Which lines: lines.c.
 */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gil.h"

#define CHUNK_BYTES (64u * 1024)
#define PATH_BYTES 4096u

static char start_directory[PATH_BYTES]; /* "" when it is not known */

/* A source line that is wanted. */
struct want {
	struct span file;
	uint32_t line;
	uint32_t code;
	uint32_t spot;
};

/* One file on its way through memory, line by line. */
struct reader {
	int fd;
	uint32_t line; /* the line that the next byte belongs to */
	size_t total;  /* bytes read so far */
	int after_cr; /* the last byte was a carriage return: a newline now is part of the same line
			 end */
	size_t kept;  /* bytes of the current line in `text`, if it is wanted */
	uint32_t indent; /* bytes at its beginning that are not in `text` */
	size_t at, end; /* unread part of `chunk` */
	char text[LINES_TEXT_MAX];
	char chunk[CHUNK_BYTES];
};

void lines_init(void)
{
	if (getcwd(start_directory, sizeof start_directory) == NULL || start_directory[0] != '/')
		start_directory[0] = '\0';
}

/*
 * The path to open: a NUL-terminated name, absolute. 0, or -1 when there is none: <string>, an
 * embedded NUL, too long.
 */
static int path_of(struct span file, char path[static PATH_BYTES])
{
	size_t before = 0;

	if (file.len == 0 || memchr(file.data, '\0', file.len) != NULL)
		return -1;
	if (file.data[0] == '<' && file.data[file.len - 1] == '>')
		return -1;
	if (file.data[0] != '/') {
		before = strlen(start_directory);
		if (before == 0 || before + 1 >= PATH_BYTES)
			return -1;
		memcpy(path, start_directory, before);
		path[before++] = '/';
	}
	if (file.len >= PATH_BYTES - before)
		return -1;
	memcpy(path + before, file.data, file.len);
	path[before + file.len] = '\0';
	return 0;
}

/*
 * A file name is whatever the program said when it compiled: never wait for a FIFO, never read a
 * device. -1: none.
 */
static int open_source(struct span file)
{
	char path[PATH_BYTES];
	struct stat st;
	int fd;

	if (path_of(file, path) != 0)
		return -1;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* 1 when there are bytes in the chunk. */
static int fill(struct reader *r)
{
	ssize_t n;

	while (r->at >= r->end) {
		if (r->total >= LINES_FILE_MAX)
			return 0;
		do
			n = read(r->fd, r->chunk, sizeof r->chunk);
		while (n < 0 && errno == EINTR);
		if (n <= 0)
			return 0;
		r->end = (size_t)n;
		r->total += (size_t)n;
		r->at = r->after_cr && r->chunk[0] == '\n';
		r->after_cr = 0;
	}
	return 1;
}

/*
 * Keeps a piece of the current line: without the white space that it begins with, and not more than
 * fits.
 */
static void keep(struct reader *r, const char *piece, size_t n)
{
	while (r->kept == 0 && n > 0 && (*piece == ' ' || *piece == '\t' || *piece == '\f')) {
		piece++;
		n--;
		r->indent++;
	}
	if (n > sizeof r->text - r->kept)
		n = sizeof r->text - r->kept;
	memcpy(r->text + r->kept, piece, n);
	r->kept += n;
}

/*
 * Passes the rest of the current line, which ends as Python's tokenizer says: \n, \r or both. 0 at
 * the end of the file.
 */
static int pass_line(struct reader *r, int wanted)
{
	r->kept = 0;
	r->indent = 0;
	for (int any = 0;; any = 1) {
		const char *piece, *stop, *cr;

		if (!fill(r))
			return any;
		piece = r->chunk + r->at;
		stop = memchr(piece, '\n', r->end - r->at);
		cr = memchr(piece, '\r', stop != NULL ? (size_t)(stop - piece) : r->end - r->at);
		if (cr != NULL)
			stop = cr;
		if (wanted)
			keep(r, piece, stop != NULL ? (size_t)(stop - piece) : r->end - r->at);
		if (stop == NULL) {
			r->at = r->end;
			continue;
		}
		r->at = (size_t)(stop - r->chunk) + 1;
		if (*stop == '\r' && r->at == r->end)
			r->after_cr = 1;
		else if (*stop == '\r' && r->chunk[r->at] == '\n')
			r->at++;
		return 1;
	}
}

static struct pytext_ref take_line(struct lines *l, struct reader *r)
{
	const char *text = r->text;
	size_t n = r->kept;
	struct pytext_ref ref;

	if (r->line == 1 && n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
		text += 3; /* a byte order mark is no part of the text */
		n -= 3;
	}
	while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t' || text[n - 1] == '\f'))
		n--;
	pytext_bytes(&l->text, text, n, &ref);
	return ref;
}

static int same_file(const struct want *a, const struct want *b)
{
	if (a->file.len != b->file.len)
		return 0;
	return a->file.data == b->file.data || memcmp(a->file.data, b->file.data, a->file.len) == 0;
}

/* The wants of one file, in the order of their lines. */
static void read_file(struct lines *l, struct reader *r, const struct want *wants, size_t count)
{
	r->fd = open_source(wants[0].file);
	if (r->fd < 0)
		return;
	r->line = 1;
	r->total = r->at = r->end = 0;
	r->after_cr = 0;
	for (size_t i = 0; i < count; r->line++) {
		struct pytext_ref ref;

		if (!pass_line(r, wants[i].line == r->line))
			break;
		if (wants[i].line != r->line)
			continue;
		ref = take_line(l, r);
		for (; i < count && wants[i].line == r->line; i++) {
			l->spots[wants[i].spot].source = ref;
			l->spots[wants[i].spot].indent = r->indent;
		}
	}
	close(r->fd);
}

/* By file, then by line, then by code, so that spots of the same code and line lie side by side. */
static int compare_wants(const void *left, const void *right)
{
	const struct want *a = left, *b = right;
	int order = 0;

	if (a->file.len != b->file.len)
		return a->file.len < b->file.len ? -1 : 1;
	if (a->file.data != b->file.data)
		order = memcmp(a->file.data, b->file.data, a->file.len);
	if (order != 0)
		return order;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	return a->spot < b->spot ? -1 : a->spot > b->spot;
}

static size_t list_wants(const struct lines *l, const struct frames *f, struct want *wants)
{
	size_t n = 0;

	for (uint32_t i = 0; i < l->spot_count; i++) {
		struct span file = pytext_span(&f->text, f->codes[l->spots[i].code].file);

		if (l->spots[i].line > 0 && file.len > 0)
			wants[n++] = (struct want){file, l->spots[i].line, l->spots[i].code, i};
	}
	return n;
}

/* Several instructions of one line need its text only once. */
static void find_twins(struct lines *l, const struct want *wants, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (wants[i].code == wants[i - 1].code && wants[i].line == wants[i - 1].line)
			l->spots[wants[i].spot].twin = l->spots[wants[i - 1].spot].twin;
}

void lines_read(struct lines *l, const struct frames *f)
{
	struct want *wants = malloc((l->spot_count > 0 ? l->spot_count : 1) * sizeof *wants);
	struct reader *r = malloc(sizeof *r);
	uint64_t until = gil_now_ns() + (uint64_t)LINES_READ_MS * 1000000u;
	size_t count = 0;

	if (wants == NULL || r == NULL)
		goto out;
	count = list_wants(l, f, wants);
	qsort(wants, count, sizeof *wants, compare_wants);
	find_twins(l, wants, count);
	for (size_t i = 0, n; i < count && gil_now_ns() < until; i += n) {
		for (n = 1; i + n < count && same_file(&wants[i], &wants[i + n]); n++)
			;
		read_file(l, r, &wants[i], n);
	}
out:
	free(r);
	free(wants);
}
