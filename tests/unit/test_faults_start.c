/*
 * test_faults_start.c: what happens before a server serves, with each allocation and each system
 * call failing once: sockets and their places, sockets that are handed over, names of users and
 * groups. It works, or it says why not and leaves nothing behind.
 * SOURCES: tests/unit/faults.c
 * LINK: -Wl,@tests/unit/faults.wrap
 */
#include "faults_rig.h"

#include <fcntl.h>
#include <netinet/in.h>

static struct listen_socket made;

/* 0: it listens. */
static int open_at(const struct addr *a, gid_t group)
{
	struct listen_options o = {.addr = *a, .mode = 0660, .group = group};
	int rc;

	memset(&why, 0, sizeof(why));
	INSIDE(rc = listen_open(&made, &o, &why));
	if (rc != 0) {
		REFUSED(&why);
		HOLDS(made.fd < 0);
	}
	return rc;
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

static void dead_run(void)
{
	struct addr a;
	int rc;

	make_dead_socket(in_place("s"));
	HOLDS(addr_unix(&a, in_place("s"), &why) == 0);
	rc = open_at(&a, getegid());
	if (rc == 0) {
		HOLDS(mode_of(in_place("s")) == 0660);
		HOLDS(try_connect(in_place("s")) == 0);
		listen_close(&made);
		HOLDS(inode_of(in_place("s")) == 0);
		return;
	}
	/* Gone, or as dead as it was: the next try finds nothing in its way. */
	faults_over();
	HOLDS(open_at(&a, getegid()) == 0);
	HOLDS(mode_of(in_place("s")) == 0660);
	listen_close(&made);
}

static void test_faults_of_removing_a_dead_socket_leave_the_place_usable(void **state)
{
	(void)state;
	faults_sweep(dead_run);
}

/* Somebody listens there: no fault makes the socket look dead. */
static void live_run(void)
{
	struct addr a;
	struct listen_options o = {.mode = 0600, .group = (gid_t)-1};
	int other = bind_at(in_place("s"), SOCK_STREAM);
	ino_t inode = inode_of(in_place("s"));
	int rc;

	HOLDS(listen(other, 4) == 0);
	HOLDS(addr_unix(&a, in_place("s"), &why) == 0);
	o.addr = a;
	memset(&why, 0, sizeof(why));
	INSIDE(rc = listen_open(&made, &o, &why));
	/* The one answer of the kernel that means that nobody listens. */
	if (!faults_hit_with("connect", ECONNREFUSED)) {
		HOLDS(rc != 0 && why.code != 0 && why.text[0] != '\0' && made.fd < 0);
		HOLDS(inode_of(in_place("s")) == inode);
	}
	listen_close(&made);
	close(other);
	(void)unlink(in_place("s"));
}

static void test_faults_never_remove_a_socket_that_is_in_use(void **state)
{
	(void)state;
	faults_sweep(live_run);
}

static void link_run(void)
{
	struct addr a;

	(void)unlink(in_place("link"));
	HOLDS(symlink(place, in_place("link")) == 0);
	HOLDS(addr_unix(&a, in_place("link/s"), &why) == 0);
	if (open_at(&a, (gid_t)-1) == 0)
		listen_close(&made);
	HOLDS(inode_of(in_place("s")) == 0);
	(void)unlink(in_place("link"));
}

static void test_faults_on_the_way_through_links_are_said(void **state)
{
	(void)state;
	faults_sweep(link_run);
}

static void relative_run(void)
{
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct addr a;
	int rc;

	HOLDS(chdir(place) == 0);
	memset(&why, 0, sizeof(why));
	INSIDE(rc = addr_unix(&a, "s-{pid}", &why));
	HOLDS(fchdir(here) == 0 && close(here) == 0);
	if (rc != 0)
		REFUSED(&why);
	else if (open_at(&a, (gid_t)-1) == 0)
		listen_close(&made);
}

static void test_faults_of_a_relative_path_are_said(void **state)
{
	(void)state;
	faults_sweep(relative_run);
}

/* ---- where nobody said a place ----------------------------------------------------------------- */

/* In place: a runtime directory with the socket of a process that is gone. */
static void default_run(void)
{
	struct addr a;
	int per_process = 0;
	int rc;

	HOLDS(setenv("XDG_RUNTIME_DIR", place, 1) == 0);
	if (mkdir(in_place("pystuck"), 0700) == 0 || errno == EEXIST)
		make_dead_socket(in_place("pystuck/2147483646.sock"));
	memset(&why, 0, sizeof(why));
	faults_stay_below(place);
	INSIDE(rc = listen_default(&a, &per_process, &why));
	HOLDS(unsetenv("XDG_RUNTIME_DIR") == 0);
	if (rc != 0) {
		REFUSED(&why);
	} else {
		HOLDS(per_process && a.path[0] == '/');
		/* Where the first place was not to be had, the next one is as private. */
		HOLDS(faults_struck() || strstr(a.path, place) != NULL);
		if (open_at(&a, (gid_t)-1) == 0)
			listen_close(&made);
	}
	(void)unlink(in_place("pystuck/2147483646.sock"));
	HOLDS(rmdir(in_place("pystuck")) == 0);
}

static void test_faults_of_finding_a_place_end_in_another_one_or_are_said(void **state)
{
	(void)state;
	faults_sweep(default_run);
}

/* ---- sockets that are handed over -------------------------------------------------------------- */

#define HANDED 3 /* the first fd of systemd's */

static int handed;

static void set_handed(const char *pid)
{
	HOLDS(setenv("LISTEN_PID", pid, 1) == 0);
	HOLDS(setenv("LISTEN_FDS", "1", 1) == 0);
	HOLDS(setenv("LISTEN_FDNAMES", "pystuck", 1) == 0);
}

static void handed_run(void)
{
	struct stat before, after;
	int rc;

	HOLDS(fstat(HANDED, &before) == 0);
	memset(&why, 0, sizeof(why));
	INSIDE(rc = listen_inherited(&made, "pystuck", 0, &why));
	if (rc != 1) {
		HOLDS(rc < 0);
		REFUSED(&why);
		HOLDS(made.fd < 0);
	}
	INSIDE(listen_close(&made));
	/* It stays the process's. */
	HOLDS(fstat(HANDED, &after) == 0 && before.st_ino == after.st_ino);
	if (handed == AF_UNIX)
		HOLDS(inode_of(in_place("handed")) != 0);
}

/* Puts `fd` at HANDED for one sweep; what is there comes back. */
static void sweep_handed(int fd)
{
	char pid[16];
	int kept = fcntl(HANDED, F_DUPFD_CLOEXEC, 10);

	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_int_equal(dup2(fd, HANDED), HANDED);
	if (fd != HANDED)
		close(fd);
	set_handed(pid);
	faults_sweep(handed_run);
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	close(HANDED);
	if (kept >= 0) {
		assert_int_equal(dup2(kept, HANDED), HANDED);
		close(kept);
	}
}

static void test_faults_of_taking_over_a_unix_socket_leave_it_to_the_process(void **state)
{
	int fd = bind_at(in_place("handed"), SOCK_STREAM);

	(void)state;
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(chmod(in_place("handed"), 0600), 0);
	handed = AF_UNIX;
	sweep_handed(fd);
}

static void test_faults_of_taking_over_a_tcp_socket_leave_it_to_the_process(void **state)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 4), 0);
	handed = AF_INET;
	sweep_handed(fd);
}

/* ---- TCP --------------------------------------------------------------------------------------- */

static void tcp_run(void)
{
	struct addr a;

	HOLDS(addr_tcp(&a, "127.0.0.1", 0, &why) == 0);
	if (open_at(&a, (gid_t)-1) == 0) {
		HOLDS(made.addr.port != 0);
		listen_close(&made);
	}
}

static void test_faults_of_a_tcp_socket_are_said(void **state)
{
	(void)state;
	faults_sweep(tcp_run);
}

/* ---- who ----------------------------------------------------------------------------------------- */

static void policy_run(void)
{
	static const char *const subjects[] = {"root", "@root", "key:ops", "65533"};
	struct policy p;
	size_t added = 0;

	policy_init(&p, 65000, 65534);
	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
		int rc;

		memset(&why, 0, sizeof(why));
		INSIDE(rc = policy_add(&p, subjects[i], "stacks", &why));
		if (rc != 0)
			REFUSED(&why);
		else
			added++;
		HOLDS(p.count == added);
	}
	HOLDS(faults_struck() || added == 4);
	for (size_t i = 0; i < p.count; i++)
		HOLDS(p.rules[i].role == ROLE_STACKS &&
			(p.rules[i].subject != POLICY_USER || p.rules[i].uid == 0 ||
				p.rules[i].uid == 65533));
}

static void test_faults_of_looking_up_names_add_no_rule(void **state)
{
	(void)state;
	faults_sweep(policy_run);
}

static void peercred_run(void)
{
	struct peercred p;
	int ends[2];
	uid_t overflow;
	int rc;

	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	INSIDE(rc = peercred_get(ends[0], &p));
	if (rc != 0)
		HOLDS(faults_struck() && p.uid == (uid_t)-1 && p.groups == NULL);
	else
		HOLDS(p.uid == geteuid() && p.gid == getegid());
	INSIDE(peercred_free(&p));
	INSIDE(overflow = peercred_overflow_uid());
	HOLDS(overflow != 0 && overflow != (uid_t)-1);
	close(ends[0]);
	close(ends[1]);
}

static void test_faults_of_asking_the_kernel_make_nobody_anybody(void **state)
{
	(void)state;
	faults_sweep(peercred_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_faults_of_removing_a_dead_socket_leave_the_place_usable),
		T(test_faults_never_remove_a_socket_that_is_in_use),
		T(test_faults_on_the_way_through_links_are_said),
		T(test_faults_of_a_relative_path_are_said),
		T(test_faults_of_finding_a_place_end_in_another_one_or_are_said),
		T(test_faults_of_taking_over_a_unix_socket_leave_it_to_the_process),
		T(test_faults_of_taking_over_a_tcp_socket_leave_it_to_the_process),
		T(test_faults_of_a_tcp_socket_are_said),
		T(test_faults_of_looking_up_names_add_no_rule),
		T(test_faults_of_asking_the_kernel_make_nobody_anybody),
	};

	alarm(550);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
