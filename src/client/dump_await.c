/*
 * dump_await.c: asks for a dump and waits for the answer. What is in it: dump.c.
 */
#include "dump.h"

#include "text.h"

#define DUMP_REFUSED_TEXT 300

int dump_ask(struct connection *c, uint32_t id, uint8_t flags, struct diag *d)
{
	struct msg m = {.type = MSG_DUMP};

	m.dump.id = id;
	m.dump.flags = flags;
	return connect_queue(c, &m, d);
}

static const char *what(const struct dump *dump)
{
	return dump->what != NULL ? dump->what : "stacks";
}

static int request_failed(const struct dump *dump, const struct msg_error *e, struct diag *d)
{
	char text[DUMP_REFUSED_TEXT];

	text_copy(text, sizeof text, e->text, TEXT_LINE);
	if (e->reason == REASON_DENIED || e->reason == REASON_DISABLED || e->reason == REASON_VETO)
		return diag_set(d, PYSTUCK_EPERM, 0, "no %s: %s", what(dump), text);
	return diag_set(d, PYSTUCK_ECLOSED, 0, "no %s (%s): %s", what(dump), reason_name(e->reason), text);
}

/* connect_receive, which also ends when stop_fd is readable. */
static int receive(
	struct connection *c, const char *of, struct msg *m, int64_t deadline, int stop_fd, struct diag *d)
{
	struct pollfd stop = {.fd = stop_fd, .events = POLLIN};

	while (stop_fd >= 0) {
		int rc = connect_next(c, m, d);

		if (rc != 0)
			return rc;
		rc = connect_wait(c, &stop, 1, deadline, d);
		if (stop.revents != 0)
			return 0;
		if (rc == PYSTUCK_ETIME)
			break; /* which says so */
		if (rc < 0)
			return rc;
	}
	return connect_receive(c, m, deadline, of, d);
}

static int await_end(struct connection *c, uint32_t id, struct dump *dump, int64_t deadline,
	int stop_fd, struct diag *d)
{
	struct msg m;

	for (;;) {
		int rc = receive(c, what(dump), &m, deadline, stop_fd, d);

		if (rc == 0)
			return DUMP_STOPPED;
		if (rc == PYSTUCK_ECLOSED && dump->begun)
			return connect_truncated(c, d);
		if (rc < 0)
			return rc;
		/* The rest of an evaluation that was let go of may still be on its way. */
		if (m.type == MSG_OUTPUT || m.type == MSG_RESULT)
			continue;
		if (m.type == MSG_ERROR && m.error.id != id && m.error.id != 0)
			continue;
		if (m.type == MSG_ERROR)
			return request_failed(dump, &m.error, d);
		rc = m.type == MSG_DUMP_BEGIN && m.dump_begin.id != id ? PYSTUCK_EFORMAT
								       : dump_accept(dump, &m);
		if (rc == 1)
			return 0;
		/* An answer that is too long is the server's fault, not that of who asked. */
		if (rc < 0)
			return diag_set(d, rc == PYSTUCK_ENOMEM ? rc : PYSTUCK_EFORMAT, 0,
				"the server's answer makes no sense: %s", error_text(rc));
	}
}

int dump_await(struct connection *c, uint32_t id, struct dump *dump, int64_t deadline, int stop_fd,
	struct diag *d)
{
	connect_doing(c, "mid-dump");
	int rc = await_end(c, id, dump, deadline, stop_fd, d);

	connect_doing(c, NULL);
	return rc;
}
