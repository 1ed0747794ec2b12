/*
 * test_listen.c: making and removing listening sockets. The way to them: test_listen_path.c.
 *
 * LINK: -Wl,--wrap=bind -Wl,--wrap=listen -Wl,--wrap=umask -Wl,--wrap=lchown
 */
#include "listen.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "place.h"

int __real_bind(int fd, const struct sockaddr *at, socklen_t len);
int __wrap_bind(int fd, const struct sockaddr *at, socklen_t len);
int __real_listen(int fd, int backlog);
int __wrap_listen(int fd, int backlog);
mode_t __real_umask(mode_t mask);
mode_t __wrap_umask(mode_t mask);
int __real_lchown(const char *path, uid_t uid, gid_t gid);
int __wrap_lchown(const char *path, uid_t uid, gid_t gid);

static struct {
	int umasks;                   /* calls from the code under test */
	mode_t at_bind;               /* the file's mode when bind had just made it */
	int connect_at_bind;          /* what a client got at that moment */
	int fail_listen, fail_lchown; /* errno */
} seen;

mode_t __wrap_umask(mode_t mask)
{
	seen.umasks++;
	return __real_umask(mask);
}

int __wrap_bind(int fd, const struct sockaddr *at, socklen_t len)
{
	int rc = __real_bind(fd, at, len);

	if (rc == 0 && at->sa_family == AF_UNIX) {
		const char *path = ((const struct sockaddr_un *)at)->sun_path;

		seen.at_bind = mode_of(path);
		seen.connect_at_bind = try_connect(path);
	}
	return rc;
}

int __wrap_listen(int fd, int backlog)
{
	if (seen.fail_listen != 0) {
		errno = seen.fail_listen;
		return -1;
	}
	return __real_listen(fd, backlog);
}

int __wrap_lchown(const char *path, uid_t uid, gid_t gid)
{
	if (seen.fail_lchown != 0) {
		errno = seen.fail_lchown;
		return -1;
	}
	return __real_lchown(path, uid, gid);
}

static struct listen_options o;
static struct listen_socket s;
static struct diag d;

static int setup(void **state)
{
	memset(&seen, 0, sizeof(seen));
	memset(&d, 0, sizeof(d));
	o = (struct listen_options){.mode = 0600, .group = (gid_t)-1};
	s = (struct listen_socket){.fd = -1};
	return place_make(state);
}

static int teardown(void **state)
{
	listen_close(&s);
	return place_remove(state);
}

static void at(const char *path)
{
	assert_int_equal(addr_unix(&o.addr, path, &d), 0);
}

static void at_tcp(const char *host, long port)
{
	assert_int_equal(addr_tcp(&o.addr, host, port, &d), 0);
}

static void opens(void)
{
	if (listen_open(&s, &o, &d) != 0)
		fail_msg("refused: %s", d.text);
}

static void refuses(int code, const char *words)
{
	assert_int_equal(listen_open(&s, &o, &d), code);
	assert_int_equal(s.fd, -1);
	assert_says(&d, code, words);
}

static void test_listen_makes_a_socket_that_answers_and_removes_it(void **state)
{
	const char *path = in_place("a.sock");

	(void)state;
	at(path);
	opens();
	assert_int_equal(try_connect(path), 0);
	assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(s.fd, F_GETFL) & O_NONBLOCK) != 0);
	listen_close(&s);
	assert_int_equal(s.fd, -1);
	assert_int_equal(try_connect(path), ENOENT);
}

static void test_listen_mode_is_right_from_the_first_moment_on(void **state)
{
	const mode_t modes[] = {0600, 0660, 0666, 0200, 0000};
	mode_t before = __real_umask(0);

	(void)state;
	o.open_to_all = 1;
	for (size_t i = 0; i < 5; i++) {
		at(in_place("a.sock"));
		o.mode = modes[i];
		opens();
		assert_int_equal(seen.at_bind, modes[i]);
		assert_int_equal(mode_of(o.addr.path), modes[i]);
		listen_close(&s);
	}
	__real_umask(before);
}

static void test_listen_nobody_can_connect_before_all_is_set(void **state)
{
	(void)state;
	at(in_place("a.sock"));
	opens();
	assert_int_equal(seen.connect_at_bind, ECONNREFUSED);
}

static void test_listen_leaves_the_umask_alone_and_is_not_narrowed_by_it(void **state)
{
	mode_t before = __real_umask(077);

	(void)state;
	at(in_place("a.sock"));
	o.mode = 0660;
	opens();
	assert_int_equal(seen.umasks, 0);
	assert_int_equal(seen.at_bind, 0600);
	assert_int_equal(mode_of(o.addr.path), 0660);
	assert_int_equal(__real_umask(before), 077);
}

static void test_listen_gives_the_group_nothing_before_it_is_the_right_one(void **state)
{
	struct stat st;
	mode_t before = __real_umask(0);

	(void)state;
	at(in_place("a.sock"));
	o.mode = 0660;
	o.group = geteuid() == 0 ? 50 : getegid();
	opens();
	__real_umask(before);
	assert_int_equal(seen.at_bind, 0600);
	assert_int_equal(lstat(o.addr.path, &st), 0);
	assert_int_equal(st.st_gid, o.group);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void test_listen_refuses_a_mode_for_everybody_unless_rules_say_who(void **state)
{
	(void)state;
	at(in_place("a.sock"));
	o.mode = 0666;
	refuses(PYSTUCK_EUNSAFE, "allow=");
	o.mode = 0602;
	refuses(PYSTUCK_EUNSAFE, "allow=");
	o.mode = 01600;
	refuses(PYSTUCK_EINVAL, "mode");
	assert_int_equal(inode_of(o.addr.path), 0);
}

static void test_listen_leaves_nothing_behind_when_a_step_fails(void **state)
{
	(void)state;
	at(in_place("a.sock"));
	seen.fail_listen = EOPNOTSUPP;
	refuses(PYSTUCK_ESYS, "a.sock");
	assert_int_equal(inode_of(o.addr.path), 0);
	seen.fail_listen = 0;
	seen.fail_lchown = EPERM;
	o.group = 50;
	refuses(PYSTUCK_ESYS, "group 50");
	assert_int_equal(inode_of(o.addr.path), 0);
}

static void test_listen_path_of_107_bytes_works_and_108_is_too_long(void **state)
{
	char path[160];
	size_t head = strlen(in_place(""));

	(void)state;
	memset(path, 'x', sizeof(path));
	memcpy(path, in_place(""), head);
	path[ADDR_PATH_MAX] = '\0';
	at(path);
	opens();
	assert_int_equal(strlen(path), 107);
	assert_int_equal(try_connect(path), 0);
	listen_close(&s);
	path[ADDR_PATH_MAX] = 'x';
	path[ADDR_PATH_MAX + 1] = '\0';
	assert_int_equal(addr_unix(&o.addr, path, &d), PYSTUCK_ETOOBIG);
}

static void test_listen_removes_a_dead_socket_of_its_own(void **state)
{
	const char *path = in_place("a.sock");
	ino_t dead;

	(void)state;
	make_dead_socket(path);
	dead = inode_of(path);
	assert_int_not_equal(dead, 0);
	at(path);
	opens();
	assert_int_equal(try_connect(path), 0);
}

static void survives(const char *path, const char *words)
{
	ino_t before = inode_of(path);

	assert_int_not_equal(before, 0);
	at(path);
	refuses(PYSTUCK_EINUSE, words);
	assert_int_equal(inode_of(path), before);
}

static void test_listen_a_file_survives(void **state)
{
	(void)state;
	make_file("a.sock");
	survives(in_place("a.sock"), "no socket");
}

static void test_listen_a_directory_survives(void **state)
{
	(void)state;
	make_dir("a.sock", 0700);
	survives(in_place("a.sock"), "no socket");
}

static void test_listen_a_symlink_survives_and_so_does_what_it_points_to(void **state)
{
	ino_t target;

	(void)state;
	make_dead_socket(in_place("dead"));
	target = inode_of(in_place("dead"));
	assert_int_equal(symlink(in_place("dead"), in_place("a.sock")), 0);
	survives(in_place("a.sock"), "no socket");
	assert_int_equal(inode_of(in_place("dead")), target);
	assert_int_equal(symlink(in_place("missing"), in_place("b.sock")), 0);
	survives(in_place("b.sock"), "no socket");
	assert_int_equal(inode_of(in_place("missing")), 0);
}

static void test_listen_a_live_server_survives(void **state)
{
	struct listen_socket first;

	(void)state;
	at(in_place("a.sock"));
	opens();
	first = s;
	survives(in_place("a.sock"), "already");
	assert_int_equal(try_connect(o.addr.path), 0);
	s = first;
}

static void test_listen_a_live_server_with_a_full_backlog_survives(void **state)
{
	const char *path = in_place("a.sock");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int listener = bind_at(path, SOCK_STREAM);
	int clients[8];

	(void)state;
	memcpy(to.sun_path, path, strlen(path) + 1);
	assert_int_equal(__real_listen(listener, 0), 0);
	for (size_t i = 0; i < 8; i++) {
		clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(clients[i], (struct sockaddr *)&to, sizeof(to));
	}
	survives(path, "already");
	for (size_t i = 0; i < 8; i++)
		close(clients[i]);
	close(listener);
}

static void test_listen_a_datagram_socket_survives(void **state)
{
	int fd = bind_at(in_place("a.sock"), SOCK_DGRAM);

	(void)state;
	survives(in_place("a.sock"), "already");
	close(fd);
}

static void test_listen_another_owners_dead_socket_survives(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	make_dead_socket(in_place("a.sock"));
	assert_int_equal(__real_lchown(in_place("a.sock"), PLACE_STRANGER, (gid_t)-1), 0);
	survives(in_place("a.sock"), "another user");
}

/* Another process, or one that was stopped in the middle, has the directory locked. */
static void test_listen_does_not_wait_for_ever_for_a_locked_directory(void **state)
{
	int lock = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(flock(lock, LOCK_EX), 0);
	make_dead_socket(in_place("dead"));
	survives(in_place("dead"), "locked");
	/* Where nothing has to be removed the lock does not matter. */
	at(in_place("a.sock"));
	opens();
	assert_int_equal(try_connect(o.addr.path), 0);
	close(lock);
}

static void test_listen_close_leaves_what_has_taken_its_place(void **state)
{
	ino_t other;

	(void)state;
	at(in_place("a.sock"));
	opens();
	assert_int_equal(unlink(o.addr.path), 0);
	make_dead_socket(o.addr.path);
	other = inode_of(o.addr.path);
	listen_close(&s);
	assert_int_equal(inode_of(o.addr.path), other);
}

static void test_listen_a_forked_child_never_removes_the_parents_socket(void **state)
{
	int status = -1;
	pid_t child;

	(void)state;
	at(in_place("a.sock"));
	opens();
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct listen_socket copy = s;

		listen_close(&copy);
		_exit(copy.fd == -1 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(try_connect(o.addr.path), 0);
}

static void test_listen_forget_closes_and_leaves_the_file(void **state)
{
	int fd;

	(void)state;
	at(in_place("a.sock"));
	opens();
	fd = s.fd;
	listen_forget(&s);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_int_not_equal(inode_of(o.addr.path), 0);
}

static void test_listen_without_an_address_is_refused(void **state)
{
	(void)state;
	memset(&o.addr, 0, sizeof(o.addr));
	refuses(PYSTUCK_EINVAL, "address");
}

static void test_listen_tcp_tells_the_port_that_the_kernel_chose(void **state)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	at_tcp("127.0.0.1", 0);
	opens();
	assert_int_not_equal(s.addr.port, 0);
	assert_int_equal(fcntl(s.fd, F_GETFD), FD_CLOEXEC);
	to.sin_port = htons(s.addr.port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	close(fd);
}

static void test_listen_tcp_refuses_a_port_that_is_taken(void **state)
{
	struct listen_socket first;

	(void)state;
	at_tcp("127.0.0.1", 0);
	opens();
	first = s;
	at_tcp("127.0.0.1", first.addr.port);
	refuses(PYSTUCK_EINUSE, "in use");
	listen_close(&first);
	opens();
}

static void test_listen_tcp_binds_to_numeric_addresses_only(void **state)
{
	(void)state;
	at_tcp("localhost", 0);
	assert_true(listen_open(&s, &o, &d) < 0);
	assert_int_equal(s.fd, -1);
}

static void test_listen_tcp_says_when_the_address_is_another_machines(void **state)
{
	(void)state;
	at_tcp("192.0.2.1", 0);
	refuses(PYSTUCK_ESYS, "none of this machine's");
	assert_int_equal(d.sys, EADDRNOTAVAIL);
}

static void test_listen_tcp_speaks_ipv6(void **state)
{
	(void)state;
	at_tcp("::1", 0);
	if (listen_open(&s, &o, &d) != 0)
		skip(); /* no IPv6 here */
	assert_int_not_equal(s.addr.port, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_listen_makes_a_socket_that_answers_and_removes_it),
		T(test_listen_mode_is_right_from_the_first_moment_on),
		T(test_listen_nobody_can_connect_before_all_is_set),
		T(test_listen_leaves_the_umask_alone_and_is_not_narrowed_by_it),
		T(test_listen_gives_the_group_nothing_before_it_is_the_right_one),
		T(test_listen_refuses_a_mode_for_everybody_unless_rules_say_who),
		T(test_listen_leaves_nothing_behind_when_a_step_fails),
		T(test_listen_path_of_107_bytes_works_and_108_is_too_long),
		T(test_listen_removes_a_dead_socket_of_its_own),
		T(test_listen_a_file_survives),
		T(test_listen_a_directory_survives),
		T(test_listen_a_symlink_survives_and_so_does_what_it_points_to),
		T(test_listen_a_live_server_survives),
		T(test_listen_a_live_server_with_a_full_backlog_survives),
		T(test_listen_a_datagram_socket_survives),
		T(test_listen_another_owners_dead_socket_survives),
		T(test_listen_does_not_wait_for_ever_for_a_locked_directory),
		T(test_listen_close_leaves_what_has_taken_its_place),
		T(test_listen_a_forked_child_never_removes_the_parents_socket),
		T(test_listen_forget_closes_and_leaves_the_file),
		T(test_listen_without_an_address_is_refused),
		T(test_listen_tcp_tells_the_port_that_the_kernel_chose),
		T(test_listen_tcp_refuses_a_port_that_is_taken),
		T(test_listen_tcp_binds_to_numeric_addresses_only),
		T(test_listen_tcp_says_when_the_address_is_another_machines),
		T(test_listen_tcp_speaks_ipv6),
	};

	alarm(100);
	return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
