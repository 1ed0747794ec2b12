/*
 * places.c: finds the paths of sockets that may be servers, from the kernel's table and from the
 * places where servers listen by default. Which of them answer is find.c's business.
 */
#include "places.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACES_WORD "pystuck"
#define PLACES_SUFFIX ".sock"
#define PLACES_PAM "/pystuck-pam.sock" /* no server: whoever connects starts a check by PAM */
#define PLACES_LINK "socket:["
#define PLACES_LISTENING 0x10000u /* __SO_ACCEPTCON in the flags of /proc/net/unix */
#define PLACES_STREAM 1u
#define PLACES_PREFIX 64 /* bytes of "/proc/PID/root" */

/* A line of /proc/net/unix, as far as it matters here. */
struct row {
	unsigned long inode;
	const char *path; /* absolute */
};

void places_free(struct places *p)
{
	free(p->at);
	*p = (struct places){0};
}

static int is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/*
 * Adds a path once, when a socket is there that the caller may write. 0 also when it is not wanted.
 */
static int add(struct places *p, const char *path)
{
	size_t len = strlen(path), pam = sizeof PLACES_PAM - 1;

	if (len >= pam && strcmp(path + len - pam, PLACES_PAM) == 0)
		return 0;

	for (size_t i = 0; i < p->count; i++)
		if (strcmp(p->at[i].path, path) == 0)
			return 0;
	if (len > ADDR_PATH_MAX || p->count >= PLACES_MAX || access(path, W_OK) != 0 ||
		!is_socket(path))
		return 0;
	if (p->count == p->room) {
		size_t room = p->room > 0 ? p->room * 2 : 16;
		struct addr *at = realloc(p->at, room * sizeof *at);

		if (at == NULL)
			return PYSTUCK_ENOMEM;
		p->at = at;
		p->room = room;
	}
	p->at[p->count] = (struct addr){.kind = ADDR_UNIX};
	memcpy(p->at[p->count++].path, path, len + 1);
	return 0;
}

__attribute__((format(printf, 2, 3))) static int add_format(
	struct places *p, const char *format, ...)
{
	char path[ADDR_PATH_MAX + 2];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(path, sizeof path, format, args);
	va_end(args);
	return n > 0 && n <= ADDR_PATH_MAX ? add(p, path) : 0;
}

/* The n-th word of a line, counted from 0, or its end. */
static char *word(char *line, int n)
{
	line += strspn(line, " ");
	for (; n > 0; n--) {
		line += strcspn(line, " ");
		line += strspn(line, " ");
	}
	return line;
}

/* "Num: RefCount Protocol Flags Type St Inode Path". 1: a listening stream socket with a file. */
static int parse_row(char *line, struct row *row)
{
	char *flags = word(line, 3), *type = word(flags, 1), *inode = word(type, 2);

	line[strcspn(line, "\n")] = '\0';
	row->path = word(inode, 1);
	row->inode = strtoul(inode, NULL, 10);
	return (strtoul(flags, NULL, 16) & PLACES_LISTENING) != 0 &&
	       strtoul(type, NULL, 16) == PLACES_STREAM && *row->path == '/';
}

/* Calls each(context, row) for every listening socket until it returns not 0; gives that back. */
static int each_row(
	const char *table, int (*each)(void *context, const struct row *row), void *context)
{
	FILE *f = fopen(table, "re");
	char *line = NULL;
	size_t room = 0;
	struct row row;
	int rc = 0;

	while (f != NULL && rc == 0 && getline(&line, &room, f) > 0)
		if (parse_row(line, &row))
			rc = each(context, &row);
	free(line);
	if (f != NULL)
		fclose(f);
	return rc;
}

static int add_named(void *context, const struct row *row)
{
	return strstr(row->path, PLACES_WORD) != NULL ? add(context, row->path) : 0;
}

/* Every name in dir that ends in ".sock"; `tail` (may be "") is put behind any other name first. */
static int add_directory(struct places *p, const char *dir, const char *tail)
{
	DIR *entries = opendir(dir);
	struct dirent *e;
	int rc = 0;

	while (entries != NULL && rc == 0 && (e = readdir(entries)) != NULL) {
		size_t len = strlen(e->d_name), suffix = sizeof PLACES_SUFFIX - 1;

		if (e->d_name[0] == '.' || (*tail != '\0' && e->d_type == DT_REG))
			continue;
		if (*tail != '\0')
			rc = add_format(p, "%s/%s%s", dir, e->d_name, tail);
		else if (len > suffix && strcmp(e->d_name + len - suffix, PLACES_SUFFIX) == 0)
			rc = add_format(p, "%s/%s", dir, e->d_name);
	}
	if (entries != NULL)
		closedir(entries);
	return rc;
}

/*
 * $PYSTUCK_SOCKET as the server reads it: "{pid}" stands for any pid, so its directory is looked
 * through.
 */
static int add_environment(struct places *p)
{
	const char *path = getenv("PYSTUCK_SOCKET");
	char dir[ADDR_PATH_MAX + 1];
	struct addr a;

	if (path == NULL || *path == '\0')
		return 0;
	if (strstr(path, "{pid}") == NULL)
		return addr_unix(&a, path, NULL) == 0 ? add(p, a.path) : 0;
	const char *slash = strrchr(path, '/');
	if (slash == NULL || slash == path || (size_t)(slash - path) > ADDR_PATH_MAX ||
		strstr(slash, "{pid}") == NULL)
		return 0;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	return add_directory(p, dir, "");
}

/* A directory that servers make for their sockets: "pystuck", "pystuck-1000". */
static int is_usual_directory(const char *name, size_t len)
{
	size_t word = sizeof PLACES_WORD - 1;

	if (len < word || memcmp(name, PLACES_WORD, word) != 0)
		return 0;
	return len == word || (name[word] == '-' && len > word + 1 &&
				      strspn(name + word + 1, "0123456789") == len - word - 1);
}

int places_is_usual(const char *path)
{
	const char *slash = strrchr(path, '/'), *said = getenv("PYSTUCK_SOCKET");
	const char *directory = slash;
	size_t len, suffix = sizeof PLACES_SUFFIX - 1;

	if (said != NULL && strcmp(said, path) == 0)
		return 1;
	if (slash == NULL)
		return 0;
	if (strcmp(slash + 1, PLACES_WORD PLACES_SUFFIX) == 0)
		return 1;
	len = strlen(slash + 1);
	if (len <= suffix || strcmp(slash + 1 + len - suffix, PLACES_SUFFIX) != 0)
		return 0;
	while (directory > path && directory[-1] != '/')
		directory--;
	return is_usual_directory(directory, (size_t)(slash - directory));
}

int places_all(struct places *p)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char dir[ADDR_PATH_MAX + 1];
	int rc = add_environment(p);

	if (rc == 0)
		rc = each_row("/proc/net/unix", add_named, p);
	if (rc == 0 && runtime != NULL && *runtime == '/' &&
		snprintf(dir, sizeof dir, "%s/pystuck", runtime) < (int)sizeof dir)
		rc = add_directory(p, dir, "");
	snprintf(dir, sizeof dir, "/run/user/%u/pystuck", (unsigned)geteuid());
	if (rc == 0)
		rc = add_directory(p, dir, "");
	if (rc == 0)
		rc = add_directory(p, "/run/pystuck", "");
	if (rc == 0)
		rc = add_directory(p, "/run", "/pystuck.sock");
	snprintf(dir, sizeof dir, "/tmp/pystuck-%u", (unsigned)geteuid());
	if (rc == 0)
		rc = add_directory(p, dir, "");
	return rc;
}

struct search {
	struct places *places;
	char root[PLACES_PREFIX]; /* "" or "/proc/PID/root": where its paths begin */
	unsigned long *inodes;    /* of the sockets that the process has open */
	size_t count, room;
	int named; /* 1: only paths with the word in them */
};

/* Of files ("mnt") or network ("net"): does the process see the same as we do? */
static int same_namespace(pid_t pid, const char *what)
{
	char path[PLACES_PREFIX];
	struct stat ours, theirs;

	snprintf(path, sizeof path, "/proc/%ld/ns/%s", (long)pid, what);
	/* Unreadable: another user's process; then its paths are taken as they are. */
	if (stat(path, &theirs) != 0)
		return 1;
	snprintf(path, sizeof path, "/proc/self/ns/%s", what);
	if (stat(path, &ours) != 0)
		return 1;
	return ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static int add_inode(struct search *s, unsigned long inode)
{
	if (s->count == s->room) {
		size_t room = s->room > 0 ? s->room * 2 : 64;
		unsigned long *inodes = realloc(s->inodes, room * sizeof *inodes);

		if (inodes == NULL)
			return PYSTUCK_ENOMEM;
		s->inodes = inodes;
		s->room = room;
	}
	s->inodes[s->count++] = inode;
	return 0;
}

/* The sockets among the fds of a process: the links read "socket:[INODE]". */
static int read_inodes(struct search *s, pid_t pid)
{
	char dir[PLACES_PREFIX], link[64];
	DIR *entries;
	struct dirent *e;
	int rc = 0;

	snprintf(dir, sizeof dir, "/proc/%ld/fd", (long)pid);
	entries = opendir(dir);
	if (entries == NULL)
		return errno == EACCES || errno == EPERM ? PYSTUCK_EPERM : PYSTUCK_ENOENT;
	while (rc == 0 && (e = readdir(entries)) != NULL) {
		ssize_t n = readlinkat(dirfd(entries), e->d_name, link, sizeof link - 1);

		link[n > 0 ? n : 0] = '\0';
		if (strncmp(link, PLACES_LINK, sizeof PLACES_LINK - 1) == 0)
			rc = add_inode(s, strtoul(link + sizeof PLACES_LINK - 1, NULL, 10));
	}
	closedir(entries);
	return rc;
}

/*
 * Adds what a process calls `path`. Its own view of the files may be the same one here, as that of
 * a service that only has some directories of its own: then the plain path is for people.
 */
static int add_seen_from(struct places *p, const char *root, const char *path)
{
	char seen[ADDR_PATH_MAX + PLACES_PREFIX];
	struct stat here, there;

	snprintf(seen, sizeof seen, "%s%s", root, path);
	if (stat(path, &here) == 0 && stat(seen, &there) == 0 && here.st_ino == there.st_ino &&
		here.st_dev == there.st_dev)
		return add(p, path);
	return add(p, seen);
}

static int add_if_open(void *context, const struct row *row)
{
	struct search *s = context;

	if (s->named && strstr(row->path, PLACES_WORD) == NULL)
		return 0;
	for (size_t i = 0; i < s->count; i++)
		if (s->inodes[i] == row->inode)
			return add_seen_from(s->places, s->root, row->path);
	return 0;
}

int places_has_server(pid_t pid)
{
	char path[PLACES_PREFIX], name[32];
	struct dirent *e;
	int found = 0;

	snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
	DIR *tasks = opendir(path);
	while (tasks != NULL && !found && (e = readdir(tasks)) != NULL) {
		if (snprintf(path, sizeof path, "%.20s/comm", e->d_name) >= (int)sizeof path)
			continue;
		int fd = openat(dirfd(tasks), path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, name, sizeof name - 1) : 0;

		name[n > 0 ? n : 0] = '\0';
		found = strcmp(name, PLACES_WORD "\n") == 0;
		if (fd >= 0)
			close(fd);
	}
	if (tasks != NULL)
		closedir(tasks);
	return found;
}

/*
 * Looks through the process's own network; and through ours, where that is another one: a socket
 * that systemd made for a service without network is in there, and its path is one of ours.
 */
static int add_from_tables(struct search *s, pid_t pid)
{
	char table[PLACES_PREFIX];
	int rc;

	snprintf(table, sizeof table, "/proc/%ld/net/unix", (long)pid);
	rc = each_row(table, add_if_open, s);
	if (rc == 0 && !same_namespace(pid, "net")) {
		s->root[0] = '\0';
		rc = each_row("/proc/net/unix", add_if_open, s);
	}
	return rc;
}

int places_open(struct places *p, pid_t pid)
{
	struct search s = {.places = p, .named = 1};
	char root[PLACES_PREFIX] = "";
	size_t before = p->count;

	if (!same_namespace(pid, "mnt"))
		snprintf(root, sizeof root, "/proc/%ld/root", (long)pid);
	memcpy(s.root, root, sizeof root);
	int rc = read_inodes(&s, pid);
	if (rc == 0)
		rc = add_from_tables(&s, pid);
	/*
	 * A path that somebody chose need not have the word in it, but then the process must have
	 * our thread.
	 */
	if (rc == 0 && p->count == before && places_has_server(pid)) {
		s.named = 0;
		memcpy(s.root, root, sizeof root);
		rc = add_from_tables(&s, pid);
	}
	free(s.inodes);
	return rc;
}

int places_named(struct places *p, pid_t pid)
{
	char table[PLACES_PREFIX];

	snprintf(table, sizeof table, "/proc/%ld/net/unix", (long)pid);
	return each_row(table, add_named, p);
}
