/*
 * names.c: reads threading._active. The walk over the frames is in frames.c; nothing here imports anything.
 */
#include "names.h"

#include <string.h>

#include "msg.h"
#include "text.h"

static struct {
	PyObject *threading, *active, *name, *daemonic, *native_id;
} words;

void names_init(void)
{
	if (words.native_id != NULL)
		return;
	words.threading = PyUnicode_InternFromString("threading");
	words.active = PyUnicode_InternFromString("_active");
	words.name = PyUnicode_InternFromString("_name");
	words.daemonic = PyUnicode_InternFromString("_daemonic");
	words.native_id = PyUnicode_InternFromString("_native_id");
	PyErr_Clear();
}

/* threading._active, borrowed; NULL when the module is not imported, or something else stands in its place. */
static PyObject *active_threads(void)
{
	PyObject *modules = PyImport_GetModuleDict(), *module, *active;

	if (words.native_id == NULL || words.active == NULL || words.threading == NULL)
		return NULL;
	if (modules == NULL || !PyDict_CheckExact(modules))
		return NULL;
	module = PyDict_GetItemWithError(modules, words.threading);
	if (module == NULL || !PyModule_Check(module))
		return NULL;
	active = PyDict_GetItemWithError(PyModule_GetDict(module), words.active);
	return active != NULL && PyDict_CheckExact(active) ? active : NULL;
}

/*
 * An attribute that is stored in the object and not computed: a new reference, or NULL without an exception. Goes around a
 * __getattribute__ of the program's.
 */
static PyObject *stored(PyObject *object, PyObject *name)
{
	PyObject *in_type;

	if (name == NULL)
		return NULL;
	in_type = _PyType_Lookup(Py_TYPE(object), name);
	/* A member descriptor (__slots__) is C code that reads a field. */
	if (in_type != NULL && Py_TYPE(in_type)->tp_descr_get != NULL && Py_TYPE(in_type) != &PyMemberDescr_Type)
		return NULL;
	return compat_stored_attribute(object, name);
}

static void read_name(struct frames *f, struct frames_thread *t, PyObject *thread)
{
	PyObject *name = stored(thread, words.name);

	if (name != NULL && pytext_str(&f->text, name, FRAMES_NAME_MAX, &t->name) != 0)
		f->cut = 1;
	Py_XDECREF(name);
}

/* "Thread" for both Thread and package.Thread. */
static void read_class(struct frames *f, struct frames_thread *t, PyObject *thread)
{
	const char *name = Py_TYPE(thread)->tp_name;
	const char *dot = strrchr(name, '.');
	struct span text = span_text(dot != NULL && dot[1] != '\0' ? dot + 1 : name);

	text.len = text_whole(text, FRAMES_NAME_MAX);
	if (pytext_bytes(&f->text, text.data, text.len, &t->class_name) != 0)
		f->cut = 1;
}

static void read_thread(struct frames *f, struct frames_thread *t, PyObject *thread)
{
	PyObject *daemonic = stored(thread, words.daemonic), *native_id = NULL;

	read_name(f, t, thread);
	read_class(f, t, thread);
	if (daemonic == Py_True)
		t->flags |= THREAD_DAEMON;
	Py_XDECREF(daemonic);
	if (t->tid != 0)
		return;
	native_id = stored(thread, words.native_id);
	if (native_id != NULL && PyLong_CheckExact(native_id))
		t->tid = (uint32_t)PyLong_AsUnsignedLongMask(native_id);
	Py_XDECREF(native_id);
}

void names_read(struct frames *f)
{
	PyObject *active = active_threads(), *key, *thread;
	struct frames_idents *map;
	struct frames_thread *t;
	Py_ssize_t at = 0;

	if (active == NULL)
		return;
	map = frames_idents_new(f);
	if (map == NULL)
		return;
	while (PyDict_Next(active, &at, &key, &thread)) {
		if (!PyLong_CheckExact(key))
			continue;
		t = frames_idents_find(map, f, PyLong_AsUnsignedLongMask(key));
		/* Twice the same ident is a dict that the program has made up: the first counts. */
		if (t != NULL && t->class_name.len == 0)
			read_thread(f, t, thread);
	}
	frames_idents_free(map);
}
