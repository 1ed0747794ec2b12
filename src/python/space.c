/*
 * space.c: a session's namespace: what is in it at the start, the numbered values and inputs, and how it is
 * dropped. Running cells in it is run.c's.
 */
#include <Python.h>

#include "space.h"

#include <stdlib.h>

#include "compat_eval.h"
#include "help.h"
#include "modules.h"
#include "prompt.h"
#include "view.h"

#define OUT_MAX 1000 /* values that `Out` keeps, and sources of `In`: the oldest go first */
#define INPUT_MAX 65536 /* characters of a source that is kept there */

/* --- the namespace -------------------------------------------------------- */

static int set_new(PyObject *dict, const char *name, PyObject *value)
{
	int rc = value != NULL ? PyDict_SetItemString(dict, name, value) : -1;

	Py_XDECREF(value);
	return rc;
}

static int fill_names(struct space *s, PyObject *extra)
{
	PyObject *n = s->names;

	if (set_new(n, "__builtins__", PyImport_ImportModule("builtins")) != 0 ||
		set_new(n, "__name__", PyUnicode_FromString("__pystuck__")) != 0 ||
		set_new(n, "modules", modules_new()) != 0 ||
		set_new(n, "_", Py_NewRef(Py_None)) != 0 ||
		set_new(n, "__", Py_NewRef(Py_None)) != 0 ||
		set_new(n, "___", Py_NewRef(Py_None)) != 0 ||
		set_new(n, "Out", Py_NewRef(s->out)) != 0 ||
		set_new(n, "In", Py_NewRef(s->in)) != 0 || set_new(n, "help", help_new()) != 0)
		return -1;
	return extra != NULL ? PyDict_Update(n, extra) : 0;
}

struct space *space_new(PyObject *extra)
{
	struct space *s = calloc(1, sizeof *s);

	if (s == NULL) {
		PyErr_NoMemory();
		return NULL;
	}
	s->names = PyDict_New();
	s->out = PyDict_New();
	s->in = PyDict_New();
	s->width = PROMPT_WIDTH;
	if (s->names != NULL && s->out != NULL && s->in != NULL && raised_sources_init(&s->sources) == 0 &&
		fill_names(s, extra) == 0)
		return s;
	PyObject *failed = compat_take_raised();
	space_free(s);
	compat_set_raised(failed);
	return NULL;
}

/*
 * A function that was typed at the prompt and the namespace refer to each other. 1 when such
 * functions, which nobody else has, are all that still refers to the namespace. Functions that were
 * put into the program must go on working there.
 */
static int is_private(PyObject *names)
{
	Py_ssize_t references = 1, at = 0;
	PyObject *name, *value;

	while (PyDict_Next(names, &at, &name, &value))
		if (PyFunction_Check(value) && Py_REFCNT(value) == 1 &&
			PyFunction_GetGlobals(value) == names)
			references++;
	return Py_REFCNT(names) == references;
}

/*
 * Takes the first `count` of Out or In away, and their names _3 or _i3, unless the user has put something else there. No exception
 * is set afterwards.
 */
static void forget_numbered(struct space *s, PyObject *dict, const char *format, Py_ssize_t count)
{
	PyObject *numbers = PySequence_List(dict);

	for (Py_ssize_t i = 0; numbers != NULL && i < count && i < PyList_GET_SIZE(numbers); i++) {
		PyObject *number = PyList_GET_ITEM(numbers, i), *name = NULL;
		PyObject *value = Py_XNewRef(PyDict_GetItemWithError(dict, number));

		if (value != NULL && PyLong_CheckExact(number))
			name = PyUnicode_FromFormat(format, number);
		if (name != NULL && PyDict_GetItemWithError(s->names, name) == value)
			(void)PyDict_DelItem(s->names, name);
		if (value != NULL)
			(void)PyDict_DelItem(dict, number);
		PyErr_Clear();
		Py_XDECREF(name);
		Py_XDECREF(value);
	}
	PyErr_Clear();
	Py_XDECREF(numbers);
}

/* What only a prompt has a use for. The rest of the namespace may be in use by functions that live
 * on in the program. */
static void drop_results(struct space *s)
{
	static const char *const results[] = {"_", "__", "___", "_i", "_ii", "_iii", "Out", "In", "help"};

	forget_numbered(s, s->out, "_%S", PyDict_GET_SIZE(s->out));
	forget_numbered(s, s->in, "_i%S", PyDict_GET_SIZE(s->in));
	for (size_t i = 0; i < sizeof results / sizeof *results; i++)
		if (PyDict_DelItemString(s->names, results[i]) != 0)
			PyErr_Clear();
	PyDict_Clear(s->out);
	PyDict_Clear(s->in);
}

void space_free(struct space *s)
{
	if (s == NULL)
		return;
	space_look_at(s, NULL);
	Py_CLEAR(s->raised);
	if (s->names != NULL && s->out != NULL && s->in != NULL) {
		drop_results(s);
		if (is_private(s->names))
			PyDict_Clear(s->names);
	}
	Py_CLEAR(s->names);
	Py_CLEAR(s->out);
	Py_CLEAR(s->in);
	Py_CLEAR(s->last);
	raised_sources_clear(&s->sources);
	PyErr_Clear();
	free(s);
}

PyObject *space_source(const struct space *s, PyObject *file)
{
	return s != NULL ? raised_source(&s->sources, file) : NULL;
}

/* The frame's variables as they are now, its globals, and what the session has. */
void space_dicts(const struct space *s, struct look_spaces *out)
{
	PyObject *builtins = look_name(s->names, span_text("__builtins__"));

	*out = (struct look_spaces){.dicts = {NULL}};
	if (s->view != NULL) {
		out->dicts[0] = view_locals(s->view);
		out->dicts[1] = Py_XNewRef(view_globals(s->view));
		PyErr_Clear();
	}
	out->dicts[2] = Py_NewRef(s->names);
	if (builtins != NULL && PyModule_Check(builtins))
		out->dicts[LOOK_SPACES - 1] = Py_NewRef(PyModule_GetDict(builtins));
	Py_XDECREF(builtins);
}

void space_dicts_clear(struct look_spaces *dicts)
{
	for (size_t i = 0; i < LOOK_SPACES; i++)
		Py_CLEAR(dicts->dicts[i]);
}

void space_look_at(struct space *s, PyObject *view)
{
	PyObject *before = s->view;

	s->view = view;
	if (before == NULL)
		return;
	view_leave(before);
	Py_DECREF(before);
}

/* --- values and inputs --- */

/* Out[number] and _number. A quarter at once is dropped: finding the oldest takes longer the more of the oldest are gone. */
static int keep_numbered(struct space *s, PyObject *dict, PyObject *number, PyObject *value, const char *format)
{
	PyObject *name = PyUnicode_FromFormat(format, number);
	int rc = name != NULL ? PyDict_SetItem(s->names, name, value) : -1;

	if (rc == 0)
		rc = PyDict_SetItem(dict, number, value);
	if (rc == 0 && PyDict_GET_SIZE(dict) > OUT_MAX)
		forget_numbered(s, dict, format, OUT_MAX / 4);
	Py_XDECREF(name);
	return rc;
}

/* `first` moves on to `second`, that to `third`, and the value takes its place. */
static int move_on(PyObject *names, const char *const three[3], PyObject *value)
{
	PyObject *one = Py_XNewRef(PyDict_GetItemString(names, three[0]));
	PyObject *two = Py_XNewRef(PyDict_GetItemString(names, three[1]));
	int rc = -1;

	if ((two == NULL || PyDict_SetItemString(names, three[2], two) == 0) &&
		(one == NULL || PyDict_SetItemString(names, three[1], one) == 0))
		rc = PyDict_SetItemString(names, three[0], value);
	Py_XDECREF(one);
	Py_XDECREF(two);
	return rc;
}

/* What was typed, for In and _i3; and what was typed before it, for _i. */
int space_keep_input(struct space *s, PyObject *source, uint32_t cell)
{
	static const char *const names[] = {"_i", "_ii", "_iii"};
	PyObject *number;
	int rc;

	if (PyUnicode_GetLength(source) > INPUT_MAX)
		return 0;
	number = PyLong_FromUnsignedLong(cell);
	if (number == NULL)
		return -1;
	rc = s->last != NULL ? move_on(s->names, names, s->last) : 0;
	Py_XSETREF(s->last, Py_NewRef(source));
	if (rc == 0)
		rc = keep_numbered(s, s->in, number, source, "_i%S");
	Py_DECREF(number);
	return rc;
}

/* Moves the last values on, as IPython does, and keeps this one under its cell's number. 0, or -1
 * with an exception. */
int space_keep_value(struct space *s, PyObject *value, uint32_t cell)
{
	static const char *const names[] = {"_", "__", "___"};
	PyObject *number = PyLong_FromUnsignedLong(cell);
	int rc;

	if (number == NULL)
		return -1;
	rc = move_on(s->names, names, value);
	if (rc == 0)
		rc = keep_numbered(s, s->out, number, value, "_%S");
	Py_DECREF(number);
	return rc;
}
