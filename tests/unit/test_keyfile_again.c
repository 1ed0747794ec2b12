/*
 * test_keyfile_again.c: claims about key files that change: wire/keyfile_load.c reads them again,
 * and keyfile_make.c adds keys to them.
 *
 * LINK: -Wl,--wrap=clock_gettime,--wrap=open,--wrap=write
 */
#include "keyfile_fixture.h"

#include <time.h>

#define LINE_1_STACKS "pystuck-key-1 ops " KEY_1 " role=stacks\n"
#define LINE_1_RENAMED "pystuck-key-1 ops-old " KEY_1 "\n"

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __real_open(const char *file, int flags, ...);
int __wrap_open(const char *file, int flags, ...);
ssize_t __real_write(int fd, const void *bytes, size_t len);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);

static time_t later; /* seconds that the clock is ahead */
static int opens;
static size_t write_most; /* bytes that a write takes; 0: all */

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = __real_clock_gettime(clock, t);

	t->tv_sec += later;
	return rc;
}

int __wrap_open(const char *file, int flags, ...)
{
	opens++;
	return __real_open(file, flags, 0600);
}

ssize_t __wrap_write(int fd, const void *bytes, size_t len)
{
	return __real_write(fd, bytes, write_most && len > write_most ? write_most : len);
}

static int prepare(void **state)
{
	later = 0;
	write_most = 0;
	return set_up(state);
}

static struct keyring *load_text(const char *text)
{
	struct diag d = {.code = 0};
	struct keyring *ring;

	write_file(text, strlen(text), 0600);
	ring = keyfile_load(path, &d);
	if (!ring)
		fail_msg("%s", d.text);
	return ring;
}

/* The file has changed: *ring is what it says now. */
static void renew(struct keyring **ring)
{
	struct keyring *fresh = NULL;
	struct diag d = {.code = 0};
	int rc = keyfile_again(*ring, &fresh, &d);

	if (rc != 1)
		fail_msg("%d: %s", rc, d.text);
	assert_non_null(fresh);
	keyring_free(*ring);
	*ring = fresh;
}

static void stays(struct keyring *ring)
{
	struct keyring *fresh = NULL;
	struct diag d = {.code = 0};
	int rc = keyfile_again(ring, &fresh, &d);

	if (rc != 0)
		fail_msg("%d: %s", rc, d.text);
	assert_null(fresh);
}

static void complains_once(struct keyring *ring, int code, const char *words)
{
	struct keyring *fresh = NULL;
	struct diag d = {.code = 0};

	assert_int_equal(keyfile_again(ring, &fresh, &d), code);
	assert_null(fresh);
	if (!strstr(d.text, words))
		fail_msg("\"%s\" does not say \"%s\"", d.text, words);
	stays(ring);
	later += 10;
	stays(ring);
	stays(ring);
	assert_int_equal(keyring_count(ring), 1); /* the old keys stay */
}

static void test_keyfile_again_finds_added_and_removed_keys(void **state)
{
	struct keyring *ring = load_text(LINE_1);
	uint32_t first = keyring_id(ring, 0), second;

	(void)state;
	stays(ring);
	write_file(LINE_2 LINE_1, strlen(LINE_2 LINE_1), 0600);
	renew(&ring);
	assert_int_equal(keyring_count(ring), 2);
	assert_string_equal(keyring_name(ring, 0), "ci");
	assert_int_equal(keyring_id(ring, 1), first);
	second = keyring_id(ring, 0);
	assert_true(second != 0 && second != first);
	write_file(LINE_2, strlen(LINE_2), 0600);
	renew(&ring);
	assert_int_equal(keyring_count(ring), 1);
	assert_int_equal(keyring_id(ring, 0), second);
	/* A key that comes back is not the one that went. */
	write_file(LINE_1, strlen(LINE_1), 0600);
	renew(&ring);
	assert_true(keyring_id(ring, 0) != first && keyring_id(ring, 0) != second);
	assert_int_equal(keyring_id(ring, 1), 0);
	keyring_free(ring);
}

static void test_keyfile_again_finds_a_file_that_was_put_in_its_place(void **state)
{
	struct keyring *ring = load_text(LINE_1);
	char other[80];

	(void)state;
	later = 10;
	stays(ring);
	snprintf(other, sizeof other, "%s.new", path);
	assert_int_equal(rename(path, other), 0);
	complains_once(ring, PYSTUCK_ENOENT, "not there");
	write_file(LINE_2, strlen(LINE_2), 0600);
	renew(&ring);
	assert_string_equal(keyring_name(ring, 0), "ci");
	/* The other way round, over the one that is there. */
	assert_int_equal(rename(other, path), 0);
	renew(&ring);
	assert_string_equal(keyring_name(ring, 0), "ops");
	keyring_free(ring);
}

static void test_keyfile_again_finds_names_and_roles_that_changed(void **state)
{
	struct keyring *ring = load_text(LINE_1);
	uint32_t id = keyring_id(ring, 0);

	(void)state;
	assert_int_equal(keyring_role(ring, 0), ROLE_EVAL);
	write_file(LINE_1_STACKS, strlen(LINE_1_STACKS), 0600);
	renew(&ring);
	assert_int_equal(keyring_role(ring, 0), ROLE_STACKS);
	assert_int_equal(keyring_id(ring, 0), id);
	write_file(LINE_1_RENAMED, strlen(LINE_1_RENAMED), 0600);
	renew(&ring);
	assert_string_equal(keyring_name(ring, 0), "ops-old");
	assert_int_equal(keyring_id(ring, 0), id);
	keyring_free(ring);
}

static void test_keyfile_again_finds_a_change_that_the_clock_does_not_show(void **state)
{
	struct keyring *ring = load_text(LINE_1);
	struct stat before, after;
	struct timespec times[2];

	(void)state;
	/* As long, in the same file, with the same time of change: as far as that can be set. */
	assert_int_equal(stat(path, &before), 0);
	write_file("pystuck-key-1 ops " KEY_2 "\n", strlen(LINE_1), 0600);
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	renew(&ring);
	assert_int_equal(keyring_key(ring, 0)[0], 0x20);
	keyring_free(ring);
}

static void test_keyfile_again_opens_nothing_while_nothing_changes(void **state)
{
	struct keyring *ring = load_text(LINE_1);

	(void)state;
	later = 10;
	stays(ring); /* it was young when it was read: once more */
	opens = 0;
	for (int i = 0; i < 100; i++)
		stays(ring);
	assert_int_equal(opens, 0);
	assert_int_equal(chmod(path, 0400), 0); /* another time of change, the same keys */
	stays(ring);
	assert_int_equal(opens, 1);
	later = 20;
	stays(ring);
	opens = 0;
	stays(ring);
	assert_int_equal(opens, 0);
	keyring_free(ring);
}

/* Not in the same tick of the file system's clock, which may be 10 ms long, as the last change: for the file that has been later. */
static void change_mode_later(mode_t mode)
{
	struct stat before, after;

	assert_int_equal(stat(path, &before), 0);
	do {
		assert_int_equal(chmod(path, mode), 0);
		assert_int_equal(stat(path, &after), 0);
	} while (after.st_ctim.tv_sec == before.st_ctim.tv_sec && after.st_ctim.tv_nsec == before.st_ctim.tv_nsec);
}

static void test_keyfile_again_keeps_the_old_keys_when_the_file_is_bad(void **state)
{
	static const char cut[] = LINE_2 "pystuck-key-1 ops AAEC";
	struct keyring *ring = load_text(LINE_1);

	(void)state;
	write_file(cut, sizeof cut - 1, 0600);
	complains_once(ring, PYSTUCK_EFORMAT, "line 2: cut short");
	later = 0;
	write_file("", 0, 0600);
	complains_once(ring, PYSTUCK_EFORMAT, "no key in it");
	later = 0;
	write_file(LINE_2, strlen(LINE_2), 0640);
	complains_once(ring, PYSTUCK_EUNSAFE, "chmod 600");
	assert_string_equal(keyring_name(ring, 0), "ops");
	change_mode_later(0600);
	renew(&ring);
	assert_string_equal(keyring_name(ring, 0), "ci");
	keyring_free(ring);
}

static void test_keyfile_again_follows_no_link(void **state)
{
	struct keyring *ring = load_text(LINE_1);
	char other[80];

	(void)state;
	snprintf(other, sizeof other, "%s.new", path);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	complains_once(ring, PYSTUCK_EUNSAFE, "symbolic link");
	unlink(path);
	assert_int_equal(rename(other, path), 0);
	keyring_free(ring);
}

static void test_keyfile_again_finds_its_file_from_another_directory(void **state)
{
	struct keyring *ring;
	char here[4096];

	(void)state;
	write_file(LINE_1, strlen(LINE_1), 0600);
	assert_non_null(getcwd(here, sizeof here));
	assert_int_equal(chdir(directory), 0);
	ring = keyfile_load("key", NULL);
	assert_int_equal(chdir("/"), 0);
	assert_non_null(ring);
	stays(ring);
	write_file(LINE_2, strlen(LINE_2), 0600);
	renew(&ring);
	assert_string_equal(keyring_name(ring, 0), "ci");
	assert_int_equal(chdir(here), 0);
	keyring_free(ring);
}

static void test_keyfile_again_leaves_a_ring_without_a_file_alone(void **state)
{
	struct keyring *ring = parse(LINE_1, strlen(LINE_1), NULL);

	(void)state;
	assert_non_null(ring);
	opens = 0;
	stays(ring);
	assert_int_equal(opens, 0);
	keyring_free(ring);
}

/* ---- adding keys ----------------------------------------------------------------------------- */

static void test_keyfile_append_adds_a_key_that_is_found(void **state)
{
	struct keyring *ring = load_text("# ours\n" LINE_1);
	struct stat before, after;

	(void)state;
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(keyfile_append(path, "ci", "stacks", NULL), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_mode, before.st_mode);
	renew(&ring);
	assert_int_equal(keyring_count(ring), 2);
	assert_string_equal(keyring_name(ring, 0), "ops");
	assert_string_equal(keyring_name(ring, 1), "ci");
	assert_int_equal(keyring_role(ring, 0), ROLE_EVAL);
	assert_int_equal(keyring_role(ring, 1), ROLE_STACKS);
	keyring_free(ring);
}

static void append_fails(const char *name, const char *role, int code, const char *words)
{
	struct diag d = {.code = 0};
	struct stat before = {0}, after = {0};

	(void)stat(path, &before);
	assert_int_equal(keyfile_append(path, name, role, &d), code);
	if (!strstr(d.text, words))
		fail_msg("\"%s\" does not say \"%s\"", d.text, words);
	(void)stat(path, &after);
	assert_int_equal(after.st_size, before.st_size);
}

static void test_keyfile_append_refuses_what_would_spoil_the_file(void **state)
{
	char text[KEYFILE_MAX] = "";

	(void)state;
	append_fails("ci", NULL, PYSTUCK_ENOENT, "not there");
	write_file(LINE_1, strlen(LINE_1), 0600);
	append_fails("ops", NULL, PYSTUCK_EINVAL, "already");
	append_fails("o ps", NULL, PYSTUCK_EINVAL, "1 to 32");
	append_fails("ci", "root", PYSTUCK_EINVAL, "stacks, locals, eval");
	write_file(LINE_1, strlen(LINE_1), 0644);
	append_fails("ci", NULL, PYSTUCK_EUNSAFE, "chmod 600");
	write_file("x", 1, 0600);
	append_fails("ci", NULL, PYSTUCK_EFORMAT, "cut short");
	/* Full by its size. */
	memset(text, '#', sizeof text);
	memcpy(text + sizeof text - strlen(LINE_1) - 1, "\n" LINE_1, strlen(LINE_1) + 1);
	write_file(text, sizeof text, 0600);
	append_fails("ci", NULL, PYSTUCK_ETOOBIG, "no room");
}

static void test_keyfile_append_stops_at_the_number_of_keys(void **state)
{
	char name[16];

	(void)state;
	assert_int_equal(keyfile_create(path, "k0", "eval", NULL), 0);
	for (int i = 1; i < KEYRING_MAX; i++) {
		snprintf(name, sizeof name, "k%d", i);
		assert_int_equal(keyfile_append(path, name, NULL, NULL), 0);
	}
	append_fails("k16", NULL, PYSTUCK_ETOOBIG, "16 keys");
	assert_loads(path);
}

static void test_keyfile_append_takes_back_half_a_line(void **state)
{
	struct diag d = {.code = 0};

	(void)state;
	write_file(LINE_1, strlen(LINE_1), 0600);
	write_most = 20;
	assert_int_equal(keyfile_append(path, "ci", NULL, &d), PYSTUCK_ESYS);
	write_most = 0;
	assert_int_equal(d.sys, ENOSPC);
	assert_loads(path);
	assert_int_equal(keyfile_append(path, "ci", NULL, NULL), 0);
	assert_loads(path);
}

#define AGAIN(f) cmocka_unit_test_setup(f, prepare)

int main(void)
{
	const struct CMUnitTest tests[] = {
		AGAIN(test_keyfile_again_finds_added_and_removed_keys),
		AGAIN(test_keyfile_again_finds_a_file_that_was_put_in_its_place),
		AGAIN(test_keyfile_again_finds_names_and_roles_that_changed),
		AGAIN(test_keyfile_again_finds_a_change_that_the_clock_does_not_show),
		AGAIN(test_keyfile_again_opens_nothing_while_nothing_changes),
		AGAIN(test_keyfile_again_keeps_the_old_keys_when_the_file_is_bad),
		AGAIN(test_keyfile_again_follows_no_link),
		AGAIN(test_keyfile_again_finds_its_file_from_another_directory),
		AGAIN(test_keyfile_again_leaves_a_ring_without_a_file_alone),
		AGAIN(test_keyfile_append_adds_a_key_that_is_found),
		AGAIN(test_keyfile_append_refuses_what_would_spoil_the_file),
		AGAIN(test_keyfile_append_stops_at_the_number_of_keys),
		AGAIN(test_keyfile_append_takes_back_half_a_line),
	};

	return cmocka_run_group_tests_name("keyfile again", tests, set_up_all, tear_down_all);
}
