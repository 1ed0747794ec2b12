/*
 * args.c: what run_server() was told, one function for each argument. Nothing is opened here but the key file.
 */
#include <Python.h>

#include "args.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "peercred.h"
#include "sigwaiter.h"

#define MODE_DEFAULT 0600
#define CLIENTS_MAX 1024
#define GIL_TIMEOUT_MAX 3600.0		/* seconds */
#define GROUP_BUFFER_MAX (1 << 20)

#ifdef PYSTUCK_NO_EVAL
#define WITH_EVAL 0
#else
#define WITH_EVAL 1
#endif

/* The arguments as they came, borrowed; NULL or None: not given. */
struct given {
	PyObject *host, *port, *socket, *key, *allow, *mode, *group, *eval, *namespace, *gil_timeout,
		*max_clients, *pam, *on_fork, *audit, *audit_required, *signal, *hurry;
};

static int is_given(PyObject *o)
{
	return o && o != Py_None;
}

static int raise_os_error(int number, const char *text)
{
	PyObject *args = Py_BuildValue("(is)", number, text);
	if (args)
		PyErr_SetObject(PyExc_OSError, args);
	Py_XDECREF(args);
	return -1;
}

PyObject *args_raise(const struct diag *d)
{
	switch (d->code) {
	case PYSTUCK_ENOMEM:
		PyErr_SetString(PyExc_MemoryError, d->text);
		break;
	case PYSTUCK_ESYS:
		raise_os_error(d->sys ? d->sys : EIO, d->text);
		break;
	case PYSTUCK_ENOENT:
		raise_os_error(ENOENT, d->text);
		break;
	case PYSTUCK_EINUSE:
		raise_os_error(EADDRINUSE, d->text);
		break;
	case PYSTUCK_EUNSAFE:
	case PYSTUCK_EPERM:
		raise_os_error(EPERM, d->text);
		break;
	case PYSTUCK_ETOOBIG:
		raise_os_error(ENAMETOOLONG, d->text);
		break;
	default:
		PyErr_SetString(PyExc_ValueError, d->text);
	}
	return NULL;
}

static int raise_diag(const struct diag *d)
{
	args_raise(d);
	return -1;
}

/* A whole number that is no bool, within [low, high]. */
static int parse_number(PyObject *o, const char *name, long low, long high, long *out)
{
	if (!PyLong_Check(o) || PyBool_Check(o)) {
		PyErr_Format(PyExc_TypeError, "%s must be an int, not %.100s", name, Py_TYPE(o)->tp_name);
		return -1;
	}
	int overflow = 0;
	long v = PyLong_AsLongAndOverflow(o, &overflow);
	if (v == -1 && !overflow && PyErr_Occurred())
		return -1;
	if (overflow || v < low || v > high) {
		PyErr_Format(PyExc_ValueError, "%s must be between %ld and %ld", name, low, high);
		return -1;
	}
	*out = v;
	return 0;
}

/* A path as a malloc'd C string in the file system's encoding. */
static int parse_path(PyObject *o, const char *name, char **out)
{
	PyObject *bytes = NULL;
	if (!PyUnicode_FSConverter(o, &bytes)) {
		if (PyErr_ExceptionMatches(PyExc_TypeError))
			PyErr_Format(PyExc_TypeError, "%s must be a path (str, bytes or os.PathLike), not %.100s",
				name, Py_TYPE(o)->tp_name);
		return -1;
	}
	*out = strdup(PyBytes_AS_STRING(bytes));
	Py_DECREF(bytes);
	if (*out)
		return 0;
	PyErr_NoMemory();
	return -1;
}

static int parse_place(const struct given *g, struct host_request *r)
{
	int tcp = is_given(g->host) || is_given(g->port);
	if (tcp && is_given(g->socket)) {
		PyErr_SetString(PyExc_ValueError, "socket= and host or port name two places; "
			"call run_server() once for each");
		return -1;
	}
	if (is_given(g->socket)) {
		r->place = HOST_PATH;
		return parse_path(g->socket, "socket", &r->path);
	}
	if (!tcp)
		return 0;
	r->place = HOST_TCP;
	r->port = ADDR_DEFAULT_PORT;
	const char *host = ADDR_DEFAULT_HOST;
	Py_ssize_t len = (Py_ssize_t)strlen(host);
	if (is_given(g->host)) {
		if (!PyUnicode_Check(g->host)) {
			PyErr_Format(PyExc_TypeError, "host must be a str (a numeric address), not %.100s",
				Py_TYPE(g->host)->tp_name);
			return -1;
		}
		if (!(host = PyUnicode_AsUTF8AndSize(g->host, &len)))
			return -1;
	}
	if (len == 0 || (size_t)len >= sizeof r->host || strlen(host) != (size_t)len) {
		PyErr_SetString(PyExc_ValueError, "host must be a numeric address such as '127.0.0.1' or '::1'");
		return -1;
	}
	memcpy(r->host, host, (size_t)len + 1);
	return is_given(g->port) ? parse_number(g->port, "port", 0, 65535, &r->port) : 0;
}

static int parse_key(const struct given *g, struct host_request *r)
{
	char *path = NULL;
	struct diag d = { 0 };
	if (r->place != HOST_TCP) {
		if (!is_given(g->key))
			return 0;
		PyErr_SetString(PyExc_ValueError, "key= is for TCP: say port= too; "
			"a Unix socket knows its clients from the kernel");
		return -1;
	}
	if (is_given(g->key)) {
		if (parse_path(g->key, "key", &path) != 0)
			return -1;
		r->keys = keyfile_load(path, &d);
		free(path);
	} else if (!(r->keys = keyfile_credential(&d)) && d.code == PYSTUCK_ENOENT) {
		PyErr_SetString(PyExc_ValueError, "no key, no TCP: make one with `pystuck --keygen FILE` "
			"and say key='FILE'");
		return -1;
	}
	return r->keys ? 0 : raise_diag(&d);
}

/* One item of allow: a name or a uid, and a role. */
static int parse_rule(struct policy *policy, PyObject *subject, PyObject *role)
{
	struct diag d = { 0 };
	if (!PyUnicode_Check(role)) {
		PyErr_Format(PyExc_TypeError, "allow: a role must be 'stacks', 'locals' or 'eval', not %.100s",
			Py_TYPE(role)->tp_name);
		return -1;
	}
	const char *role_text = PyUnicode_AsUTF8(role);
	if (!role_text)
		return -1;
	if (PyUnicode_Check(subject)) {
		Py_ssize_t len = 0;
		const char *text = PyUnicode_AsUTF8AndSize(subject, &len);
		if (!text)
			return -1;
		if (strlen(text) != (size_t)len) {
			PyErr_SetString(PyExc_ValueError, "allow: a name with a NUL in it");
			return -1;
		}
		return policy_add(policy, text, role_text, &d) ? raise_diag(&d) : 0;
	}
	long uid = 0;
	if (parse_number(subject, "allow: a user (other than by name)", 0, (long)UINT32_MAX - 1, &uid) != 0)
		return -1;
	return policy_add_uid(policy, (uid_t)uid, role_text, &d) ? raise_diag(&d) : 0;
}

static int parse_allow(const struct given *g, struct host_request *r)
{
	policy_init(&r->policy, geteuid(), peercred_overflow_uid());
	if (g->eval && !PyBool_Check(g->eval)) {
		PyErr_Format(PyExc_TypeError, "eval must be True or False, not %.100s",
			Py_TYPE(g->eval)->tp_name);
		return -1;
	}
	r->policy.ceiling = g->eval == Py_False || !WITH_EVAL ? ROLE_LOCALS : ROLE_EVAL;
	if (g->eval == Py_True && !WITH_EVAL) {
		PyErr_SetString(PyExc_ValueError, "eval=True: this pystuck was built without evaluation "
			"(make EVAL=no); leave eval= out, or install one that was built with it");
		return -1;
	}
	if (!is_given(g->allow))
		return 0;
	if (!PyDict_Check(g->allow)) {
		PyErr_Format(PyExc_TypeError, "allow must be a dict such as {'deploy': 'eval', '@ops': 'stacks'}, "
			"not %.100s", Py_TYPE(g->allow)->tp_name);
		return -1;
	}
	PyObject *subject, *role;
	for (Py_ssize_t at = 0; PyDict_Next(g->allow, &at, &subject, &role);)
		if (parse_rule(&r->policy, subject, role) != 0)
			return -1;
	return 0;
}

static int find_group(const char *name, gid_t *gid)
{
	struct group entry, *found = NULL;
	int e = ERANGE;
	for (size_t size = 1024; e == ERANGE && size <= GROUP_BUFFER_MAX; size *= 4) {
		char *space = malloc(size);
		if (!space)
			return ENOMEM;
		e = getgrnam_r(name, &entry, space, size, &found);
		if (e == 0 && found)
			*gid = found->gr_gid;
		free(space);
	}
	return e ? e : found ? 0 : ENOENT;
}

static int parse_group(PyObject *o, gid_t *gid)
{
	if (PyUnicode_Check(o)) {
		const char *name = PyUnicode_AsUTF8(o);
		if (!name)
			return -1;
		if (find_group(name, gid) == 0)
			return 0;
		PyErr_Format(PyExc_ValueError, "group: there is no group named %R on this machine", o);
		return -1;
	}
	long number = 0;
	if (parse_number(o, "group (other than by name)", 0, (long)UINT32_MAX - 1, &number) != 0)
		return -1;
	*gid = (gid_t)number;
	return 0;
}

/* Who may connect at all: mode and group of a Unix socket. */
static int parse_mode(const struct given *g, struct host_request *r)
{
	long mode = MODE_DEFAULT;
	r->group = (gid_t)-1;
	if (r->place == HOST_TCP && (is_given(g->mode) || is_given(g->group))) {
		PyErr_SetString(PyExc_ValueError, "mode= and group= are for Unix sockets; on TCP the key decides");
		return -1;
	}
	if (is_given(g->mode) && parse_number(g->mode, "mode", 0, 0777, &mode) != 0)
		return -1;
	if (is_given(g->group) && parse_group(g->group, &r->group) != 0)
		return -1;
	r->mode = (mode_t)mode;
	r->mode_given = is_given(g->mode);
	return 0;
}

static int parse_limits(const struct given *g, struct host_request *r)
{
	long clients = 16;
	double seconds = 1.0;
	if (is_given(g->max_clients) && parse_number(g->max_clients, "max_clients", 1, CLIENTS_MAX, &clients) != 0)
		return -1;
	if (is_given(g->gil_timeout)) {
		PyObject *o = g->gil_timeout;
		if (PyBool_Check(o) || !(PyFloat_Check(o) || PyLong_Check(o))) {
			PyErr_Format(PyExc_TypeError, "gil_timeout must be a number of seconds, not %.100s",
				Py_TYPE(o)->tp_name);
			return -1;
		}
		seconds = PyFloat_AsDouble(o);
		if (seconds == -1.0 && PyErr_Occurred())
			return -1;
		if (!(seconds >= 0.001 && seconds <= GIL_TIMEOUT_MAX)) {
			PyErr_Format(PyExc_ValueError, "gil_timeout must be between 0.001 and %d seconds",
				(int)GIL_TIMEOUT_MAX);
			return -1;
		}
	}
	r->max_clients = (unsigned)clients;
	r->gil_timeout_ms = (unsigned)(seconds * 1000.0 + 0.5);
	return 0;
}

/* True, or where the helper is. */
static int parse_pam(const struct given *g, struct host_request *r)
{
	struct diag d = { 0 };
	char *path = NULL;
	if (!is_given(g->pam) || g->pam == Py_False)
		return 0;
	if (g->pam != Py_True) {
		if (PyLong_Check(g->pam)) {
			PyErr_SetString(PyExc_TypeError, "pam must be True, False or the path of the helper, not int");
			return -1;
		}
		if (parse_path(g->pam, "pam (other than True or False)", &path) != 0)
			return -1;
	}
	int e = account_find(&r->account, path, &d);
	free(path);
	return e ? raise_diag(&d) : 0;
}

/* What a forked child does. */
static int parse_fork(const struct given *g, struct host_request *r)
{
	if (!is_given(g->on_fork))
		return 0;
	if (!PyUnicode_Check(g->on_fork)) {
		PyErr_Format(PyExc_TypeError, "on_fork must be 'restart' or 'ignore', not %.100s",
			Py_TYPE(g->on_fork)->tp_name);
		return -1;
	}
	r->ignore_fork = PyUnicode_CompareWithASCIIString(g->on_fork, "ignore") == 0;
	if (r->ignore_fork || PyUnicode_CompareWithASCIIString(g->on_fork, "restart") == 0)
		return 0;
	PyErr_Format(PyExc_ValueError, "on_fork must be 'restart' or 'ignore', not %R", g->on_fork);
	return -1;
}

static int parse_audit_required(const struct given *g, struct host_request *r)
{
	if (g->audit_required && !PyBool_Check(g->audit_required)) {
		PyErr_Format(PyExc_TypeError, "audit_required must be True or False, not %.100s",
			Py_TYPE(g->audit_required)->tp_name);
		return -1;
	}
	r->audit_required = g->audit_required == Py_True;
	if (r->audit_required && r->audit == HOST_AUDIT_NONE) {
		PyErr_SetString(PyExc_ValueError, "audit_required=True needs a log: say audit='syslog' or a function");
		return -1;
	}
	if (r->audit_required && r->audit == HOST_AUDIT_AUTO)
		r->audit = HOST_AUDIT_SYSLOG;
	return 0;
}

/* Left out, or `...`: as the place has it. */
static int parse_audit(const struct given *g, struct host_request *r)
{
	PyObject *o = g->audit;
	if (o == Py_None) {
		r->audit = HOST_AUDIT_NONE;
	} else if (o && PyUnicode_Check(o)) {
		if (PyUnicode_CompareWithASCIIString(o, "syslog") != 0) {
			PyErr_Format(PyExc_ValueError, "audit must be 'syslog', a function or None, not %R", o);
			return -1;
		}
		r->audit = HOST_AUDIT_SYSLOG;
	} else if (o && o != Py_Ellipsis) {
		if (!PyCallable_Check(o)) {
			PyErr_Format(PyExc_TypeError, "audit must be 'syslog', a function or None, not %.100s",
				Py_TYPE(o)->tp_name);
			return -1;
		}
		r->audit = HOST_AUDIT_CALL;
	}
	return parse_audit_required(g, r);
}

/* What opens it; not given: the call itself. */
static int parse_signal(const struct given *g, struct host_request *r)
{
	long signo = 0;
	if (!is_given(g->signal))
		return 0;
	if (parse_number(g->signal, "signal", 1, SIGRTMAX, &signo) != 0)
		return -1;
	if (!sigwaiter_is_free(signo)) {
		PyErr_Format(PyExc_ValueError, "signal must be SIGUSR1, SIGUSR2 or a real-time signal (%d to %d): "
			"the others mean something to the system", SIGRTMIN, SIGRTMAX);
		return -1;
	}
	r->signo = (int)signo;
	return 0;
}

static int check_hurry(const struct given *g)
{
	if (!g->hurry || PyBool_Check(g->hurry))
		return 0;
	PyErr_Format(PyExc_TypeError, "hurry must be True or False, not %.100s", Py_TYPE(g->hurry)->tp_name);
	return -1;
}

static int parse_namespace(const struct given *g, struct host_request *r)
{
	PyObject *copy = NULL;
	if (is_given(g->namespace)) {
		if (!PyDict_Check(g->namespace)) {
			PyErr_Format(PyExc_TypeError, "namespace must be a dict of names for the prompt, not %.100s",
				Py_TYPE(g->namespace)->tp_name);
			return -1;
		}
		PyObject *name, *value;
		for (Py_ssize_t at = 0; PyDict_Next(g->namespace, &at, &name, &value);)
			if (!PyUnicode_Check(name)) {
				PyErr_SetString(PyExc_TypeError, "namespace: every name must be a str");
				return -1;
			}
		if (!(copy = PyDict_Copy(g->namespace)))
			return -1;
	}
	r->context = visitor_context_new(copy, r->audit == HOST_AUDIT_CALL ? g->audit : NULL, g->hurry != Py_False);
	Py_XDECREF(copy);
	if (r->context)
		return 0;
	PyErr_NoMemory();
	return -1;
}

int args_parse(PyObject *args, PyObject *kwargs, struct host_request *r)
{
	static char *names[] = { "host", "port", "socket", "key", "allow", "mode", "group", "eval", "namespace",
		"gil_timeout", "max_clients", "pam", "on_fork", "audit", "audit_required", "signal", "hurry", NULL };
	struct given g = { 0 };
	memset(r, 0, sizeof *r);
	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO$OOOOOOOOOOOOOOO:run_server", names, &g.host, &g.port,
			&g.socket, &g.key, &g.allow, &g.mode, &g.group, &g.eval, &g.namespace,
			&g.gil_timeout, &g.max_clients, &g.pam, &g.on_fork, &g.audit, &g.audit_required, &g.signal,
			&g.hurry))
		return -1;
	if (parse_place(&g, r) == 0 && parse_allow(&g, r) == 0 && parse_mode(&g, r) == 0 &&
		parse_limits(&g, r) == 0 && parse_pam(&g, r) == 0 && parse_fork(&g, r) == 0 && parse_audit(&g, r) == 0 &&
		parse_signal(&g, r) == 0 && check_hurry(&g) == 0 && parse_namespace(&g, r) == 0 && parse_key(&g, r) == 0)
		return 0;
	host_request_free(r);
	return -1;
}
