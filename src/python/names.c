/*
 * names.c: reads threading._active. The walk over the frames is in frames.c; nothing here imports
 * anything.
 */
#include "names.h"

#include <string.h>

#include "msg.h"
#include "text.h"
#include "tids.h"

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

void names_words(struct raw_layout *l)
{
	l->word_threading = (uintptr_t)words.threading;
	l->word_active = (uintptr_t)words.active;
	l->word_name = (uintptr_t)words.name;
	l->word_daemonic = (uintptr_t)words.daemonic;
	l->word_native_id = (uintptr_t)words.native_id;
}

/*
 * threading._active, borrowed; NULL when the module is not imported, or something else stands in
 * its place.
 */
static PyObject *active_threads(void)
{
	PyObject *modules = PyImport_GetModuleDict(), *module, *active;

	if (words.threading == NULL || words.active == NULL || words.name == NULL ||
		words.daemonic == NULL || words.native_id == NULL)
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
 * A class of threads, of which most programs have one: its name, copied once, and which attributes
 * are stored in its instances.
 */
struct plain {
	const PyTypeObject *type;
	struct pytext_ref class_name;
	int name, daemonic, native_id;
};

/*
 * 1 when getting the attribute calls no descriptor but one that is C code reading a field (of
 * __slots__).
 */
static int is_plain(PyTypeObject *type, PyObject *name)
{
	PyObject *in_type = _PyType_Lookup(type, name);

	return in_type == NULL || Py_TYPE(in_type)->tp_descr_get == NULL ||
	       Py_TYPE(in_type) == &PyMemberDescr_Type;
}

/* "Thread" for both Thread and package.Thread. */
static void read_class(struct frames *f, struct plain *plain, const PyTypeObject *type)
{
	const char *dot = strrchr(type->tp_name, '.');
	struct span text =
		span_text(dot != NULL && dot[1] != '\0' ? dot + 1 : type->tp_name);

	text.len = text_whole(text, FRAMES_NAME_MAX);
	if (pytext_bytes(&f->text, text.data, text.len, &plain->class_name) != 0)
		f->cut = 1;
}

static void look_at_type(struct frames *f, struct plain *plain, PyTypeObject *type)
{
	if (plain->type == type)
		return;
	plain->type = type;
	plain->class_name = (struct pytext_ref){0};
	read_class(f, plain, type);
	plain->name = is_plain(type, words.name);
	plain->daemonic = is_plain(type, words.daemonic);
	plain->native_id = is_plain(type, words.native_id);
}

/* Goes around a __getattribute__ or __getattr__ of the program's. */
static void read_thread(
	struct frames *f, struct frames_thread *t, PyObject *thread, struct plain *plain)
{
	PyObject *name, *daemonic, *native_id = NULL;

	look_at_type(f, plain, Py_TYPE(thread));
	t->class_name = plain->class_name;
	name = plain->name ? compat_stored_attribute(thread, words.name) : NULL;
	if (name != NULL && pytext_str(&f->text, name, FRAMES_NAME_MAX, &t->name) != 0)
		f->cut = 1;
	daemonic = plain->daemonic ? compat_stored_attribute(thread, words.daemonic) : NULL;
	if (daemonic == Py_True)
		t->flags |= THREAD_DAEMON;
	if (t->tid == 0 && plain->native_id)
		native_id = compat_stored_attribute(thread, words.native_id);
	if (native_id != NULL && PyLong_CheckExact(native_id))
		t->tid = tids_told((uint32_t)PyLong_AsUnsignedLongMask(native_id), t->ident);
	Py_XDECREF(name);
	Py_XDECREF(daemonic);
	Py_XDECREF(native_id);
}

/* Entries of the dict that are fetched together: they and all that they refer to are in no cache, and waiting for it is most of the work. */
#define TOGETHER 8u
struct entry {
	PyObject *key, *thread; /* borrowed: nothing of the program's runs meanwhile */
};

static size_t next_entries(PyObject *active, Py_ssize_t *at, struct entry out[static TOGETHER])
{
	size_t n = 0;

	while (n < TOGETHER && PyDict_Next(active, at, &out[n].key, &out[n].thread)) {
		__builtin_prefetch(out[n].key);
		__builtin_prefetch((const char *)out[n].thread - 64);
		__builtin_prefetch(out[n++].thread);
	}
	for (size_t i = 0; i < n; i++)
		__builtin_prefetch(compat_attributes(out[i].thread));
	return n;
}

static void read_active(struct frames *f, PyObject *active)
{
	struct frames_idents *map = frames_idents_new(f);
	struct plain plain = {.type = NULL};
	struct entry entries[TOGETHER];
	Py_ssize_t at = 0;
	size_t n = map != NULL ? next_entries(active, &at, entries) : 0;

	for (; n > 0; n = next_entries(active, &at, entries))
		for (size_t i = 0; i < n; i++) {
			struct frames_thread *t;

			if (!PyLong_CheckExact(entries[i].key))
				continue;
			t = frames_idents_find(map, f, PyLong_AsUnsignedLongMask(entries[i].key));
			/* Twice the same ident is a dict that the program has made up: the first counts. */
			if (t != NULL && t->class_name.len == 0)
				read_thread(f, t, entries[i].thread, &plain);
		}
	frames_idents_free(map);
}

/* A program without threading has a main thread all the same, and everybody knows it by this name.
 */
void names_main(struct frames *f)
{
	static const char name[] = "MainThread", class_name[] = "_MainThread";

	for (uint32_t i = 0; i < f->thread_count; i++) {
		struct frames_thread *t = &f->threads[i];

		if (!(t->flags & THREAD_MAIN) || t->class_name.len > 0)
			continue;
		if (pytext_bytes(&f->text, name, sizeof name - 1, &t->name) != 0 ||
			pytext_bytes(&f->text, class_name, sizeof class_name - 1, &t->class_name) !=
				0)
			f->cut = 1;
	}
}

void names_read(struct frames *f)
{
	PyObject *active = active_threads();

	if (active != NULL)
		read_active(f, active);
	names_main(f);
}
