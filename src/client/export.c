/*
 * export.c: which format, and how the file comes about. The formats are in speedscope.c, flame.c, page.c, but for the plainest, which is
 * here.
 */
#include "export.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flame.h"
#include "page.h"
#include "speedscope.h"
#include "stack_text.h"

static void write_collapsed(struct out *o, const struct sample *s, const struct export_page *page)
{
	(void)page;
	export_collapsed(o, s);
}

static void write_speedscope(struct out *o, const struct sample *s, const struct export_page *page)
{
	speedscope_write(o, s, page->peer);
}

static void write_flame(struct out *o, const struct sample *s, const struct export_page *page)
{
	(void)page;
	flame_write(o, s);
}

static void write_page(struct out *o, const struct sample *s, const struct export_page *page)
{
	page_write(o, s, page->peer, page->dump);
}

static const struct format {
	const char *ending;
	void (*write)(struct out *o, const struct sample *s, const struct export_page *page);
} formats[] = {
	{".svg", write_flame},
	{".json", write_speedscope},
	{".txt", write_collapsed},
	{".html", write_page},
};

static const struct format *format_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot != NULL && i < sizeof formats / sizeof *formats; i++)
		if (strcmp(dot, formats[i].ending) == 0)
			return &formats[i];
	return NULL;
}

int export_wants_page(const char *path)
{
	const struct format *f = format_of(path);

	return f != NULL && f->write == write_page;
}

/* --- the file --- */

/* The directory that the file is in, or is to be; "." where the path has none. */
static int directory_of(char out[static PATH_MAX], const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);

	if (len >= PATH_MAX)
		return -1;
	memcpy(out, slash == NULL ? "." : path, len);
	out[len] = '\0';
	return 0;
}

int export_check(const char *path, struct diag *d)
{
	char directory[PATH_MAX];
	struct stat st;

	if (format_of(path) == NULL)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--output %s: the ending says what is written: .svg, .json, .txt or .html", path);
	if (directory_of(directory, path) != 0)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--output: the path is too long");
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return diag_set(d, PYSTUCK_EINVAL, 0, "--output %s: there is something that is no file", path);
	if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) != 0)
		return diag_set(d, PYSTUCK_EINVAL, errno, "--output %s: nothing can be written in %s: %s", path, directory,
			strerror(errno));
	return 0;
}

/* Makes the file, under another name until it is whole. */
static int make(const char *temporary, const char *path, const struct sample *s, const struct export_page *page, struct diag *d)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600), rc, error = 0;
	struct out o;

	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "%s: %s", path, strerror(errno));
	out_init(&o, fd);
	format_of(path)->write(&o, s, page);
	rc = out_flush(&o);
	error = o.sys;
	out_free(&o);
	if (close(fd) != 0 && rc == 0) {
		rc = PYSTUCK_ESYS;
		error = errno;
	}
	if (rc == 0 && rename(temporary, path) != 0) {
		rc = PYSTUCK_ESYS;
		error = errno;
	}
	if (rc == 0)
		return 0;
	(void)unlink(temporary);
	return diag_set(d, rc, error, "%s: %s", path, error != 0 ? strerror(error) : error_text(rc));
}

int export_write(const char *path, const struct sample *s, const struct export_page *page, struct diag *d)
{
	char temporary[PATH_MAX];
	int n = snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof temporary)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--output: the path is too long");
	return make(temporary, path, s, page, d);
}

/* --- collapsed stacks --- */

/* A frame; the separators of the format are none in it. */
static void put_frame(struct stack_text *t, struct out *o, uint32_t node)
{
	struct span text = stack_text_node(t, node);

	for (size_t i = 0; i < text.len; i++)
		out_bytes(o, text.data[i] == ';' ? "," : (const char *)text.data + i, 1);
}

static void put_stack(struct stack_text *t, struct out *o, const uint32_t *path, uint32_t depth)
{
	for (uint32_t i = depth; i-- > 0;) {
		put_frame(t, o, path[i]);
		out_text(o, i > 0 ? ";" : "");
	}
}

void export_collapsed(struct out *o, const struct sample *s)
{
	struct stack_text t;
	uint32_t *path = malloc(((size_t)stack_text_deepest(&s->profile) + 1) * sizeof *path);

	stack_text_open(&t, &s->profile);
	for (uint32_t i = 0; path != NULL && i < s->profile.node_count; i++) {
		uint32_t depth = stack_text_path(&s->profile, i, path);
		struct stack_text_self self[STACK_TEXT_SELVES];
		size_t selves = stack_text_self(&s->profile, i, self);

		for (size_t k = 0; k < selves; k++) {
			put_stack(&t, o, path, depth);
			out_text(o, self[k].word != NULL ? ";" : "");
			out_text(o, self[k].word != NULL ? self[k].word : "");
			out_text(o, " ");
			out_number(o, self[k].count);
			out_text(o, "\n");
		}
	}
	if (path == NULL && o->error == 0)
		o->error = PYSTUCK_ENOMEM;
	stack_text_close(&t);
	free(path);
}
