/*
 * test_session_identity.c: who a client is comes from the kernel, and from nothing else: neither
 * from a file (of /proc, say) nor from what the client says.
 *
 * LINK: -Wl,--wrap=open,--wrap=openat,--wrap=fopen,--wrap=opendir,--wrap=readlink,--wrap=readlinkat
 * LINK:
 * -Wl,--wrap=stat,--wrap=lstat,--wrap=fstatat,--wrap=access,--wrap=getpwuid_r,--wrap=getpwnam_r
 */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "session_rig.h"

static int looks; /* how often anything was looked for by its name */

#define LOOK(type, name, fails, ...)                                                               \
	type __wrap_##name(__VA_ARGS__);                                                           \
	type __wrap_##name(__VA_ARGS__)                                                            \
	{                                                                                          \
		looks++;                                                                           \
		errno = ENOENT;                                                                    \
		return fails;                                                                      \
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
LOOK(int, open, -1, const char *path, int flags, ...)
LOOK(int, openat, -1, int fd, const char *path, int flags, ...)
LOOK(FILE *, fopen, NULL, const char *path, const char *mode)
LOOK(DIR *, opendir, NULL, const char *path)
LOOK(ssize_t, readlink, -1, const char *path, char *out, size_t size)
LOOK(ssize_t, readlinkat, -1, int fd, const char *path, char *out, size_t size)
LOOK(int, stat, -1, const char *path, struct stat *st)
LOOK(int, lstat, -1, const char *path, struct stat *st)
LOOK(int, fstatat, -1, int fd, const char *path, struct stat *st, int flags)
LOOK(int, access, -1, const char *path, int mode)
LOOK(int, getpwuid_r, ENOENT, uid_t uid, struct passwd *p, char *space, size_t n,
	struct passwd **out)
LOOK(int, getpwnam_r, ENOENT, const char *name, struct passwd *p, char *space, size_t n,
	struct passwd **out)
#pragma GCC diagnostic pop

/* What each role may do, asked for on a session from beginning to end. */
static void converse(enum role role)
{
	welcome_as(role);
	say(client, rig_dump(1, 0));
	say(client, rig_eval(2));
	turns(3);
	hears_dump(1, DUMP_HOW_GIL);
	if (role == ROLE_EVAL)
		hears_result(2);
	else
		hears_error(2, REASON_DENIED);
	say(client, rig_bye());
	turns(2);
	rig_hear_end(client);
}

static void test_session_identity_needs_no_file_and_no_proc(void **state)
{
	for (int role = ROLE_STACKS; role <= ROLE_EVAL; role++) {
		looks = 0;
		converse((enum role)role);
		assert_int_equal(looks, 0);
		(void)teardown(state);
		(void)setup(state);
	}
	/* Who is turned away, too. */
	assert_int_equal(policy_add_uid(&policy, geteuid(), "none", NULL), 0);
	looks = 0;
	connect_with(0);
	hears_refusal(REASON_DENIED, "has no role here");
	assert_int_equal(looks, 0);
	/* A look would have been seen. */
	(void)peercred_overflow_uid();
	assert_int_equal(looks, 1);
}

/* What it says of itself, in all the places where a client can say anything before it is let in. */
static void claim(const char *text)
{
	struct sockaddr_un mine = {.sun_family = AF_UNIX};
	struct msg m = rig_hello();
	size_t len = strlen(text);

	connect_with(0);
	memcpy(mine.sun_path + 1, text, len);
	assert_int_equal(bind(channel_fd(client), (struct sockaddr *)&mine,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)),
		0);
	m.hello.client = span_text(text);
	say(client, m);
	turn();
}

static void test_session_identity_is_not_what_the_client_says(void **state)
{
	static const char *const claims[] = {"uid 0, pid 1", "role eval",
		"key ops from 127.0.0.1:1", "x\nuid 0, pid 1", "\x1b[2K uid 0", "1000 1 EVAL",
		"%n%s%s%s"};
	char kernel[64];
	struct msg m;

	(void)snprintf(kernel, sizeof(kernel), "uid %lu, pid %ld", (unsigned long)geteuid(),
		(long)getpid());
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		assert_int_equal(policy_add_uid(&policy, geteuid(), "stacks", NULL), 0);
		assert_int_equal(policy_add_uid(&policy, geteuid() + 1, "eval", NULL), 0);
		claim(claims[i]);
		rig_hear(client, &m, MSG_WELCOME);
		assert_int_equal(m.welcome.role, ROLE_STACKS);
		assert_int_equal(fake.who.role, ROLE_STACKS);
		assert_int_equal(fake.who.uid, geteuid());
		assert_int_equal(fake.who.pid, getpid());
		assert_string_equal(fake.who.key, "");
		assert_string_equal(fake.who.text, kernel);
		(void)teardown(state);
		(void)setup(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_session_identity_needs_no_file_and_no_proc),
		T(test_session_identity_is_not_what_the_client_says),
	};

	alarm(110);
	return cmocka_run_group_tests_name("session_identity", tests, NULL, NULL);
}
