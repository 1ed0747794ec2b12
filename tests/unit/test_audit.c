/*
 * test_audit.c: how many events are logged, what is told of the others, and the sockets of the
 * system's log, played by the test. What an event looks like is test_audit_text.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../src/auth/audit_private.h"
#include "error.h"

#define SECOND 1000000000ull
#define NOW (1000 * SECOND)
#define EVENTS 1000u

static char dir[64];
static char journal[96], devlog[96];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/pystuck-audit-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(journal, sizeof(journal), "%s/journal", dir);
	(void)snprintf(devlog, sizeof(devlog), "%s/log", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(journal);
	(void)unlink(devlog);
	return rmdir(dir);
}

/* A daemon's socket. */
static int serve(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)unlink(path);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* The next datagram as a string, "" when there is none. */
static const char *hear(int fd)
{
	static char text[AUDIT_DATAGRAM_MAX + 1];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = '?'; /* of the lengths */
	return text;
}

static void hears(int fd, const char *words)
{
	const char *text = hear(fd);

	if (strstr(text, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", text, words);
}

static void hears_nothing(int fd)
{
	assert_string_equal(hear(fd), "");
}

static struct audit_event event(enum audit_action action)
{
	return (struct audit_event){
		.action = action, .session = 7, .uid = 1000, .pid = 4242, .role = ROLE_EVAL};
}

static int put(struct audit *a, enum audit_action action, uint64_t now)
{
	struct audit_event e = event(action);

	return audit_put(a, &e, now);
}

/* ---- how many ---------------------------------------------------------------------------------- */

static struct {
	unsigned count[AUDIT_ACTIONS];
	uint64_t lost;
	char reason[128];
	char listener[64];
	int refuse;
} heard;

static int note(void *context, const struct audit_event *e)
{
	assert_ptr_equal(context, &heard);
	if (heard.refuse)
		return PYSTUCK_EAGAIN;
	heard.count[e->action]++;
	(void)snprintf(heard.listener, sizeof(heard.listener), "%s", e->listener);
	if (e->action == AUDIT_LOST) {
		heard.lost += e->lost;
		(void)snprintf(heard.reason, sizeof(heard.reason), "%.*s", (int)e->reason.len,
			(const char *)e->reason.data);
	}
	return 0;
}

static struct audit *listening(void)
{
	struct audit *a;

	memset(&heard, 0, sizeof(heard));
	a = audit_call("/run/app.sock", note, &heard);
	assert_non_null(a);
	return a;
}

static void test_audit_a_flood_of_strangers_is_bounded_and_one_line_counts_the_rest(void **state)
{
	struct audit *a = listening();

	(void)state;
	for (unsigned i = 0; i < EVENTS; i++)
		assert_int_equal(put(a, AUDIT_REFUSE, NOW + i), 0);
	assert_int_equal(heard.count[AUDIT_REFUSE], AUDIT_STRANGERS_PER_S);
	assert_int_equal(heard.count[AUDIT_LOST], 0);
	/* Clients are not drowned by it. */
	assert_int_equal(put(a, AUDIT_OPEN, NOW), 0);
	assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
	assert_int_equal(heard.count[AUDIT_OPEN] + heard.count[AUDIT_EVAL], 2);
	/* Told when the second is over, also when nothing more happens. */
	assert_int_equal(audit_deadline(a), NOW + SECOND);
	audit_tick(a, NOW + SECOND - 1);
	assert_int_equal(heard.count[AUDIT_LOST], 0);
	audit_tick(a, NOW + SECOND);
	assert_int_equal(heard.count[AUDIT_LOST], 1);
	assert_int_equal(heard.lost, EVENTS - AUDIT_STRANGERS_PER_S);
	assert_non_null(strstr(heard.reason, "strangers"));
	assert_int_equal(audit_deadline(a), UINT64_MAX);
	audit_tick(a, NOW + 9 * SECOND);
	assert_int_equal(heard.count[AUDIT_LOST], 1);
	assert_string_equal(heard.listener, "/run/app.sock");
	audit_free(a);
}

static void test_audit_ten_seconds_of_flood_are_ten_times_as_much_and_not_more(void **state)
{
	struct audit *a = listening();

	(void)state;
	for (unsigned i = 0; i < 10 * EVENTS; i++)
		(void)put(a, i % 2 ? AUDIT_CONNECT : AUDIT_REFUSE, NOW + i * (SECOND / EVENTS));
	audit_free(a);
	assert_int_equal(heard.count[AUDIT_CONNECT] + heard.count[AUDIT_REFUSE],
		10 * AUDIT_STRANGERS_PER_S);
	assert_int_equal(heard.count[AUDIT_LOST], 10);
	assert_int_equal(heard.lost, 10 * (EVENTS - AUDIT_STRANGERS_PER_S));
}

static void test_audit_no_evaluation_is_ever_left_out(void **state)
{
	struct audit *a = listening();

	(void)state;
	for (unsigned i = 0; i < EVENTS; i++) {
		assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
		assert_int_equal(put(a, AUDIT_VETO, NOW), 0);
		assert_int_equal(put(a, AUDIT_DENY, NOW), 0);
	}
	assert_int_equal(heard.count[AUDIT_EVAL], EVENTS);
	assert_int_equal(heard.count[AUDIT_VETO], EVENTS);
	assert_int_equal(heard.count[AUDIT_DENY], AUDIT_CLIENTS_PER_S);
	audit_free(a);
	assert_int_equal(heard.lost, EVENTS - AUDIT_CLIENTS_PER_S);
}

static void test_audit_what_a_function_does_not_take_is_told_with_the_next(void **state)
{
	struct audit *a = listening();

	(void)state;
	heard.refuse = 1;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(put(a, AUDIT_EVAL, NOW), PYSTUCK_EAGAIN);
	heard.refuse = 0;
	assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
	assert_int_equal(heard.count[AUDIT_LOST], 1);
	assert_int_equal(heard.count[AUDIT_EVAL], 1);
	assert_int_equal(heard.lost, 5);
	/* Also what was left out, when its line could not be handed over. */
	for (unsigned i = 0; i < EVENTS; i++)
		(void)put(a, AUDIT_REFUSE, NOW);
	heard.refuse = 1;
	audit_tick(a, NOW + SECOND);
	heard.refuse = 0;
	audit_free(a);
	assert_int_equal(heard.lost, 5 + EVENTS - AUDIT_STRANGERS_PER_S);
}

static void test_audit_without_a_log_all_is_well(void **state)
{
	(void)state;
	assert_int_equal(put(NULL, AUDIT_EVAL, NOW), 0);
	assert_int_equal(audit_deadline(NULL), UINT64_MAX);
	audit_tick(NULL, NOW);
	audit_free(NULL);
	audit_forget(NULL);
}

/* ---- the system's log -------------------------------------------------------------------------- */

static void test_audit_goes_to_the_journal_where_there_is_one(void **state)
{
	int j = serve(journal), d = serve(devlog);
	struct audit *a = audit_syslog_at("/run/app.sock", journal, devlog);

	(void)state;
	assert_int_equal(put(a, AUDIT_OPEN, NOW), 0);
	hears(j, "\nPYSTUCK_ACTION=open\n");
	hears_nothing(d);
	audit_free(a);
	hears_nothing(j);
	close(j);
	close(d);
}

static void test_audit_goes_to_dev_log_where_there_is_no_journal(void **state)
{
	int d = serve(devlog);
	struct audit *a = audit_syslog_at("/run/app.sock", journal, devlog);
	char start[64];

	(void)state;
	(void)snprintf(start, sizeof(start), "<85>pystuck[%ld]: open: uid 1000, pid 4242, role eval", (long)getpid());
	assert_int_equal(put(a, AUDIT_OPEN, NOW), 0);
	hears(d, start);
	audit_free(a);
	close(d);
}

/* The daemon that now serves hears first what was lost. */
static void goes_on(struct audit *a, int daemon, const char *lost)
{
	assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
	hears(daemon, lost);
	hears(daemon, "\nPYSTUCK_ACTION=eval\n");
}

static void test_audit_where_there_is_no_log_it_is_counted_and_told_when_there_is(void **state)
{
	struct audit *a = audit_syslog_at("/run/app.sock", journal, devlog);
	int j;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(put(a, AUDIT_EVAL, NOW), PYSTUCK_ECLOSED);
	j = serve(journal);
	goes_on(a, j, "\nPYSTUCK_LOST=3\n");
	audit_free(a);
	close(j);
}

static void test_audit_a_daemon_that_was_started_anew_is_found(void **state)
{
	int j = serve(journal);
	struct audit *a = audit_syslog_at("/run/app.sock", journal, devlog);

	(void)state;
	assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
	close(j);
	assert_int_equal(put(a, AUDIT_EVAL, NOW), PYSTUCK_ECLOSED);
	j = serve(journal);
	goes_on(a, j, "\nPYSTUCK_LOST=1\n");
	close(j);
	j = serve(journal);
	assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
	hears(j, "\nPYSTUCK_ACTION=eval\n");
	audit_free(a);
	close(j);
}

static void test_audit_a_log_that_nobody_reads_never_blocks(void **state)
{
	int j = serve(journal);
	struct audit *a = audit_syslog_at("/run/app.sock", journal, devlog);
	unsigned sent = 0, lost = 0, got = 0;
	char line[64];

	(void)state;
	/* It would hang here, and the test be ended by its time limit. */
	for (unsigned i = 0; i < 20000; i++) {
		int rc = put(a, AUDIT_EVAL, NOW);

		assert_true(rc == 0 || rc == PYSTUCK_EAGAIN);
		sent += rc == 0;
		lost += rc != 0;
	}
	assert_true(sent > 0 && lost > 0);
	while (hear(j)[0] != '\0')
		got++;
	assert_int_equal(got, sent);
	assert_int_equal(put(a, AUDIT_EVAL, NOW), 0);
	(void)snprintf(line, sizeof(line), "\nPYSTUCK_LOST=%u\n", lost);
	hears(j, line);
	hears(j, "\nPYSTUCK_ACTION=eval\n");
	audit_free(a);
	close(j);
}

static void test_audit_never_writes_into_or_closes_what_has_its_number_now(void **state)
{
	struct audit_syslog log;
	struct audit_event e = event(AUDIT_OPEN);
	int j = serve(journal), pair[2];
	char byte;

	(void)state;
	audit_syslog_init(&log, journal, devlog);
	assert_int_equal(audit_syslog_send(&log, &e), 0);
	hears(j, "open");
	/* The program closes all fds and opens a socket of its own at our number. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(dup2(pair[0], log.own.fd), log.own.fd);
	close(pair[0]);
	pair[0] = log.own.fd;
	assert_int_equal(audit_syslog_send(&log, &e), 0);
	hears(j, "open");
	assert_int_not_equal(log.own.fd, pair[0]);
	assert_int_equal(recv(pair[1], &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	/* The same once more, and then the end. */
	assert_int_equal(dup2(pair[0], log.own.fd), log.own.fd);
	close(pair[0]);
	pair[0] = log.own.fd;
	audit_syslog_close(&log);
	assert_int_not_equal(fcntl(pair[0], F_GETFD), -1);
	close(pair[0]);
	close(pair[1]);
	close(j);
}

static void test_audit_an_event_that_is_too_big_goes_without_its_source(void **state)
{
	static uint8_t source[AUDIT_SOURCE_MAX];
	struct audit_syslog log;
	struct audit_event e = event(AUDIT_EVAL);
	int j = serve(journal), small = 1;
	const char *text;

	(void)state;
	memset(source, 'x', sizeof(source));
	audit_syslog_init(&log, journal, devlog);
	assert_int_equal(audit_syslog_send(&log, &e), 0);
	(void)hear(j);
	assert_int_equal(setsockopt(log.own.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	e.source = (struct span){source, sizeof(source)};
	assert_int_equal(audit_syslog_send(&log, &e), 0);
	text = hear(j);
	assert_non_null(strstr(text, "\nPYSTUCK_SOURCE_BYTES=4096\n"));
	assert_non_null(strstr(text, "\nPYSTUCK_SOURCE_BLAKE2B\n"));
	audit_syslog_close(&log);
	close(j);
}

static void test_audit_the_fd_is_close_on_exec_and_gone_afterwards(void **state)
{
	int j = serve(journal);
	struct audit_syslog log;
	struct audit_event e = event(AUDIT_OPEN);
	int fd;

	(void)state;
	audit_syslog_init(&log, journal, devlog);
	assert_int_equal(audit_syslog_send(&log, &e), 0);
	fd = log.own.fd;
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	audit_syslog_close(&log);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	close(j);
}

static void test_audit_a_forked_child_tells_nobody_of_the_parents_and_has_its_own(void **state)
{
	int j = serve(journal);
	struct audit *a = audit_syslog_at("/run/app.sock", journal, devlog);
	int status = -1;
	char line[64];
	pid_t child;

	(void)state;
	for (unsigned i = 0; i < EVENTS; i++) {
		(void)put(a, AUDIT_REFUSE, NOW);
		(void)hear(j);
	}
	child = fork();
	if (child == 0) {
		struct audit *own;
		int rc;

		audit_forget(a);
		own = audit_syslog_at("/run/app.sock", journal, devlog);
		rc = put(own, AUDIT_EVAL, NOW);
		audit_free(own);
		_exit(rc == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	hears(j, "\nPYSTUCK_ACTION=eval\n");
	hears_nothing(j);
	audit_free(a);
	(void)snprintf(line, sizeof(line), "\nPYSTUCK_LOST=%u\n", EVENTS - AUDIT_STRANGERS_PER_S);
	hears(j, line);
	close(j);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_audit_a_flood_of_strangers_is_bounded_and_one_line_counts_the_rest),
		T(test_audit_ten_seconds_of_flood_are_ten_times_as_much_and_not_more),
		T(test_audit_no_evaluation_is_ever_left_out),
		T(test_audit_what_a_function_does_not_take_is_told_with_the_next),
		T(test_audit_without_a_log_all_is_well),
		T(test_audit_goes_to_the_journal_where_there_is_one),
		T(test_audit_goes_to_dev_log_where_there_is_no_journal),
		T(test_audit_where_there_is_no_log_it_is_counted_and_told_when_there_is),
		T(test_audit_a_daemon_that_was_started_anew_is_found),
		T(test_audit_a_log_that_nobody_reads_never_blocks),
		T(test_audit_never_writes_into_or_closes_what_has_its_number_now),
		T(test_audit_an_event_that_is_too_big_goes_without_its_source),
		T(test_audit_the_fd_is_close_on_exec_and_gone_afterwards),
		T(test_audit_a_forked_child_tells_nobody_of_the_parents_and_has_its_own),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
