/*
 * keyfile_fixture.h: what the tests of keyfile.c share: keys that are plainly no real ones, a fresh
 * directory, and what it means to be taken or refused.
 */
#ifndef PYSTUCK_KEYFILE_FIXTURE_H
#define PYSTUCK_KEYFILE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "keyfile.h"

/* The bytes 00 to 1f and 20 to 3f: plainly no real keys. */
#define KEY_1 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_2 "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
#define ZERO_KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define LINE_1 "pystuck-key-1 ops " KEY_1 "\n"
#define LINE_2 "pystuck-key-1 ci " KEY_2 "\n"
#define NOBODY 65534
#define THIRD_PARTY 12345
#define CLAIM(f) cmocka_unit_test_setup(f, set_up)

static char directory[] = "/tmp/pystuck-test-XXXXXX";
static char path[64];

static inline void write_file(const void *text, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static inline void assert_load_fails(const char *file, int code)
{
	struct diag d = {.code = 0};

	assert_null(keyfile_load(file, &d));
	assert_int_equal(d.code, code);
	assert_true(d.text[0] != '\0');
}

static inline void assert_loads(const char *file)
{
	struct diag d = {.code = 0};
	struct keyring *ring = keyfile_load(file, &d);

	if (!ring)
		fail_msg("%s", d.text);
	keyring_free(ring);
}

static inline struct keyring *parse(const void *text, size_t len, struct diag *d)
{
	return keyfile_parse((struct span){text, len}, "k", d);
}

static inline void assert_parse_fails(const void *text, size_t len, int code)
{
	struct diag d = {.code = 0};

	assert_null(parse(text, len, &d));
	assert_int_equal(d.code, code);
	assert_true(d.text[0] != '\0');
	assert_null(parse(text, len, NULL));
}

/* Runs f in a child and gives its exit status, 128 + n when it was killed by signal n. */
static inline int in_child(int (*f)(void *), void *arg)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		alarm(20);
		_exit(f(arg));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline int set_up(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static inline int set_up_all(void **state)
{
	(void)state;
	alarm(100);
	if (!mkdtemp(directory) || chmod(directory, 0755))
		return -1;
	snprintf(path, sizeof path, "%s/key", directory);
	return noise_init();
}

static inline int tear_down_all(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

#endif
