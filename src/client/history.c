/*
 * history.c: keeps the history file. It holds what somebody typed into a production process, so
 * nobody else may read it, and nothing may lead the client to write somewhere else.
 */
#include "history.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a file that is read; above it the file is started anew. */
#define HISTORY_BYTES_MAX (16u << 20)
/* Entries over HISTORY_MAX before the file is shortened. */
#define HISTORY_SLACK 1000

static int history_fd = -1;
static int keeping = 1;

static int make_directories(const char *path)
{
	char dir[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof dir)
		return -1;
	memcpy(dir, path, len + 1);
	for (char *p = strchr(dir + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(dir, 0700) != 0 && errno != EEXIST)
			return -1;
		*p = '/';
	}
	return 0;
}

static int file_name(char path[static PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n = -1;

	/*
	 * A relative path in the variable is to be ignored, says the base directory specification.
	 */
	if (state != NULL && *state == '/')
		n = snprintf(path, PATH_MAX, "%s/pystuck/history", state);
	else if (home != NULL && *home == '/' && access(home, F_OK) == 0) /* who has none gets none */
		n = snprintf(path, PATH_MAX, "%s/.local/state/pystuck/history", home);
	return n > 0 && n < PATH_MAX ? 0 : -1;
}

static int open_private(const char *path)
{
	struct stat st;
	int fd =
		open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
		st.st_nlink != 1 || ((st.st_mode & 077) != 0 && fchmod(fd, 0600) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The whole file as a string, or NULL. */
static char *read_all(int fd, size_t *len)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || (uint64_t)st.st_size > HISTORY_BYTES_MAX)
		return NULL;
	char *text = malloc((size_t)st.st_size + 1);
	*len = 0;
	while (text != NULL && *len < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + *len, (size_t)st.st_size - *len, (off_t)*len);

		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	if (text != NULL)
		text[*len] = '\0';
	return text;
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '\n')) != NULL; text++)
		n++;
	return n;
}

/* Past the first `drop` lines. */
static char *skip_lines(char *text, size_t drop)
{
	for (; drop > 0; drop--)
		text = strchr(text, '\n') + 1;
	return text;
}

void history_open(void (*each)(const char *entry))
{
	char path[PATH_MAX], *text = NULL;
	size_t len = 0;

	if (history_fd >= 0 || file_name(path) != 0 || make_directories(path) != 0)
		return;
	history_fd = open_private(path);
	if (history_fd < 0)
		return;
	/* Two clients may shorten or append at the same time. */
	flock(history_fd, LOCK_EX);
	text = read_all(history_fd, &len);
	size_t lines = text != NULL ? count_lines(text) : 0;
	char *from = text != NULL ? skip_lines(text, lines > HISTORY_MAX ? lines - HISTORY_MAX : 0)
				  : NULL;
	if (text == NULL || lines > HISTORY_MAX + HISTORY_SLACK) {
		if (ftruncate(history_fd, 0) == 0 && text != NULL)
			write_all(history_fd, from, len - (size_t)(from - text));
	}
	flock(history_fd, LOCK_UN);
	for (char *end; from != NULL && (end = strchr(from, '\n')) != NULL; from = end + 1) {
		*end = '\0';
		history_unescape(from);
		each(from);
	}
	free(text);
}

char *history_escape(const char *entry)
{
	char *line = malloc(2 * strlen(entry) + 2), *p = line;

	for (; line != NULL && *entry != '\0'; entry++) {
		if (*entry == '\n' || *entry == '\\')
			*p++ = '\\';
		*p++ = *entry == '\n' ? 'n' : *entry;
	}
	if (line != NULL)
		*p = '\0';
	return line;
}

void history_unescape(char *line)
{
	char *to = line;

	for (; *line != '\0'; line++) {
		if (*line == '\\' && line[1] != '\0') {
			line++;
			*to++ = *line == 'n' ? '\n' : *line;
		} else {
			*to++ = *line;
		}
	}
	*to = '\0';
}

void history_add(const char *entry)
{
	if (history_fd < 0 || !keeping || *entry == '\0' || *entry == ' ')
		return;
	char *line = history_escape(entry);
	if (line == NULL)
		return;
	size_t len = strlen(line);
	line[len] = '\n';
	flock(history_fd, LOCK_EX);
	write_all(history_fd, line, len + 1);
	flock(history_fd, LOCK_UN);
	free(line);
}

void history_keep(size_t entries)
{
	char *text;
	size_t len = 0, lines;

	keeping = entries > 0;
	if (history_fd < 0)
		return;
	flock(history_fd, LOCK_EX);
	text = read_all(history_fd, &len);
	lines = text != NULL ? count_lines(text) : 0;
	if (lines > entries && ftruncate(history_fd, 0) == 0) {
		char *from = skip_lines(text, lines - entries);

		write_all(history_fd, from, len - (size_t)(from - text));
	}
	flock(history_fd, LOCK_UN);
	free(text);
}

void history_close(void)
{
	keeping = 1;
	if (history_fd >= 0)
		close(history_fd);
	history_fd = -1;
}
