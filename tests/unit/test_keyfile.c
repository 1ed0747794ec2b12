/*
 * test_keyfile.c: claims about wire/keyfile.c: which files are taken, how new ones are made, and where the keys are kept.
 * LINK: -Wl,--wrap=fsync
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
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

static char directory[] = "/tmp/pystuck-test-XXXXXX";
static char path[64];
static int fsync_fails;

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

static void write_file(const void *text, size_t len, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void assert_load_fails(const char *file, int code)
{
	struct diag d = {.code = 0};

	assert_null(keyfile_load(file, &d));
	assert_int_equal(d.code, code);
	assert_true(d.text[0] != '\0');
}

static void assert_loads(const char *file)
{
	struct diag d = {.code = 0};
	struct keyring *ring = keyfile_load(file, &d);

	if (!ring)
		fail_msg("%s", d.text);
	keyring_free(ring);
}

static struct keyring *parse(const void *text, size_t len, struct diag *d)
{
	return keyfile_parse((struct span){text, len}, "k", d);
}

static void assert_parse_fails(const void *text, size_t len, int code)
{
	struct diag d = {.code = 0};

	assert_null(parse(text, len, &d));
	assert_int_equal(d.code, code);
	assert_true(d.text[0] != '\0');
	assert_null(parse(text, len, NULL));
}

/* Runs f in a child and gives its exit status, 128 + n when it was killed by signal n. */
static int in_child(int (*f)(void *), void *arg)
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

static void test_keyfile_refuses_an_empty_file(void **state)
{
	(void)state;
	write_file("", 0, 0600);
	assert_load_fails(path, PYSTUCK_EFORMAT);
	assert_parse_fails("", 0, PYSTUCK_EFORMAT);
	assert_parse_fails(NULL, 0, PYSTUCK_EFORMAT);
	assert_parse_fails("\n", 1, PYSTUCK_EFORMAT);
	assert_parse_fails("# nothing\n", 10, PYSTUCK_EFORMAT);
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

static size_t many_keys(char *text, size_t size, int count)
{
	uint8_t key[NOISE_KEY] = {1};
	char base64[64];
	size_t n = 0;
	int i;

	for (i = 0; i < count; i++) {
		key[31] = (uint8_t)i;
		sodium_bin2base64(base64, sizeof base64, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
		n += (size_t)snprintf(text + n, size - n, "pystuck-key-1 key%d %s\n", i, base64);
	}
	return n;
}

static void test_keyfile_stops_at_the_number_of_keys(void **state)
{
	char text[KEYFILE_MAX];
	struct keyring *ring;

	(void)state;
	ring = parse(text, many_keys(text, sizeof text, KEYRING_MAX), NULL);
	assert_non_null(ring);
	assert_int_equal(keyring_count(ring), KEYRING_MAX);
	assert_string_equal(keyring_name(ring, KEYRING_MAX - 1), "key15");
	keyring_free(ring);
	assert_parse_fails(text, many_keys(text, sizeof text, KEYRING_MAX + 1), PYSTUCK_ETOOBIG);
}

static void test_keyfile_refuses_duplicate_names_and_keys(void **state)
{
	static const char names[] = LINE_1 "pystuck-key-1 ops " KEY_2 "\n";
	static const char keys[] = LINE_1 "pystuck-key-1 other " KEY_1 "\n";
	static const char prefix[] = LINE_1 "pystuck-key-1 op " KEY_2 "\n";
	struct keyring *ring;

	(void)state;
	assert_parse_fails(names, sizeof names - 1, PYSTUCK_EFORMAT);
	assert_parse_fails(keys, sizeof keys - 1, PYSTUCK_EFORMAT);
	ring = parse(prefix, sizeof prefix - 1, NULL);
	assert_non_null(ring);
	keyring_free(ring);
}

static void test_keyfile_refuses_bad_names(void **state)
{
	static const char *const bad[] = {"", "a b", "a\tb", "a/b", "a:b", "@a", "\xc3\xa9", "a\x1b[0m", "a,b",
		"123456789012345678901234567890123"};
	static const char *const good[] = {"a", ".", "A-b_c.9", "12345678901234567890123456789012"};
	char text[256];
	struct keyring *ring;
	size_t i;
	int n;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		n = snprintf(text, sizeof text, "pystuck-key-1 %s " KEY_1 "\n", bad[i]);
		assert_parse_fails(text, (size_t)n, PYSTUCK_EFORMAT);
	}
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		n = snprintf(text, sizeof text, "pystuck-key-1 %s " KEY_1 "\n", good[i]);
		ring = parse(text, (size_t)n, NULL);
		assert_non_null(ring);
		assert_string_equal(keyring_name(ring, 0), good[i]);
		keyring_free(ring);
	}
}

#define BAD(text) {text, sizeof text - 1}

static void test_keyfile_refuses_anything_but_the_format(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} bad[] = {
		BAD("pystuck-key-1 ops " KEY_1 "\r\n"),
		BAD("pystuck-key-1 ops " KEY_1 "\r"),
		BAD("pystuck-key-1 ops " KEY_1 " \n"),
		BAD("pystuck-key-1 ops " KEY_1 "x\n"),
		BAD("pystuck-key-1 ops " KEY_1 " # mine\n"),
		BAD("pystuck-key-1 ops  " KEY_1 "\n"),
		BAD("pystuck-key-1  ops " KEY_1 "\n"),
		BAD("pystuck-key-1\tops\t" KEY_1 "\n"),
		BAD(" pystuck-key-1 ops " KEY_1 "\n"),
		BAD(" \n" LINE_1),
		BAD(" # comment\n" LINE_1),
		BAD("pystuck-key-2 ops " KEY_1 "\n"),
		BAD("Pystuck-key-1 ops " KEY_1 "\n"),
		BAD("pystuck-key-1 ops\n"),
		BAD("pystuck-key-1 ops \n"),
		BAD("pystuck-key-1 " KEY_1 "\n"),
		BAD(KEY_1 "\n"),
		BAD("pystuck-key-1 ops\0" KEY_1 "\n"),
		BAD("pystuck-key-1 o\0s " KEY_1 "\n"),
		BAD("\0" LINE_1),
		BAD(LINE_1 "\0"),
		BAD(LINE_1 "\0\n"),
		BAD("\xef\xbb\xbf" LINE_1),
		/* base64: cut, unpadded, too much padding, two bytes of it, URL-safe, inner newline, 31, 33 bytes */
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n"),
		BAD("pystuck-key-1 ops -_ECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops AAECAwQFBgcICQoL\nDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops AAEC wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops AAEC=wQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"),
		BAD("pystuck-key-1 ops ============================================\n"),
		BAD("pystuck-key-1 ops " ZERO_KEY "\n"),
		BAD(LINE_1 "pystuck-key-1 zero " ZERO_KEY "\n"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_parse_fails(bad[i].text, bad[i].len, PYSTUCK_EFORMAT);
}

static void test_keyfile_refuses_other_spellings_of_a_key(void **state)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char text[] = LINE_1;
	char *last = text + strlen(text) - 3; /* the character before the padding: 4 of its 6 bits count */
	struct keyring *ring;
	size_t i, taken = 0;

	(void)state;
	for (i = 0; i < 64; i++) {
		*last = digits[i];
		ring = parse(text, sizeof text - 1, NULL);
		assert_true((ring != NULL) == (i % 4 == 0));
		taken += ring != NULL;
		keyring_free(ring);
	}
	assert_int_equal(taken, 16);
}

static void test_keyfile_messages_never_show_key_material(void **state)
{
	static const char *const bad[] = {KEY_1 "\n", "pystuck-key-1 " KEY_1 "\n", "pystuck-key-1 " KEY_1 " ops\n",
		"pystuck-key-1 ops " KEY_1 "x\n", "pystuck-key-1 ops " KEY_1, "pystuck-key-1 ops " KEY_1 "\r\n",
		"pystuck-key-9 ops " KEY_1 "\n", LINE_1 "pystuck-key-1 ops " KEY_1 "\n"};
	char piece[7];
	struct diag d;
	size_t i, at;

	(void)state;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_null(parse(bad[i], strlen(bad[i]), &d));
		for (at = 0; at + 6 <= strlen(KEY_1); at++) {
			memcpy(piece, &KEY_1[at], 6);
			piece[6] = '\0';
			assert_null(strstr(d.text, piece));
		}
	}
}

static void test_keyfile_messages_name_file_line_and_remedy(void **state)
{
	static const char text[] = "# one\n" LINE_1 "pystuck-key-1 ops " KEY_2 "\n";
	struct diag d;

	(void)state;
	assert_null(keyfile_parse((struct span){(const uint8_t *)text, sizeof text - 1}, "/etc/\x1b[2Jx", &d));
	assert_string_equal(d.text,
		"key file /etc/\\x1b[2Jx: line 3: an earlier line has this name or this key already");
}

static void test_keyfile_messages_survive_a_long_path(void **state)
{
	char longest[4000];
	struct diag d;

	(void)state;
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	longest[0] = '/';
	assert_null(keyfile_parse((struct span){(const uint8_t *)"#\n", 2}, longest, &d));
	assert_non_null(strstr(d.text, "no key in it; make one with pystuck --keygen"));
	assert_null(keyfile_load(longest, &d));
	assert_int_equal(d.code, PYSTUCK_ESYS); /* ENAMETOOLONG */
	assert_int_equal(d.sys, ENAMETOOLONG);
}

/* What the kernel says of the pages around p, as the two-letter words of /proc/self/smaps. */
static void find_flags(const void *p, char *flags, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	char line[512];
	int inside = 0;

	assert_non_null(f);
	flags[0] = '\0';
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (unsigned long)p >= from && (unsigned long)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, size, "%s", line);
	}
	fclose(f);
}

/* Not under AddressSanitizer, whose mlock does nothing, nor where the limit is 0. */
static int locking_works(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char flags[512];

	assert_true(p != MAP_FAILED);
	(void)mlock(p, page);
	find_flags(p, flags, sizeof flags);
	munmap(p, page);
	return strstr(flags, " lo") != NULL;
}

static void test_keyring_is_kept_out_of_core_dumps_and_children(void **state)
{
	struct keyring *ring = parse(LINE_1, strlen(LINE_1), NULL);
	char flags[512];

	(void)state;
	assert_non_null(ring);
	find_flags(keyring_key(ring, 0), flags, sizeof flags);
	assert_non_null(strstr(flags, " wf")); /* wiped on fork */
	assert_non_null(strstr(flags, " dd")); /* not dumped */
	assert_int_equal(strstr(flags, " lo") != NULL, locking_works());
	keyring_free(ring);
}

struct inherited {
	struct keyring *ring;
	const uint8_t *key;
	const char *name;
};

static int child_has_no_key(void *arg)
{
	const struct inherited *i = arg;

	if (!sodium_is_zero(i->key, NOISE_KEY) || i->name[0] != '\0')
		return 1;
	if (keyring_count(i->ring) != 0 || keyring_key(i->ring, 0) || keyring_name(i->ring, 0))
		return 2;
	keyring_forget(i->ring); /* must not bring the process down */
	keyring_forget(NULL);
	return 0;
}

static int child_may_free(void *arg)
{
	keyring_free(((const struct inherited *)arg)->ring);
	return 0;
}

static int child_loads_its_own(void *arg)
{
	struct keyring *ring;
	int r;

	keyring_forget(((const struct inherited *)arg)->ring);
	ring = parse(LINE_2, strlen(LINE_2), NULL);
	r = ring && keyring_count(ring) == 1 && keyring_key(ring, 0)[0] == 0x20 ? 0 : 1;
	keyring_free(ring);
	return r;
}

static void test_keyring_is_empty_in_a_forked_child(void **state)
{
	struct inherited i = {.ring = parse(LINE_1, strlen(LINE_1), NULL)};

	(void)state;
	assert_non_null(i.ring);
	i.key = keyring_key(i.ring, 0);
	i.name = keyring_name(i.ring, 0);
	assert_int_equal(i.key[31], 31);
	assert_int_equal(in_child(child_has_no_key, &i), 0);
	assert_int_equal(in_child(child_may_free, &i), 0);
	assert_int_equal(in_child(child_loads_its_own, &i), 0);
	assert_int_equal(keyring_count(i.ring), 1); /* the parent's is as it was */
	assert_int_equal(i.key[31], 31);
	keyring_free(i.ring);
}

static int load_without_locked_memory(void *unused)
{
	struct rlimit none = {0, 0};
	struct keyring *ring;
	int r;

	(void)unused;
	if (setrlimit(RLIMIT_MEMLOCK, &none) || (geteuid() == 0 && setuid(NOBODY)))
		return 100;
	ring = parse(LINE_1, strlen(LINE_1), NULL);
	r = ring && keyring_key(ring, 0)[31] == 31 ? 0 : 1;
	keyring_free(ring);
	return r;
}

static void test_keyring_goes_on_where_memory_cannot_be_locked(void **state)
{
	(void)state;
	assert_int_equal(in_child(load_without_locked_memory, NULL), 0);
}

static void test_keyfile_create_makes_a_file_that_loads(void **state)
{
	struct keyring *ring, *other;
	char second[160];
	struct stat st;

	(void)state;
	snprintf(second, sizeof second, "%s.2", path);
	assert_int_equal(keyfile_create(path, "ops-1", NULL), 0);
	assert_int_equal(keyfile_create(second, "ops-1", NULL), 0);
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
		r = keyfile_create(path, "k", NULL);
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
	assert_int_equal(keyfile_create("key", "k", NULL), 0);
	assert_loads("key");
	assert_int_equal(chdir(before), 0);
	assert_loads(path);
}

static void assert_create_fails(const char *where, const char *name, int code, int sys)
{
	struct diag d = {.code = 0};

	assert_int_equal(keyfile_create(where, name, &d), code);
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
	return keyfile_create(path, "k", &d) == PYSTUCK_ESYS && d.sys == EFBIG ? 0 : 1;
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
	assert_int_equal(keyfile_create(path, "k", NULL), 0);
}

static void test_keyfile_leaks_no_descriptors(void **state)
{
	size_t before = count_names("/proc/self/fd");

	(void)state;
	assert_load_fails("/dev/zero", PYSTUCK_EUNSAFE);
	assert_int_equal(keyfile_create(path, "k", NULL), 0);
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

static int set_up(void **state)
{
	(void)state;
	fsync_fails = 0;
	unlink(path);
	return 0;
}

static int set_up_all(void **state)
{
	(void)state;
	alarm(100);
	if (!mkdtemp(directory) || chmod(directory, 0755))
		return -1;
	snprintf(path, sizeof path, "%s/key", directory);
	return noise_init();
}

static int tear_down_all(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

#define CLAIM(f) cmocka_unit_test_setup(f, set_up)

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
		CLAIM(test_keyfile_refuses_an_empty_file),
		CLAIM(test_keyfile_refuses_a_file_cut_at_any_byte),
		CLAIM(test_keyfile_stops_at_the_size_limit),
		CLAIM(test_keyfile_stops_at_the_number_of_keys),
		CLAIM(test_keyfile_refuses_duplicate_names_and_keys),
		CLAIM(test_keyfile_refuses_bad_names),
		CLAIM(test_keyfile_refuses_anything_but_the_format),
		CLAIM(test_keyfile_refuses_other_spellings_of_a_key),
		CLAIM(test_keyfile_messages_never_show_key_material),
		CLAIM(test_keyfile_messages_name_file_line_and_remedy),
		CLAIM(test_keyfile_messages_survive_a_long_path),
		CLAIM(test_keyring_is_kept_out_of_core_dumps_and_children),
		CLAIM(test_keyring_is_empty_in_a_forked_child),
		CLAIM(test_keyring_goes_on_where_memory_cannot_be_locked),
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
