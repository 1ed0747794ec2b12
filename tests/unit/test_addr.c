/*
 * test_addr.c: claims about wire/addr.c: what is an address, what is not, and how it is printed.
 * LINK: -Wl,--wrap=getaddrinfo
 */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "addr.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int asked_flags; /* of the last getaddrinfo */

int __real_getaddrinfo(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
	asked_flags = hints->ai_flags;
	return __real_getaddrinfo(host, port, hints, list);
}

static void assert_unix_fails(const char *path, int code)
{
	struct diag d = {.code = 0};
	struct addr a;

	assert_int_equal(addr_unix(&a, path, &d), code);
	assert_int_equal(d.code, code);
	assert_true(d.text[0] != '\0');
	assert_int_equal(a.kind, ADDR_NONE);
	assert_int_equal(addr_unix(&a, path, NULL), code);
}

static void assert_tcp_fails(const char *host, long port, int code)
{
	struct diag d = {.code = 0};
	struct addr a;

	assert_int_equal(addr_tcp(&a, host, port, &d), code);
	assert_int_equal(d.code, code);
	assert_true(d.text[0] != '\0');
	assert_int_equal(a.kind, ADDR_NONE);
}

static void test_addr_unix_keeps_an_absolute_path(void **state)
{
	struct addr a;

	(void)state;
	assert_int_equal(addr_unix(&a, "/run/app/pystuck.sock", NULL), 0);
	assert_int_equal(a.kind, ADDR_UNIX);
	assert_string_equal(a.path, "/run/app/pystuck.sock");
	assert_int_equal(addr_unix(&a, "/a b/\xc3\xa9", NULL), 0);
	assert_string_equal(a.path, "/a b/\xc3\xa9");
}

static void test_addr_unix_makes_a_relative_path_absolute(void **state)
{
	char cwd[4096], expected[4200];
	struct addr a;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof cwd));
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(addr_unix(&a, "x/y.sock", NULL), 0);
	assert_non_null(getcwd(expected, sizeof expected - 20));
	strcat(expected, "/x/y.sock");
	assert_string_equal(a.path, expected);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(addr_unix(&a, "y.sock", NULL), 0);
	assert_string_equal(a.path, "/y.sock");
	assert_int_equal(chdir(cwd), 0);
}

static int relative_in_a_lost_directory(void)
{
	char lost[] = "/tmp/pystuck-test-XXXXXX";
	struct diag d;
	struct addr a;

	if (!mkdtemp(lost) || chdir(lost) || rmdir(lost))
		return 100;
	if (addr_unix(&a, "x", &d) != PYSTUCK_ESYS || d.sys != ENOENT)
		return 1;
	return addr_unix(&a, "/x", &d);
}

static void test_addr_unix_survives_a_lost_working_directory(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		alarm(20);
		_exit(relative_in_a_lost_directory());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void test_addr_unix_puts_the_pid_in(void **state)
{
	char expected[128];
	struct addr a;

	(void)state;
	assert_int_equal(addr_unix(&a, "/run/{pid}/x-{pid}.sock", NULL), 0);
	snprintf(expected, sizeof expected, "/run/%d/x-%d.sock", (int)getpid(), (int)getpid());
	assert_string_equal(a.path, expected);
}

static void test_addr_unix_refuses_other_words_in_braces(void **state)
{
	static const char *const bad[] = {"/run/{name}.sock", "/run/{PID}.sock", "/run/{pid }.sock",
		"/run/{}.sock", "/run/{pid}{x}", "{user}", "/run/{pid:05}", "/run/{{pid}}/{x}"};
	struct diag d;
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_unix_fails(bad[i], PYSTUCK_EINVAL);
	assert_int_equal(addr_unix(&a, "/run/{na\x1bme}.sock", &d), PYSTUCK_EINVAL);
	assert_string_equal(
		d.text, "socket path: {na\\x1bme} means nothing here; only {pid} is replaced");
}

static void test_addr_unix_lets_lone_braces_be(void **state)
{
	static const char *const good[] = {
		"/run/a{b", "/run/a}b", "/run/}{", "/run/{a/b}", "/run/{"};
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good); i++) {
		assert_int_equal(addr_unix(&a, good[i], NULL), 0);
		assert_string_equal(a.path, good[i]);
	}
}

static void test_addr_unix_refuses_an_empty_path(void **state)
{
	(void)state;
	assert_unix_fails("", PYSTUCK_EINVAL);
	assert_unix_fails(NULL, PYSTUCK_EINVAL);
}

static void test_addr_unix_takes_107_bytes_and_not_one_more(void **state)
{
	char path[200], with_pid[200];
	struct addr a;
	int n;

	(void)state;
	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[107] = '\0';
	assert_int_equal(addr_unix(&a, path, NULL), 0);
	assert_string_equal(a.path, path);
	path[107] = 'x';
	path[108] = '\0';
	assert_unix_fails(path, PYSTUCK_ETOOBIG);

	/* It is the length after {pid} was replaced that counts. */
	n = snprintf(NULL, 0, "%d", (int)getpid());
	memset(path, 'x', sizeof path);
	path[0] = '/';
	path[107 - n] = '\0';
	snprintf(with_pid, sizeof with_pid, "%s{pid}", path);
	assert_int_equal(addr_unix(&a, with_pid, NULL), 0);
	assert_int_equal(strlen(a.path), 107);
	path[107 - n] = 'x';
	path[108 - n] = '\0';
	snprintf(with_pid, sizeof with_pid, "%s{pid}", path);
	assert_unix_fails(with_pid, PYSTUCK_ETOOBIG);
}

static void test_addr_unix_counts_the_working_directory(void **state)
{
	char cwd[4096], name[120];
	struct addr a;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof cwd));
	assert_int_equal(chdir("/dev"), 0);
	memset(name, 'x', sizeof name);
	name[107 - 5] = '\0';
	assert_int_equal(addr_unix(&a, name, NULL), 0);
	assert_int_equal(strlen(a.path), 107);
	name[107 - 5] = 'x';
	name[108 - 5] = '\0';
	assert_unix_fails(name, PYSTUCK_ETOOBIG);
	assert_int_equal(chdir(cwd), 0);
}

static void test_addr_unix_says_how_long_the_path_was(void **state)
{
	char path[5000];
	struct diag d;
	struct addr a;

	(void)state;
	memset(path, '\x1b', sizeof path);
	path[0] = '/';
	path[4321] = '\0';
	assert_int_equal(addr_unix(&a, path, &d), PYSTUCK_ETOOBIG);
	assert_non_null(strstr(d.text, "4321 bytes"));
	assert_non_null(strstr(d.text, "at most 107"));
	assert_null(strchr(d.text, '\x1b'));
}

static void test_addr_tcp_takes_hosts_and_ports(void **state)
{
	static const struct {
		const char *host;
		long port;
		const char *stored, *shown;
	} good[] = {
		{"127.0.0.1", 6666, "127.0.0.1", "127.0.0.1:6666"},
		{"localhost", 1, "localhost", "localhost:1"},
		{"::1", 65535, "::1", "[::1]:65535"},
		{"[::1]", 6666, "::1", "[::1]:6666"},
		{"fe80::1%lo", 0, "fe80::1%lo", "[fe80::1%lo]:0"},
	};
	char text[ADDR_TEXT];
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good); i++) {
		assert_int_equal(addr_tcp(&a, good[i].host, good[i].port, NULL), 0);
		assert_int_equal(a.kind, ADDR_TCP);
		assert_string_equal(a.host, good[i].stored);
		assert_int_equal(a.port, good[i].port);
		assert_ptr_equal(addr_format(&a, text), text);
		assert_string_equal(text, good[i].shown);
	}
}

static void test_addr_tcp_refuses_what_is_no_host(void **state)
{
	char host[300];
	struct addr a;

	(void)state;
	assert_tcp_fails("", 1, PYSTUCK_EINVAL);
	assert_tcp_fails(NULL, 1, PYSTUCK_EINVAL);
	assert_tcp_fails("a b", 1, PYSTUCK_EINVAL);
	assert_tcp_fails("a\n", 1, PYSTUCK_EINVAL);
	assert_tcp_fails("a\x1b[2J", 1, PYSTUCK_EINVAL);
	assert_tcp_fails("a\x7f", 1, PYSTUCK_EINVAL);
	memset(host, 'h', sizeof host);
	host[256] = '\0';
	assert_tcp_fails(host, 1, PYSTUCK_ETOOBIG);
	host[255] = '\0';
	assert_int_equal(addr_tcp(&a, host, 1, NULL), 0);
	assert_string_equal(a.host, host);
}

static void test_addr_tcp_refuses_ports_out_of_range(void **state)
{
	(void)state;
	assert_tcp_fails("127.0.0.1", -1, PYSTUCK_EINVAL);
	assert_tcp_fails("127.0.0.1", 65536, PYSTUCK_EINVAL);
	assert_tcp_fails("127.0.0.1", 65536 + 80, PYSTUCK_EINVAL);
	assert_tcp_fails("127.0.0.1", LONG_MAX, PYSTUCK_EINVAL);
	assert_tcp_fails("127.0.0.1", LONG_MIN, PYSTUCK_EINVAL);
}

static void test_addr_parse_port_takes_digits_only(void **state)
{
	static const char *const bad[] = {"", "0", "65536", "-1", "+1", " 1", "1 ", "0x10", "1e3",
		"80a", "\xd9\xa1", "18446744073709551617", "99999999999999999999999999", "1\n",
		"http"};
	static const struct {
		const char *text;
		uint16_t port;
	} good[] = {{"1", 1}, {"6666", 6666}, {"65535", 65535}, {"0080", 80}};
	struct diag d;
	uint16_t port;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		port = 7;
		d.text[0] = '\0';
		assert_int_equal(addr_parse_port(bad[i], &port, &d), PYSTUCK_EINVAL);
		assert_int_equal(port, 7);
		assert_true(d.text[0] != '\0');
	}
	assert_int_equal(addr_parse_port(NULL, &port, NULL), PYSTUCK_EINVAL);
	for (i = 0; i < COUNT(good); i++) {
		assert_int_equal(addr_parse_port(good[i].text, &port, NULL), 0);
		assert_int_equal(port, good[i].port);
	}
	assert_int_equal(addr_parse_port("80\x1b", &port, &d), PYSTUCK_EINVAL);
	assert_string_equal(d.text, "port '80\\x1b': not a number; must be from 1 to 65535");
}

static void test_addr_resolve_takes_numeric_addresses(void **state)
{
	struct sockaddr_storage ss;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	socklen_t len;
	struct addr a;
	int numeric;

	(void)state;
	for (numeric = 0; numeric <= 1; numeric++) {
		assert_int_equal(addr_tcp(&a, "127.0.0.2", 6666, NULL), 0);
		assert_int_equal(addr_resolve(&a, numeric, &ss, &len, NULL), 0);
		assert_int_equal(len, sizeof in);
		memcpy(&in, &ss, sizeof in);
		assert_int_equal(in.sin_family, AF_INET);
		assert_int_equal(ntohl(in.sin_addr.s_addr), 0x7f000002);
		assert_int_equal(ntohs(in.sin_port), 6666);

		assert_int_equal(addr_tcp(&a, "[::1]", 65535, NULL), 0);
		assert_int_equal(addr_resolve(&a, numeric, &ss, &len, NULL), 0);
		assert_int_equal(len, sizeof in6);
		memcpy(&in6, &ss, sizeof in6);
		assert_int_equal(in6.sin6_family, AF_INET6);
		assert_memory_equal(&in6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback);
		assert_int_equal(ntohs(in6.sin6_port), 65535);
	}
}

static void test_addr_resolve_numeric_only_refuses_names_and_slips(void **state)
{
	static const char *const bad[] = {"localhost", "example.org", "1", "127.1", "0x7f000001",
		"010.0.0.1", "127.0.0.1.", "256.0.0.1", "::g", "0", "1.2.3.4:5"};
	struct sockaddr_storage ss;
	socklen_t len;
	struct diag d;
	struct addr a;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		assert_int_equal(addr_tcp(&a, bad[i], 6666, NULL), 0);
		assert_int_equal(addr_resolve(&a, 1, &ss, &len, &d), PYSTUCK_EINVAL);
		assert_non_null(strstr(d.text, "not a numeric address"));
		assert_true(asked_flags & AI_NUMERICHOST); /* nobody was asked for a name */
	}
}

static void test_addr_resolve_looks_names_up_for_clients(void **state)
{
	struct sockaddr_storage ss;
	socklen_t len;
	struct diag d;
	struct addr a;

	(void)state;
	assert_int_equal(addr_tcp(&a, "localhost", 6666, NULL), 0);
	assert_int_equal(addr_resolve(&a, 0, &ss, &len, NULL), 0);
	assert_true(ss.ss_family == AF_INET || ss.ss_family == AF_INET6);
	assert_false(asked_flags & AI_NUMERICHOST);
	/* No label may begin so: refused without asking anybody. */
	assert_int_equal(addr_tcp(&a, "-.invalid..", 6666, NULL), 0);
	assert_int_equal(addr_resolve(&a, 0, &ss, &len, &d), PYSTUCK_ENOENT);
	assert_non_null(strstr(d.text, "host -.invalid..:"));
}

static void test_addr_resolve_gives_a_unix_address(void **state)
{
	struct sockaddr_storage ss;
	struct sockaddr_un un;
	char longest[108];
	socklen_t len;
	struct addr a;

	(void)state;
	assert_int_equal(addr_unix(&a, "/run/x.sock", NULL), 0);
	assert_int_equal(addr_resolve(&a, 1, &ss, &len, NULL), 0);
	memcpy(&un, &ss, sizeof un);
	assert_int_equal(un.sun_family, AF_UNIX);
	assert_string_equal(un.sun_path, "/run/x.sock");
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + strlen("/run/x.sock") + 1);
	memset(longest, 'x', sizeof longest);
	longest[0] = '/';
	longest[107] = '\0';
	assert_int_equal(addr_unix(&a, longest, NULL), 0);
	assert_int_equal(addr_resolve(&a, 0, &ss, &len, NULL), 0);
	assert_int_equal(len, sizeof un);
}

static void test_addr_resolve_refuses_no_address(void **state)
{
	struct addr a = {.kind = ADDR_NONE};
	struct sockaddr_storage ss;
	char text[ADDR_TEXT];
	socklen_t len;

	(void)state;
	assert_int_equal(addr_resolve(&a, 0, &ss, &len, NULL), PYSTUCK_EINVAL);
	assert_string_equal(addr_format(&a, text), "no address");
}

static void test_addr_format_is_safe_for_a_terminal(void **state)
{
	struct addr a = {.kind = ADDR_TCP, .port = 65535};
	char text[ADDR_TEXT];
	size_t i;

	(void)state;
	assert_int_equal(addr_unix(&a, "/run/\x1b[2J\xe2\x80\xae", NULL), 0);
	assert_string_equal(addr_format(&a, text), "/run/\\x1b[2J\\u202e");
	/* Text that grows when it is made safe is cut, and the port is still there. */
	a.kind = ADDR_TCP;
	a.port = 65535;
	memset(a.host, '\x9b', sizeof a.host - 1);
	a.host[sizeof a.host - 1] = '\0';
	addr_format(&a, text);
	assert_true(strlen(text) < ADDR_TEXT);
	assert_string_equal(text + strlen(text) - 6, ":65535");
	a.host[0] = ':';
	addr_format(&a, text);
	assert_string_equal(text + strlen(text) - 7, "]:65535");
	memset(a.path, '\x1b', sizeof a.path - 1);
	a.path[sizeof a.path - 1] = '\0';
	a.kind = ADDR_UNIX;
	addr_format(&a, text);
	for (i = 0; text[i]; i++)
		assert_true(text[i] >= 0x20 && text[i] < 0x7f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr_unix_keeps_an_absolute_path),
		cmocka_unit_test(test_addr_unix_makes_a_relative_path_absolute),
		cmocka_unit_test(test_addr_unix_survives_a_lost_working_directory),
		cmocka_unit_test(test_addr_unix_puts_the_pid_in),
		cmocka_unit_test(test_addr_unix_refuses_other_words_in_braces),
		cmocka_unit_test(test_addr_unix_lets_lone_braces_be),
		cmocka_unit_test(test_addr_unix_refuses_an_empty_path),
		cmocka_unit_test(test_addr_unix_takes_107_bytes_and_not_one_more),
		cmocka_unit_test(test_addr_unix_counts_the_working_directory),
		cmocka_unit_test(test_addr_unix_says_how_long_the_path_was),
		cmocka_unit_test(test_addr_tcp_takes_hosts_and_ports),
		cmocka_unit_test(test_addr_tcp_refuses_what_is_no_host),
		cmocka_unit_test(test_addr_tcp_refuses_ports_out_of_range),
		cmocka_unit_test(test_addr_parse_port_takes_digits_only),
		cmocka_unit_test(test_addr_resolve_takes_numeric_addresses),
		cmocka_unit_test(test_addr_resolve_numeric_only_refuses_names_and_slips),
		cmocka_unit_test(test_addr_resolve_looks_names_up_for_clients),
		cmocka_unit_test(test_addr_resolve_gives_a_unix_address),
		cmocka_unit_test(test_addr_resolve_refuses_no_address),
		cmocka_unit_test(test_addr_format_is_safe_for_a_terminal),
	};

	alarm(100);
	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
