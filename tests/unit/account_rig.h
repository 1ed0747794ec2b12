/*
 * account_rig.h: a helper that is played at a socket by the test itself, answers and requests.
 */
#ifndef TEST_ACCOUNT_RIG_H
#define TEST_ACCOUNT_RIG_H

#include <poll.h>

#include "account.h"
#include "place.h"

#define ACCOUNT_PATIENCE_MS 20000

static struct account_helper helper;
static int listener = -1;

MAYBE_UNUSED static void helper_listens(const char *name)
{
	struct diag d;

	listener = bind_at(in_place(name), SOCK_STREAM);
	assert_int_equal(listen(listener, 16), 0);
	if (account_find(&helper, in_place(name), &d) != 0)
		fail_msg("%s", d.text);
	assert_int_equal(helper.way, ACCOUNT_BY_SOCKET);
}

MAYBE_UNUSED static void helper_gone(void)
{
	if (listener >= 0)
		close(listener);
	listener = -1;
}

/* The next asker: its connection, and what it asked. */
MAYBE_UNUSED static int helper_takes(struct acctmsg_request *r)
{
	uint8_t bytes[ACCTMSG_REQUEST_MAX + 1];
	size_t len = 0;
	ssize_t n;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	while ((n = read(fd, bytes + len, sizeof(bytes) - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(acctmsg_get_request(r, (struct span){bytes, len}), 0);
	return fd;
}

MAYBE_UNUSED static void helper_says(int fd, uint32_t code, const char *text)
{
	struct acctmsg_answer a = {.code = code};
	struct buf b;

	(void)snprintf(a.text, sizeof(a.text), "%s", text);
	buf_init(&b, ACCTMSG_ANSWER_MAX);
	assert_int_equal(acctmsg_put_answer(&b, &a), 0);
	assert_int_equal(send(fd, buf_bytes(&b), buf_len(&b), MSG_NOSIGNAL), buf_len(&b));
	buf_free(&b);
}

/* Waits until there is something to read: an answer or its end. */
MAYBE_UNUSED static void await(const struct account *a)
{
	struct pollfd p = {.fd = account_fd(a), .events = POLLIN};

	assert_int_equal(poll(&p, 1, ACCOUNT_PATIENCE_MS), 1);
}

MAYBE_UNUSED static int await_verdict(struct account *a, struct diag *d)
{
	int rc;

	while ((rc = account_verdict(a, d)) == PYSTUCK_EAGAIN)
		await(a);
	return rc;
}

MAYBE_UNUSED static const struct acctmsg_request me = {.by = ACCTMSG_UID, .uid = 1000};

#endif
