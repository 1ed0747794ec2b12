/*
 * task_objects.c: fields of futures and tasks, by the C functions behind asyncio's own attributes (Task._coro), which are called
 * directly: a class of the program's that overrides them is not asked. For tasks in Python, and for locks and queues: by what
 * instances store.
 */
#include <Python.h>

#include "tasks_private.h"

#include <string.h>

#include "look_dict.h"

static const char *const word_texts[TASK_WORDS] = {
	[TASK_WORD_CHILDREN] = "_children", [TASK_WORD_FS] = "fs", [TASK_WORD_FUT] = "fut", [TASK_WORD_HANDLE] = "h",
	[TASK_WORD_INNER] = "inner", [TASK_WORD_SELF] = "self", [TASK_WORD_WHEN] = "_when", [TASK_WORD_RETURN_WHEN] = "return_when",
	[TASK_WORD_TIMEOUT] = "timeout", [TASK_WORD_TIMEOUT_HANDLE] = "timeout_handle", [TASK_WORD_RUNNING_TASKS] = "running_tasks",
	[TASK_WORD_TRANSPORT] = "_transport", [TASK_WORD_SSL_PROTOCOL] = "_ssl_protocol", [TASK_WORD_SOCK_FD] = "_sock_fd",
	[TASK_WORD_FILENO] = "_fileno", [TASK_WORD_FD] = "fd", [TASK_WORD_SOCK] = "sock", [TASK_WORD_END_TIME] = "end_time",
	[TASK_WORD_CALLBACK] = "_callback", [TASK_WORD_READY] = "_ready", [TASK_WORD_SCHEDULED] = "_scheduled",
	[TASK_WORD_THREAD_ID] = "_thread_id", [TASK_WORD_DATA] = "data", [TASK_WORD_PARENT_TASK] = "_parent_task",
	[TASK_WORD_NAME] = "_name", [TASK_WORD_LOCK] = "_lock", [TASK_WORD_LOCKED] = "_locked", [TASK_WORD_QUEUE] = "_queue", [TASK_WORD_TODO] = "todo",
	[TASK_WORD_RESOLUTION] = "_clock_resolution",
};
static const char *const field_texts[FIELDS] = {
	[FIELD_CORO] = "_coro", [FIELD_WAITER] = "_fut_waiter", [FIELD_LOOP] = "_loop", [FIELD_STATE] = "_state",
	[FIELD_CALLBACKS] = "_callbacks", [FIELD_MUST_CANCEL] = "_must_cancel", [FIELD_AWAITED_BY] = "_asyncio_awaited_by",
};

static PyObject *words[TASK_WORDS], *fields[FIELDS];

void task_objects_init(void)
{
	for (size_t i = 0; i < TASK_WORDS; i++)
		if (words[i] == NULL)
			words[i] = PyUnicode_InternFromString(word_texts[i]);
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i] == NULL)
			fields[i] = PyUnicode_InternFromString(field_texts[i]);
	PyErr_Clear();
}

static int has_words(void)
{
	for (size_t i = 0; i < TASK_WORDS; i++)
		if (words[i] == NULL)
			return 0;
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i] == NULL)
			return 0;
	return 1;
}

/* The dict of an imported module, a new reference, or NULL. */
static PyObject *dict_of(const char *name)
{
	PyObject *module = look_module(span_text(name)), *dict = NULL;

	if (module != NULL && PyModule_Check(module))
		dict = Py_XNewRef(PyModule_GetDict(module));
	Py_XDECREF(module);
	return dict;
}

static PyTypeObject *class_in(const char *module, const char *name)
{
	PyObject *dict = dict_of(module), *class = dict != NULL ? look_name(dict, span_text(name)) : NULL;

	Py_XDECREF(dict);
	if (class != NULL && !PyType_Check(class))
		Py_CLEAR(class);
	return (PyTypeObject *)class;
}

/* A type of C's own, whose attributes nobody has replaced: only of these functions are called. */
static void find_fields(PyTypeObject *type, const PyGetSetDef *out[static FIELDS])
{
	for (size_t i = 0; i < FIELDS; i++) {
		PyObject *descr = type != NULL ? _PyType_Lookup(type, fields[i]) : NULL;

		if (descr != NULL && Py_TYPE(descr) == &PyGetSetDescr_Type)
			out[i] = ((PyGetSetDescrObject *)descr)->d_getset;
	}
}

static PyObject *method_of(PyTypeObject *type, const char *name)
{
	PyObject *key = type != NULL ? PyUnicode_InternFromString(name) : NULL;
	PyObject *descr = key != NULL ? _PyType_Lookup(type, key) : NULL;

	Py_XDECREF(key);
	return descr != NULL && Py_TYPE(descr) == &PyMethodDescr_Type ? Py_NewRef(descr) : NULL;
}

int tasks_there(void)
{
	PyObject *tasks = has_words() ? dict_of("asyncio.tasks") : NULL;

	Py_XDECREF(tasks);
	return tasks != NULL;
}

struct tasks_known *task_objects_open(void)
{
	PyObject *tasks = has_words() ? dict_of("asyncio.tasks") : NULL;
	struct tasks_known *k = tasks != NULL ? PyMem_RawCalloc(1, sizeof *k) : NULL;

	if (k == NULL) {
		Py_XDECREF(tasks);
		return NULL;
	}
	k->tasks = tasks;
	memcpy(k->words, words, sizeof words);
	k->c_task = class_in("_asyncio", "Task");
	k->c_future = class_in("_asyncio", "Future");
	k->py_task = class_in("asyncio.tasks", "_PyTask");
	k->py_future = class_in("asyncio.futures", "_PyFuture");
	find_fields(k->c_task, k->of_task);
	find_fields(k->c_future, k->of_future);
	k->get_name = method_of(k->c_task, "get_name");
	k->cancelling = method_of(k->c_task, "cancelling"); /* 3.11 */
	PyErr_Clear();
	return k;
}

void task_objects_close(struct tasks_known *k)
{
	if (k == NULL)
		return;
	Py_XDECREF(k->get_name);
	Py_XDECREF(k->cancelling);
	Py_XDECREF(k->pending);
	Py_XDECREF(k->c_task);
	Py_XDECREF(k->c_future);
	Py_XDECREF(k->py_task);
	Py_XDECREF(k->py_future);
	Py_XDECREF(k->tasks);
	PyMem_RawFree(k);
}

static int is_a(PyObject *object, PyTypeObject *type)
{
	return type != NULL && (Py_TYPE(object) == type || PyType_IsSubtype(Py_TYPE(object), type));
}

int task_is_task(const struct tasks_known *k, PyObject *object)
{
	return is_a(object, k->c_task) || is_a(object, k->py_task);
}

int task_is_future(const struct tasks_known *k, PyObject *object)
{
	return is_a(object, k->c_future) || is_a(object, k->py_future) || task_is_task(k, object);
}

static PyObject *peek(PyObject *object, PyObject *name)
{
	PyObject *in_type = _PyType_Lookup(Py_TYPE(object), name);

	if (in_type != NULL && Py_TYPE(in_type)->tp_descr_get != NULL && Py_TYPE(in_type) != &PyMemberDescr_Type)
		return NULL;
	return compat_stored_attribute(object, name);
}

PyObject *task_peek(const struct tasks_known *k, PyObject *object, enum task_word word)
{
	PyObject *value = object != NULL ? peek(object, k->words[word]) : NULL;

	if (value == Py_None)
		Py_CLEAR(value);
	return value;
}

PyObject *task_field(const struct tasks_known *k, PyObject *future, enum task_field field)
{
	const PyGetSetDef *def = NULL;
	PyObject *value;

	if (is_a(future, k->c_task))
		def = k->of_task[field];
	else if (is_a(future, k->c_future))
		def = k->of_future[field];
	else if (!is_a(future, k->py_future) && !is_a(future, k->py_task))
		return NULL;
	else {
		value = peek(future, fields[field]);
		goto out;
	}
	value = def != NULL && def->get != NULL ? def->get(future, def->closure) : NULL;
	if (value == NULL)
		PyErr_Clear(); /* one that was never initialized says so */
out:
	if (value == Py_None)
		Py_CLEAR(value);
	return value;
}

/* A method of C's own without arguments, of a type that the object has been found to be of; a new reference, or NULL without an exception. */
static PyObject *call(PyObject *method, PyObject *self)
{
	const PyMethodDef *def = ((PyMethodDescrObject *)method)->d_method;
	PyObject *value = def->ml_flags == METH_NOARGS ? def->ml_meth(self, NULL) : PyObject_CallOneArg(method, self);

	if (value == NULL)
		PyErr_Clear();
	return value;
}

PyObject *task_name(const struct tasks_known *k, PyObject *task)
{
	PyObject *name;

	if (is_a(task, k->c_task) && k->get_name != NULL) {
		name = call(k->get_name, task);
	} else {
		name = task_peek(k, task, TASK_WORD_NAME);
	}
	if (name != NULL && !PyUnicode_Check(name))
		Py_CLEAR(name);
	return name;
}

int task_is_cancelled(const struct tasks_known *k, PyObject *task)
{
	PyObject *must = task_field(k, task, FIELD_MUST_CANCEL), *count = NULL;
	int cancelled = must == Py_True;

	if (!cancelled && k->cancelling != NULL && is_a(task, k->c_task)) {
		count = call(k->cancelling, task);
		cancelled = count != NULL && PyLong_CheckExact(count) && PyLong_AsLong(count) > 0;
		PyErr_Clear();
	}
	Py_XDECREF(must);
	Py_XDECREF(count);
	return cancelled;
}

struct span task_class_name(const PyTypeObject *type)
{
	const char *dot = strrchr(type->tp_name, '.');

	return span_text(dot != NULL && dot[1] != '\0' ? dot + 1 : type->tp_name);
}

struct span task_type_name(PyObject *object)
{
	return task_class_name(Py_TYPE(object));
}
