/*
 * modules.c: `modules['os']`, `modules.xml.dom.minidom`: the program's modules for a session. Plain
 * modules are handed out as they are; a package comes in a thin wrapper, so that a submodule that
 * nobody has imported yet can be reached through it.
 */
#include <Python.h>

#include "modules.h"

#include <stddef.h>

static PyTypeObject *modules_type;
static PyTypeObject *package_type;

struct package {
	PyObject_HEAD
	PyObject *module; /* NULL only while it is being torn down */
};

/* --- finding and importing ------------------------------------------------ */

/* sys.modules[name], a new reference; NULL without an exception: not there, or None, which blocks
 * its import. */
static PyObject *find_module(PyObject *name)
{
	PyObject *all = PyImport_GetModuleDict();
	PyObject *module;

	if (all == NULL)
		return NULL;
	if (PyDict_Check(all))
		module = Py_XNewRef(PyDict_GetItemWithError(all, name));
	else
		module = PyObject_GetItem(all, name);
	if (module == NULL && PyErr_ExceptionMatches(PyExc_KeyError))
		PyErr_Clear();
	if (module == Py_None)
		Py_CLEAR(module);
	return module;
}

/* 1 when `missing` is `name` or a package above it: "a.b" and "a" for "a.b.c". */
static int is_part_of(PyObject *missing, PyObject *name)
{
	Py_ssize_t len;

	if (!PyUnicode_Check(missing))
		return 0;
	len = PyUnicode_GetLength(missing);
	if (PyUnicode_Tailmatch(name, missing, 0, PY_SSIZE_T_MAX, -1) != 1)
		return 0;
	return len == PyUnicode_GetLength(name) || PyUnicode_ReadChar(name, len) == '.';
}

/* The import of `name` has failed: 1 when there is no such module, 0 when it is there and something
 * in it went wrong. */
static int is_missing(PyObject *name)
{
	PyObject *type, *value, *trace, *missing = NULL;
	int answer = 0;

	if (!PyErr_ExceptionMatches(PyExc_ModuleNotFoundError))
		return 0;
	PyErr_Fetch(&type, &value, &trace);
	PyErr_NormalizeException(&type, &value, &trace);
	if (value != NULL)
		missing = PyObject_GetAttrString(value, "name");
	if (missing != NULL)
		answer = is_part_of(missing, name);
	Py_XDECREF(missing);
	PyErr_Restore(type, value, trace);
	return answer;
}

/* A package's submodules are reached through its wrapper; everything else is the real thing. Takes
 * the reference over. */
static PyObject *wrap(PyObject *module)
{
	struct package *p;
	PyObject *path;

	if (module == NULL || !PyModule_Check(module))
		return module;
	/* Not getattr: a lazy module would load itself. */
	path = PyDict_GetItemString(PyModule_GetDict(module), "__path__");
	if (path == NULL)
		return module;
	p = PyObject_GC_New(struct package, package_type);
	if (p == NULL) {
		Py_DECREF(module);
		return NULL;
	}
	p->module = module;
	PyObject_GC_Track(p);
	return (PyObject *)p;
}

/* The module of that dotted name, imported if need be; NULL with the import's own exception. */
static PyObject *get_module(PyObject *name)
{
	PyObject *module = find_module(name);

	if (module == NULL && !PyErr_Occurred())
		module = PyImport_Import(name);
	return wrap(module);
}

/* "__len__" and its like are looked for by Python itself and are no modules that one would import.
 */
static int is_special(PyObject *name)
{
	Py_ssize_t len = PyUnicode_GetLength(name);

	return len > 4 && PyUnicode_ReadChar(name, 0) == '_' &&
	       PyUnicode_ReadChar(name, 1) == '_' && PyUnicode_ReadChar(name, len - 1) == '_' &&
	       PyUnicode_ReadChar(name, len - 2) == '_';
}

/* --- modules -------------------------------------------------------------- */

static PyObject *modules_subscript(PyObject *self, PyObject *name)
{
	PyObject *module;

	(void)self;
	if (!PyUnicode_Check(name)) {
		PyErr_Format(PyExc_TypeError,
			"modules[...] takes the name of a module, a str, not %.200s",
			Py_TYPE(name)->tp_name);
		return NULL;
	}
	if (PyUnicode_GetLength(name) == 0) {
		PyErr_SetString(PyExc_KeyError, "modules['']: the name of a module is missing");
		return NULL;
	}
	module = get_module(name);
	if (module == NULL && is_missing(name)) {
		PyErr_Clear();
		PyErr_Format(
			PyExc_KeyError, "no module named %R is loaded or can be imported", name);
	}
	return module;
}

static PyObject *modules_getattro(PyObject *self, PyObject *name)
{
	PyObject *module = find_module(name);

	if (module != NULL || PyErr_Occurred())
		return wrap(module);
	if (is_special(name)) {
		module = PyObject_GenericGetAttr(self, name);
		if (module != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
			return module;
		PyErr_Clear();
	}
	module = get_module(name);
	if (module == NULL && is_missing(name)) {
		PyErr_Clear();
		PyErr_Format(PyExc_AttributeError,
			"no module named %R is loaded or can be imported", name);
	}
	return module;
}

static int modules_setattro(PyObject *self, PyObject *name, PyObject *value)
{
	(void)self, (void)value;
	PyErr_Format(PyExc_AttributeError,
		"modules cannot be changed here: "
		"set an attribute of a module, or use modules.sys.modules[%R]",
		name);
	return -1;
}

static int modules_contains(PyObject *self, PyObject *name)
{
	PyObject *module;
	int there;

	(void)self;
	if (!PyUnicode_Check(name))
		return 0;
	module = find_module(name);
	if (module == NULL && PyErr_Occurred())
		return -1;
	there = module != NULL;
	Py_XDECREF(module);
	return there;
}

static Py_ssize_t modules_length(PyObject *self)
{
	PyObject *all = PyImport_GetModuleDict();

	(void)self;
	return all != NULL ? PyObject_Size(all) : 0;
}

/* The names of all modules now: the program may import others while the list is read. */
static PyObject *module_names(void)
{
	PyObject *all = PyImport_GetModuleDict();

	return all != NULL ? PySequence_List(all) : PyList_New(0);
}

static PyObject *modules_iter(PyObject *self)
{
	PyObject *names = module_names();
	PyObject *iterator = names != NULL ? PyObject_GetIter(names) : NULL;

	(void)self;
	Py_XDECREF(names);
	return iterator;
}

/* Names that can be written after "modules.". */
static PyObject *modules_dir(PyObject *self, PyObject *unused)
{
	PyObject *names = module_names();
	PyObject *out = names != NULL ? PyList_New(0) : NULL;

	(void)self, (void)unused;
	for (Py_ssize_t i = 0; out != NULL && i < PyList_GET_SIZE(names); i++) {
		PyObject *name = PyList_GET_ITEM(names, i);

		if (PyUnicode_Check(name) && PyUnicode_IsIdentifier(name) == 1 &&
			PyList_Append(out, name) != 0)
			Py_CLEAR(out);
	}
	Py_XDECREF(names);
	return out;
}

static PyObject *modules_repr(PyObject *self)
{
	Py_ssize_t n = modules_length(self);

	return n >= 0 ? PyUnicode_FromFormat("<pystuck modules: %zd imported>", n) : NULL;
}

static void plain_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_Free(self);
	Py_DECREF(type);
}

static PyMethodDef modules_methods[] = {
	{"__dir__", modules_dir, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(modules_doc,
	"The modules of the program, by item or attribute: modules['os'], modules.os.\n\n"
	"What is not loaded yet is imported. modules['__main__'].x = 1 changes the program.");

static PyType_Slot modules_slots[] = {
	{Py_tp_doc, (void *)modules_doc},
	{Py_tp_dealloc, plain_dealloc},
	{Py_tp_methods, modules_methods},
	{Py_tp_getattro, modules_getattro},
	{Py_tp_setattro, modules_setattro},
	{Py_tp_repr, modules_repr},
	{Py_tp_iter, modules_iter},
	{Py_mp_subscript, modules_subscript},
	{Py_mp_length, modules_length},
	{Py_sq_contains, modules_contains},
	{0, NULL},
};

static PyType_Spec modules_spec = {
	.name = "pystuck.modules",
	.basicsize = sizeof(PyObject),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = modules_slots,
};

/* --- a package ------------------------------------------------------------ */

static PyObject *module_of(PyObject *self)
{
	return ((struct package *)self)->module;
}

/* The submodule, or NULL with an exception. */
static PyObject *get_submodule(PyObject *module, PyObject *name)
{
	PyObject *package = PyObject_GetAttrString(module, "__name__");
	PyObject *full = package != NULL ? PyUnicode_FromFormat("%S.%U", package, name) : NULL;
	PyObject *submodule = full != NULL ? get_module(full) : NULL;

	if (submodule == NULL && full != NULL && is_missing(full)) {
		PyErr_Clear();
		PyErr_Format(PyExc_AttributeError,
			"module %R has no attribute %R, and no module of that name "
			"can be imported from it",
			package, name);
	}
	Py_XDECREF(full);
	Py_XDECREF(package);
	return submodule;
}

static PyObject *package_getattro(PyObject *self, PyObject *name)
{
	PyObject *module = module_of(self);
	PyObject *value;

	if (module == NULL) {
		PyErr_SetNone(PyExc_AttributeError);
		return NULL;
	}
	value = PyObject_GetAttr(module, name);
	if (value != NULL)
		return wrap(value);
	if (!PyErr_ExceptionMatches(PyExc_AttributeError) || is_special(name))
		return NULL;
	PyErr_Clear();
	return get_submodule(module, name);
}

static int package_setattro(PyObject *self, PyObject *name, PyObject *value)
{
	PyObject *module = module_of(self);

	return PyObject_SetAttr(module != NULL ? module : Py_None, name, value);
}

static PyObject *package_repr(PyObject *self)
{
	PyObject *module = module_of(self);

	return PyObject_Repr(module != NULL ? module : Py_None);
}

static Py_hash_t package_hash(PyObject *self)
{
	PyObject *module = module_of(self);

	return PyObject_Hash(module != NULL ? module : Py_None);
}

static PyObject *package_richcompare(PyObject *self, PyObject *other, int op)
{
	PyObject *module = module_of(self);

	if (Py_IS_TYPE(other, package_type))
		other = module_of(other);
	if (module == NULL || other == NULL)
		Py_RETURN_NOTIMPLEMENTED;
	return PyObject_RichCompare(module, other, op);
}

static PyObject *package_dir(PyObject *self, PyObject *unused)
{
	PyObject *module = module_of(self);

	(void)unused;
	return PyObject_Dir(module != NULL ? module : Py_None);
}

static int package_traverse(PyObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(((struct package *)self)->module);
	return 0;
}

static int package_clear(PyObject *self)
{
	Py_CLEAR(((struct package *)self)->module);
	return 0;
}

static void package_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	PyObject_GC_UnTrack(self);
	package_clear(self);
	PyObject_GC_Del(self);
	Py_DECREF(type);
}

static PyMethodDef package_methods[] = {
	{"__dir__", package_dir, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot package_slots[] = {
	{Py_tp_dealloc, package_dealloc},
	{Py_tp_traverse, package_traverse},
	{Py_tp_clear, package_clear},
	{Py_tp_methods, package_methods},
	{Py_tp_getattro, package_getattro},
	{Py_tp_setattro, package_setattro},
	{Py_tp_repr, package_repr},
	{Py_tp_hash, package_hash},
	{Py_tp_richcompare, package_richcompare},
	{0, NULL},
};

static PyType_Spec package_spec = {
	.name = "pystuck.package",
	.basicsize = sizeof(struct package),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = package_slots,
};

int modules_init(void)
{
	if (modules_type == NULL)
		modules_type = (PyTypeObject *)PyType_FromSpec(&modules_spec);
	if (modules_type != NULL && package_type == NULL)
		package_type = (PyTypeObject *)PyType_FromSpec(&package_spec);
	return modules_type != NULL && package_type != NULL ? 0 : -1;
}

PyObject *modules_new(void)
{
	return (PyObject *)PyObject_New(PyObject, modules_type);
}

int modules_is(PyObject *object)
{
	return Py_IS_TYPE(object, modules_type);
}

PyObject *modules_unwrap(PyObject *object)
{
	if (Py_IS_TYPE(object, package_type))
		return module_of(object);
	return PyModule_Check(object) ? object : NULL;
}
