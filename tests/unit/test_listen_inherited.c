/*
 * test_listen_inherited.c: sockets that systemd hands over. Each case runs in a child, because the
 * fds start at 3 and the environment names the pid.
 */
#include "listen.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/wait.h>

#include "place.h"

static struct listen_socket s;
static struct diag d;

/* In the child cmocka has no say: a failed expectation is a line number. */
static void expect(int holds, int line)
{
	if (!holds) {
		dprintf(STDERR_FILENO, "test_listen_inherited.c:%d: not so (\"%s\")\n", line,
			d.text);
		_exit(1);
	}
}
#define EXPECT(e) expect((e), __LINE__)

static void in_child(void (*what)(void))
{
	int status = -1;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		what();
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Puts fd in its place as systemd does: not CLOEXEC, blocking. */
static void hand_over(int fd, int place_of_it)
{
	EXPECT(dup2(fd, place_of_it) == place_of_it);
}

static void environment(const char *fds, const char *names)
{
	char pid[16];

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", fds, 1);
	setenv("LISTEN_FDNAMES", names, 1);
}

static int unix_listener(const char *name, mode_t mode)
{
	int fd = bind_at(in_place(name), SOCK_STREAM);

	/* Out of the way of the places that tests use. */
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	EXPECT(chmod(in_place(name), mode) == 0);
	EXPECT(listen(fd, 5) == 0);
	return fd;
}

static int tcp_listener(int family)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in four = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = family == AF_INET6 ? bind(fd, (struct sockaddr *)&six, sizeof(six))
				    : bind(fd, (struct sockaddr *)&four, sizeof(four));

	if (rc != 0 || listen(fd, 5) != 0)
		return -1;
	return fcntl(fd, F_DUPFD_CLOEXEC, 100);
}

static int take(int open_to_all)
{
	memset(&d, 0, sizeof(d));
	return listen_inherited(&s, "pystuck", open_to_all, &d);
}

static void takes_the_named_one(void)
{
	int other = unix_listener("other.sock", 0600);
	int ours = unix_listener("ours.sock", 0600);

	hand_over(other, 3);
	hand_over(ours, 4);
	hand_over(other, 5);
	environment("3", "http:pystuck:pystuck2");
	EXPECT(take(0) == 1);
	EXPECT(s.inherited == 1 && s.fd >= 0);
	EXPECT(s.addr.kind == ADDR_UNIX && strcmp(s.addr.path, in_place("ours.sock")) == 0);
	EXPECT(fcntl(s.fd, F_GETFD) == FD_CLOEXEC);
	EXPECT((fcntl(s.fd, F_GETFL) & O_NONBLOCK) != 0);
	EXPECT(fcntl(4, F_GETFD) == FD_CLOEXEC);
	/* The others are as they were. */
	EXPECT(fcntl(3, F_GETFD) == 0 && (fcntl(3, F_GETFL) & O_NONBLOCK) == 0);
	EXPECT(fcntl(5, F_GETFD) == 0);
	EXPECT(strcmp(getenv("LISTEN_FDS"), "3") == 0);
	EXPECT(getenv("LISTEN_PID") != NULL);
	EXPECT(strcmp(getenv("LISTEN_FDNAMES"), "http:pystuck:pystuck2") == 0);
	/* Closed and taken again: the file and the original stay. */
	listen_close(&s);
	EXPECT(try_connect(in_place("ours.sock")) == 0);
	EXPECT(take(0) == 1);
	EXPECT(try_connect(s.addr.path) == 0);
}

static void test_listen_inherited_takes_the_named_one_and_leaves_the_rest_alone(void **state)
{
	(void)state;
	in_child(takes_the_named_one);
}

static void is_nobody_elses(void)
{
	char pid[16];

	hand_over(unix_listener("ours.sock", 0600), 3);
	environment("1", "pystuck");
	(void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
	setenv("LISTEN_PID", pid, 1);
	EXPECT(take(0) == 0 && s.fd == -1);
	setenv("LISTEN_PID", "", 1);
	EXPECT(take(0) == 0);
	setenv("LISTEN_PID", "99999999999999999999", 1);
	EXPECT(take(0) == 0);
	(void)snprintf(pid, sizeof(pid), " %d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	EXPECT(take(0) == 0);
	unsetenv("LISTEN_PID");
	EXPECT(take(0) == 0);
	EXPECT(fcntl(3, F_GETFD) == 0);
}

static void test_listen_inherited_with_another_pid_is_not_ours(void **state)
{
	(void)state;
	in_child(is_nobody_elses);
}

static void counts(void)
{
	const char *bad[] = {"257", "99999999999999999999", "-1", "1x", "", "0x1", " 1"};

	hand_over(unix_listener("ours.sock", 0600), 3);
	environment("0", "pystuck");
	EXPECT(take(0) == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		environment(bad[i], "pystuck");
		EXPECT(take(0) == PYSTUCK_EINVAL && s.fd == -1);
		EXPECT(strstr(d.text, "LISTEN_FDS") != NULL);
	}
	unsetenv("LISTEN_FDS");
	EXPECT(take(0) == 0);
	environment("1", "other:pystuck");
	EXPECT(take(0) == PYSTUCK_EINVAL);
}

static void test_listen_inherited_refuses_a_count_that_is_none_or_huge(void **state)
{
	(void)state;
	in_child(counts);
}

static void names(void)
{
	const char *none[] = {"", ":", "pystuc", "pystuckx", "other", "unknown"};

	hand_over(unix_listener("ours.sock", 0600), 3);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		environment("1", none[i]);
		EXPECT(take(0) == 0);
	}
	unsetenv("LISTEN_FDNAMES");
	EXPECT(take(0) == 0);
}

static void test_listen_inherited_takes_nothing_without_its_name(void **state)
{
	(void)state;
	in_child(names);
}

static void kinds(void)
{
	int fds[2];
	int fd = bind_at(in_place("datagram"), SOCK_DGRAM);

	environment("1", "pystuck");
	hand_over(fd, 3);
	EXPECT(take(0) == PYSTUCK_EINVAL && s.fd == -1);
	EXPECT(strstr(d.text, "ListenStream") != NULL);
	EXPECT(pipe(fds) == 0);
	hand_over(fds[0], 3);
	EXPECT(take(0) == PYSTUCK_EINVAL);
	/* A connection (Accept=yes), and a socket that does not listen. */
	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	hand_over(fds[0], 3);
	EXPECT(take(0) == PYSTUCK_EINVAL);
	hand_over(bind_at(in_place("bound"), SOCK_STREAM), 3);
	EXPECT(take(0) == PYSTUCK_EINVAL);
	close(3);
	EXPECT(take(0) == PYSTUCK_EINVAL);
}

static void test_listen_inherited_refuses_what_is_no_listening_stream_socket(void **state)
{
	(void)state;
	in_child(kinds);
}

static void modes(void)
{
	hand_over(unix_listener("open.sock", 0666), 3);
	environment("1", "pystuck");
	EXPECT(take(0) == PYSTUCK_EUNSAFE && s.fd == -1);
	EXPECT(strstr(d.text, "SocketMode=") != NULL);
	EXPECT(take(1) == 1);
	listen_close(&s);
	EXPECT(chmod(in_place("open.sock"), 0660) == 0);
	EXPECT(take(0) == 1);
}

static void test_listen_inherited_open_to_all_needs_rules(void **state)
{
	(void)state;
	in_child(modes);
}

static void abstract(void)
{
	struct sockaddr at = {.sa_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	EXPECT(bind(fd, &at, sizeof(at.sa_family)) == 0);
	EXPECT(listen(fd, 5) == 0);
	hand_over(fd, 3);
	environment("1", "pystuck");
	EXPECT(take(1) == PYSTUCK_EUNSAFE);
}

static void test_listen_inherited_refuses_an_abstract_socket(void **state)
{
	(void)state;
	in_child(abstract);
}

static void replaced(void)
{
	hand_over(unix_listener("ours.sock", 0600), 3);
	environment("1", "pystuck");
	EXPECT(unlink(in_place("ours.sock")) == 0);
	EXPECT(take(0) == PYSTUCK_ESYS);
	EXPECT(symlink("/dev/null", in_place("ours.sock")) == 0);
	EXPECT(take(0) == PYSTUCK_EUNSAFE);
}

static void test_listen_inherited_refuses_when_something_else_lies_at_the_path(void **state)
{
	(void)state;
	in_child(replaced);
}

static void tcp(void)
{
	int six = tcp_listener(AF_INET6);

	hand_over(tcp_listener(AF_INET), 3);
	environment("1", "pystuck");
	EXPECT(take(0) == 1);
	EXPECT(s.addr.kind == ADDR_TCP && strcmp(s.addr.host, "127.0.0.1") == 0);
	EXPECT(s.addr.port != 0);
	listen_close(&s);
	if (six < 0)
		return; /* no IPv6 here */
	hand_over(six, 3);
	EXPECT(take(0) == 1);
	EXPECT(s.addr.kind == ADDR_TCP && strcmp(s.addr.host, "::1") == 0);
}

static void test_listen_inherited_takes_tcp_too(void **state)
{
	(void)state;
	in_child(tcp);
}

#define T(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_listen_inherited_takes_the_named_one_and_leaves_the_rest_alone),
		T(test_listen_inherited_with_another_pid_is_not_ours),
		T(test_listen_inherited_refuses_a_count_that_is_none_or_huge),
		T(test_listen_inherited_takes_nothing_without_its_name),
		T(test_listen_inherited_refuses_what_is_no_listening_stream_socket),
		T(test_listen_inherited_open_to_all_needs_rules),
		T(test_listen_inherited_refuses_an_abstract_socket),
		T(test_listen_inherited_refuses_when_something_else_lies_at_the_path),
		T(test_listen_inherited_takes_tcp_too),
	};

	alarm(60);
	return cmocka_run_group_tests_name("listen_inherited", tests, NULL, NULL);
}
