/*
 * test_client_rc.c: which start-up file is read, and which is not to be used.
 * SOURCES: src/client/rc.c
 */
#include "place.h"

#include <fcntl.h>

#include "../../src/client/rc.h"

static char file[160], folder[128];

static int setup(void **state)
{
	FILE *f;

	if (place_make(state) != 0)
		return -1;
	snprintf(folder, sizeof folder, "%s/pystuck", place);
	snprintf(file, sizeof file, "%s/rc", folder);
	setenv("XDG_CONFIG_HOME", place, 1);
	if (mkdir(folder, 0700) != 0 || (f = fopen(file, "we")) == NULL)
		return -1;
	fputs("x = 1\n", f);
	fclose(f);
	return chmod(file, 0644);
}

/* 0 and the text, or the error and a word of the sentence. */
static void assert_read(int expected, const char *words)
{
	char path[PATH_MAX] = "", *text = NULL;
	struct diag d = {0};

	assert_int_equal(rc_read(&text, path, &d), expected);
	if (expected == 0)
		assert_string_equal(text, words);
	else
		assert_non_null(strstr(d.text, words));
	if (expected != 0)
		assert_null(text);
	free(text);
}

static void test_rc_is_read_where_the_configuration_is(void **state)
{
	char elsewhere[128];

	(void)state;
	snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", place);
	assert_read(0, "x = 1\n");
	assert_int_equal(rename(file, elsewhere), 0);
	assert_read(PYSTUCK_ENOENT, "");
	/* A link, as people have who keep such files elsewhere. */
	assert_int_equal(symlink(elsewhere, file), 0);
	assert_read(0, "x = 1\n");
	setenv("XDG_CONFIG_HOME", "relative", 1);
	setenv("HOME", "relative too", 1);
	assert_read(PYSTUCK_ENOENT, "");
}

static void test_rc_refuses_what_others_may_write(void **state)
{
	(void)state;
	chmod(file, 0664);
	assert_read(PYSTUCK_EUNSAFE, "mode 0664");
	chmod(file, 0646);
	assert_read(PYSTUCK_EUNSAFE, "mode 0646");
	chmod(file, 0600);
	chmod(folder, 0777);
	assert_read(PYSTUCK_EUNSAFE, "mode 0777");
	chmod(folder, 0755);
	assert_read(0, "x = 1\n");
}

static void test_rc_refuses_what_is_no_text(void **state)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(write(fd, "x\0y", 3), 3);
	assert_read(PYSTUCK_EFORMAT, "no text");
	assert_int_equal(ftruncate(fd, RC_MAX + 1), 0);
	assert_read(PYSTUCK_ETOOBIG, "more than");
	close(fd);
	unlink(file);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_read(PYSTUCK_EUNSAFE, "no file");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rc_is_read_where_the_configuration_is, setup, place_remove),
		cmocka_unit_test_setup_teardown(test_rc_refuses_what_others_may_write, setup, place_remove),
		cmocka_unit_test_setup_teardown(test_rc_refuses_what_is_no_text, setup, place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
