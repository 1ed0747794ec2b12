/*
 * test_peercred.c: who is at the other end of a Unix socket; also with a kernel that fails, answers
 * short or lies, played by a wrapped getsockopt.
 *
 * LINK: -Wl,--wrap=getsockopt
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "peercred.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#define STRANGER 1001

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

/* What the kernel of the test does; all 0: what the real one does. */
static struct {
	int option;    /* the option that is meddled with; 0: none */
	int fail;      /* errno */
	socklen_t cut; /* bytes that the answer is short of */
	int cred;      /* SO_PEERCRED answers with these numbers */
	uid_t uid;
	gid_t gid;
	int groups; /* SO_PEERGROUPS answers with the groups 0 .. count - 1 */
	size_t count;
	int always_short; /* SO_PEERGROUPS never has room enough */
	int calls;        /* of SO_PEERGROUPS */
} kernel;

static int answer_groups(void *value, socklen_t *len)
{
	socklen_t need = (socklen_t)(kernel.count * sizeof(gid_t));
	gid_t *out = value;

	kernel.calls++;
	if (kernel.always_short)
		need = *len + (socklen_t)sizeof(gid_t);
	if (*len < need) {
		*len = need;
		errno = ERANGE;
		return -1;
	}
	for (size_t i = 0; i < kernel.count; i++)
		out[i] = (gid_t)i;
	*len = need;
	return 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	int rc;

	if (option == SO_PEERGROUPS && kernel.groups)
		return answer_groups(value, len);
	if (option == SO_PEERCRED && kernel.cred) {
		struct ucred cred = {.pid = 1, .uid = kernel.uid, .gid = kernel.gid};

		memcpy(value, &cred, sizeof(cred));
		*len = sizeof(cred);
		return 0;
	}
	if (option == kernel.option && kernel.fail != 0) {
		errno = kernel.fail;
		return -1;
	}
	rc = __real_getsockopt(fd, level, option, value, len);
	if (option == kernel.option && rc == 0)
		*len -= kernel.cut;
	return rc;
}

static int pair[2];

static int setup(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static void assert_unknown(int fd, int code)
{
	struct peercred p;

	assert_int_equal(peercred_get(fd, &p), code);
	assert_int_equal(p.uid, (uid_t)-1);
	assert_int_equal(p.gid, (gid_t)-1);
	assert_null(p.groups);
	assert_int_equal(p.group_count, 0);
	peercred_free(&p);
}

static void test_peercred_knows_its_own_process(void **state)
{
	struct peercred p;
	gid_t mine[256];
	int count = getgroups(256, mine);

	(void)state;
	assert_int_equal(peercred_get(pair[0], &p), 0);
	assert_int_equal(p.uid, geteuid());
	assert_int_equal(p.gid, getegid());
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.group_count, count);
	for (int i = 0; i < count; i++)
		assert_int_equal(p.groups[i], mine[i]);
	peercred_free(&p);
}

/* The child: becomes somebody else, listens, and is gone. */
static void listen_as_stranger(int fd)
{
	const gid_t groups[] = {50, 60, 70};

	if (setgroups(3, groups) != 0 || setgid(STRANGER) != 0 || setuid(STRANGER) != 0)
		_exit(1);
	if (listen(fd, 1) != 0)
		_exit(2);
	_exit(0);
}

static void test_peercred_tells_uid_gid_and_groups_of_another_user(void **state)
{
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr at = {.sa_family = AF_UNIX};
	char name[128];
	socklen_t len = sizeof(name);
	struct peercred p;
	int status = -1;
	pid_t child;

	(void)state;
	if (geteuid() != 0) {
		close(listener);
		close(fd);
		skip();
	}
	/* The kernel chooses a name. */
	assert_int_equal(bind(listener, &at, sizeof(at.sa_family)), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)name, &len), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		listen_as_stranger(listener);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	/* The listener's credentials are those of who called listen(2), also when they are gone. */
	assert_int_equal(connect(fd, (struct sockaddr *)name, len), 0);
	assert_int_equal(peercred_get(fd, &p), 0);
	assert_int_equal(p.uid, STRANGER);
	assert_int_equal(p.gid, STRANGER);
	assert_int_equal(p.group_count, 3);
	assert_int_equal(p.groups[0], 50);
	assert_int_equal(p.groups[2], 70);
	peercred_free(&p);
	close(fd);
	close(listener);
}

static void test_peercred_refuses_tcp(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_true(fd >= 0);
	assert_unknown(fd, PYSTUCK_EINVAL);
	close(fd);
}

static void test_peercred_refuses_what_is_no_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_unknown(fds[0], PYSTUCK_ESYS);
	assert_unknown(-1, PYSTUCK_ESYS);
	close(fds[0]);
	close(fds[1]);
}

static void test_peercred_denies_when_any_question_fails(void **state)
{
	const int options[] = {SO_DOMAIN, SO_PEERCRED, SO_PEERGROUPS};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		kernel.option = options[i];
		kernel.fail = ENOPROTOOPT;
		assert_unknown(pair[0], PYSTUCK_ESYS);
	}
}

static void test_peercred_denies_a_short_answer(void **state)
{
	const int options[] = {SO_DOMAIN, SO_PEERCRED};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		kernel.option = options[i];
		for (kernel.cut = 1; kernel.cut <= 4; kernel.cut++)
			assert_unknown(pair[0], PYSTUCK_EFORMAT);
	}
}

static void test_peercred_denies_uid_or_gid_minus_one(void **state)
{
	(void)state;
	kernel.cred = 1;
	kernel.uid = (uid_t)-1;
	kernel.gid = 0;
	assert_unknown(pair[0], PYSTUCK_EAUTH);
	kernel.uid = 0;
	kernel.gid = (gid_t)-1;
	assert_unknown(pair[0], PYSTUCK_EAUTH);
}

static void test_peercred_takes_0_1_and_200_groups_and_the_most_there_can_be(void **state)
{
	const size_t counts[] = {0, 1, 200, PEERCRED_GROUPS_MAX};
	struct peercred p;

	(void)state;
	kernel.groups = 1;
	for (size_t i = 0; i < 4; i++) {
		kernel.count = counts[i];
		assert_int_equal(peercred_get(pair[0], &p), 0);
		assert_int_equal(p.group_count, counts[i]);
		for (size_t j = 0; j < counts[i]; j++)
			assert_int_equal(p.groups[j], j);
		peercred_free(&p);
	}
}

static void test_peercred_denies_more_groups_than_the_kernel_can_have(void **state)
{
	(void)state;
	kernel.groups = 1;
	kernel.count = PEERCRED_GROUPS_MAX + 1;
	assert_unknown(pair[0], PYSTUCK_ETOOBIG);
}

static void test_peercred_gives_up_when_the_list_never_fits(void **state)
{
	(void)state;
	kernel.groups = 1;
	kernel.always_short = 1;
	assert_unknown(pair[0], PYSTUCK_ESYS);
	assert_true(kernel.calls <= 4);
}

static void test_peercred_knows_the_overflow_uid(void **state)
{
	unsigned long expected = 65534;
	FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");

	(void)state;
	if (f != NULL) {
		assert_int_equal(fscanf(f, "%lu", &expected), 1);
		fclose(f);
	}
	assert_int_equal(peercred_overflow_uid(), expected);
}

static void test_peercred_free_leaves_nobody(void **state)
{
	struct peercred p;

	(void)state;
	assert_int_equal(peercred_get(pair[0], &p), 0);
	peercred_free(&p);
	assert_int_equal(p.uid, (uid_t)-1);
	peercred_free(&p);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_peercred_knows_its_own_process),
		T(test_peercred_tells_uid_gid_and_groups_of_another_user),
		T(test_peercred_refuses_tcp),
		T(test_peercred_refuses_what_is_no_socket),
		T(test_peercred_denies_when_any_question_fails),
		T(test_peercred_denies_a_short_answer),
		T(test_peercred_denies_uid_or_gid_minus_one),
		T(test_peercred_takes_0_1_and_200_groups_and_the_most_there_can_be),
		T(test_peercred_denies_more_groups_than_the_kernel_can_have),
		T(test_peercred_gives_up_when_the_list_never_fits),
		T(test_peercred_knows_the_overflow_uid),
		T(test_peercred_free_leaves_nobody),
	};

	alarm(60);
	return cmocka_run_group_tests_name("peercred", tests, NULL, NULL);
}
