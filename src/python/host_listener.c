/*
 * host_listener.c: opens what one request of run_server() asks for. Keeps nothing: the listeners of the
 * process are host.c's.
 */
#include "host_listener.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gil.h"
#include "sigwaiter.h"

#define SYSTEMD_NAME "pystuck"	/* FileDescriptorName= of a socket unit that is ours */

/* Who may come through a Unix socket of our own making: do the rules and the mode fit together? */
static int check_unix(const struct host_request *r, struct diag *d)
{
	int e = policy_check(&r->policy, d);
	if (e)
		return e;
	if (!r->mode_given && policy_names_others(&r->policy))
		return diag_set(d, PYSTUCK_EINVAL, 0, "allow= lets in other users, but the default mode=0o600 keeps "
			"them from connecting; say mode=0o660 and group=, or mode=0o666");
	return 0;
}

/* Makes the socket that the request asks for. */
static int make_socket(const struct host_request *r, int in_child, struct listen_socket *s, int *per_process,
	struct diag *d)
{
	struct listen_options o = { .mode = r->mode, .group = r->group,
		.open_to_all = policy_names_others(&r->policy) };
	*per_process = 0;
	if (r->place == HOST_TCP) {
		int e = addr_tcp(&o.addr, r->host, r->port, d);
		return e ? e : listen_open(s, &o, d);
	}
	if (r->place == HOST_DEFAULT) {
		int found = listen_inherited(s, SYSTEMD_NAME, o.open_to_all, d);
		if (found < 0)
			return found;
		if (found > 0) {
			int e = s->addr.kind == ADDR_TCP ? 0 : policy_check(&r->policy, d);
			if (e)
				listen_close(s);
			return e;
		}
	}
	int e = check_unix(r, d);
	if (e)
		return e;
	if (r->place == HOST_PATH) {
		*per_process = strstr(r->path, "{pid}") != NULL;
		e = addr_unix(&o.addr, r->path, d);
	} else {
		e = listen_default(&o.addr, per_process, d);
	}
	if (!e && in_child && !*per_process)
		e = diag_set(d, PYSTUCK_EINUSE, 0, "socket %s: the address is that of the process that this one was "
			"forked from; say socket= with {pid} in it", o.addr.path);
	if (e)
		return e;
	e = listen_open(s, &o, d);
	if (e == PYSTUCK_EINUSE && r->place == HOST_DEFAULT && listen_default_next(&o.addr))
		e = listen_open(s, &o, d);
	return e;
}

/* A TCP socket of systemd: the program could not know of it and say key=, so the key is a credential of the unit. */
static int add_credential(struct server_listener_options *o, struct diag *d)
{
	if (!o->socket.inherited || o->socket.addr.kind != ADDR_TCP)
		return 0;
	o->keys = keyfile_credential(d);
	if (o->keys)
		return 0;
	return d->code != PYSTUCK_ENOENT ? d->code : diag_set(d, PYSTUCK_EINVAL, 0, "inherited socket %s port %u: no "
		"key, no TCP: set LoadCredential=pystuck.key:FILE in the unit of the service",
		o->socket.addr.host, (unsigned)o->socket.addr.port);
}

/* systemd says so to its services, and to what they start. */
static int in_service(void)
{
	return secure_getenv("JOURNAL_STREAM") != NULL || secure_getenv("INVOCATION_ID") != NULL;
}

static struct audit *make_audit(const struct host_request *r, enum host_audit to, const struct addr *addr)
{
	char listener[ADDR_TEXT];
	addr_format(addr, listener);
	return to == HOST_AUDIT_CALL ? visitor_context_audit(r->context, listener) : audit_syslog(listener);
}

static enum host_audit where_to(const struct host_request *r, int is_tcp_or_systemds)
{
	if (r->audit != HOST_AUDIT_AUTO)
		return r->audit;
	return is_tcp_or_systemds || in_service() ? HOST_AUDIT_SYSLOG : HOST_AUDIT_NONE;
}

/* 0 with o->audit made, or NULL where nothing is to be logged. */
static int add_audit(struct server_listener_options *o, const struct host_request *r, struct diag *d)
{
	enum host_audit to = where_to(r, o->socket.addr.kind == ADDR_TCP || o->socket.inherited);
	o->audit_required = r->audit_required;
	if (to == HOST_AUDIT_NONE)
		return 0;
	o->audit = make_audit(r, to, &o->socket.addr);
	return o->audit ? 0 : diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
}

void host_listener_undo(const struct host_request *r, struct server_listener_options *o)
{
	if (o->keys != r->keys)
		keyring_free(o->keys);
	o->keys = NULL;
	audit_free(o->audit);
	o->audit = NULL;
	listen_close(&o->socket);
}

int host_listener_open(const struct host_request *r, int in_child, struct server_listener_options *o, int *per_process,
	struct diag *d)
{
	*o = (struct server_listener_options){ .policy = r->policy, .keys = r->keys, .account = r->account,
		.max_clients = r->max_clients, .gil_timeout_ms = r->gil_timeout_ms, .context = r->context,
		.socket = { .fd = -1 } };
	int e = make_socket(r, in_child, &o->socket, per_process, d);
	if (e)
		return e;
	e = add_credential(o, d);
	if (!e)
		e = add_audit(o, r, d);
	if (e)
		host_listener_undo(r, o);
	return e;
}

/* ---- one that waits for its signal ------------------------------------------------------------- */

/* The program may change its directory before the signal comes. */
static int make_absolute(char **path, struct diag *d)
{
	char cwd[PATH_MAX];
	char *whole = NULL;
	if (**path == '/' || **path == '\0')
		return 0;
	if (!getcwd(cwd, sizeof cwd))
		return diag_set(d, PYSTUCK_ESYS, errno, "the working directory: %m; give an absolute path");
	if (asprintf(&whole, "%s/%s", strcmp(cwd, "/") ? cwd : "", *path) < 0)
		return diag_set(d, PYSTUCK_ENOMEM, 0, "out of memory");
	free(*path);
	*path = whole;
	return 0;
}

int host_listener_prepare(struct host_request *r, struct diag *d)
{
	struct addr addr;
	if (r->place == HOST_TCP)
		return addr_tcp(&addr, r->host, r->port, d);
	if (r->place == HOST_DEFAULT)
		return 0;	/* systemd's socket has a mode of its own */
	int e = check_unix(r, d);
	if (!e)
		e = make_absolute(&r->path, d);
	return e ? e : addr_unix(&addr, r->path, d);
}

void host_listener_tell(const struct host_request *r, struct audit *audit, const char *what)
{
	struct addr nowhere = { .kind = ADDR_NONE };
	struct audit *own = NULL;
	enum host_audit to = where_to(r, r->place == HOST_TCP);
	if (!audit && to != HOST_AUDIT_NONE)
		audit = own = make_audit(r, to, &nowhere);
	char name[SIGWAITER_NAME_MAX], text[DIAG_TEXT + sizeof name + 2];
	snprintf(text, sizeof text, "%s: %s", sigwaiter_name(r->signo, name), what);
	struct audit_event e = { .action = AUDIT_LISTEN, .uid = (uid_t)-1, .reason = span_text(text) };
	if (audit)
		(void)audit_put(audit, &e, gil_now_ns());
	audit_free(own);
}
