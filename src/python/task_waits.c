/*
 * task_waits.c: what a task waits for. The future says little: what it is for, the innermost frame knows, which is a function of
 * asyncio's (Lock.acquire, Queue.get...) with that object among its variables. Who is behind a gather, a wait or a shield, and so
 * whom the task awaits.
 */
#include <Python.h>

#include "tasks_private.h"

#include <string.h>
#include <time.h>

#define INSIDE_MAX 64u /* gather of gather of shield...: so many futures that stand for others are opened */
#define LEFT_MAX (100.0 * 365 * 86400) /* seconds: further away it is no time of this clock */

/* --- times --- */

static double monotonic(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A time of the loop's clock, which is the monotonic one unless the program has made its own. */
static void set_left(struct tasks_one *one, PyObject *when)
{
	double left;

	if (when == NULL || !PyFloat_CheckExact(when))
		return;
	left = PyFloat_AS_DOUBLE(when) - monotonic();
	if (!(left < LEFT_MAX && left > -LEFT_MAX))
		return;
	one->left_us = left > 0 ? (uint64_t)(left * 1e6) : 0;
	one->flags |= TASK_LEFT;
}

static void set_left_by(struct tasks *t, struct tasks_one *one, PyObject *timer)
{
	PyObject *when = task_peek(t->known, timer, TASK_WORD_WHEN);

	one->flags |= TASK_TIMED;
	set_left(one, when);
	Py_XDECREF(when);
}

/* --- what is wanted --- */

static void set_type(struct tasks *t, struct tasks_one *one, PyObject *object)
{
	tasks_text(t, &t->last_type, (PyObject *)Py_TYPE(object), &one->type);
}

static void set_wanted(struct tasks *t, struct tasks_one *one, enum task_wait kind, PyObject *object)
{
	one->kind = (uint8_t)kind;
	if (object == NULL)
		return;
	Py_XSETREF(one->wanted, Py_NewRef(object));
	set_type(t, one, object);
}

/* Whom the source names the object for: the frame around asyncio's own. */
static void set_name_frame(struct tasks_one *one, const struct task_tail *tail)
{
	for (uint32_t i = 0; i < tail->count && i < one->count; i++)
		if (tail->frames[i].function == FUNCTION_OTHER) {
			one->name_frame = i;
			return;
		}
}

/* How many items there are, of a deque or list. */
static void set_items(struct tasks *t, struct tasks_one *one, PyObject *queue)
{
	PyObject *items = task_peek(t->known, queue, TASK_WORD_QUEUE);

	/* Exactly a deque has its length where lists have it. */
	if (items != NULL && (PyList_CheckExact(items) || strcmp(Py_TYPE(items)->tp_name, "collections.deque") == 0)) {
		one->items = (uint64_t)Py_SIZE(items);
		one->flags |= TASK_COUNT;
	}
	Py_XDECREF(items);
}

/* --- tasks behind futures --- */

/* A list of futures that have to be looked at, each a reference. */
struct inside {
	PyObject *list[INSIDE_MAX];
	size_t count;
};

static void put(struct inside *in, PyObject *future)
{
	if (future != NULL && in->count < INSIDE_MAX)
		in->list[in->count++] = Py_NewRef(future);
}

/* A variable of the function around a function, a new reference. */
static PyObject *free_variable(PyObject *function, PyObject *word)
{
	PyCodeObject *code = (PyCodeObject *)PyFunction_GET_CODE(function);
	PyObject *cells = PyFunction_GET_CLOSURE(function), *names, *cell;

	if (cells == NULL)
		return NULL;
#if PY_VERSION_HEX >= 0x030B0000
	/* 3.11: the names of all variables are in one tuple, those of the closure last. */
	names = code->co_localsplusnames;
#else
	names = code->co_freevars;
#endif
	for (Py_ssize_t i = 0, n = PyTuple_GET_SIZE(cells), skip = PyTuple_GET_SIZE(names) - n; i < n && skip >= 0; i++) {
		cell = PyTuple_GET_ITEM(cells, i);
		if (PyTuple_GET_ITEM(names, skip + i) == word && PyCell_Check(cell))
			return Py_XNewRef(((PyCellObject *)cell)->ob_ref);
	}
	return NULL;
}

static int is_called(PyObject *function, const char *name)
{
	PyObject *own = ((PyCodeObject *)PyFunction_GET_CODE(function))->co_name;
	size_t len = strlen(name);

	return PyUnicode_Check(own) && PyUnicode_IS_COMPACT_ASCII(own) && (size_t)PyUnicode_GET_LENGTH(own) == len &&
	       memcmp(PyUnicode_DATA(own), name, len) == 0;
}

/* Callback number i of a list as `_callbacks` has it; NULL: none. Borrowed. */
static PyObject *callback_at(PyObject *callbacks, Py_ssize_t i)
{
	PyObject *pair = PyList_GET_ITEM(callbacks, i);

	return PyTuple_Check(pair) && PyTuple_GET_SIZE(pair) > 0 ? PyTuple_GET_ITEM(pair, 0) : pair;
}

/* A plain future may be the outside of a shield, or stand for what an executor runs. */
static void look_at_callbacks(struct tasks *t, struct tasks_one *one, PyObject *future, struct inside *in)
{
	PyObject *callbacks = task_field(t->known, future, FIELD_CALLBACKS), *inner;

	for (Py_ssize_t i = 0; callbacks != NULL && PyList_CheckExact(callbacks) && i < PyList_GET_SIZE(callbacks); i++) {
		PyObject *callback = callback_at(callbacks, i);

		if (!PyFunction_Check(callback))
			continue;
		if (is_called(callback, "_outer_done_callback")) {
			inner = free_variable(callback, t->known->words[TASK_WORD_INNER]);
			put(in, inner);
			Py_XDECREF(inner);
			one->how = one->how != NULL ? one->how : "shield";
			one->kind = TASK_FOR_TASKS;
		} else if (is_called(callback, "_call_check_cancel") && one->kind == TASK_FOR_FUTURE) {
			one->kind = TASK_FOR_EXECUTOR;
		}
	}
	Py_XDECREF(callbacks);
}

/* Tasks of a list or set go to edges, other futures are to be looked at. */
static void take_many(struct tasks *t, uint32_t i, PyObject *many, struct inside *in)
{
	Py_ssize_t at = 0;
	PyObject *one;

	if (many == NULL)
		return;
	for (; PyList_CheckExact(many) && at < PyList_GET_SIZE(many); at++) {
		one = PyList_GET_ITEM(many, at);
		if (task_is_task(t->known, one))
			tasks_add_edge(t, i, one);
		else if (task_is_future(t->known, one))
			put(in, one);
	}
	while (PyAnySet_CheckExact(many) && compat_set_next(many, &at, &one))
		if (task_is_task(t->known, one))
			tasks_add_edge(t, i, one);
		else if (task_is_future(t->known, one))
			put(in, one);
}

/* Opens futures that stand for others until there are only tasks, and futures of which nobody knows whose. */
static void open_all(struct tasks *t, uint32_t i, struct inside *in)
{
	for (size_t n = 0; n < in->count; n++) {
		PyObject *future = in->list[n], *children;

		if (task_is_task(t->known, future)) {
			tasks_add_edge(t, i, future);
			t->items[i].kind = TASK_FOR_TASKS;
			continue;
		}
		children = task_peek(t->known, future, TASK_WORD_CHILDREN);
		if (children != NULL && PyList_CheckExact(children)) {
			t->items[i].kind = TASK_FOR_TASKS;
			t->items[i].how = t->items[i].how != NULL ? t->items[i].how : "gather";
			take_many(t, i, children, in);
		} else {
			look_at_callbacks(t, &t->items[i], future, in);
		}
		Py_XDECREF(children);
	}
	for (size_t n = 0; n < in->count; n++)
		Py_DECREF(in->list[n]);
}

/* --- sockets --- */

static int number_of(PyObject *v)
{
	long n = v != NULL && PyLong_CheckExact(v) ? PyLong_AsLong(v) : -1;

	PyErr_Clear();
	return n >= 0 && n <= INT32_MAX ? (int)n : -1;
}

/* The fd of a transport; for TLS that of the one below it. */
static int fd_of_transport(const struct tasks_known *k, PyObject *transport)
{
	PyObject *at = Py_XNewRef(transport), *next, *v;
	int fd = -1;

	for (int depth = 0; at != NULL && fd < 0 && depth < 4; depth++) {
		v = task_peek(k, at, TASK_WORD_SOCK_FD);
		if (v == NULL)
			v = task_peek(k, at, TASK_WORD_FILENO);
		fd = number_of(v);
		Py_XDECREF(v);
		next = task_peek(k, at, TASK_WORD_SSL_PROTOCOL);
		if (next == NULL)
			next = task_peek(k, at, TASK_WORD_TRANSPORT);
		Py_SETREF(at, next);
	}
	Py_XDECREF(at);
	return fd;
}

static void set_fd(struct tasks_one *one, int fd)
{
	if (fd < 0)
		return;
	one->fd = fd;
	one->flags |= TASK_FD;
}

/* `self` of one of the innermost frames has the transport. */
static void find_stream(struct tasks *t, struct tasks_one *one, const struct task_tail *tail)
{
	for (uint32_t i = 0; i < tail->count && i < 3 && one->fd < 0 && tail->frames[i].function != FUNCTION_OTHER; i++) {
		PyObject *self = task_variable(t->known, tail->frames[i].frame, tail->frames[i].code, TASK_WORD_SELF);
		PyObject *transport = task_peek(t->known, self, TASK_WORD_TRANSPORT);

		set_fd(one, fd_of_transport(t->known, transport));
		Py_XDECREF(transport);
	}
}

/* The fd that a socket object has: by its base class's own function, which is C. */
static int fd_of_socket(PyObject *sock)
{
	PyTypeObject *type = sock != NULL ? Py_TYPE(sock) : NULL;
	PyObject *name, *method, *v = NULL;
	int fd = -1;

	while (type != NULL && strcmp(type->tp_name, "_socket.socket") != 0)
		type = type->tp_base;
	name = type != NULL ? PyUnicode_InternFromString("fileno") : NULL;
	method = name != NULL ? _PyType_Lookup(type, name) : NULL;
	if (method != NULL && Py_TYPE(method) == &PyMethodDescr_Type)
		v = PyObject_CallOneArg(method, sock);
	PyErr_Clear();
	fd = number_of(v);
	Py_XDECREF(v);
	Py_XDECREF(name);
	return fd;
}

static void find_socket(struct tasks *t, struct tasks_one *one, const struct task_tail *tail)
{
	PyObject *fd = task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_FD);

	set_fd(one, number_of(fd));
	if (one->fd < 0)
		set_fd(one, fd_of_socket(task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_SOCK)));
}

/* --- by the innermost frame --- */

static void find_wait(struct tasks *t, uint32_t i, const struct task_tail *tail, PyObject *many, const char *how)
{
	struct tasks_one *one = &t->items[i];
	struct inside in = {.count = 0};
	PyObject *when = task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_RETURN_WHEN);
	PyObject *timer = task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_TIMEOUT_HANDLE);

	one->kind = TASK_FOR_TASKS;
	one->how = how;
	if (when != NULL && PyUnicode_Check(when) && pytext_readable(when) && PyUnicode_IS_ASCII(when) &&
		strcmp(PyUnicode_DATA(when), "ALL_COMPLETED") != 0)
		one->flags |= TASK_ANY;
	if (timer != NULL && timer != Py_None)
		set_left_by(t, one, timer);
	take_many(t, i, many, &in);
	open_all(t, i, &in);
}

static void find_wait_for(struct tasks *t, uint32_t i, const struct task_tail *tail)
{
	struct inside in = {.count = 0};
	PyObject *timer = task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_TIMEOUT_HANDLE);

	if (timer != NULL && timer != Py_None)
		set_left_by(t, &t->items[i], timer);
	put(&in, task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_FUT));
	t->items[i].how = "wait_for";
	open_all(t, i, &in);
}

static void find_by_function(struct tasks *t, uint32_t i, const struct task_tail *tail, PyObject *self)
{
	const struct tasks_known *k = t->known;
	struct tasks_one *one = &t->items[i];
	compat_frame *frame = tail->frames[0].frame;
	PyCodeObject *code = tail->frames[0].code;
	PyObject *v;

	switch (tail->frames[0].function) {
	case FUNCTION_SLEEP:
		one->kind = TASK_FOR_SLEEP;
		v = task_variable(k, frame, code, TASK_WORD_HANDLE);
		one->flags |= TASK_TIMED;
		if (v != NULL)
			set_left_by(t, one, v);
		break;
	case FUNCTION_WAIT:
		find_wait(t, i, tail, task_variable(k, frame, code, TASK_WORD_FS), "wait");
		break;
	case FUNCTION_STAGGERED:
		find_wait(t, i, tail, task_variable(k, frame, code, TASK_WORD_RUNNING_TASKS), "staggered_race");
		one->flags |= TASK_ANY;
		break;
	case FUNCTION_WAIT_FOR:
		find_wait_for(t, i, tail);
		break;
	case FUNCTION_LOCK:
		set_wanted(t, one, TASK_FOR_LOCK, self);
		break;
	case FUNCTION_GET:
		set_wanted(t, one, TASK_FOR_GET, self);
		break;
	case FUNCTION_PUT:
		set_wanted(t, one, TASK_FOR_PUT, self);
		break;
	case FUNCTION_JOIN:
		set_wanted(t, one, TASK_FOR_JOIN, self);
		break;
	case FUNCTION_GROUP:
		one->kind = TASK_FOR_TASKS;
		one->how = "TaskGroup";
		break;
	case FUNCTION_READ:
	case FUNCTION_DRAIN:
		one->kind = tail->frames[0].function == FUNCTION_READ ? TASK_FOR_READ : TASK_FOR_WRITE;
		find_stream(t, one, tail);
		break;
	case FUNCTION_SOCK_READ:
		one->kind = TASK_FOR_READ;
		find_socket(t, one, tail);
		break;
	case FUNCTION_SOCK_WRITE:
		one->kind = TASK_FOR_WRITE;
		find_socket(t, one, tail);
		break;
	case FUNCTION_SOCK_CONNECT:
		one->kind = TASK_FOR_CONNECT;
		find_socket(t, one, tail);
		break;
	case FUNCTION_CHILD:
		one->kind = TASK_FOR_CHILD;
		break;
	default:
		break;
	}
}

/* A wait on an Event inside Queue.join() is one on the queue. */
static void look_further_out(struct tasks *t, uint32_t i, const struct task_tail *tail)
{
	struct tasks_one *one = &t->items[i];
	PyObject *self;

	if (tail->count < 2)
		return;
	if (tail->frames[0].function == FUNCTION_LOCK && tail->frames[1].function == FUNCTION_JOIN) {
		self = task_variable(t->known, tail->frames[1].frame, tail->frames[1].code, TASK_WORD_SELF);
		set_wanted(t, one, TASK_FOR_JOIN, self);
	}
	for (uint32_t n = 1; n < tail->count && tail->frames[n].function != FUNCTION_OTHER; n++)
		if (tail->frames[n].function == FUNCTION_STAGGERED) {
			one->how = "staggered_race";
			one->flags |= TASK_ANY;
		}
	for (uint32_t n = 1; n < tail->count; n++)
		if (tail->frames[n].function == FUNCTION_WAIT_FOR)
			one->flags |= TASK_TIMED;
	if (one->kind == TASK_FOR_GET || one->kind == TASK_FOR_PUT || one->kind == TASK_FOR_JOIN)
		set_items(t, one, one->wanted);
}

void task_waits_find(struct tasks *t, uint32_t i, const struct task_tail *tail)
{
	struct tasks_one *one = &t->items[i];
	struct inside in = {.count = 0};
	PyObject *self = NULL;

	if (tail->count > 0)
		self = task_variable(t->known, tail->frames[0].frame, tail->frames[0].code, TASK_WORD_SELF);
	one->kind = TASK_FOR_FUTURE;
	if (tail->count > 0)
		find_by_function(t, i, tail, self);
	look_further_out(t, i, tail);
	one = &t->items[i];
	if ((one->kind == TASK_FOR_GET || one->kind == TASK_FOR_PUT) && one->wanted != NULL)
		set_items(t, one, one->wanted);
	if (one->kind == TASK_FOR_FUTURE && one->how == NULL && one->waits != NULL) {
		put(&in, one->waits);
		open_all(t, i, &in);
	}
	one = &t->items[i];
	if (one->kind == TASK_FOR_FUTURE || one->kind == TASK_FOR_EXECUTOR) {
		Py_XSETREF(one->wanted, Py_XNewRef(one->waits));
		if (one->waits != NULL)
			set_type(t, one, one->waits);
	}
	set_name_frame(one, tail);
}

/* The group that a task belongs to has itself called when it ends. */
static void look_for_group(struct tasks *t, uint32_t i, PyObject *callback)
{
	PyObject *self, *parent;
	uint32_t waiter;

	if (!PyMethod_Check(callback) || !PyFunction_Check(PyMethod_GET_FUNCTION(callback)) ||
		!is_called(PyMethod_GET_FUNCTION(callback), "_on_task_done"))
		return;
	self = PyMethod_GET_SELF(callback);
	parent = task_peek(t->known, self, TASK_WORD_PARENT_TASK);
	waiter = parent != NULL ? tasks_find(t, (uintptr_t)parent) : TASKS_NONE;
	if (waiter != TASKS_NONE)
		tasks_add_edge(t, waiter, t->items[i].object);
	Py_XDECREF(parent);
}

void task_waits_of_callbacks(struct tasks *t, uint32_t i)
{
	PyObject *callbacks = task_field(t->known, t->items[i].object, FIELD_CALLBACKS);
	PyObject *waiters = task_field(t->known, t->items[i].object, FIELD_AWAITED_BY), *waiter; /* 3.14 */
	Py_ssize_t at = 0;

	for (Py_ssize_t n = 0; callbacks != NULL && PyList_CheckExact(callbacks) && n < PyList_GET_SIZE(callbacks); n++)
		look_for_group(t, i, callback_at(callbacks, n));
	while (waiters != NULL && PyAnySet_CheckExact(waiters) && compat_set_next(waiters, &at, &waiter)) {
		uint32_t index = tasks_find(t, (uintptr_t)waiter);

		if (index != TASKS_NONE)
			tasks_add_edge(t, index, t->items[i].object);
	}
	Py_XDECREF(callbacks);
	Py_XDECREF(waiters);
}
