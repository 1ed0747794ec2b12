/*
 * complete_local.c: commands by name, files of this side, settings.
 */
#include "complete_local.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text.h"

#define LOCAL_MOST 1000 /* matches */

/* The client's and the server's. */
static const char *const commands[] = {"%atomic ", "%debug", "%down", "%edit ", "%frame ", "%greenlets", "%help", "%history ",
	"%jobs", "%locals ", "%locks", "%log ", "%main ", "%quit", "%reconnect", "%reset", "%run ", "%sample ", "%save ",
	"%set ", "%stacks", "%tasks", "%tee ", "%threads", "%time ", "%up", "%watch ", "%who", NULL};

/* What may stand behind a command, beside files. */
static const char *const log_words[] = {"off", NULL};
static const char *const settings[] = {"color ", "history ", "pager ", NULL};
static const char *const colors[] = {"auto", "always", "never", NULL};
static const char *const tee_words[] = {"off", "stderr ", "stdout ", NULL};
static const char *const job_words[] = {"stop ", NULL};

static void add_words(struct complete *c, const char *const *words, struct span typed)
{
	for (; *words != NULL; words++)
		if (strncmp(*words, (const char *)typed.data, typed.len) == 0)
			(void)complete_add(c, *words);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One entry of a directory, if it goes on with what was typed. What a terminal would not show as it is, is left out. */
static void add_file(struct complete *c, const char *dir, size_t dir_len, const char *name, struct span typed)
{
	char path[PATH_MAX + 2], safe[6 * PATH_MAX];
	struct stat st;
	int n = snprintf(path, sizeof path - 1, "%.*s%s", (int)dir_len, dir, name);

	if (n <= 0 || (size_t)n >= sizeof path - 1 || (size_t)n < typed.len || memcmp(path, typed.data, typed.len) != 0)
		return;
	/* Hidden ones only when their dot has been typed. */
	if (*name == '.' && (typed.len == dir_len || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		strcat(path, "/");
	text_copy(safe, sizeof safe, span_text(path), TEXT_LINE);
	if (strcmp(safe, path) == 0)
		(void)complete_add(c, path);
}

static void add_files(struct complete *c, struct span typed)
{
	char dir[PATH_MAX];
	size_t len = typed.len;
	struct dirent *entry;
	DIR *d;

	while (len > 0 && typed.data[len - 1] != '/')
		len--;
	if (len >= sizeof dir)
		return;
	memcpy(dir, typed.data, len);
	dir[len] = '\0';
	d = opendir(len > 0 ? dir : ".");
	while (d != NULL && c->count < LOCAL_MOST && (entry = readdir(d)) != NULL)
		add_file(c, dir, len, entry->d_name, typed);
	if (d != NULL)
		closedir(d);
}

static int is(struct span word, const char *name)
{
	return span_equals(word, name);
}

/* The argument of a command that is the client's. 0: it is not. */
static int add_arguments(struct complete *c, struct span command, struct span typed)
{
	if (is(command, "%jobs"))
		add_words(c, job_words, typed);
	else if (is(command, "%set") && typed.len >= 6 && memcmp(typed.data, "color ", 6) == 0) {
		c->from += 6;
		add_words(c, colors, (struct span){typed.data + 6, typed.len - 6});
	} else if (is(command, "%set"))
		add_words(c, settings, typed);
	else if (is(command, "%tee") && typed.len >= 7 && memcmp(typed.data, "std", 3) == 0) {
		c->from += 7;
		add_words(c, log_words, (struct span){typed.data + 7, typed.len - 7});
		add_files(c, (struct span){typed.data + 7, typed.len - 7});
	} else if (is(command, "%tee"))
		add_words(c, tee_words, typed);
	else if (is(command, "%log")) {
		add_words(c, log_words, typed);
		add_files(c, typed);
	} else if (is(command, "%run") || is(command, "%edit") || is(command, "%save"))
		add_files(c, typed);
	else
		return 0;
	return 1;
}

int complete_local(struct complete *c, struct span line)
{
	struct complete found = {.from = 0};
	size_t at = 0, end;
	int ours = 1;

	while (at < line.len && (line.data[at] == ' ' || line.data[at] == '\t'))
		at++;
	if (at == line.len || line.data[at] != '%')
		return 0;
	for (end = at; end < line.len && line.data[end] != ' '; end++)
		;
	struct span command = {line.data + at, end - at};
	found.from = at;
	if (end == line.len) {
		add_words(&found, commands, command);
	} else {
		while (end < line.len && line.data[end] == ' ')
			end++;
		found.from = end;
		ours = add_arguments(&found, command, (struct span){line.data + end, line.len - end});
	}
	if (!ours)
		return 0;
	if (found.count > 1)
		qsort(found.matches, found.count, sizeof *found.matches, by_text);
	found.total = found.count;
	*c = found;
	return 1;
}
