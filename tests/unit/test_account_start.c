/*
 * test_account_start.c: starting the helper as a program, which is this program again: called
 * "pystuck-pam" it plays the helper, and does what the name in the request says.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "account_rig.h"

extern char **environ;

static struct diag d;
/* valgrind's clone() shares no memory: a program that cannot be run looks like one that ends. */
static int emulated;

/* ---- the helper that is played --------------------------------------------------------------- */

static size_t count_fds(void)
{
	DIR *list = opendir("/proc/self/fd");
	size_t n = 0;

	while (list != NULL && readdir(list) != NULL)
		n++;
	if (list != NULL)
		closedir(list);
	return n - 3; /* . and .. and the list itself */
}

/* "fds 1 environment 0 session 1" */
static void describe(char *out, size_t size)
{
	(void)snprintf(out, size, "fds %zu environment %d session %d parent %d pid %d",
		count_fds(), environ != NULL && environ[0] != NULL, getsid(0) == getpid(),
		(int)getppid(), (int)getpid());
}

static int play_helper(void)
{
	struct acctmsg_request r;
	struct acctmsg_answer a = {.code = ACCTMSG_SUCCESS};
	uint8_t bytes[ACCTMSG_REQUEST_MAX];
	struct buf b;
	size_t len = 0;
	ssize_t n;

	while ((n = read(0, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)n;
	if (n != 0 || acctmsg_get_request(&r, (struct span){bytes, len}) != 0)
		return 1;
	if (strcmp(r.name, "killed") == 0)
		(void)kill(getpid(), SIGKILL);
	if (strcmp(r.name, "silent") == 0) {
		/* Until the asker has gone. */
		struct pollfd p = {.fd = 0};

		(void)poll(&p, 1, ACCOUNT_PATIENCE_MS);
		return 0;
	}
	if (strcmp(r.name, "describe") == 0) {
		a.code = 1;
		describe(a.text, sizeof(a.text));
	}
	buf_init(&b, ACCTMSG_ANSWER_MAX);
	(void)acctmsg_put_answer(&b, &a);
	n = write(0, buf_bytes(&b), buf_len(&b));
	buf_free(&b);
	return n < 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static int setup(void **state)
{
	char self[PLACE_PATH];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	emulated = strstr(getenv("LD_PRELOAD") != NULL ? getenv("LD_PRELOAD") : "", "vgpreload") != NULL;
	if (n <= 0)
		return -1;
	self[n] = '\0';
	return account_find(&helper, self, &d);
}

static struct account *ask_for(const char *what)
{
	struct acctmsg_request r = {.by = ACCTMSG_NAME, .uid = UINT32_MAX};
	struct account *a;

	(void)snprintf(r.name, sizeof(r.name), "%s", what);
	a = account_start(&helper, &r, &d);
	if (a == NULL)
		fail_msg("%s", d.text);
	return a;
}

static volatile sig_atomic_t children_seen;

static void on_child(int number)
{
	(void)number;
	children_seen++;
}

static void test_account_start_the_answer_of_a_program_counts(void **state)
{
	struct account *a = ask_for("anybody");

	(void)state;
	assert_int_equal(await_verdict(a, &d), 0);
	account_free(a);
}

static void test_account_start_a_killed_program_denies(void **state)
{
	struct account *a = ask_for("killed");

	(void)state;
	assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
	assert_says(&d, PYSTUCK_EPERM, "without an answer");
	account_free(a);
}

/* Also where the program has inheritable fds, has closed 0 to 2, and has an environment. */
static void test_account_start_nothing_of_the_program_is_inherited(void **state)
{
	int kept[3], inheritable = open("/dev/null", O_RDONLY);
	struct account *a;
	const char *parent;

	(void)state;
	assert_true(inheritable >= 0);
	assert_int_equal(setenv("SECRET", "1", 1), 0);
	for (int fd = 0; fd < 3; fd++) {
		kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		close(fd);
	}
	a = account_start(&helper,
		&(struct acctmsg_request){
			.by = ACCTMSG_NAME, .uid = UINT32_MAX, .name = "describe"},
		&d);
	for (int fd = 0; fd < 3; fd++) {
		if (kept[fd] >= 0) {
			(void)dup2(kept[fd], fd);
			close(kept[fd]);
		}
	}
	close(inheritable);
	assert_non_null(a);
	assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
	assert_says(&d, PYSTUCK_EPERM, "fds 1 environment 0 session 1");
	parent = strstr(d.text, "parent ");
	assert_non_null(parent);
	assert_int_not_equal(atoi(parent + 7), getpid());
	account_free(a);
}

static void test_account_start_the_program_never_sees_a_child(void **state)
{
	struct sigaction before, ours = {.sa_handler = on_child};
	sigset_t mask_before, mask_after;

	(void)state;
	children_seen = 0;
	assert_int_equal(sigaction(SIGCHLD, &ours, &before), 0);
	sigprocmask(SIG_SETMASK, NULL, &mask_before);
	for (int i = 0; i < 20; i++) {
		struct account *a = ask_for("describe");
		const char *pid;

		errno = 0;
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
		assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
		/* Not even one that has no exit signal. */
		assert_int_equal(waitpid(-1, NULL, WNOHANG | (int)__WALL), -1);
		assert_int_equal(errno, ECHILD);
		pid = strstr(d.text, " pid ");
		assert_non_null(pid);
		assert_int_equal(waitpid(atoi(pid + 5), NULL, WNOHANG | (int)__WALL), -1);
		account_free(a);
	}
	sigprocmask(SIG_SETMASK, NULL, &mask_after);
	assert_memory_equal(&mask_before, &mask_after, 8);
	assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);
	assert_int_equal(children_seen, 0);
}

static void test_account_start_a_program_that_cannot_be_run_is_said(void **state)
{
	struct account_helper gone = {.way = ACCOUNT_BY_PROGRAM, .path = "/no/such/program"};
	struct account *a;
	size_t fds = count_fds();

	(void)state;
	a = account_start(&gone, &me, &d);
	if (!emulated) {
		assert_null(a);
		assert_says(&d, PYSTUCK_ESYS, "cannot be started: No such file");
		assert_int_equal(d.sys, ENOENT);
	} else if (a != NULL) {
		assert_int_equal(await_verdict(a, &d), PYSTUCK_EPERM);
		account_free(a);
	}
	assert_int_equal(waitpid(-1, NULL, WNOHANG | (int)__WALL), -1);
	assert_int_equal(count_fds(), fds);
}

static void test_account_start_leaves_no_fd_and_no_memory(void **state)
{
	size_t fds = count_fds();

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct account *a = ask_for("silent");

		assert_int_equal(account_verdict(a, &d), PYSTUCK_EAGAIN);
		account_free(a);
	}
	assert_int_equal(count_fds(), fds);
}

static void test_account_start_not_in_a_process_that_adopts_orphans(void **state)
{
	struct account_helper again;

	(void)state;
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
	assert_null(account_start(&helper, &me, &d));
	assert_says(&d, PYSTUCK_EINVAL, "adopts orphans");
	assert_int_equal(account_find(&again, helper.path, &d), PYSTUCK_EINVAL);
	assert_says(&d, PYSTUCK_EINVAL, "pystuck-pam.socket");
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_account_start_the_answer_of_a_program_counts),
		cmocka_unit_test(test_account_start_a_killed_program_denies),
		cmocka_unit_test(test_account_start_nothing_of_the_program_is_inherited),
		cmocka_unit_test(test_account_start_the_program_never_sees_a_child),
		cmocka_unit_test(test_account_start_a_program_that_cannot_be_run_is_said),
		cmocka_unit_test(test_account_start_leaves_no_fd_and_no_memory),
		cmocka_unit_test(test_account_start_not_in_a_process_that_adopts_orphans),
	};

	if (argc == 1 && strcmp(argv[0], "pystuck-pam") == 0)
		return play_helper();
	alarm(110);
	return cmocka_run_group_tests_name("account_start", tests, setup, NULL);
}
