/*
 * filelocks.c: reads /proc/locks, in which each lock has a number, and those that wait for it stand behind it with the same
 * number and an arrow.
 */
#include "filelocks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (1u << 20) /* bytes of /proc/locks that are looked at */

struct entry {
	unsigned long number;
	int waits;
	int flock;
	long pid;
	uint64_t inode;
};

/* "3: -> FLOCK  ADVISORY  WRITE 812 08:01:1234 0 EOF" */
static int parse_line(const char *line, struct entry *e)
{
	char kind[16], *at = NULL;
	const char *inode;
	int skip = 0;

	e->number = strtoul(line, &at, 10);
	if (at == line || *at != ':')
		return 0;
	at++;
	at += strspn(at, " ");
	e->waits = strncmp(at, "->", 2) == 0;
	if (e->waits)
		at += 2;
	if (sscanf(at, "%15s %*s %*s %ld %n", kind, &e->pid, &skip) != 2 || skip == 0)
		return 0;
	e->flock = strcmp(kind, "FLOCK") == 0;
	/* The device is not compared: some file systems give another one to stat(2). */
	inode = at + skip;
	for (int colons = 0; colons < 2; inode++) {
		if (*inode == '\0' || *inode == ' ' || *inode == '\n')
			return 0;
		colons += *inode == ':';
	}
	e->inode = strtoull(inode, NULL, 10);
	return 1;
}

uint32_t filelocks_parse(const char *text, pid_t waiter, uint64_t inode, int flock)
{
	struct entry lock = {0}, e = {0};
	int have_lock = 0;

	for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!parse_line(line, &e))
			continue;
		if (!e.waits) {
			lock = e;
			have_lock = 1;
		} else if (e.pid == (long)waiter && e.inode == inode && e.flock == flock && have_lock &&
			   lock.number == e.number && lock.inode == inode) {
			return lock.pid > 0 ? (uint32_t)lock.pid : 0;
		}
	}
	return 0;
}

uint32_t filelocks_holder(pid_t waiter, uint64_t inode, int flock)
{
	int fd = open("/proc/locks", O_RDONLY | O_CLOEXEC);
	char *text = fd >= 0 ? malloc(TEXT_MAX + 1) : NULL;
	uint32_t pid = 0;
	size_t have = 0;
	ssize_t n = 1;

	while (text != NULL && n > 0 && have < TEXT_MAX) {
		n = read(fd, text + have, TEXT_MAX - have);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			have += (size_t)n;
	}
	if (text != NULL) {
		text[have] = '\0';
		pid = filelocks_parse(text, waiter, inode, flock);
	}
	free(text);
	if (fd >= 0)
		close(fd);
	return pid;
}
