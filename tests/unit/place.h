/*
 * place.h: a fresh private directory for one test, and what tests of listen have in common.
 */
#ifndef TEST_PLACE_H
#define TEST_PLACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "error.h"

#define PLACE_PATH 512
#define PLACE_STRANGER 1001

#ifndef MAYBE_UNUSED
#define MAYBE_UNUSED __attribute__((unused))
#endif

static char place[64]; /* 0700, ours, below the sticky /tmp */

MAYBE_UNUSED static int place_make(void **state)
{
	(void)state;
	(void)snprintf(place, sizeof(place), "/tmp/pystuck-test-XXXXXX");
	return mkdtemp(place) == NULL ? -1 : 0;
}

static int place_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

MAYBE_UNUSED static int place_remove(void **state)
{
	(void)state;
	return nftw(place, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* PLACE/name; lives until the fourth call after this one. */
MAYBE_UNUSED static const char *in_place(const char *name)
{
	static char paths[4][PLACE_PATH];
	static unsigned at;
	char *path = paths[at++ % 4];

	(void)snprintf(path, PLACE_PATH, "%s/%s", place, name);
	return path;
}

MAYBE_UNUSED static void make_dir(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(in_place(name), 0700), 0);
	assert_int_equal(chmod(in_place(name), mode), 0);
}

MAYBE_UNUSED static void make_file(const char *name)
{
	FILE *f = fopen(in_place(name), "wxe");

	assert_non_null(f);
	assert_true(fputs("precious", f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* A socket file made by hand; its fd. */
MAYBE_UNUSED static int bind_at(const char *path, int type)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

MAYBE_UNUSED static void make_dead_socket(const char *path)
{
	close(bind_at(path, SOCK_STREAM));
}

/* 0 or the errno of connect. */
MAYBE_UNUSED static int try_connect(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int sys = 0;

	memcpy(at.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		sys = errno;
	close(fd);
	return sys;
}

MAYBE_UNUSED static ino_t inode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_ino : 0;
}

MAYBE_UNUSED static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

MAYBE_UNUSED static void assert_says(const struct diag *d, int code, const char *words)
{
	if (d->code != code || strstr(d->text, words) == NULL)
		fail_msg(
			"code %d, \"%s\": expected code %d, \"%s\"", d->code, d->text, code, words);
}

#endif
