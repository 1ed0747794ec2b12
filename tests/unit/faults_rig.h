/*
 * faults_rig.h: a server whose loop runs in the test's thread (faults.h), a service that is played and does what a worker does when
 * there is no memory, and clients that take what comes: an answer, a refusal, or the end, but never silence.
 */
#ifndef TEST_FAULTS_RIG_H
#define TEST_FAULTS_RIG_H

#include "faults.h"

#include <sys/wait.h>

#include "../../src/auth/audit_private.h"
#include "../../src/server/server_private.h"
#include "place.h"
#include "service_rig.h"

#define WAIT_MOST_MS 120000 /* of the clock inside: every deadline of a server is shorter */

static struct server *server;
static struct diag why;

/* ---- the service ----------------------------------------------------------------------------- */

static struct {
	int opened, closed, evals, dumps;
	enum role highest; /* that anybody was let in with */
	int veto;          /* the program does not let anybody in */
	int refuse;        /* it can do nothing that it is asked for, and says so */
} served;

struct visit {
	struct port *port;
	struct service_client who;
};

/* What is the service's own is outside: its memory and its faults are not the server's. */
static int visit_admit(void *context, const struct service_client *who, struct port *port)
{
	(void)context;
	(void)who;
	if (!served.veto)
		return 0;
	if (port_claim(port, PORT_ADMIT, 0) == 0) {
		port_veto(port, PORT_ADMIT, 0, span_text("not today"));
		port_done(port, PORT_ADMIT, 0);
	}
	return 1;
}

static void *visit_open(void *context, const struct service_client *who, struct port *port)
{
	struct visit *v;
	int was;

	(void)context;
	was = faults_pause();
	v = calloc(1, sizeof(*v));
	faults_resume(was);
	v->port = port_ref(port);
	v->who = *who;
	served.opened++;
	if (who->role > served.highest)
		served.highest = who->role;
	return v;
}

static void visit_close(void *session)
{
	struct visit *v = session;
	int was;

	served.closed++;
	port_unref(v->port);
	was = faults_pause();
	free(v);
	faults_resume(was);
}

static void visit_error(struct visit *v, uint32_t id)
{
	struct msg m = {.type = MSG_ERROR};

	m.error = (struct msg_error){.id = id, .reason = REASON_LIMIT, .text = span_text("no memory")};
	(void)port_answer(v->port, &m);
}

static void visit_dump(void *session, const struct msg_dump *request)
{
	struct visit *v = session;
	struct msg m = {.type = MSG_DUMP_BEGIN};
	struct buf run;
	int rc;

	served.dumps++;
	if (port_claim(v->port, PORT_DUMP, request->id) != 0)
		return;
	buf_init(&run, 4096);
	m.dump_begin = (struct msg_dump_begin){.id = request->id, .how = DUMP_HOW_GIL};
	rc = channel_frame(&run, &m);
	m = (struct msg){.type = MSG_DUMP_END};
	m.dump_end = (struct msg_dump_end){.id = request->id};
	if (rc == 0)
		rc = channel_frame(&run, &m);
	if (rc == 0 && !served.refuse)
		rc = port_answer_framed(v->port, &run);
	if (rc != 0 || served.refuse)
		visit_error(v, request->id);
	buf_free(&run);
	port_done(v->port, PORT_DUMP, request->id);
}

static void visit_eval(void *session, const struct msg_eval *request)
{
	struct visit *v = session;
	struct msg m = rig_result(request->id);
	struct msg out = rig_output(request->id, span_text("printed\n"));

	HOLDS(v->who.role >= ROLE_EVAL);
	served.evals++;
	if (port_claim(v->port, PORT_EVAL, request->id) != 0)
		return;
	if (served.refuse)
		visit_error(v, request->id);
	else if (port_try_write(v->port, &out) != PYSTUCK_EAGAIN && port_answer(v->port, &m) != 0)
		visit_error(v, request->id);
	port_done(v->port, PORT_EVAL, request->id);
}

static void visit_dump_late(void *session, const struct msg_dump *request, uint64_t waited_us, int last)
{
	struct visit *v = session;

	(void)waited_us;
	(void)last;
	if (port_claim(v->port, PORT_DUMP, request->id) != 0)
		return;
	visit_error(v, request->id);
	port_done(v->port, PORT_DUMP, request->id);
}

static void visit_eval_late(void *session, uint32_t id, uint64_t waited_us)
{
	(void)waited_us;
	visit_error(session, id);
}

static void visit_other(void *session, uint32_t id)
{
	(void)session;
	(void)id;
}

static void visit_complete(void *session, const struct msg_complete *request)
{
	(void)session;
	(void)request;
}

static const struct service visit_service = {
	.admit = visit_admit,
	.open = visit_open,
	.dump = visit_dump,
	.eval = visit_eval,
	.complete = visit_complete,
	.dump_late = visit_dump_late,
	.eval_late = visit_eval_late,
	.interrupt = visit_other,
	.detach = visit_other,
	.where = visit_other,
	.background = visit_other,
	.close = visit_close,
	.welcome = fake_welcome,
};

/* ---- clients --------------------------------------------------------------------------------- */

/* What happens beside the server while a client waits: a helper that answers. May be NULL. */
static void (*meanwhile)(void);

MAYBE_UNUSED static struct channel *faults_dial(const char *name, int handshake)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct channel *ch;

	memcpy(to.sun_path, in_place(name), strlen(in_place(name)) + 1);
	HOLDS(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	HOLDS(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	ch = channel_new(fd, MSG_MAX, handshake);
	HOLDS(ch != NULL);
	return ch;
}

/* The server's turn, until there is something for us. 0, or PYSTUCK_ETIME: it has nothing more to do and said nothing. */
static int faults_wait(struct channel *ch)
{
	uint64_t waited = 0;

	for (;;) {
		int ms = faults_turn(server);

		if (meanwhile != NULL)
			meanwhile();
		if (rig_poll(channel_fd(ch), POLLIN, 0) != 0)
			return 0;
		/* What was done meanwhile may be news for the server. */
		if (meanwhile != NULL)
			ms = faults_turn(server);
		if (rig_poll(channel_fd(ch), POLLIN, 0) != 0)
			return 0;
		if (ms < 0 || waited > WAIT_MOST_MS)
			return PYSTUCK_ETIME;
		faults_pass_ms((uint64_t)ms);
		waited += (uint64_t)ms;
	}
}

/* 1: a message; 0: the end; or an error. */
MAYBE_UNUSED static int faults_hear(struct channel *ch, struct msg *m)
{
	struct span bytes;
	int rc;

	for (;;) {
		rc = channel_next(ch, &bytes);
		if (rc == 1)
			return msg_decode(m, bytes) == 0 ? 1 : PYSTUCK_EFORMAT;
		if (rc < 0)
			return rc;
		rc = channel_fill(ch);
		if (rc == 0 || (rc == PYSTUCK_ESYS && errno == ECONNRESET))
			return 0;
		if (rc == PYSTUCK_EAGAIN)
			rc = faults_wait(ch);
		if (rc < 0)
			return rc;
	}
}

MAYBE_UNUSED static void faults_say(struct channel *ch, struct msg m)
{
	(void)rig_say(ch, &m); /* the server may be gone: that is heard */
}

/* What became of a client. */
struct got {
	int welcome;    /* was let in */
	enum role role; /* as the server said */
	int dump, result, denied, refused;
	int end; /* the connection ended before we said BYE */
};

/* Hears until `type` has come, or an ERROR for the request, or the end. 1 when `type` came. */
static int hear_until(struct channel *ch, enum msg_type type, struct got *got)
{
	struct msg m;
	int rc;

	while ((rc = faults_hear(ch, &m)) == 1) {
		if (m.type == type) {
			if (type == MSG_WELCOME)
				got->role = (enum role)m.welcome.role;
			return 1;
		}
		if (m.type == MSG_ERROR) {
			got->denied = 1;
			return 0;
		}
		if (m.type == MSG_REFUSED || m.type == MSG_BYE)
			got->refused = 1;
	}
	HOLDS(rc != PYSTUCK_ETIME); /* silence */
	HOLDS(rc == 0);
	got->end = 1;
	return 0;
}

/* A whole conversation, as far as it goes. */
MAYBE_UNUSED static struct got converse(struct channel *ch)
{
	struct got got = {0};
	struct msg m;
	int rc;

	faults_say(ch, rig_hello());
	got.welcome = hear_until(ch, MSG_WELCOME, &got);
	if (!got.end) {
		faults_say(ch, rig_dump(1, 0));
		got.dump = hear_until(ch, MSG_DUMP_END, &got);
	}
	if (!got.end) {
		faults_say(ch, rig_eval(2));
		got.result = hear_until(ch, MSG_RESULT, &got);
	}
	if (!got.end) {
		faults_say(ch, rig_interrupt(2));
		faults_say(ch, rig_detach(2));
		faults_say(ch, rig_bye());
		do
			rc = faults_hear(ch, &m);
		while (rc == 1);
		HOLDS(rc == 0);
	}
	channel_free(ch);
	/* Not without a word before: nobody who was not welcomed has been given anything. */
	HOLDS(got.welcome || (!got.dump && !got.result));
	return got;
}

/* ---- the server ------------------------------------------------------------------------------ */

MAYBE_UNUSED static struct server_listener_options faults_options(void)
{
	struct server_listener_options o = {.max_clients = 4, .gil_timeout_ms = 1000};

	policy_init(&o.policy, geteuid(), 65534);
	o.socket.fd = -1;
	return o;
}

/* Listens at PLACE/name and adds it. 0, or it was refused for a reason: then nothing of it is left. */
MAYBE_UNUSED static int faults_listen(struct server_listener_options *o, const char *name)
{
	struct listen_options at = {.mode = 0600, .group = (gid_t)-1};
	uint32_t id;
	int rc;

	memset(&why, 0, sizeof(why));
	HOLDS(addr_unix(&at.addr, in_place(name), &why) == 0);
	INSIDE(rc = listen_open(&o->socket, &at, &why));
	if (rc == 0) {
		/* Sealed clients come in by Unix sockets too: see getpeername in faults.c. */
		if (o->keys != NULL)
			o->socket.addr.kind = ADDR_TCP;
		INSIDE(rc = server_add(server, o, &id, &why));
		o->socket.addr.kind = ADDR_UNIX;
		if (rc != 0)
			listen_close(&o->socket);
	}
	if (rc != 0) {
		REFUSED(&why);
		HOLDS(inode_of(in_place(name)) == 0);
		keyring_free(o->keys);
		audit_free(o->audit);
	}
	return rc;
}

MAYBE_UNUSED static int faults_server(void)
{
	memset(&served, 0, sizeof(served));
	memset(&why, 0, sizeof(why));
	meanwhile = NULL;
	INSIDE(server = server_new(&visit_service, &why));
	if (server == NULL)
		REFUSED(&why);
	return server == NULL ? -1 : 0;
}

MAYBE_UNUSED static void faults_server_end(void)
{
	server_free(server);
	server = NULL;
	HOLDS(served.opened == served.closed);
}

/* The sockets of sealed listeners, which are not taken for Unix sockets at the end. */
MAYBE_UNUSED static void forget_file(const char *name)
{
	(void)unlink(in_place(name));
}

#define T(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

#endif
