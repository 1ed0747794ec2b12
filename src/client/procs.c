/*
 * procs.c: reads /proc/PID/cgroup for the units of systemd and the line NSpid of /proc/PID/status
 * for the numbers that a process has in containers, /proc/PID/stat for who descends from whom. No question goes to systemd itself: its files
 * tell every user, and need no bus.
 */
#include "procs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROCS_PATH 64
#define PROCS_STAT 512 /* bytes: far behind the name, which is short */
#define PROCS_DEPTH 32 /* pid namespaces below each other: the kernel's own limit */
#define PROCS_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\@"

void procs_free(struct procs *p)
{
	free(p->at);
	*p = (struct procs){0};
}

int procs_has(const struct procs *p, pid_t pid)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->at[i] == pid)
			return 1;
	return 0;
}

int procs_add(struct procs *p, pid_t pid)
{
	if (p->count == p->room) {
		size_t room = p->room > 0 ? p->room * 2 : 16;
		pid_t *at = realloc(p->at, room * sizeof *at);

		if (at == NULL)
			return PYSTUCK_ENOMEM;
		p->at = at;
		p->room = room;
	}
	p->at[p->count++] = pid;
	return 0;
}

/* --- names of units --- */

static int ends_with(const char *text, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && memcmp(text + len - n, end, n) == 0;
}

static int has_processes(const char *text, size_t len)
{
	return ends_with(text, len, ".service") || ends_with(text, len, ".scope");
}

int procs_unit_name(char name[static PROCS_UNIT], const char *word, struct diag *d)
{
	static const char *const others[] = {".socket", ".slice", ".target", ".timer", ".path",
		".mount", ".automount", ".swap", ".device"};
	size_t len = strlen(word);

	if (len == 0 || word[0] == '.' || word[strspn(word, PROCS_LETTERS)] != '\0')
		return diag_set(d, PYSTUCK_EINVAL, 0, "--unit %s: not the name of a unit", word);
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (ends_with(word, len, others[i]))
			return diag_set(d, PYSTUCK_EINVAL, 0,
				"--unit %s: a unit of this kind has no processes; name the service",
				word);
	if (snprintf(name, PROCS_UNIT, "%s%s", word, has_processes(word, len) ? "" : ".service") >=
		PROCS_UNIT)
		return diag_set(d, PYSTUCK_EINVAL, 0, "--unit: the name is too long");
	return 0;
}

int procs_unit_is(const char *unit, const char *name)
{
	const char *at = strchr(name, '@');

	if (at == NULL || at[1] != '.')
		return strcmp(unit, name) == 0;
	size_t head = (size_t)(at - name) + 1;
	return strncmp(unit, name, head) == 0 && unit[head] != '.' &&
	       ends_with(unit + head, strlen(unit + head), at + 1);
}

/* --- the unit of a process --- */

/*
 * The next part of a path that is not a slice, which only groups units. Its length, 0 at the end.
 * systemd puts "_" before a name that the kernel could take for a file of its own.
 */
static size_t next_part(const char **path)
{
	const char *p = *path;

	for (;;) {
		p += strspn(p, "/");
		size_t len = strcspn(p, "/");
		if (!ends_with(p, len, ".slice") && !(len == 2 && memcmp(p, "..", 2) == 0)) {
			*path = p + (*p == '_');
			return len - (*p == '_');
		}
		p += len;
	}
}

static void copy_unit(char unit[static PROCS_UNIT], const char *part, size_t len)
{
	unit[0] = '\0';
	if (len >= PROCS_UNIT || !has_processes(part, len))
		return;
	memcpy(unit, part, len);
	unit[len] = '\0';
}

void procs_path_units(
	char system[static PROCS_UNIT], char own[static PROCS_UNIT], const char *path, uid_t uid)
{
	char manager[PROCS_PATH];
	size_t len = next_part(&path);

	copy_unit(system, path, len);
	own[0] = '\0';
	snprintf(manager, sizeof manager, "user@%lu.service", (unsigned long)uid);
	if (strcmp(system, manager) != 0)
		return;
	path += len;
	len = next_part(&path);
	copy_unit(own, path, len);
}

/* Calls each(context, path) for the groups of a process that systemd has made; 1 when it ended
 * that. */
static int each_path(pid_t pid, int (*each)(void *context, const char *path), void *context)
{
	char file[PROCS_PATH], *line = NULL;
	size_t room = 0;
	int done = 0;

	snprintf(file, sizeof file, "/proc/%ld/cgroup", (long)pid);
	FILE *f = fopen(file, "re");
	while (f != NULL && !done && getline(&line, &room, f) > 0) {
		/* "0::/path" (version 2) or "1:name=systemd:/path" (version 1). */
		char *list = strchr(line, ':');
		char *path = list != NULL ? strchr(list + 1, ':') : NULL;

		if (path == NULL)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		if (strcmp(list + 1, "") == 0 || strcmp(list + 1, "name=systemd") == 0)
			done = each(context, path);
	}
	free(line);
	if (f != NULL)
		fclose(f);
	return done;
}

static int is_in_unit(void *context, const char *path)
{
	char system[PROCS_UNIT], own[PROCS_UNIT];

	procs_path_units(system, own, path, geteuid());
	return procs_unit_is(system, context) || procs_unit_is(own, context);
}

/* A login is no service, nor is the manager itself. */
static int is_for_table(const char *unit)
{
	return unit[0] != '\0' && strncmp(unit, "session-", 8) != 0 &&
	       strcmp(unit, "init.scope") != 0;
}

static int take_unit(void *context, const char *path)
{
	char system[PROCS_UNIT], own[PROCS_UNIT], *unit = context;

	procs_path_units(system, own, path, geteuid());
	const char *best = is_for_table(own) ? own : system;
	if (!is_for_table(best))
		return 0;
	snprintf(unit, PROCS_UNIT, "%s", best);
	return 1;
}

void procs_unit_of(char unit[static PROCS_UNIT], pid_t pid)
{
	unit[0] = '\0';
	if (pid > 0)
		each_path(pid, take_unit, unit);
}

/* Calls each(context, pid) for every process until it returns not 0; gives that back. */
static int each_process(int (*each)(void *context, pid_t pid), void *context)
{
	DIR *entries = opendir("/proc");
	struct dirent *e;
	int rc = 0;

	while (entries != NULL && rc == 0 && (e = readdir(entries)) != NULL) {
		char *end = NULL;
		long pid = strtol(e->d_name, &end, 10);

		if (pid > 0 && *end == '\0')
			rc = each(context, (pid_t)pid);
	}
	if (entries != NULL)
		closedir(entries);
	return rc;
}

struct unit_search {
	struct procs *found;
	char name[PROCS_UNIT];
};

static int add_if_in_unit(void *context, pid_t pid)
{
	struct unit_search *s = context;

	return each_path(pid, is_in_unit, s->name) ? procs_add(s->found, pid) : 0;
}

int procs_of_unit(struct procs *p, const char *name)
{
	struct unit_search s = {.found = p};

	snprintf(s.name, sizeof s.name, "%s", name);
	return each_process(add_if_in_unit, &s);
}

/* --- who descends from whom --- */

/* "PID (NAME) STATE PPID ...", where the name may be anything. */
pid_t procs_parent(pid_t pid)
{
	char file[PROCS_PATH], line[PROCS_STAT];
	long parent = 0;

	snprintf(file, sizeof file, "/proc/%ld/stat", (long)pid);
	FILE *f = fopen(file, "re");
	if (f == NULL)
		return 0;
	size_t len = fread(line, 1, sizeof line - 1, f);
	fclose(f);
	line[len] = '\0';
	const char *end = strrchr(line, ')');
	if (end == NULL || strlen(end) < sizeof ") S " - 1)
		return 0;
	parent = strtol(end + sizeof ") S " - 1, NULL, 10);
	return parent > 0 ? (pid_t)parent : 0;
}

struct kinship {
	struct procs children, parents; /* side by side */
};

static int add_kin(void *context, pid_t pid)
{
	struct kinship *k = context;
	int rc = procs_add(&k->children, pid);

	return rc != 0 ? rc : procs_add(&k->parents, procs_parent(pid));
}

int procs_family(struct procs *p, pid_t root)
{
	struct kinship k = {.children = {.at = NULL}};
	int rc = procs_add(p, root);

	if (rc == 0)
		rc = each_process(add_kin, &k);
	for (size_t next = p->count - 1; rc == 0 && next < p->count; next++)
		for (size_t i = 0; rc == 0 && i < k.children.count; i++)
			if (k.parents.at[i] == p->at[next] && !procs_has(p, k.children.at[i]))
				rc = procs_add(p, k.children.at[i]);
	procs_free(&k.children);
	procs_free(&k.parents);
	return rc;
}

/* --- numbers in containers --- */

/* The numbers of a process, from our namespace down to its own. How many; 0 when it can't be told.
 */
static size_t read_numbers(pid_t pid, pid_t numbers[static PROCS_DEPTH])
{
	char file[PROCS_PATH], *line = NULL;
	size_t room = 0, count = 0;

	snprintf(file, sizeof file, "/proc/%ld/status", (long)pid);
	FILE *f = fopen(file, "re");
	while (f != NULL && getline(&line, &room, f) > 0) {
		if (strncmp(line, "NSpid:", 6) != 0)
			continue;
		char *at = line + 6, *end = at;
		for (; count < PROCS_DEPTH; at = end) {
			long number = strtol(at, &end, 10);
			if (end == at)
				break;
			numbers[count++] = (pid_t)number;
		}
		break;
	}
	free(line);
	if (f != NULL)
		fclose(f);
	return count;
}

static int same_pid_namespace(pid_t a, pid_t b)
{
	char path[PROCS_PATH];
	struct stat one, other;

	snprintf(path, sizeof path, "/proc/%ld/ns/pid", (long)a);
	if (stat(path, &one) != 0)
		return 0;
	snprintf(path, sizeof path, "/proc/%ld/ns/pid", (long)b);
	return stat(path, &other) == 0 && one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

struct here {
	pid_t listener, told;
	size_t depth;
};

static int is_told(void *context, pid_t pid)
{
	const struct here *h = context;
	pid_t numbers[PROCS_DEPTH];
	size_t depth = read_numbers(pid, numbers);

	return depth == h->depth && numbers[depth - 1] == h->told &&
			       same_pid_namespace(pid, h->listener)
		       ? pid
		       : 0;
}

pid_t procs_here(pid_t listener, pid_t told)
{
	pid_t numbers[PROCS_DEPTH];
	struct here h = {.listener = listener, .told = told};

	if (listener <= 0)
		return 0;
	h.depth = read_numbers(listener, numbers);
	if (h.depth <= 1) /* as here; or it is gone, and one that it forked goes on */
		return told;
	return numbers[h.depth - 1] == told ? listener : each_process(is_told, &h);
}
