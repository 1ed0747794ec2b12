/*
 * greenlet_types.c: names of classes, and getters of C code. What their objects say: greenlets.c, greenlet_waits.c.
 */
#include <Python.h>

#include "greenlet_types.h"

#include <string.h>

#include "compat.h"

static struct {
	PyObject *module, *inner, *class_name, *module_of, *gevent;
} words;

void greenlet_types_init(void)
{
	if (words.gevent != NULL)
		return;
	words.module = PyUnicode_InternFromString("greenlet");
	words.inner = PyUnicode_InternFromString("greenlet._greenlet");
	words.class_name = PyUnicode_InternFromString("greenlet");
	words.module_of = PyUnicode_InternFromString("__module__");
	words.gevent = PyUnicode_InternFromString("gevent");
	PyErr_Clear();
}

static const PyGetSetDef *getter_of(const PyTypeObject *type, const char *attribute)
{
	for (const PyGetSetDef *g = type->tp_getset; g != NULL && g->name != NULL; g++)
		if (g->get != NULL && strcmp(g->name, attribute) == 0)
			return g;
	return NULL;
}

PyObject *greenlet_types_get(PyObject *object, const PyTypeObject *base, const char *attribute)
{
	const PyTypeObject *type = base != NULL ? base : Py_TYPE(object);
	const PyGetSetDef *g = NULL;
	PyObject *value;

	for (; type != NULL && g == NULL; type = base != NULL ? NULL : type->tp_base)
		g = getter_of(type, attribute);
	if (g == NULL)
		return NULL;
	value = g->get(object, g->closure);
	if (value == NULL)
		PyErr_Clear();
	return value;
}

const char *greenlet_types_name(const PyTypeObject *type)
{
	const char *dot = strrchr(type->tp_name, '.');

	return dot != NULL ? dot + 1 : type->tp_name;
}

/* --- modules --- */

static PyObject *imported(PyObject *name)
{
	PyObject *modules = PyImport_GetModuleDict();

	if (name == NULL || modules == NULL || !PyDict_CheckExact(modules))
		return NULL;
	return PyDict_GetItemWithError(modules, name);
}

static PyTypeObject *class_in(PyObject *module)
{
	PyObject *class = NULL;

	if (module != NULL && PyModule_Check(module))
		class = PyDict_GetItemWithError(PyModule_GetDict(module), words.class_name);
	return class != NULL && PyType_Check(class) ? (PyTypeObject *)class : NULL;
}

/* The attributes that greenlets.c asks for. */
static int is_known(const PyTypeObject *type)
{
	return type != NULL && !(type->tp_flags & Py_TPFLAGS_HEAPTYPE) && strcmp(type->tp_name, "greenlet.greenlet") == 0 &&
	       type->tp_dictoffset > 0 && type->tp_as_number != NULL && type->tp_as_number->nb_bool != NULL &&
	       getter_of(type, "gr_frame") != NULL && getter_of(type, "parent") != NULL;
}

PyTypeObject *greenlet_types_base(void)
{
	PyTypeObject *type = class_in(imported(words.inner));

	/* Up to 0.4 there is no module within the module. */
	if (!is_known(type))
		type = class_in(imported(words.module));
	PyErr_Clear();
	return is_known(type) ? type : NULL;
}

int greenlet_types_begin(struct greenlet_types *t)
{
	memset(t, 0, sizeof *t);
	t->greenlet = greenlet_types_base();
	t->gevent = imported(words.gevent) != NULL;
	PyErr_Clear();
	return t->greenlet != NULL;
}

/* --- classes --- */

struct known {
	const char *name;
	enum greenlet_kind kind;
};

static const struct known of_gevent[] = {
	{"io", KIND_IO},
	{"timer", KIND_TIMER},
	{"child", KIND_CHILD},
	{"callback", KIND_CALLBACK},
	{"watcher", KIND_WATCHER},
	{"Waiter", KIND_WAITER},
	{"RLock", KIND_RLOCK},
	{"loop", KIND_OTHER},
	{"CallbackFIFO", KIND_OTHER},
	{"Timeout", KIND_OTHER},
};

static int begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* Whether the class stands in a module of this package. One written in C says so in its name. */
static int is_of(const PyTypeObject *type, const char *package)
{
	char with[32];
	PyObject *module;

	snprintf(with, sizeof with, "%s.", package);
	if (begins(type->tp_name, with))
		return 1;
	if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE) || type->tp_dict == NULL)
		return 0;
	module = PyDict_GetItemWithError(type->tp_dict, words.module_of);
	if (module == NULL || !PyUnicode_CheckExact(module) || !PyUnicode_IS_COMPACT_ASCII(module))
		return 0;
	return begins((const char *)PyUnicode_DATA(module), with) || strcmp((const char *)PyUnicode_DATA(module), package) == 0;
}

static enum greenlet_kind kind_of(const struct greenlet_types *t, const PyTypeObject *type)
{
	const char *name = greenlet_types_name(type);

	if (type == t->greenlet)
		return KIND_GREENLET;
	if (!(type->tp_flags & Py_TPFLAGS_HAVE_GC))
		return KIND_UNKNOWN;
	if (strcmp(name, "_RLock") == 0 && is_of(type, "threading"))
		return KIND_RLOCK;
	if (!t->gevent || !is_of(type, "gevent"))
		return KIND_UNKNOWN;
	for (size_t i = 0; i < sizeof of_gevent / sizeof of_gevent[0]; i++)
		if (strcmp(name, of_gevent[i].name) == 0)
			return of_gevent[i].kind;
	return KIND_OBJECT;
}

enum greenlet_kind greenlet_types_slow(struct greenlet_types *t, PyTypeObject *type)
{
	enum greenlet_kind kind = KIND_UNKNOWN, found;

	/* The base class says more than what stands between: a watcher of gevent's is one of its objects too. */
	for (const PyTypeObject *at = type; at != NULL; at = at->tp_base) {
		found = kind_of(t, at);
		if (found != KIND_UNKNOWN && (kind == KIND_UNKNOWN || kind == KIND_OBJECT))
			kind = found;
		if (found == KIND_GREENLET)
			kind = found;
	}
	PyErr_Clear();
	return kind != KIND_UNKNOWN ? kind : KIND_OTHER;
}
