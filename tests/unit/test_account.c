/*
 * test_account.c: one account check as the server sees it, with a helper that the test plays at a
 * socket. A system that fails is played by wrapped calls.
 *
 * LINK: -Wl,--wrap=socket -Wl,--wrap=send -Wl,--wrap=shutdown -Wl,--wrap=calloc
 */
#include "account_rig.h"

int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);
ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
int __real_shutdown(int fd, int how);
int __wrap_shutdown(int fd, int how);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

/* What fails the next time it is called. */
enum { NOTHING, SOCKET, SEND, SEND_HALF, SHUTDOWN, CALLOC };
static int failing;

static int fails(int what)
{
	if (failing != what)
		return 0;
	failing = NOTHING;
	errno = what == CALLOC ? ENOMEM : EMFILE;
	return 1;
}

int __wrap_socket(int domain, int type, int protocol)
{
	return fails(SOCKET) ? -1 : __real_socket(domain, type, protocol);
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	if (fails(SEND))
		return -1;
	return __real_send(fd, bytes, fails(SEND_HALF) ? len / 2 : len, flags);
}

int __wrap_shutdown(int fd, int how)
{
	return fails(SHUTDOWN) ? -1 : __real_shutdown(fd, how);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails(CALLOC) ? NULL : __real_calloc(count, size);
}

static struct diag d;

static int setup(void **state)
{
	failing = NOTHING;
	return place_make(state);
}

static int teardown(void **state)
{
	helper_gone();
	return place_remove(state);
}

static struct account *ask(int *fd)
{
	struct acctmsg_request got;
	struct account *a = account_start(&helper, &me, &d);

	if (a == NULL)
		fail_msg("%s", d.text);
	*fd = helper_takes(&got);
	assert_int_equal(got.by, ACCTMSG_UID);
	assert_int_equal(got.uid, 1000);
	assert_int_equal(account_verdict(a, &d), PYSTUCK_EAGAIN);
	return a;
}

static void test_account_success_lets_in_and_stays(void **state)
{
	struct account *a;
	int fd;

	(void)state;
	helper_listens("pam.sock");
	a = ask(&fd);
	helper_says(fd, ACCTMSG_SUCCESS, "Success");
	/* Not before the end: something could still follow. */
	assert_int_equal(account_verdict(a, &d), PYSTUCK_EAGAIN);
	close(fd);
	assert_int_equal(await_verdict(a, &d), 0);
	assert_int_equal(account_verdict(a, &d), 0);
	account_free(a);
}

static void test_account_every_other_code_denies_and_stays(void **state)
{
	static const uint32_t codes[] = {1, 6, 13, 31, 32, 256, 65536, 1u << 24, UINT32_MAX};
	struct account *a;
	int fd;

	(void)state;
	helper_listens("pam.sock");
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		a = ask(&fd);
		helper_says(fd, codes[i], "Not today");
		close(fd);
		assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
		assert_says(&d, PYSTUCK_EPERM, "Not today");
		assert_int_equal(account_verdict(a, &d), PYSTUCK_EPERM);
		account_free(a);
	}
}

static void denies(const void *bytes, size_t len, const char *words)
{
	int fd;
	struct account *a = ask(&fd);

	if (len > 0)
		assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	close(fd);
	assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
	assert_says(&d, PYSTUCK_EPERM, words);
	account_free(a);
}

static void test_account_cut_trailing_and_endless_answers_deny(void **state)
{
	/* Success without a text, whole. */
	static const uint8_t good[10] = {ACCTMSG_VERSION};
	static const uint8_t endless[4096] = {ACCTMSG_VERSION};

	(void)state;
	helper_listens("pam.sock");
	denies(NULL, 0, "without an answer");
	for (size_t cut = 1; cut < 9; cut++)
		denies(good, cut, "makes no sense");
	denies(good, 10, "makes no sense");
	denies(endless, sizeof(endless), "too long");
}

/* An answer of which a part waits in the asker's buffer when the helper is killed. */
static void test_account_a_connection_that_breaks_denies(void **state)
{
	struct account *a;
	struct acctmsg_request got;
	int fd;

	(void)state;
	helper_listens("pam.sock");
	a = account_start(&helper, &me, &d);
	assert_non_null(a);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	/* Closed with the request unread: the asker's read fails instead of ending. */
	close(fd);
	assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
	assert_says(&d, PYSTUCK_EPERM, "PAM helper");
	account_free(a);
	/* And where nobody has accepted it when the listener goes. */
	a = account_start(&helper, &me, &d);
	assert_non_null(a);
	helper_gone();
	assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
	account_free(a);
	assert_null(account_start(&helper, &me, &d));
	assert_says(&d, PYSTUCK_ESYS, "cannot be reached");
	(void)got;
}

static void test_account_what_cannot_be_asked_is_denied_with_the_reason(void **state)
{
	static const int failures[] = {SOCKET, SEND, SEND_HALF, SHUTDOWN, CALLOC};
	struct acctmsg_request bad = {.by = ACCTMSG_NAME, .uid = UINT32_MAX, .name = "-x"};
	struct account_helper none = {.way = ACCOUNT_NONE};

	(void)state;
	helper_listens("pam.sock");
	for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
		failing = failures[i];
		memset(&d, 0, sizeof(d));
		assert_null(account_start(&helper, &me, &d));
		assert_int_equal(failing, NOTHING);
		assert_true(d.code < 0 && d.text[0] != '\0');
	}
	assert_null(account_start(&helper, &bad, &d));
	assert_says(&d, PYSTUCK_EINVAL, "-x");
	assert_null(account_start(&none, &me, &d));
	account_free(NULL);
}

static void test_account_a_full_queue_denies_and_does_not_wait(void **state)
{
	struct account *asked[64];
	size_t n = 0;

	(void)state;
	helper_listens("pam.sock");
	assert_int_equal(listen(listener, 1), 0);
	while (n < 64 && (asked[n] = account_start(&helper, &me, &d)) != NULL)
		n++;
	assert_true(n < 64);
	assert_says(&d, PYSTUCK_ESYS, "cannot be reached");
	while (n > 0)
		account_free(asked[--n]);
}

/* ---- finding --------------------------------------------------------------------------------- */

static void test_account_find_tells_a_socket_from_a_program(void **state)
{
	(void)state;
	helper_listens("pam.sock");
	make_file("program");
	assert_int_equal(chmod(in_place("program"), 0755), 0);
	assert_int_equal(account_find(&helper, in_place("program"), &d), 0);
	assert_int_equal(helper.way, ACCOUNT_BY_PROGRAM);
	assert_string_equal(helper.path, in_place("program"));
}

static void test_account_find_says_what_is_wrong(void **state)
{
	char long_path[2000];

	(void)state;
	assert_int_equal(account_find(&helper, in_place("none"), &d), PYSTUCK_ENOENT);
	assert_int_equal(helper.way, ACCOUNT_NONE);
	assert_int_equal(account_find(&helper, "relative", &d), PYSTUCK_EINVAL);
	assert_says(&d, PYSTUCK_EINVAL, "absolute");
	make_dir("directory", 0700);
	assert_int_equal(account_find(&helper, in_place("directory"), &d), PYSTUCK_EINVAL);
	memset(long_path, '/', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(account_find(&helper, long_path, &d), PYSTUCK_EINVAL);
	make_file("data");
	assert_int_equal(chmod(in_place("data"), 0644), 0);
	assert_int_equal(account_find(&helper, in_place("data"), &d), PYSTUCK_EPERM);
	assert_says(&d, PYSTUCK_EPERM, "cannot be run");
	assert_int_equal(helper.way, ACCOUNT_NONE);
}

static void test_account_find_refuses_a_program_that_others_could_change(void **state)
{
	static const mode_t modes[] = {0775, 0757, 0777, 0720};

	(void)state;
	make_file("program");
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(in_place("program"), modes[i]), 0);
		assert_int_equal(
			account_find(&helper, in_place("program"), &d), PYSTUCK_EUNSAFE);
		assert_int_equal(helper.way, ACCOUNT_NONE);
	}
	assert_int_equal(chmod(in_place("program"), 0755), 0);
	if (geteuid() != 0)
		return;
	assert_int_equal(chown(in_place("program"), PLACE_STRANGER, (gid_t)-1), 0);
	assert_int_equal(account_find(&helper, in_place("program"), &d), PYSTUCK_EUNSAFE);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_account_success_lets_in_and_stays),
		T(test_account_every_other_code_denies_and_stays),
		T(test_account_cut_trailing_and_endless_answers_deny),
		T(test_account_a_connection_that_breaks_denies),
		T(test_account_what_cannot_be_asked_is_denied_with_the_reason),
		T(test_account_a_full_queue_denies_and_does_not_wait),
		T(test_account_find_tells_a_socket_from_a_program),
		T(test_account_find_says_what_is_wrong),
		T(test_account_find_refuses_a_program_that_others_could_change),
	};

	alarm(110);
	return cmocka_run_group_tests_name("account", tests, NULL, NULL);
}
