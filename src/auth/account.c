/*
 * account.c: one account check as the server sees it: find the helper, ask it, understand what it
 * says. Starting it as a program is account_start.c's; what it does is pam/pystuck-pam.c's.
 */
#include "account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "account_private.h"
#include "ownfd.h"
#include "peercred.h"

/* Where make install puts it: the Makefile says. */
#ifndef PYSTUCK_PAM_HELPER
#define PYSTUCK_PAM_HELPER "/usr/local/libexec/pystuck/pystuck-pam"
#endif

#define INSTALL_HINT "install it with make install (it is built where libpam's header is)"

struct account {
	struct ownfd fd;
	int verdict;                         /* PYSTUCK_EAGAIN while there is none */
	uint8_t bytes[ACCTMSG_ANSWER_MAX + 1]; /* one more, to notice a longer answer */
	size_t len;
	struct diag why; /* of a verdict that denies */
};

/* ---- finding --------------------------------------------------------------------------------- */

/* What others could change would decide in their name. */
static int check_program(const char *path, const struct stat *st, struct diag *d)
{
	if ((st->st_uid != 0 && st->st_uid != geteuid()) || (st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return diag_set(d, PYSTUCK_EUNSAFE, 0,
			"PAM helper %s: others than its user and root may change it; chown it to root "
			"and chmod 755 it",
			path);
	if (access(path, X_OK) != 0)
		return diag_set(d, PYSTUCK_EPERM, 0, "PAM helper %s: cannot be run: %m", path);
	if (account_start_adopts())
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"pam: this process is init or a subreaper, so that a helper it starts would "
			"become its child; use the socket " ACCOUNT_SOCKET
			" (pystuck-pam.socket), or run it under an init");
	return 0;
}

/* What is at the path: PYSTUCK_ENOENT when nothing is. */
static int look_at(struct account_helper *h, const char *path, struct diag *d)
{
	struct stat st;
	int socket;

	if (path[0] != '/' || strlen(path) >= sizeof(h->path))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"pam: \"%s\" is not the absolute path of the helper's socket or program",
			path);
	if (stat(path, &st) != 0)
		return diag_set(d, errno == ENOENT ? PYSTUCK_ENOENT : PYSTUCK_ESYS, errno,
			"PAM helper %s: %m", path);
	socket = S_ISSOCK(st.st_mode);
	if (socket && strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return diag_set(d, PYSTUCK_ETOOBIG, 0,
			"PAM helper %s: the path of a socket has at most 107 bytes", path);
	if (!socket && !S_ISREG(st.st_mode))
		return diag_set(d, PYSTUCK_EINVAL, 0,
			"PAM helper %s: is neither a socket nor a program", path);
	if (!socket) {
		int rc = check_program(path, &st, d);

		if (rc != 0)
			return rc;
	}
	h->way = socket ? ACCOUNT_BY_SOCKET : ACCOUNT_BY_PROGRAM;
	(void)memcpy(h->path, path, strlen(path) + 1);
	return 0;
}

int account_find(struct account_helper *h, const char *path, struct diag *d)
{
	int rc;

	memset(h, 0, sizeof(*h));
	if (path != NULL)
		return look_at(h, path, d);
	rc = look_at(h, ACCOUNT_SOCKET, d);
	if (rc == PYSTUCK_ENOENT)
		rc = look_at(h, PYSTUCK_PAM_HELPER, d);
	if (rc == PYSTUCK_ENOENT)
		rc = diag_set(d, PYSTUCK_ENOENT, 0,
			"pam=True needs the helper pystuck-pam, and neither " ACCOUNT_SOCKET
			" nor " PYSTUCK_PAM_HELPER " is there; " INSTALL_HINT
			", or start pystuck-pam.socket");
	return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* The one who says yes must be root or who we are: nobody else may hold the place of the helper. */
static int check_listener(int fd, const char *path, struct diag *d)
{
	struct peercred cred;
	int rc;

	peercred_init(&cred);
	rc = peercred_get(fd, &cred);
	if (rc != 0)
		rc = diag_set(d, PYSTUCK_EUNSAFE, 0,
			"PAM helper %s: the kernel does not say whose it is", path);
	else if (cred.uid != 0 && cred.uid != geteuid())
		rc = diag_set(d, PYSTUCK_EUNSAFE, 0,
			"PAM helper %s: belongs to uid %lu, neither to root nor to this program's user",
			path, (unsigned long)cred.uid);
	peercred_free(&cred);
	return rc;
}

static int dial(const char *path, int *out, struct diag *d)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = -1;
	int rc = 0;

	(void)memcpy(to.sun_path, path, strnlen(path, sizeof(to.sun_path) - 1));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return diag_set(d, PYSTUCK_ESYS, errno, "PAM helper: no socket: %m");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		rc = diag_set(d, PYSTUCK_ESYS, errno, "PAM helper %s: cannot be reached: %m", path);
	if (rc == 0)
		rc = check_listener(fd, path, d);
	if (rc == 0)
		*out = fd;
	else
		close(fd);
	return rc;
}

/* The whole request goes into the buffer of a fresh socket, or something is wrong. */
static int send_request(int fd, const struct acctmsg_request *r, struct diag *d)
{
	struct buf b;
	ssize_t n = -1;
	int rc;

	buf_init(&b, ACCTMSG_REQUEST_MAX);
	rc = acctmsg_put_request(&b, r);
	if (rc != 0) {
		rc = diag_set(d, rc, 0, "\"%s\" cannot be the name of an account", r->name);
	} else {
		n = send(fd, buf_bytes(&b), buf_len(&b), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 || (size_t)n != buf_len(&b) || shutdown(fd, SHUT_WR) != 0)
			rc = diag_set(d, PYSTUCK_ECLOSED, 0, "the PAM helper does not listen");
	}
	buf_free(&b);
	return rc;
}

struct account *account_start(
	const struct account_helper *h, const struct acctmsg_request *r, struct diag *d)
{
	struct account *a = calloc(1, sizeof(*a));
	int fd = -1;
	int rc;

	if (a == NULL) {
		(void)diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
		return NULL;
	}
	a->fd.fd = -1;
	a->verdict = PYSTUCK_EAGAIN;
	switch (h->way) {
	case ACCOUNT_BY_SOCKET:
		rc = dial(h->path, &fd, d);
		break;
	case ACCOUNT_BY_PROGRAM:
		rc = account_start_program(h->path, &fd, d);
		break;
	default:
		rc = diag_set(d, PYSTUCK_EINVAL, 0, "there is no PAM helper");
		break;
	}
	if (rc == 0)
		rc = send_request(fd, r, d);
	if (rc == 0 && ownfd_take(&a->fd, fd) != 0)
		rc = diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
	if (rc != 0) {
		if (fd >= 0)
			close(fd);
		account_free(a);
		return NULL;
	}
	return a;
}

int account_fd(const struct account *a)
{
	return a->fd.fd;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* The helper says no more: what has it said? */
static int judge(struct account *a)
{
	struct acctmsg_answer answer;

	if (a->len == 0)
		return diag_set(&a->why, PYSTUCK_EPERM, 0, "the PAM helper ended without an answer");
	if (acctmsg_get_answer(&answer, (struct span){a->bytes, a->len}) != 0)
		return diag_set(
			&a->why, PYSTUCK_EPERM, 0, "the PAM helper's answer makes no sense");
	if (answer.code == ACCTMSG_SUCCESS)
		return 0;
	return diag_set(&a->why, PYSTUCK_EPERM, 0, "PAM says no: %s (%lu)", answer.text,
		(unsigned long)answer.code);
}

/* Reads on. The verdict, or PYSTUCK_EAGAIN. */
static int read_on(struct account *a)
{
	/* What others say to the program is no verdict. */
	if (!ownfd_is(&a->fd))
		return diag_set(&a->why, PYSTUCK_EPERM, 0,
			"the program has closed the connection to the PAM helper");
	while (a->len < sizeof(a->bytes)) {
		ssize_t n = recv(a->fd.fd, a->bytes + a->len, sizeof(a->bytes) - a->len, MSG_DONTWAIT);

		if (n == 0)
			return judge(a);
		if (n > 0)
			a->len += (size_t)n;
		else if (errno == EAGAIN || errno == EINTR)
			return PYSTUCK_EAGAIN;
		else
			return diag_set(
				&a->why, PYSTUCK_EPERM, 0, "the PAM helper went away: %m");
	}
	return diag_set(&a->why, PYSTUCK_EPERM, 0, "the PAM helper's answer is too long");
}

int account_verdict(struct account *a, struct diag *d)
{
	if (a->verdict == PYSTUCK_EAGAIN)
		a->verdict = read_on(a);
	if (a->verdict == PYSTUCK_EPERM && d != NULL)
		*d = a->why;
	return a->verdict;
}

void account_free(struct account *a)
{
	if (a == NULL)
		return;
	ownfd_close(&a->fd);
	free(a);
}
