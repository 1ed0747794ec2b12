/*
 * visitor.c: hands the requests of one client to the dump and to its evaluations. Runs on the net thread, or in its place: nothing here
 * waits, takes the GIL or touches a Python object, but for the two calls that say so.
 */
#include "visitor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admit.h"
#include "auditor.h"
#include "courtesy.h"
#include "dump.h"
#include "eval.h"
#include "hurry.h"
#include "ours.h"
#include "version.h"

#define COMMAND_MAX 4096	/* bytes of /proc/self/cmdline that a client is shown */

struct visitor_context {
	PyObject *namespace;
	struct auditor *auditor;	/* NULL: the program has no audit function */
	int hurry;
	struct msg_welcome welcome;
	char python[32];
	char command[COMMAND_MAX];
};

struct visitor {
	struct visitor_context *context;
	struct port *port;
	struct eval_session *eval;	/* NULL until the first evaluation */
	char who[sizeof(((struct service_client *)0)->text)];
};

/* Reads a small file of /proc; returns the bytes read, 0 on any error. */
static size_t read_proc(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	size_t have = 0;
	while (have < size) {
		ssize_t n = read(fd, out + have, size - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	close(fd);
	return have;
}

/* Field 22 of /proc/self/stat: ticks between boot and the start of the process; 0 when it cannot be read. */
static uint64_t start_ticks(void)
{
	char stat[1024];
	size_t n = read_proc("/proc/self/stat", stat, sizeof stat - 1);
	stat[n] = '\0';
	char *at = strrchr(stat, ')');	/* the name before it may hold anything */
	if (!at)
		return 0;
	for (int field = 2; field < 22; field++) {
		at = strchr(at + 1, ' ');
		if (!at)
			return 0;
	}
	return strtoull(at + 1, NULL, 10);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	if (clock_gettime(clock, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t started_ns(void)
{
	long hz = sysconf(_SC_CLK_TCK);
	uint64_t ticks = start_ticks(), up = clock_ns(CLOCK_BOOTTIME), now = clock_ns(CLOCK_REALTIME);
	if (hz <= 0 || ticks == 0)
		return now;
	uint64_t at = ticks * (1000000000u / (uint64_t)hz);
	return at < up ? now - (up - at) : now;
}

void visitor_context_refresh(struct visitor_context *c)
{
	struct msg_welcome *w = &c->welcome;
	w->pid = (uint32_t)getpid();
	w->uid = (uint32_t)geteuid();
	w->started_ns = started_ns();
	w->pystuck = span_text(PYSTUCK_VERSION);
	w->python = span_text(c->python);
	w->command.data = (const uint8_t *)c->command;
	w->command.len = read_proc("/proc/self/cmdline", c->command, sizeof c->command);
	if (w->command.len > 0 && c->command[w->command.len - 1] == '\0')
		w->command.len--;	/* NULs stand between the arguments, the kernel has one behind them too */
}

struct visitor_context *visitor_context_new(PyObject *namespace, PyObject *audit, int hurry)
{
	struct visitor_context *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	snprintf(c->python, sizeof c->python, "%.*s", (int)strcspn(Py_GetVersion(), " "), Py_GetVersion());
	visitor_context_refresh(c);
	if (audit && !(c->auditor = auditor_new(audit))) {
		free(c);
		return NULL;
	}
	c->hurry = hurry;
	c->namespace = Py_XNewRef(namespace);
	return c;
}

void visitor_context_free(struct visitor_context *c)
{
	if (!c)
		return;
	Py_XDECREF(c->namespace);
	auditor_free(c->auditor);
	free(c);
}

struct audit *visitor_context_audit(struct visitor_context *c, const char *listener)
{
	return audit_call(listener, auditor_put, c->auditor);
}

static void *visitor_open(void *listener, const struct service_client *who, struct port *port)
{
	struct visitor *v = calloc(1, sizeof *v);
	if (!v)
		return NULL;
	v->context = listener;
	v->port = port_ref(port);
	snprintf(v->who, sizeof v->who, "%s", who->text);
	return v;
}

static int visitor_admit(void *listener, const struct service_client *who, struct port *port)
{
	(void)listener;
	return admit_request(port, who->text, who->role);
}

/* A request has come that needs the GIL. */
static void hurry(const struct visitor *v)
{
	if (v->context->hurry)
		hurry_expect();
}

static void visitor_dump(void *session, const struct msg_dump *request)
{
	struct visitor *v = session;
	if (!(request->flags & DUMP_RAW))
		hurry(v);
	dump_request(v->port, request);
}

static void visitor_dump_late(void *session, const struct msg_dump *request, uint64_t waited_us, int last)
{
	struct visitor *v = session;
	dump_without_gil(v->port, request, waited_us, last);
}

#ifndef PYSTUCK_NO_EVAL
/* 1 when there is a session of evaluations; else the request has been answered. */
static int has_eval(struct visitor *v, uint32_t id)
{
	if (!v->eval)
		v->eval = eval_open(v->port, v->who, v->context->namespace);
	if (v->eval)
		return 1;
	struct msg m = { .type = MSG_ERROR, .error = { .id = id, .reason = REASON_LIMIT,
		.text = span_text("no memory for an evaluation in the program") } };
	if (port_claim(v->port, PORT_EVAL, id) == 0) {
		port_answer(v->port, &m);
		port_done(v->port, PORT_EVAL, id);
	}
	return 0;
}

/* It is on its way. */
static void be_courteous(const struct visitor *v)
{
	if (v->context->hurry)
		courtesy_expect();
}

static void visitor_eval(void *session, const struct msg_eval *request)
{
	struct visitor *v = session;
	if (!has_eval(v, request->id))
		return;
	hurry(v);
	eval_request(v->eval, request);
	be_courteous(v);
}

static void visitor_complete(void *session, const struct msg_complete *request)
{
	struct visitor *v = session;
	if (!has_eval(v, request->id))
		return;
	hurry(v);
	eval_complete(v->eval, request);
	be_courteous(v);
}

static void visitor_eval_late(void *session, uint32_t id, uint64_t waited_us)
{
	struct visitor *v = session;
	if (v->eval)
		eval_late(v->eval, id, waited_us);
}

static void visitor_interrupt(void *session, uint32_t id)
{
	struct visitor *v = session;
	if (v->eval)
		eval_interrupt(v->eval, id);
}

static void visitor_where(void *session, uint32_t id)
{
	struct visitor *v = session;
	if (v->eval)
		eval_where(v->eval, id);
}

static void visitor_background(void *session, uint32_t id)
{
	struct visitor *v = session;
	if (v->eval)
		eval_background(v->eval, id);
}

static void visitor_detach(void *session, uint32_t id)
{
	struct visitor *v = session;
	if (v->eval)
		eval_detach(v->eval, id);
}

#endif

static void visitor_close(void *session)
{
	struct visitor *v = session;
#ifndef PYSTUCK_NO_EVAL
	if (v->eval)
		eval_close(v->eval);
#endif
	port_unref(v->port);
	free(v);
}

#ifndef PYSTUCK_NO_EVAL
static uint64_t visitor_due(void)
{
	uint64_t hurried = hurry_due(), courteous = courtesy_due();
	return hurried < courteous ? hurried : courteous;
}

static void visitor_tick(uint64_t now_ns)
{
	hurry_tick(now_ns);
	courtesy_tick(now_ns);
}
#else
#define visitor_due hurry_due
#define visitor_tick hurry_tick
#endif

static const struct msg_welcome *visitor_welcome(void *listener)
{
	struct visitor_context *c = listener;
	return &c->welcome;
}

const struct service visitor_service = {
	.admit = visitor_admit,
	.open = visitor_open,
	.dump = visitor_dump,
	.dump_late = visitor_dump_late,
#ifndef PYSTUCK_NO_EVAL	/* make EVAL=no: the server then gives nobody the role for it */
	.eval = visitor_eval,
	.complete = visitor_complete,
	.eval_late = visitor_eval_late,
	.interrupt = visitor_interrupt,
	.detach = visitor_detach,
	.where = visitor_where,
	.background = visitor_background,
#endif
	.close = visitor_close,
	.due = visitor_due,
	.tick = visitor_tick,
	.thread = ours_set_net,
	.welcome = visitor_welcome,
};
