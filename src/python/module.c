/*
 * module.c: the Python module: run_server(), stop_server(), the Server object. What it is told is read by args.c, what it starts
 * lives in host.c.
 */
#include <Python.h>

#include "args.h"
#include "dump.h"
#include "eval.h"
#include "fork.h"
#include "host.h"
#include "sigwaiter.h"
#include "version.h"

#ifdef Py_GIL_DISABLED
#define FREE_THREADED 1
#else
#define FREE_THREADED 0
#endif

typedef struct {
	PyObject_HEAD
	uint32_t id;		/* of host.h; 0 once it has been closed through this object */
	struct addr addr;	/* as last seen, for the repr after close() */
} ServerObject;

static PyTypeObject *server_type;	/* one per process: the module serves the main interpreter only */

/* Asks host.c without the GIL; the address stays the last known one when the listener is gone. Returns state->running. */
static int server_state(ServerObject *self, struct host_state *state)
{
	int e;
	uint32_t id = self->id;
	memset(state, 0, sizeof *state);
	host_notice_fork();
	Py_BEGIN_ALLOW_THREADS
	e = host_state(id, state);
	Py_END_ALLOW_THREADS
	if (e == 0)
		self->addr = state->addr;
	return state->running;
}

static PyObject *addr_object(const struct addr *a)
{
	if (a->kind == ADDR_NONE)
		Py_RETURN_NONE;
	if (a->kind == ADDR_TCP)
		return Py_BuildValue("(si)", a->host, (int)a->port);
	return PyUnicode_DecodeFSDefault(a->path);
}

static PyObject *server_get_address(PyObject *self, void *closure)
{
	struct host_state state;
	(void)closure;
	server_state((ServerObject *)self, &state);
	return addr_object(&((ServerObject *)self)->addr);
}

static PyObject *server_get_running(PyObject *self, void *closure)
{
	struct host_state state;
	(void)closure;
	return PyBool_FromLong(server_state((ServerObject *)self, &state));
}

static PyObject *server_get_error(PyObject *self, void *closure)
{
	struct host_state state;
	char name[SIGWAITER_NAME_MAX];
	(void)closure;
	server_state((ServerObject *)self, &state);
	if (state.signo && !sigwaiter_holds(state.signo))
		return PyUnicode_FromFormat("the program has another handler for %s now: it was installed after run_server()",
			sigwaiter_name(state.signo, name));
	if (state.error[0] == '\0')
		Py_RETURN_NONE;
	return PyUnicode_DecodeUTF8(state.error, (Py_ssize_t)strlen(state.error), "replace");
}

static PyObject *server_repr(PyObject *self)
{
	struct host_state state;
	char text[ADDR_TEXT], name[SIGWAITER_NAME_MAX];
	int running = server_state((ServerObject *)self, &state);
	const struct addr *addr = &((ServerObject *)self)->addr;
	if (state.signo)
		return PyUnicode_FromFormat("<pystuck.Server waiting for %s>", sigwaiter_name(state.signo, name));
	if (addr->kind == ADDR_NONE)
		return PyUnicode_FromString("<pystuck.Server closed>");
	addr_format(addr, text);
	return PyUnicode_FromFormat("<pystuck.Server %s at %s>", running ? "listening" : "closed", text);
}

static void close_by_id(uint32_t id)
{
	struct host_closed closed;
	host_notice_fork();
	Py_BEGIN_ALLOW_THREADS
	host_close(id, &closed);
	Py_END_ALLOW_THREADS
	if (closed.signo)
		sigwaiter_give(closed.signo);
	visitor_context_free(closed.context);
}

static PyObject *server_close(PyObject *self, PyObject *none)
{
	ServerObject *s = (ServerObject *)self;
	struct host_state state;
	(void)none;
	server_state(s, &state);
	uint32_t id = s->id;
	s->id = 0;
	if (id)
		close_by_id(id);
	Py_RETURN_NONE;
}

static PyObject *server_enter(PyObject *self, PyObject *none)
{
	(void)none;
	return Py_NewRef(self);
}

static PyObject *server_exit(PyObject *self, PyObject *args)
{
	(void)args;
	return server_close(self, NULL);
}

static void server_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	type->tp_free(self);
	Py_DECREF(type);
}

PyDoc_STRVAR(close_doc, "close($self, /)\n--\n\n"
	"Stop listening, say goodbye to the clients and remove the socket file.\n\n"
	"An evaluation that still runs is interrupted. Closing twice does nothing.");

static PyMethodDef server_methods[] = {
	{ "close", server_close, METH_NOARGS, close_doc },
	{ "__enter__", server_enter, METH_NOARGS, NULL },
	{ "__exit__", server_exit, METH_VARARGS, NULL },
	{ NULL, NULL, 0, NULL },
};

static PyGetSetDef server_getset[] = {
	{ "address", server_get_address, NULL,
		"Where it listens: the path of a Unix socket (str), or (host, port) of TCP; None before its signal has come.", NULL },
	{ "running", server_get_running, NULL, "True while clients can connect (bool).", NULL },
	{ "error", server_get_error, NULL,
		"Why it does not listen although its signal came, or cannot (str); None: nothing is wrong.", NULL },
	{ NULL, NULL, NULL, NULL, NULL },
};

PyDoc_STRVAR(server_doc, "A place where pystuck listens; made by run_server().\n\n"
	"A context manager that closes it at the end. Dropping the object does not close it.");

static PyType_Slot server_slots[] = {
	{ Py_tp_doc, (void *)server_doc },
	{ Py_tp_dealloc, server_dealloc },
	{ Py_tp_repr, server_repr },
	{ Py_tp_methods, server_methods },
	{ Py_tp_getset, server_getset },
	{ 0, NULL },
};

static PyType_Spec server_spec = {
	.name = "pystuck.Server",
	.basicsize = sizeof(ServerObject),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = server_slots,
};

PyDoc_STRVAR(run_server_doc, "run_server(host=None, port=None, *, socket=None, key=None, allow=None, "
	"mode=0o600, group=None, eval=True, namespace=None, gil_timeout=1.0, max_clients=16, pam=False, on_fork='restart', "
	"audit=..., audit_required=False, signal=None, hurry=True)\n--\n\n"
	"Let `pystuck` look into this process from a shell, and return the Server.\n"
	"\n"
	"With no arguments it listens on a Unix socket that only this user and root can use.\n"
	"\n"
	"host (str), port (int): listen on TCP; a numeric address, 127.0.0.1 and 6666 where one is left out.\n"
	"socket (path): a Unix socket's path; '{pid}' in it becomes the process id.\n"
	"key (path): the key file for TCP, made with `pystuck --keygen`, read again when it changes.\n"
	"    No key, no TCP.\n"
	"allow (dict): who else may come, and as what: {'deploy': 'eval', '@ops': 'stacks', 'key:ci': 'stacks',\n"
	"    1000: 'locals'}; roles are 'stacks' < 'locals' < 'eval'. This user and root may do everything.\n"
	"mode (int), group (str or int): of the Unix socket.\n"
	"eval (bool): False: no client may evaluate anything.\n"
	"namespace (dict): names for the prompt, besides `modules`.\n"
	"gil_timeout (float): seconds after which an answer no longer waits for the GIL.\n"
	"max_clients (int): how many may be connected at a time.\n"
	"pam (bool or path): True: who comes must also pass PAM's account check for the service pystuck; a path: by the\n"
	"    helper whose socket or program is there.\n"
	"on_fork (str): 'restart': a forked child whose address has the pid in it serves there; 'ignore': no child does.\n"
	"audit ('syslog', function or None): who is told of connections, refusals, roles, evaluations and ends. 'syslog':\n"
	"    the journal, else /dev/log; the default on TCP and in a service of systemd, else it is None: nobody. A function\n"
	"    is called with a dict for each event, on a thread of pystuck's; see the stub file for its keys.\n"
	"audit_required (bool): True: what could not be logged is not evaluated.\n"
	"signal (int): SIGUSR1, SIGUSR2 or a real-time signal: listen when that comes and not before, also when the program is\n"
	"    stuck in C code; again does nothing. One for which the program has a handler is refused. Server.error says why\n"
	"    it could not listen.\n"
	"hurry (bool): True: while a client waits for the GIL, for 20 ms at most, threads that compute hand it over sooner, and\n"
	"    sys.getswitchinterval() says so; False: never.\n"
	"\n"
	"Raises TypeError, ValueError, OSError or PermissionError; the message says what to do.\n"
	"\n"
	">>> import pystuck\n"
	">>> pystuck.run_server()                                                   # doctest: +SKIP\n"
	"<pystuck.Server listening at /run/user/1000/pystuck/4242.sock>");

static PyObject *open_server(PyObject *args, PyObject *kwargs)
{
	struct host_request request;
	struct host_state state;
	struct diag d = { 0 };
	uint32_t id = 0;
	int e;
	if (fork_hooks() != 0 || args_parse(args, kwargs, &request) != 0)
		return NULL;
	ServerObject *server = PyObject_New(ServerObject, server_type);
	if (!server) {
		host_request_free(&request);
		return NULL;
	}
	host_notice_fork();
	int signo = request.signo;
	e = signo ? sigwaiter_take(signo, &d) : 0;
	if (e == 0) {
		Py_BEGIN_ALLOW_THREADS
		e = host_open(&request, &id, &d);
		Py_END_ALLOW_THREADS
		if (e != 0 && signo)
			sigwaiter_give(signo);
	}
	if (e != 0) {
		host_request_free(&request);
		Py_DECREF(server);
		return args_raise(&d);
	}
	server->id = id;
	memset(&server->addr, 0, sizeof server->addr);
	server_state(server, &state);
	return (PyObject *)server;
}

/*
 * The server that the environment asked for ($PYSTUCK, python -m pystuck), or 0. A program that calls run_server() itself says itself
 * how it wants to be served, and may well say the same address: then that one is instead of this.
 */
static uint32_t automatic;

static PyObject *activate(PyObject *module, PyObject *none)
{
	PyObject *nothing = PyTuple_New(0);
	PyObject *server = NULL;
	(void)module, (void)none;
	if (automatic) {
		Py_XDECREF(nothing);
		Py_RETURN_NONE;
	}
	if (nothing)
		server = open_server(nothing, NULL);
	Py_XDECREF(nothing);
	if (!server)
		return NULL;
	automatic = ((ServerObject *)server)->id;
	Py_DECREF(server);
	Py_RETURN_NONE;
}

/* With an exception set, which stays. */
static void activate_again(PyObject *module)
{
	PyObject *type, *value, *trace, *done;
	PyErr_Fetch(&type, &value, &trace);
	done = activate(module, NULL);
	Py_XDECREF(done);
	PyErr_Restore(type, value, trace);
}

static PyObject *run_server(PyObject *module, PyObject *args, PyObject *kwargs)
{
	uint32_t instead = automatic;
	automatic = 0;
	if (instead)
		close_by_id(instead);
	PyObject *server = open_server(args, kwargs);
	if (!server && instead)
		activate_again(module);
	return server;
}

PyDoc_STRVAR(activate_doc, "_activate()\n--\n\n"
	"What $PYSTUCK=1 and `python -m pystuck` do: run_server(), until the program calls it itself.");

PyDoc_STRVAR(stop_server_doc, "stop_server()\n--\n\n"
	"Close every Server of this process. Does nothing when there is none.");

static PyObject *stop_server(PyObject *module, PyObject *none)
{
	uint32_t ids[64];
	size_t n;
	(void)module, (void)none;
	host_notice_fork();
	Py_BEGIN_ALLOW_THREADS
	n = host_list(ids, sizeof ids / sizeof *ids);
	Py_END_ALLOW_THREADS
	for (size_t i = 0; i < n; i++)
		close_by_id(ids[i]);
	Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
	{ "run_server", (PyCFunction)(void (*)(void))run_server, METH_VARARGS | METH_KEYWORDS, run_server_doc },
	{ "stop_server", stop_server, METH_NOARGS, stop_server_doc },
	{ "_activate", activate, METH_NOARGS, activate_doc },
	{ NULL, NULL, 0, NULL },
};

static int module_exec(PyObject *module)
{
	if (FREE_THREADED) {
		PyErr_SetString(PyExc_ImportError, "pystuck does not work in a free-threaded Python yet: "
			"use the build with the GIL");
		return -1;
	}
	if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
		PyErr_SetString(PyExc_ImportError, "pystuck serves the main interpreter only: "
			"import it there, not in a sub-interpreter");
		return -1;
	}
	if (!server_type) {
		dump_init();
		if (eval_init(module) != 0 || !(server_type = (PyTypeObject *)PyType_FromSpec(&server_spec)))
			return -1;
	}
	if (PyModule_AddType(module, server_type) != 0)
		return -1;
	return PyModule_AddStringConstant(module, "__version__", PYSTUCK_VERSION);
}

static PyModuleDef_Slot slots[] = {
	{ Py_mod_exec, module_exec },
#ifdef Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED
	{ Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED },
#endif
	{ 0, NULL },
};

PyDoc_STRVAR(module_doc, "Find out why this process is stuck, from a shell, without stopping it.\n\n"
	"In the program: `import pystuck; pystuck.run_server()`. From a shell: `pystuck`.");

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "pystuck",
	.m_doc = module_doc,
	.m_methods = methods,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit_pystuck(void);
PyMODINIT_FUNC PyInit_pystuck(void)
{
	return PyModuleDef_Init(&definition);
}
