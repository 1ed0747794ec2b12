/*
 * test_keyring.c: claims about the memory in which wire/keyfile.c keeps keys.
 */
#include "keyfile_fixture.h"

#include <sys/mman.h>
#include <sys/resource.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_keyring_is_kept_out_of_core_dumps_and_children),
		CLAIM(test_keyring_is_empty_in_a_forked_child),
		CLAIM(test_keyring_goes_on_where_memory_cannot_be_locked),
	};

	return cmocka_run_group_tests_name("keyring", tests, set_up_all, tear_down_all);
}
