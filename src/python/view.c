/*
 * view.c: a dict in whose place a frame's names are looked up. How they are read and assigned is in frame_vars.c, how a user
 * says which frame is meant in target.c.
 */
#include <Python.h>

#include "view.h"

#include <stdio.h>
#include <string.h>

#include "compat_eval.h"
#include "frame_mark.h"
#include "frame_vars.h"
#include "look.h"
#include "prompt.h"

struct view {
	PyDictObject dict; /* what a cell has declared global, until view_settle */
	PyObject *own, *assigned, *globals;
	/* Of a running thread. */
	PyObject *mark; /* NULL: not, or left */
	uint64_t ident;
	const compat_frame *at;
	const void *object; /* the frame's, which may be gone */
	/* Of a traceback: (frame, line), the outermost first. */
	PyObject *frames;
	Py_ssize_t index;
};

static PyTypeObject view_type;

/* --- the frame ------------------------------------------------------------ */

/* A new reference; NULL: it has ended, or was left. */
static PyFrameObject *frame_of(const struct view *v)
{
	PyFrameObject *frame;

	if (v->frames != NULL)
		return (PyFrameObject *)Py_NewRef(PyTuple_GET_ITEM(PyList_GET_ITEM(v->frames, v->index), 0));
	if (v->mark == NULL)
		return NULL;
	frame = target_live(v->ident, v->at, v->object);
	if (frame == NULL)
		return NULL;
	if (!frame_mark_has(frame, v->mark))
		Py_CLEAR(frame);
	return frame;
}

static struct view *as_view(PyObject *view)
{
	return (struct view *)view;
}

int view_alive(PyObject *view)
{
	PyFrameObject *frame = frame_of(as_view(view));

	Py_XDECREF(frame);
	return frame != NULL;
}

PyObject *view_locals(PyObject *view)
{
	PyFrameObject *frame = frame_of(as_view(view));
	PyObject *dict = frame != NULL ? frame_vars_dict(frame) : PyDict_New();

	Py_XDECREF(frame);
	return dict;
}

PyObject *view_globals(PyObject *view)
{
	return as_view(view)->globals;
}

void view_leave(PyObject *view)
{
	struct view *v = as_view(view);
	PyFrameObject *frame = v->mark != NULL ? frame_of(v) : NULL;
	PyObject *raised = compat_take_raised();

	if (frame != NULL)
		frame_mark_take(frame, v->mark);
	Py_XDECREF(frame);
	Py_CLEAR(v->mark);
	Py_CLEAR(v->frames);
	if (raised != NULL)
		compat_set_raised(raised);
}

/* --- names ---------------------------------------------------------------- */

/* As dict[name] with `from`, a new reference; NULL with or without an exception. */
static PyObject *of_dict(PyObject *from, PyObject *name)
{
	return Py_XNewRef(PyDict_GetItemWithError(from, name));
}

static PyObject *find(struct view *v, PyObject *name)
{
	PyFrameObject *frame;
	PyObject *value = of_dict((PyObject *)v, name);

	if (value == NULL && !PyErr_Occurred() && PyDict_Contains(v->assigned, name) == 1)
		value = of_dict(v->own, name);
	if (value == NULL && !PyErr_Occurred()) {
		frame = frame_of(v);
		if (frame != NULL)
			value = frame_vars_get(frame, name);
		Py_XDECREF(frame);
	}
	if (value == NULL && !PyErr_Occurred())
		value = of_dict(v->globals, name);
	if (value == NULL && !PyErr_Occurred())
		value = of_dict(v->own, name);
	return value;
}

static PyObject *subscript(PyObject *self, PyObject *name)
{
	PyObject *value = PyUnicode_Check(name) ? find(as_view(self), name) : NULL;

	if (value == NULL && !PyErr_Occurred())
		PyErr_SetObject(PyExc_KeyError, name);
	return value;
}

/* The frame's own, or else the session's. */
static int assign(PyObject *self, PyObject *name, PyObject *value)
{
	struct view *v = as_view(self);
	PyFrameObject *frame = frame_of(v);
	int rc, has = frame != NULL && frame_vars_has(frame, name);

	if (has && value != NULL) {
		rc = frame_vars_set(frame, name, value);
	} else if (has && PyDict_Contains(v->assigned, name) != 1) {
		/* Python makes its own NameError of whatever is raised here. */
		rc = prompt_say_error("a variable of the frame cannot be taken away from it; it may be set to None\n");
		if (rc == 0)
			PyErr_SetObject(PyExc_KeyError, name);
		rc = -1;
	} else if (value != NULL) {
		rc = PyDict_SetItem(v->own, name, value);
		if (rc == 0)
			rc = PyDict_SetItem(v->assigned, name, Py_None);
	} else {
		rc = PyDict_DelItem(v->own, name);
		if (rc == 0 && PyDict_Contains(v->assigned, name) == 1)
			rc = PyDict_DelItem(v->assigned, name);
	}
	Py_XDECREF(frame);
	return rc;
}

static Py_ssize_t length(PyObject *self)
{
	PyObject *dict = view_locals(self);
	Py_ssize_t n = dict != NULL ? PyDict_GET_SIZE(dict) : -1;

	Py_XDECREF(dict);
	return n;
}

static int contains(PyObject *self, PyObject *name)
{
	PyObject *value = PyUnicode_Check(name) ? find(as_view(self), name) : NULL;

	Py_XDECREF(value);
	return value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
}

/* What locals() shows: the frame's variables, as they are now. */
static PyObject *shown(PyObject *self, PyObject *(*what)(PyObject *))
{
	PyObject *dict = view_locals(self);
	PyObject *result = dict != NULL ? what(dict) : NULL;

	Py_XDECREF(dict);
	return result;
}

static PyObject *repr(PyObject *self)
{
	return shown(self, PyObject_Repr);
}

static PyObject *iterate(PyObject *self)
{
	PyObject *keys = shown(self, PyDict_Keys), *iterator;

	iterator = keys != NULL ? PyObject_GetIter(keys) : NULL;
	Py_XDECREF(keys);
	return iterator;
}

static PyObject *keys(PyObject *self, PyObject *none)
{
	(void)none;
	return shown(self, PyDict_Keys);
}

static PyObject *values(PyObject *self, PyObject *none)
{
	(void)none;
	return shown(self, PyDict_Values);
}

static PyObject *items(PyObject *self, PyObject *none)
{
	(void)none;
	return shown(self, PyDict_Items);
}

static PyObject *copy(PyObject *self, PyObject *none)
{
	(void)none;
	return view_locals(self);
}

static PyObject *get(PyObject *self, PyObject *args)
{
	PyObject *name, *otherwise = Py_None, *value;

	if (!PyArg_ParseTuple(args, "O|O:get", &name, &otherwise))
		return NULL;
	value = PyUnicode_Check(name) ? find(as_view(self), name) : NULL;
	if (value == NULL && !PyErr_Occurred())
		value = Py_NewRef(otherwise);
	return value;
}

void view_settle(PyObject *view)
{
	struct view *v = as_view(view);
	PyObject *raised = compat_take_raised();

	if (PyDict_GET_SIZE(view) > 0 && PyDict_CheckExact(v->globals)) {
		/* PyDict_Update would ask our keys(). */
		PyObject *name, *value;
		Py_ssize_t at = 0;

		while (PyDict_Next(view, &at, &name, &value))
			if (PyDict_SetItem(v->globals, name, value) != 0)
				PyErr_Clear();
		PyDict_Clear(view);
	}
	if (raised != NULL)
		compat_set_raised(raised);
}

/* --- the type ------------------------------------------------------------- */

static int traverse(PyObject *self, visitproc visit, void *arg)
{
	struct view *v = as_view(self);

	Py_VISIT(v->own);
	Py_VISIT(v->assigned);
	Py_VISIT(v->globals);
	Py_VISIT(v->frames);
	return PyDict_Type.tp_traverse(self, visit, arg);
}

static int clear(PyObject *self)
{
	struct view *v = as_view(self);

	view_leave(self);
	Py_CLEAR(v->own);
	Py_CLEAR(v->assigned);
	Py_CLEAR(v->globals);
	return PyDict_Type.tp_clear(self);
}

static void dealloc(PyObject *self)
{
	struct view *v = as_view(self);

	PyObject_GC_UnTrack(self);
	view_leave(self);
	Py_CLEAR(v->own);
	Py_CLEAR(v->assigned);
	Py_CLEAR(v->globals);
	PyDict_Type.tp_dealloc(self);
}

static PyMappingMethods as_mapping = {length, subscript, assign};
static PySequenceMethods as_sequence = {.sq_contains = contains};
static PyMethodDef methods[] = {
	{"keys", keys, METH_NOARGS, NULL},
	{"values", values, METH_NOARGS, NULL},
	{"items", items, METH_NOARGS, NULL},
	{"copy", copy, METH_NOARGS, NULL},
	{"get", get, METH_VARARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyTypeObject view_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "pystuck.frame_names",
	.tp_basicsize = sizeof(struct view),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.tp_traverse = traverse,
	.tp_clear = clear,
	.tp_dealloc = dealloc,
	.tp_as_mapping = &as_mapping,
	.tp_as_sequence = &as_sequence,
	.tp_repr = repr,
	.tp_iter = iterate,
	.tp_methods = methods,
};

int view_init(void)
{
	view_type.tp_base = &PyDict_Type;
	return frame_mark_init() == 0 ? PyType_Ready(&view_type) : -1;
}

/* Without a frame yet. NULL with an exception. */
static struct view *new_view(PyObject *own, PyFrameObject *frame)
{
	PyObject *none = PyTuple_New(0);
	struct view *v = none != NULL ? (struct view *)PyDict_Type.tp_new(&view_type, none, NULL) : NULL;

	Py_XDECREF(none);
	if (v == NULL)
		return NULL;
	v->own = Py_NewRef(own);
	v->assigned = PyDict_New();
	v->globals = PyObject_GetAttrString((PyObject *)frame, "f_globals");
	if (v->assigned != NULL && v->globals != NULL && PyDict_Check(v->globals))
		return v;
	if (!PyErr_Occurred())
		PyErr_SetString(PyExc_TypeError, "the frame's globals are no dict");
	Py_DECREF(v);
	return NULL;
}

/* --- making one ----------------------------------------------------------- */

PyObject *view_of_target(PyObject *own, const struct target *t)
{
	PyFrameObject *frame = target_object(t);
	struct view *v = NULL;

	if (frame == NULL) {
		if (!PyErr_Occurred())
			PyErr_SetString(PyExc_RuntimeError, "the frame has just ended");
		return NULL;
	}
	v = new_view(own, frame);
	if (v != NULL) {
		v->ident = t->thread->ident;
		v->at = target_at(t);
		v->object = frame;
		v->mark = frame_mark_put(frame);
		if (v->mark == NULL)
			Py_CLEAR(v);
	}
	Py_DECREF(frame);
	return (PyObject *)v;
}

/* [(frame, line)] of a traceback. */
static PyObject *frames_of(PyObject *raised)
{
	PyObject *list = PyList_New(0), *trace = PyException_GetTraceback(raised), *one;
	int rc = list != NULL ? 0 : -1;

	while (rc == 0 && trace != NULL && trace != Py_None) {
		PyObject *frame = PyObject_GetAttrString(trace, "tb_frame");
		PyObject *line = frame != NULL ? PyObject_GetAttrString(trace, "tb_lineno") : NULL;

		one = line != NULL ? PyTuple_Pack(2, frame, line) : NULL;
		rc = one != NULL ? PyList_Append(list, one) : -1;
		Py_XDECREF(one);
		Py_XDECREF(line);
		Py_XDECREF(frame);
		Py_SETREF(trace, rc == 0 ? PyObject_GetAttrString(trace, "tb_next") : NULL);
	}
	Py_XDECREF(trace);
	if (rc == 0 && PyList_GET_SIZE(list) == 0) {
		PyErr_SetString(PyExc_ValueError, "the exception has no traceback");
		rc = -1;
	}
	if (rc != 0)
		Py_CLEAR(list);
	return list;
}

/* Takes the list's reference. */
static PyObject *of_frames(PyObject *own, PyObject *frames, Py_ssize_t index)
{
	PyObject *frame = PyTuple_GET_ITEM(PyList_GET_ITEM(frames, index), 0);
	struct view *v = new_view(own, (PyFrameObject *)frame);

	if (v == NULL) {
		Py_DECREF(frames);
		return NULL;
	}
	v->frames = frames;
	v->index = index;
	return (PyObject *)v;
}

PyObject *view_of_raised(PyObject *own, PyObject *raised)
{
	PyObject *frames = frames_of(raised);

	return frames != NULL ? of_frames(own, frames, PyList_GET_SIZE(frames) - 1) : NULL;
}

PyObject *view_next(PyObject *view, PyObject *own, int inwards)
{
	struct view *v = as_view(view);
	struct target t;
	PyObject *next = NULL;
	Py_ssize_t index = v->index + inwards;

	if (v->frames != NULL)
		return index >= 0 && index < PyList_GET_SIZE(v->frames) ? of_frames(own, Py_NewRef(v->frames), index) : NULL;
	if (target_again(&t, v->ident, v->at) && (inwards > 0 ? t.frame + 1 < t.thread->count : t.frame > 0)) {
		t.frame = inwards > 0 ? t.frame + 1 : t.frame - 1;
		next = view_of_target(own, &t);
	}
	target_free(&t);
	return next;
}

/* --- words ---------------------------------------------------------------- */

static void put_place(struct buf *out, PyFrameObject *frame, long line)
{
	PyCodeObject *code = PyFrame_GetCode(frame);
	char number[32];

	snprintf(number, sizeof number, "\", line %ld, in ", line);
	(void)buf_put(out, ": File \"", 8);
	(void)look_text(out, code->co_filename);
	(void)buf_put(out, number, strlen(number));
	(void)look_text(out, compat_qualname(code));
	(void)buf_put(out, "\n", 1);
	Py_DECREF(code);
}

int view_where(PyObject *view, struct buf *out)
{
	struct view *v = as_view(view);
	PyFrameObject *frame = frame_of(v);
	struct target t;
	char place[64];

	if (frame == NULL)
		return 0;
	if (v->frames != NULL) {
		PyObject *line = PyTuple_GET_ITEM(PyList_GET_ITEM(v->frames, v->index), 1);

		snprintf(place, sizeof place, "frame %zd of 0 to %zd", v->index, PyList_GET_SIZE(v->frames) - 1);
		(void)buf_put(out, "the traceback, ", 15);
		(void)buf_put(out, place, strlen(place));
		put_place(out, frame, PyLong_AsLong(line));
		Py_DECREF(frame);
		return 1;
	}
	if (target_again(&t, v->ident, v->at)) {
		target_name(&t, out);
		snprintf(place, sizeof place, ", frame %u of 0 to %u", t.frame, t.thread->count - 1);
		(void)buf_put(out, place, strlen(place));
	}
	target_free(&t);
	put_place(out, frame, PyFrame_GetLineNumber(frame));
	Py_DECREF(frame);
	return 1;
}
