/*
 * looks.c: opens the files that are named, has them read, and says which of them are of no use.
 */
#include "looks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "merge.h"
#include "moved.h"
#include "print.h"
#include "redump.h"
#include "status.h"
#include "waits.h"

#define SUFFIX ".json"

/* "-" is standard input. -1 after it has been said why not. */
static int open_file(const char *name)
{
	int fd = strcmp(name, "-") == 0 ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		out_notice("%s: %s", name, strerror(errno));
	return fd;
}

static void close_file(int fd)
{
	if (fd != STDIN_FILENO)
		close(fd);
}

/* --- --diff --- */

static int read_one(struct redump *r, const char *name)
{
	struct diag d = {0};
	int fd = open_file(name), rc;

	dump_init(&r->dump);
	if (fd < 0)
		return -1;
	rc = redump_read(r, fd, &d);
	close_file(fd);
	if (rc != 0)
		out_notice("%s: %s", name, d.text);
	return rc != 0 ? -1 : 0;
}

static void print_ended(void *context, const struct dump_thread *t)
{
	struct out *o = context;

	out_text(o, "\n- ended  ");
	out_safe(o, waits_thread_name(t), TEXT_LINE);
	if (t->head.tid != 0) {
		out_text(o, "  tid ");
		out_number(o, t->head.tid);
	}
	out_text(o, "\n");
}

static void heading(const struct looks_options *l, const struct redump *a, const struct redump *b, const struct moved_list *moved)
{
	uint64_t then = a->head.time_ns, now = b->head.time_ns;

	out_text(l->out, "pid ");
	out_number(l->out, b->head.pid);
	if (a->head.pid != b->head.pid) {
		out_text(l->out, ", compared with pid ");
		out_number(l->out, a->head.pid);
		out_text(l->out, " by the names of threads");
	} else if (then != 0 && now >= then) {
		out_text(l->out, ", ");
		waits_duration(l->out, (now - then) / 1000);
		out_text(l->out, " later");
	}
	out_text(l->out, ": ");
	moved_summary(l->out, moved);
	out_text(l->out, "\n");
}

static int compare(const struct looks_options *l, const struct redump *a, const struct redump *b)
{
	const struct options *o = l->o;
	enum moved_by by = a->head.pid == b->head.pid ? MOVED_BY_NUMBER : MOVED_BY_NAME;
	uint64_t between_us = b->head.time_ns > a->head.time_ns ? (b->head.time_ns - a->head.time_ns) / 1000 : 0;
	struct moved_list moved;
	struct print_options po = {.color = l->color,
		.view = {.threads = o->threads, .thread_count = o->thread_count, .frames = o->frames, .no_group = o->no_group, .moved = &moved}};
	int rc = moved_compare(&moved, &a->dump, NULL, &b->dump, by == MOVED_BY_NUMBER ? between_us : 0, by);

	if (rc == 0) {
		heading(l, a, b, &moved);
		rc = print_dump(l->out, &b->dump, &po);
	}
	if (rc == 0)
		rc = moved_each_ended(&a->dump, &b->dump, by, print_ended, l->out);
	moved_free(&moved);
	return rc;
}

int looks_diff(const struct looks_options *l)
{
	struct redump a, b;
	int status = STATUS_USAGE;
	int rc = read_one(&a, l->o->files[0]);

	dump_init(&b.dump);
	if (rc == 0)
		rc = read_one(&b, l->o->files[1]);
	if (rc == 0) {
		rc = compare(l, &a, &b);
		status = STATUS_DONE;
		if (rc != 0 && rc != PYSTUCK_ECLOSED && rc != PYSTUCK_ESYS) {
			out_notice("they can't be compared: %s", error_text(rc));
			status = STATUS_PARTIAL;
		}
	}
	dump_free(&a.dump);
	dump_free(&b.dump);
	return status;
}

/* --- --merge --- */

struct merging {
	struct merge m;
	struct jsonread *json;
	size_t bad; /* files that are of no use, or not as a whole */
	int error;  /* no more can be read */
};

static void merge_fd(struct merging *g, int fd, const char *name)
{
	struct diag d = {0};
	size_t dumps = 0;

	jsonread_open(g->json, fd);
	int rc = merge_file(&g->m, g->json, name, &dumps, &d);
	if (rc == 0 && dumps == 0)
		rc = diag_set(&d, PYSTUCK_EFORMAT, 0, "there is no dump in it");
	if (rc == 0)
		return;
	g->bad++;
	out_notice("%s: %s", name, d.text);
	g->error = rc == PYSTUCK_EFORMAT ? g->error : rc;
}

static void merge_path(struct merging *g, const char *name)
{
	int fd = open_file(name);

	if (fd < 0) {
		g->bad++;
		return;
	}
	merge_fd(g, fd, name);
	close_file(fd);
}

static int is_json(const struct dirent *e)
{
	size_t len = strlen(e->d_name), suffix = sizeof SUFFIX - 1;

	return len > suffix && strcmp(e->d_name + len - suffix, SUFFIX) == 0;
}

/* All NAME/ *.json, in the order of their names. */
static void merge_directory(struct merging *g, const char *name)
{
	struct dirent **entries = NULL;
	int count = scandir(name, &entries, is_json, alphasort);
	char path[PATH_MAX];

	if (count <= 0) {
		out_notice("%s: %s", name, count < 0 ? strerror(errno) : "there is no *" SUFFIX " in it");
		g->bad++;
	}
	for (int i = 0; i < count; i++) {
		if (g->error == 0 && snprintf(path, sizeof path, "%s/%s", name, entries[i]->d_name) < (int)sizeof path)
			merge_path(g, path);
		free(entries[i]);
	}
	free(entries);
}

static int show(const struct looks_options *l, struct merging *g)
{
	int rc, status = g->bad > 0 || g->m.left_out > 0 ? STATUS_PARTIAL : STATUS_DONE;

	if (g->error != 0)
		return status;
	if (g->m.dumps == 0)
		return STATUS_USAGE;
	merge_sort(&g->m);
	rc = l->o->json ? merge_json(l->out, &g->m, l->pretty) : merge_print(l->out, &g->m, l->color);
	if (rc == 0 || rc == PYSTUCK_ECLOSED || rc == PYSTUCK_ESYS)
		return status;
	out_notice("the stacks can't be shown: %s", error_text(rc));
	return STATUS_PARTIAL;
}

int looks_merge(const struct looks_options *l)
{
	struct merging g = {.json = jsonread_new()};
	struct stat st;
	int rc = merge_open(&g.m), status = STATUS_LOST;

	if (rc != 0 || g.json == NULL) {
		out_notice("%s", error_text(PYSTUCK_ENOMEM));
		goto out;
	}
	for (int i = 0; g.error == 0 && i < l->o->file_count; i++) {
		const char *name = l->o->files[i];

		if (stat(name, &st) == 0 && S_ISDIR(st.st_mode))
			merge_directory(&g, name);
		else
			merge_path(&g, name);
	}
	status = show(l, &g);
out:
	merge_close(&g.m);
	jsonread_free(g.json);
	return status;
}
