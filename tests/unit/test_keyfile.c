/*
 * test_keyfile.c: claims about the files that wire/keyfile.c takes and makes. What is in them is in
 * test_keyfile_text.c, where the keys are kept in test_keyring.c.
 * LINK: -Wl,--wrap=fsync
 */
#include "keyfile_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int fsync_fails; /* 1: the next one, 2: the one after it */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	if (fsync_fails > 0 && --fsync_fails == 0) {
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

static size_t count_names(const char *where)
{
	DIR *dir = opendir(where);
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void test_keyfile_loads_names_and_keys_in_order(void **state)
{
	static const char text[] = "# operators\n\n" LINE_1 "#" KEY_1 "\n" LINE_2 "\n";
	struct diag d;
	struct keyring *ring;
	size_t i;

	(void)state;
	write_file(text, sizeof text - 1, 0600);
	ring = keyfile_load(path, &d);
	assert_non_null(ring);
	assert_int_equal(keyring_count(ring), 2);
	assert_string_equal(keyring_name(ring, 0), "ops");
	assert_string_equal(keyring_name(ring, 1), "ci");
	assert_null(keyring_name(ring, 2));
	assert_null(keyring_key(ring, 2));
	for (i = 0; i < NOISE_KEY; i++) {
		assert_int_equal(keyring_key(ring, 0)[i], i);
		assert_int_equal(keyring_key(ring, 1)[i], 0x20 + i);
	}
	keyring_free(ring);
	keyring_free(NULL);
}

static void test_keyfile_refuses_every_mode_with_rights_for_others(void **state)
{
	mode_t mode;

	(void)state;
	for (mode = 0; mode <= 0777; mode++) {
		if (geteuid() != 0 && !(mode & 0400))
			continue;
		write_file(LINE_1, strlen(LINE_1), mode);
		if (mode & 077)
			assert_load_fails(path, PYSTUCK_EUNSAFE);
		else
			assert_loads(path);
		unlink(path);
	}
}

static void test_keyfile_says_which_mode_and_what_to_do(void **state)
{
	struct diag d;
	char expected[256];

	(void)state;
	write_file(LINE_1, strlen(LINE_1), 0644);
	assert_null(keyfile_load(path, &d));
	snprintf(expected, sizeof expected,
		"key file %s: mode 0644 lets others read it; chmod 600 it", path);
	assert_string_equal(d.text, expected);
	assert_int_equal(chmod(path, 0620), 0);
	assert_null(keyfile_load(path, &d));
	snprintf(expected, sizeof expected,
		"key file %s: mode 0620 lets others change it; chmod 600 it", path);
	assert_string_equal(d.text, expected);
}

static void test_keyfile_refuses_a_third_partys_file(void **state)
{
	static const mode_t modes[] = {0600, 0400, 0644, 0666};
	size_t i;

	(void)state;
	if (geteuid() != 0)
		skip();
	for (i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		write_file(LINE_1, strlen(LINE_1), modes[i]);
		assert_int_equal(chown(path, NOBODY, NOBODY), 0);
		assert_load_fails(path, PYSTUCK_EUNSAFE);
		unlink(path);
	}
}

static int load_as_nobody(void *unused)
{
	struct diag d = {.code = 0};
	struct keyring *ring;

	(void)unused;
	if (setgid(NOBODY) || setuid(NOBODY))
		return 100;
	ring = keyfile_load(path, &d);
	keyring_free(ring);
	return ring ? 0 : -d.code;
}

static void test_keyfile_takes_an_ordinary_users_own_file(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	write_file(LINE_1, strlen(LINE_1), 0600);
	assert_int_equal(chown(path, NOBODY, NOBODY), 0);
	assert_int_equal(in_child(load_as_nobody, NULL), 0);
	assert_int_equal(chown(path, THIRD_PARTY, NOBODY), 0);
	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(in_child(load_as_nobody, NULL), -PYSTUCK_EUNSAFE);
	assert_int_equal(chown(path, THIRD_PARTY, THIRD_PARTY), 0);
	assert_int_equal(chmod(path, 0604), 0);
	assert_int_equal(in_child(load_as_nobody, NULL), -PYSTUCK_EUNSAFE);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(in_child(load_as_nobody, NULL), -PYSTUCK_ESYS); /* cannot even open it */
}

/* Gives path, which is root's, an access control list with these rights. */
static int set_acl(uint32_t user, uint8_t user_rights, uint8_t group_rights)
{
	uint8_t acl[4 + 5 * 8] = {2};
	const uint8_t entries[5][2] = {
		{0x01, 6}, {0x02, user_rights}, {0x04, group_rights}, {0x10, 7}, {0x20, 0}};
	size_t i;

	for (i = 0; i < 5; i++) {
		uint8_t *e = acl + 4 + 8 * i;

		memset(e, 0xff, 8);
		e[0] = entries[i][0];
		e[2] = entries[i][1];
		e[1] = e[3] = 0;
	}
	for (i = 0; i < 4; i++)
		acl[4 + 8 + 4 + i] = (uint8_t)(user >> 8 * i);
	return setxattr(path, "system.posix_acl_access", acl, sizeof acl, 0);
}

static void test_keyfile_takes_roots_file_that_an_acl_gives_to_us_alone(void **state)
{
	struct stat st;

	(void)state;
	if (geteuid() != 0)
		skip();
	write_file(LINE_1, strlen(LINE_1), 0600);
	if (set_acl(NOBODY, 4, 0)) {
		assert_int_equal(errno, EOPNOTSUPP);
		skip();
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 070); /* the mask stands where the group's rights were */
	assert_int_equal(in_child(load_as_nobody, NULL), 0);
	assert_load_fails(path, PYSTUCK_EUNSAFE); /* root: somebody else may read it */
	assert_int_equal(set_acl(NOBODY, 4, 4), 0);
	assert_int_equal(in_child(load_as_nobody, NULL), -PYSTUCK_EUNSAFE);
	assert_int_equal(set_acl(THIRD_PARTY, 4, 0), 0);
	assert_load_fails(path, PYSTUCK_EUNSAFE);
}

static void test_keyfile_refuses_a_symlink(void **state)
{
	char real[160];

	(void)state;
	snprintf(real, sizeof real, "%s.real", path);
	write_file(LINE_1, strlen(LINE_1), 0600);
	assert_int_equal(rename(path, real), 0);
	assert_int_equal(symlink(real, path), 0);
	assert_load_fails(path, PYSTUCK_EUNSAFE);
	assert_loads(real);
	unlink(real);
	assert_load_fails(path, PYSTUCK_EUNSAFE); /* dangling */
}

static void test_keyfile_refuses_a_fifo_and_does_not_hang(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_load_fails(path, PYSTUCK_EUNSAFE);
}

static void test_keyfile_refuses_directories_devices_and_sockets(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;

	(void)state;
	assert_int_equal(mkdir(path, 0700), 0);
	assert_load_fails(path, PYSTUCK_EUNSAFE);
	assert_int_equal(rmdir(path), 0);
	assert_load_fails("/dev/zero", PYSTUCK_EUNSAFE);
	assert_load_fails("/dev/null", PYSTUCK_EUNSAFE);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
	assert_load_fails(path, PYSTUCK_EUNSAFE);
	close(fd);
}

static void test_keyfile_reports_a_missing_file(void **state)
{
	(void)state;
	assert_load_fails(path, PYSTUCK_ENOENT);
	assert_load_fails("", PYSTUCK_ENOENT);
	assert_load_fails("/dev/null/key", PYSTUCK_ESYS);
}

static void test_keyfile_refuses_a_file_cut_at_any_byte(void **state)
{
	size_t n;

	(void)state;
	for (n = 0; n < strlen(LINE_1); n++) {
		write_file(LINE_1, n, 0600);
		assert_load_fails(path, PYSTUCK_EFORMAT);
	}
	write_file(LINE_1, n, 0600);
	assert_loads(path);
	for (n = strlen(LINE_1) + 1; n < strlen(LINE_1 LINE_2); n++)
		assert_parse_fails(LINE_1 LINE_2, n, PYSTUCK_EFORMAT);
}

static void test_keyfile_stops_at_the_size_limit(void **state)
{
	char text[KEYFILE_MAX + 1];
	size_t n = strlen(LINE_1);

	(void)state;
	memset(text, '#', sizeof text);
	memcpy(text, LINE_1, n);
	text[KEYFILE_MAX - 1] = '\n';
	write_file(text, KEYFILE_MAX, 0600);
	assert_loads(path);
	text[KEYFILE_MAX - 1] = '#';
	text[KEYFILE_MAX] = '\n';
	write_file(text, KEYFILE_MAX + 1, 0600);
	assert_load_fails(path, PYSTUCK_ETOOBIG);
	assert_parse_fails(text, KEYFILE_MAX + 1, PYSTUCK_ETOOBIG);
	assert_int_equal(truncate(path, (off_t)1 << 40), 0);
	assert_load_fails(path, PYSTUCK_ETOOBIG);
}

static void test_keyfile_create_makes_a_file_that_loads(void **state)
{
	struct keyring *ring, *other;
	char second[160];
	struct stat st;

	(void)state;
	snprintf(second, sizeof second, "%s.2", path);
	assert_int_equal(keyfile_create(path, "ops-1", NULL, NULL), 0);
	assert_int_equal(keyfile_create(second, "ops-1", "locals", NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	ring = keyfile_load(path, NULL);
	other = keyfile_load(second, NULL);
	assert_non_null(ring);
	assert_non_null(other);
	assert_int_equal(keyring_count(ring), 1);
	assert_string_equal(keyring_name(ring, 0), "ops-1");
	assert_memory_not_equal(keyring_key(ring, 0), keyring_key(other, 0), NOISE_KEY);
	keyring_free(ring);
	keyring_free(other);
	unlink(second);
}

static void test_keyfile_create_is_0600_whatever_the_umask(void **state)
{
	static const mode_t masks[] = {0, 022, 077, 0777, 0277};
	struct stat st;
	mode_t before;
	size_t i;
	int r;

	(void)state;
	for (i = 0; i < sizeof masks / sizeof masks[0]; i++) {
		before = umask(masks[i]);
		r = keyfile_create(path, "k", NULL, NULL);
		assert_int_equal(umask(before), masks[i]); /* ours to leave alone */
		assert_int_equal(r, 0);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		unlink(path);
	}
}

static void test_keyfile_create_takes_a_name_in_the_working_directory(void **state)
{
	char before[4096];

	(void)state;
	assert_non_null(getcwd(before, sizeof before));
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(keyfile_create("key", "k", NULL, NULL), 0);
	assert_loads("key");
	assert_int_equal(chdir(before), 0);
	assert_loads(path);
}

static void assert_create_fails(const char *where, const char *name, int code, int sys)
{
	struct diag d = {.code = 0};

	assert_int_equal(keyfile_create(where, name, NULL, &d), code);
	assert_int_equal(d.code, code);
	assert_int_equal(d.sys, sys);
	assert_true(d.text[0] != '\0');
}

static void test_keyfile_create_never_overwrites(void **state)
{
	char elsewhere[160], text[16] = {0};
	int fd;

	(void)state;
	write_file("precious", 8, 0644);
	assert_create_fails(path, "k", PYSTUCK_ESYS, EEXIST);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof text), 8);
	close(fd);
	assert_string_equal(text, "precious");
	unlink(path);

	snprintf(elsewhere, sizeof elsewhere, "%s.elsewhere", path);
	assert_int_equal(symlink(elsewhere, path), 0);
	assert_create_fails(path, "k", PYSTUCK_ESYS, EEXIST);
	assert_int_equal(access(elsewhere, F_OK), -1);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_create_fails(path, "k", PYSTUCK_ESYS, EEXIST);
	rmdir(path);
}

static void test_keyfile_create_refuses_bad_arguments(void **state)
{
	char inside[160];

	(void)state;
	assert_create_fails(path, "", PYSTUCK_EINVAL, 0);
	assert_create_fails(path, "a b", PYSTUCK_EINVAL, 0);
	assert_create_fails(path, "a\n", PYSTUCK_EINVAL, 0);
	assert_create_fails(path, "123456789012345678901234567890123", PYSTUCK_EINVAL, 0);
	assert_create_fails("", "k", PYSTUCK_EINVAL, 0);
	assert_create_fails("/tmp/", "k", PYSTUCK_EINVAL, 0);
	snprintf(inside, sizeof inside, "%s/not-there", path);
	assert_create_fails(inside, "k", PYSTUCK_ESYS, ENOENT);
	assert_int_equal(count_names(directory), 2);
}

static int create_with_a_full_disk(void *unused)
{
	struct rlimit little = {10, 10};
	struct diag d;

	(void)unused;
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &little))
		return 100;
	return keyfile_create(path, "k", NULL, &d) == PYSTUCK_ESYS && d.sys == EFBIG ? 0 : 1;
}

static void test_keyfile_create_leaves_nothing_after_a_failure(void **state)
{
	(void)state;
	assert_int_equal(in_child(create_with_a_full_disk, NULL), 0);
	assert_int_equal(count_names(directory), 2); /* . and .. */
	fsync_fails = 1; /* of the file */
	assert_create_fails(path, "k", PYSTUCK_ESYS, EIO);
	assert_int_equal(count_names(directory), 2);
	fsync_fails = 2; /* of the directory */
	assert_create_fails(path, "k", PYSTUCK_ESYS, EIO);
	assert_int_equal(count_names(directory), 2);
	assert_int_equal(fsync_fails, 0);
	assert_int_equal(keyfile_create(path, "k", NULL, NULL), 0);
}

static void test_keyfile_leaks_no_descriptors(void **state)
{
	size_t before = count_names("/proc/self/fd");

	(void)state;
	assert_load_fails("/dev/zero", PYSTUCK_EUNSAFE);
	assert_int_equal(keyfile_create(path, "k", NULL, NULL), 0);
	assert_create_fails(path, "k", PYSTUCK_ESYS, EEXIST);
	assert_create_fails("/tmp/", "k", PYSTUCK_EINVAL, 0);
	assert_loads(path);
	write_file("x\n", 2, 0600);
	assert_load_fails(path, PYSTUCK_EFORMAT);
	fsync_fails = 1;
	unlink(path);
	assert_create_fails(path, "k", PYSTUCK_ESYS, EIO);
	assert_int_equal(count_names("/proc/self/fd"), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_keyfile_loads_names_and_keys_in_order),
		CLAIM(test_keyfile_refuses_every_mode_with_rights_for_others),
		CLAIM(test_keyfile_says_which_mode_and_what_to_do),
		CLAIM(test_keyfile_refuses_a_third_partys_file),
		CLAIM(test_keyfile_takes_an_ordinary_users_own_file),
		CLAIM(test_keyfile_takes_roots_file_that_an_acl_gives_to_us_alone),
		CLAIM(test_keyfile_refuses_a_symlink),
		CLAIM(test_keyfile_refuses_a_fifo_and_does_not_hang),
		CLAIM(test_keyfile_refuses_directories_devices_and_sockets),
		CLAIM(test_keyfile_reports_a_missing_file),
		CLAIM(test_keyfile_refuses_a_file_cut_at_any_byte),
		CLAIM(test_keyfile_stops_at_the_size_limit),
		CLAIM(test_keyfile_create_makes_a_file_that_loads),
		CLAIM(test_keyfile_create_is_0600_whatever_the_umask),
		CLAIM(test_keyfile_create_takes_a_name_in_the_working_directory),
		CLAIM(test_keyfile_create_never_overwrites),
		CLAIM(test_keyfile_create_refuses_bad_arguments),
		CLAIM(test_keyfile_create_leaves_nothing_after_a_failure),
		CLAIM(test_keyfile_leaks_no_descriptors),
	};

	return cmocka_run_group_tests_name("keyfile", tests, set_up_all, tear_down_all);
}
