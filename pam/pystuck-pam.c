/*
 * pystuck-pam.c: one account check by PAM for one request, then the end: so that libpam and its modules, which fork,
 * change signal handlers and know no threads, never come into a program that pystuck serves. The request and the answer are
 * wire/acctmsg.c's; who asks is auth/account.c, or anybody who can connect to the socket that systemd listens on.
 *
 * Whoever asks is not trusted: the request is bounded and checked, environment, fds and signals of the asker are dropped,
 * nothing takes longer than LIMIT_S. All that the asker gets is PAM's code and its text.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <security/pam_appl.h>

#include "acctmsg.h"
#include "error.h"
#include "version.h"

#define SERVICE "pystuck"
#define TTY "pystuck"	/* for pam_access and pam_time, which go by the terminal where there is no host */
#define LIMIT_S 5	/* from the start to the end */
#define ASKER 0		/* the fd */
#define FDS_MAX 65536	/* closed one by one where the kernel has no close_range */

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct check {
	struct acctmsg_request request;
	struct acctmsg_answer answer;
	char user[256];
	struct ucred asker;
};

/* ---- a process that owes nothing to who started it ---------------------------------------------- */

/* Cannot be caught or blocked by what a module does. */
static int limit_time(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	const struct itimerspec limit = { .it_value.tv_sec = LIMIT_S };
	timer_t timer;

	return timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &limit, NULL) == 0;
}

/* Ignored signals and the mask outlive exec. SIGPIPE is ignored: an asker that is gone is no reason to fail. */
static void reset_signals(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int number = 1; number <= SIGRTMAX; number++)
		(void)sigaction(number, &plain, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Only the asker's socket stays; what modules print goes nowhere. */
static int reset_fds(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		return 0;
	if (syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
		for (int fd = 3; fd < FDS_MAX; fd++)
			(void)close(fd);
	/* Programs that a module starts have no business with it. */
	return fcntl(ASKER, F_SETFD, FD_CLOEXEC) == 0;
}

static int reset_process(void)
{
	const struct rlimit no_core = { 0, 0 };

	(void)umask(077);
	reset_signals();
	/* May be forbidden by the unit, which has a limit of its own. */
	(void)setrlimit(RLIMIT_CORE, &no_core);
	return limit_time() && clearenv() == 0 && reset_fds() && chdir("/") == 0;
}

/* ---- the asker ---------------------------------------------------------------------------------- */

static int get_option(int option, void *value, socklen_t size)
{
	socklen_t len = size;

	return getsockopt(ASKER, SOL_SOCKET, option, value, &len) == 0 && len == size;
}

/* Is the standard input what it should be, and whose is it? */
static int meet_asker(struct check *c)
{
	int domain = -1, type = -1, flags = fcntl(ASKER, F_GETFL);

	c->asker = (struct ucred){ .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	return get_option(SO_DOMAIN, &domain, sizeof domain) && domain == AF_UNIX &&
		get_option(SO_TYPE, &type, sizeof type) && type == SOCK_STREAM &&
		get_option(SO_PEERCRED, &c->asker, sizeof c->asker) && c->asker.uid != (uid_t)-1 &&
		flags >= 0 && fcntl(ASKER, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

/* All that comes until the end of input, at most one byte more than a request can have. */
static int read_request(struct acctmsg_request *r)
{
	uint8_t bytes[ACCTMSG_REQUEST_MAX + 1];
	size_t len = 0;

	while (len < sizeof bytes) {
		ssize_t n = read(ASKER, bytes + len, sizeof bytes - len);

		if (n == 0)
			return acctmsg_get_request(r, (struct span){ bytes, len }) == 0;
		if (n < 0 && errno != EINTR)
			return 0;
		if (n > 0)
			len += (size_t)n;
	}
	return 0;
}

/* From here on the asker's going away ends us, by a signal that systemd does not take for a failure. */
static int watch_asker(void)
{
	struct pollfd p = { .fd = ASKER };
	int flags = fcntl(ASKER, F_GETFL);

	if (flags < 0 || fcntl(ASKER, F_SETOWN, getpid()) != 0 || fcntl(ASKER, F_SETSIG, SIGHUP) != 0 ||
		fcntl(ASKER, F_SETFL, flags | O_ASYNC) != 0)
		return 0;
	/* It may have gone just before. */
	return poll(&p, 1, 0) == 0 || (p.revents & POLLHUP) == 0;
}

static void unwatch_asker(void)
{
	int flags = fcntl(ASKER, F_GETFL);

	if (flags >= 0)
		(void)fcntl(ASKER, F_SETFL, flags & ~O_ASYNC);
}

static void send_answer(const struct acctmsg_answer *a)
{
	struct buf b;

	buf_init(&b, ACCTMSG_ANSWER_MAX);
	if (acctmsg_put_answer(&b, a) == 0 && send(ASKER, buf_bytes(&b), buf_len(&b), MSG_NOSIGNAL) > 0)
		(void)shutdown(ASKER, SHUT_WR);
	buf_free(&b);
}

/* ---- the service file --------------------------------------------------------------------------- */

#ifdef PYSTUCK_PAM_TEST
/* For tests only, a program of its own that is not installed: the services stand in pam.d beside the program. */
static const char *service_directory(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 8);

	while (n > 0 && path[n - 1] != '/')
		n--;
	if (n < 0)
		n = 0;
	(void)strcpy(path + n, "pam.d");
	return path;
}

static const char *const *service_directories(void)
{
	static const char *list[2];

	list[0] = service_directory();
	return list;
}

static int start_pam(const char *user, const struct pam_conv *conv, pam_handle_t **pam)
{
	return pam_start_confdir(SERVICE, user, conv, service_directory(), pam);
}
#else
/* Where libpam looks, in its order. */
static const char *const *service_directories(void)
{
	static const char *const list[] = { "/etc/pam.d", "/usr/lib/pam.d", NULL };

	return list;
}

static int start_pam(const char *user, const struct pam_conv *conv, pam_handle_t **pam)
{
	return pam_start(SERVICE, user, conv, pam);
}
#endif

/* "account", "-account" or "@include", in any case, as the first word. */
static int speaks_of_accounts(const char *line)
{
	line += strspn(line, " \t");
	if (*line == '-')
		line++;
	return (strncasecmp(line, "account", 7) == 0 && strchr(" \t", line[7]) && line[7]) ||
		strncasecmp(line, "@include", 8) == 0;
}

static int file_has_accounts(int fd)
{
	struct stat st;
	FILE *file;
	char *line = NULL;
	size_t room = 0;
	int found = 0;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !(file = fdopen(fd, "r"))) {
		close(fd);
		return 0;
	}
	while (!found && getline(&line, &room, file) > 0)
		found = speaks_of_accounts(line);
	free(line);
	fclose(file);
	return found;
}

/*
 * Without a file of our own that we can read, or with one that says nothing of accounts, libpam would go by the service
 * "other", which may let in anybody.
 */
static int have_service(struct acctmsg_answer *a)
{
	for (const char *const *directory = service_directories(); *directory; directory++) {
		char path[4200];
		int fd;

		snprintf(path, sizeof path, "%s/" SERVICE, *directory);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd >= 0 && file_has_accounts(fd))
			return 1;
		snprintf(a->text, sizeof a->text, "the service file pam.d/" SERVICE " %s",
			fd < 0 ? "cannot be read" : "has no account line");
		return 0;
	}
	snprintf(a->text, sizeof a->text, "there is no service file /etc/pam.d/" SERVICE);
	return 0;
}

/* ---- the check ---------------------------------------------------------------------------------- */

/* What modules only want to show is not shown; a question has nobody to answer it. */
static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *nobody)
{
	(void)nobody;
	*responses = NULL;
	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	for (int i = 0; i < count; i++)
		if (messages[i]->msg_style != PAM_TEXT_INFO && messages[i]->msg_style != PAM_ERROR_MSG)
			return PAM_CONV_ERR;
	*responses = calloc((size_t)count, sizeof **responses);
	return *responses ? PAM_SUCCESS : PAM_BUF_ERR;
}

/* The account's name: the key's, or what the system's database says of the uid. */
static int find_user(struct check *c)
{
	const char *name = c->request.name;

	if (c->request.by == ACCTMSG_UID) {
		const struct passwd *entry = getpwuid((uid_t)c->request.uid);

		if (!entry || !entry->pw_name[0] || strlen(entry->pw_name) >= sizeof c->user) {
			snprintf(c->answer.text, sizeof c->answer.text, "uid %lu has no name on this machine",
				(unsigned long)c->request.uid);
			c->answer.code = PAM_USER_UNKNOWN;
			return 0;
		}
		name = entry->pw_name;
	}
	snprintf(c->user, sizeof c->user, "%s", name);
	return 1;
}

/* PAM_RUSER@PAM_RHOST is who asks to come in: they come as themselves. No host: from this machine. */
static int set_items(pam_handle_t *pam, const struct check *c)
{
	int code = pam_set_item(pam, PAM_RUSER, c->user);

	if (code == PAM_SUCCESS)
		code = pam_set_item(pam, PAM_RHOST, c->request.from);
	if (code == PAM_SUCCESS)
		code = pam_set_item(pam, PAM_TTY, TTY);
	return code;
}

/* A module may turn one user into another, about whom nobody asked. */
static int same_user(pam_handle_t *pam, const char *user)
{
	const void *now = NULL;

	return pam_get_item(pam, PAM_USER, &now) == PAM_SUCCESS && now && strcmp(now, user) == 0;
}

static void ask_pam(struct check *c)
{
	const struct pam_conv conv = { .conv = converse };
	pam_handle_t *pam = NULL;
	int code = start_pam(c->user, &conv, &pam);

	if (code == PAM_SUCCESS)
		code = set_items(pam, c);
	if (code == PAM_SUCCESS)
		code = pam_acct_mgmt(pam, PAM_SILENT);
	snprintf(c->answer.text, sizeof c->answer.text, "%s", pam_strerror(pam, code));
	if (code == PAM_SUCCESS && !same_user(pam, c->user)) {
		code = PAM_PERM_DENIED;
		snprintf(c->answer.text, sizeof c->answer.text, "a module has changed the user");
	}
	c->answer.code = (uint32_t)code;
	if (pam)
		(void)pam_end(pam, code);
}

/* After the answer: a log that blocks delays nobody. */
static void note(const struct check *c)
{
	openlog("pystuck-pam", LOG_PID, LOG_AUTHPRIV);
	syslog(c->answer.code == PAM_SUCCESS ? LOG_INFO : LOG_NOTICE,
		"account check of user=%s rhost=%s for uid=%lu pid=%ld: %s (%lu)", c->user[0] ? c->user : "?", c->request.from,
		(unsigned long)c->asker.uid, (long)c->asker.pid, c->answer.text, (unsigned long)c->answer.code);
}

static int usage(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("pystuck-pam " PYSTUCK_VERSION);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		puts("usage: pystuck-pam, with a connected Unix stream socket as its standard input\n\n"
			"One PAM account check (service \"" SERVICE "\") for one request. Started by pystuck-pam.socket, or by a\n"
			"program that called pystuck.run_server(pam=True).");
		return 0;
	}
	fputs("pystuck-pam: started by pystuck-pam.socket or by a server, not by hand; see --help\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static struct check c = { .answer = { .code = PAM_SYSTEM_ERR } };

	/* An asker sends nothing before it has a helper: a terminal or a pipe is somebody who tries the program. */
	if (argc > 1 || !meet_asker(&c))
		return usage(argc, argv);
	/* No answer is a refusal too. */
	if (!reset_process() || !read_request(&c.request) || !watch_asker())
		return 1;
	if (find_user(&c) && have_service(&c.answer))
		ask_pam(&c);
	unwatch_asker();
	send_answer(&c.answer);
	note(&c);
	/* Not through exit: modules may have left handlers there. */
	_exit(0);
}
