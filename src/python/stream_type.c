/*
 * stream_type.c: how the switch behaves. For the evaluating thread it is a small text stream of its
 * own; for every other thread each attribute and operation is the program's stream's. Where it
 * stands and where output goes is decided in stream.c; what is particular to input is in stream_input.c.
 */
#include <Python.h>

#include "stream_type.h"

#include "tee.h"

static PyTypeObject *output_type, *input_type;

int stream_is_switch(PyObject *o)
{
	return Py_IS_TYPE(o, output_type) || Py_IS_TYPE(o, input_type);
}

struct stream_switch *stream_switch_new(int which)
{
	struct stream_switch *s = PyObject_New(struct stream_switch, which == STREAM_INPUT ? input_type : output_type);

	if (s == NULL)
		return NULL;
	s->original = NULL;
	s->which = which;
	s->missing = 0;
	s->installed = 0;
	s->next = NULL;
	return s;
}

static struct stream_switch *as_switch(PyObject *o)
{
	return (struct stream_switch *)o;
}

PyObject *stream_target_or_raise(struct stream_switch *s)
{
	PyObject *stream = stream_target(s);

	if (stream == NULL)
		PyErr_Format(PyExc_RuntimeError, "lost sys.%s", s->which == 0 ? "stdout" : s->which == 1 ? "stderr" : "stdin");
	return stream;
}

static PyObject *target(PyObject *self)
{
	return stream_target_or_raise(as_switch(self));
}

/* Calls the method of the program's stream: somebody on another thread has got hold of one of ours.
 */
PyObject *stream_forward(PyObject *self, const char *name, PyObject *args, PyObject *kwargs)
{
	PyObject *stream = target(self);
	PyObject *method = stream != NULL ? PyObject_GetAttrString(stream, name) : NULL;
	PyObject *result = NULL;

	if (method != NULL)
		result = args != NULL ? PyObject_Call(method, args, kwargs)
				      : PyObject_CallNoArgs(method);
	Py_XDECREF(method);
	Py_XDECREF(stream);
	return result;
}

static PyObject *forward_one(PyObject *self, const char *name, PyObject *arg)
{
	PyObject *args = PyTuple_Pack(1, arg);
	PyObject *result = args != NULL ? stream_forward(self, name, args, NULL) : NULL;

	Py_XDECREF(args);
	return result;
}

PyObject *stream_unsupported(const char *name)
{
	PyObject *io = PyImport_ImportModule("io");
	PyObject *type = io != NULL ? PyObject_GetAttrString(io, "UnsupportedOperation") : NULL;

	if (type != NULL)
		PyErr_SetString(type, name);
	Py_XDECREF(type);
	Py_XDECREF(io);
	return NULL;
}

/* --- the methods; those of the evaluating thread -------------------------- */

static int write_str(struct stream_sink *sink, PyObject *self, PyObject *text)
{
	if (!PyUnicode_Check(text)) {
		PyErr_Format(PyExc_TypeError, "write() argument must be str, not %.200s",
			Py_TYPE(text)->tp_name);
		return -1;
	}
	return stream_send_str(sink, as_switch(self)->which, text);
}

/* The program's own output: what has gone where it belongs is then copied to those who asked for it. */
static PyObject *write_and_copy(PyObject *self, PyObject *text)
{
	PyObject *result = forward_one(self, "write", text);

	if (result != NULL)
		tee_copy(as_switch(self)->which, text);
	return result;
}

static PyObject *write_lines_and_copy(PyObject *self, PyObject *lines)
{
	/* They may come from a generator, which gives them once. */
	PyObject *list = tee_wants(as_switch(self)->which) ? PySequence_List(lines) : Py_NewRef(lines);
	PyObject *result = list != NULL ? forward_one(self, "writelines", list) : NULL;

	for (Py_ssize_t i = 0; result != NULL && PyList_CheckExact(list) && i < PyList_GET_SIZE(list); i++) {
		PyObject *line = Py_NewRef(PyList_GET_ITEM(list, i));

		tee_copy(as_switch(self)->which, line);
		Py_DECREF(line);
	}
	Py_XDECREF(list);
	return result;
}

static PyObject *switch_write(PyObject *self, PyObject *text)
{
	struct stream_sink *sink = stream_sink_own();

	if (sink == NULL)
		return write_and_copy(self, text);
	if (write_str(sink, self, text) != 0)
		return NULL;
	return PyLong_FromSsize_t(PyUnicode_GetLength(text));
}

static PyObject *switch_writelines(PyObject *self, PyObject *lines)
{
	struct stream_sink *sink = stream_sink_own();
	PyObject *iterator, *line;

	if (sink == NULL)
		return write_lines_and_copy(self, lines);
	iterator = PyObject_GetIter(lines);
	if (iterator == NULL)
		return NULL;
	while ((line = PyIter_Next(iterator)) != NULL) {
		int rc = write_str(sink, self, line);

		Py_DECREF(line);
		if (rc != 0)
			break;
	}
	Py_DECREF(iterator);
	if (PyErr_Occurred())
		return NULL;
	Py_RETURN_NONE;
}

/* What the evaluating thread gets; for the others the program's stream answers. */
static PyObject *mine_or_theirs(PyObject *self, const char *name, PyObject *mine)
{
	return stream_sink_own() != NULL ? Py_NewRef(mine) : stream_forward(self, name, NULL, NULL);
}

static PyObject *switch_flush(PyObject *self, PyObject *unused)
{
	(void)unused;
	return mine_or_theirs(self, "flush", Py_None);
}

/* The program's stream is not the evaluation's to close. */
static PyObject *switch_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	return mine_or_theirs(self, "close", Py_None);
}

static PyObject *switch_detach(PyObject *self, PyObject *unused)
{
	(void)unused;
	return stream_sink_own() != NULL ? stream_unsupported("detach")
					 : stream_forward(self, "detach", NULL, NULL);
}

static PyObject *switch_fileno(PyObject *self, PyObject *unused)
{
	(void)unused;
	return stream_sink_own() != NULL ? stream_unsupported("fileno")
					 : stream_forward(self, "fileno", NULL, NULL);
}

static PyObject *switch_isatty(PyObject *self, PyObject *unused)
{
	(void)unused;
	return mine_or_theirs(self, "isatty", Py_False);
}

static PyObject *switch_readable(PyObject *self, PyObject *unused)
{
	(void)unused;
	return mine_or_theirs(self, "readable", Py_False);
}

static PyObject *switch_writable(PyObject *self, PyObject *unused)
{
	(void)unused;
	return mine_or_theirs(self, "writable", Py_True);
}

static PyObject *switch_seekable(PyObject *self, PyObject *unused)
{
	(void)unused;
	return mine_or_theirs(self, "seekable", Py_False);
}

static PyObject *switch_reconfigure(PyObject *self, PyObject *args, PyObject *kwargs)
{
	if (stream_sink_own() == NULL)
		return stream_forward(self, "reconfigure", args, kwargs);
	Py_RETURN_NONE;
}

static PyObject *switch_enter(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (stream_sink_own() == NULL)
		return stream_forward(self, "__enter__", NULL, NULL);
	return Py_NewRef(self);
}

static PyObject *switch_exit(PyObject *self, PyObject *args)
{
	if (stream_sink_own() == NULL)
		return stream_forward(self, "__exit__", args, NULL);
	Py_RETURN_NONE;
}

static PyObject *switch_dir(PyObject *self, PyObject *unused)
{
	PyObject *stream = target(self);
	PyObject *names = stream != NULL ? PyObject_Dir(stream) : NULL;

	(void)unused;
	Py_XDECREF(stream);
	return names;
}

static PyMethodDef switch_methods[] = {
	{"write", switch_write, METH_O, NULL},
	{"writelines", switch_writelines, METH_O, NULL},
	{"flush", switch_flush, METH_NOARGS, NULL},
	{"close", switch_close, METH_NOARGS, NULL},
	{"detach", switch_detach, METH_NOARGS, NULL},
	{"fileno", switch_fileno, METH_NOARGS, NULL},
	{"isatty", switch_isatty, METH_NOARGS, NULL},
	{"readable", switch_readable, METH_NOARGS, NULL},
	{"writable", switch_writable, METH_NOARGS, NULL},
	{"seekable", switch_seekable, METH_NOARGS, NULL},
	{"reconfigure", (PyCFunction)(void (*)(void))switch_reconfigure,
		METH_VARARGS | METH_KEYWORDS, NULL},
	{"__enter__", switch_enter, METH_NOARGS, NULL},
	{"__exit__", switch_exit, METH_VARARGS, NULL},
	{"__dir__", switch_dir, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

/* --- attributes; read only by the evaluating thread, see switch_getattro -- */

static PyObject *get_text(PyObject *self, void *text)
{
	(void)self;
	return PyUnicode_FromString(text);
}

static PyObject *get_closed(PyObject *self, void *unused)
{
	(void)self, (void)unused;
	Py_RETURN_FALSE;
}

static PyObject *get_line_buffering(PyObject *self, void *unused)
{
	(void)self, (void)unused;
	Py_RETURN_TRUE;
}

static PyObject *get_buffer(PyObject *self, void *unused)
{
	(void)unused;
	return stream_buffer_new(as_switch(self));
}

static PyGetSetDef switch_getset[] = {
	{"encoding", get_text, NULL, NULL, (void *)"utf-8"},
	{"errors", get_text, NULL, NULL, (void *)STREAM_ERRORS},
	{"closed", get_closed, NULL, NULL, NULL},
	{"line_buffering", get_line_buffering, NULL, NULL, NULL},
	{"buffer", get_buffer, NULL, NULL, NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

/* An attribute of the program's stream; where there is none, as None behaves. */
static PyObject *target_attr(PyObject *self, PyObject *name)
{
	PyObject *stream = stream_target(as_switch(self));
	PyObject *value = PyObject_GetAttr(stream != NULL ? stream : Py_None, name);

	Py_XDECREF(stream);
	return value;
}

/* Of other threads' attributes those that are ours while somebody wants copies. */
static int is_copied(PyObject *name)
{
	return PyUnicode_Check(name) && (PyUnicode_CompareWithASCIIString(name, "write") == 0 ||
						PyUnicode_CompareWithASCIIString(name, "writelines") == 0);
}

static PyObject *switch_getattro(PyObject *self, PyObject *name)
{
	PyObject *value;

	if (stream_sink_own() != NULL) {
		value = PyObject_GenericGetAttr(self, name);
		if (value != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError))
			return value;
		PyErr_Clear();
		return target_attr(self, name);
	}
	/* print() where sys.stdout is missing: let it fail in write() as it does without us. */
	if (as_switch(self)->missing && PyUnicode_Check(name) &&
		PyUnicode_CompareWithASCIIString(name, "write") == 0)
		return PyObject_GenericGetAttr(self, name);
	if (tee_wants(as_switch(self)->which) && is_copied(name))
		return PyObject_GenericGetAttr(self, name);
	return target_attr(self, name);
}

static int switch_setattro(PyObject *self, PyObject *name, PyObject *value)
{
	PyObject *stream = stream_target(as_switch(self));
	int rc = PyObject_SetAttr(stream != NULL ? stream : Py_None, name, value);

	Py_XDECREF(stream);
	return rc;
}

static PyObject *switch_repr(PyObject *self)
{
	PyObject *stream = stream_target(as_switch(self));
	PyObject *text;

	if (stream_sink_own() != NULL)
		text = PyUnicode_FromFormat(as_switch(self)->which == STREAM_INPUT
						    ? "<no input for this session, instead of %R>"
						    : "<pystuck output to this session, instead of %R>",
			stream != NULL ? stream : Py_None);
	else
		text = PyObject_Repr(stream != NULL ? stream : Py_None);
	Py_XDECREF(stream);
	return text;
}

static PyObject *switch_iter(PyObject *self)
{
	PyObject *stream = target(self);
	PyObject *iterator = stream != NULL ? PyObject_GetIter(stream) : NULL;

	Py_XDECREF(stream);
	return iterator;
}

static int switch_bool(PyObject *self)
{
	PyObject *stream;
	int rc;

	if (stream_sink_own() != NULL)
		return 1;
	stream = stream_target(as_switch(self));
	rc = stream != NULL ? PyObject_IsTrue(stream) : 0;
	Py_XDECREF(stream);
	return rc;
}

static PyObject *switch_richcompare(PyObject *self, PyObject *other, int op)
{
	PyObject *stream, *result;

	if (self == other && (op == Py_EQ || op == Py_NE))
		return PyBool_FromLong(op == Py_EQ);
	stream = stream_target(as_switch(self));
	result = PyObject_RichCompare(stream != NULL ? stream : Py_None, other, op);
	Py_XDECREF(stream);
	return result;
}

static Py_hash_t switch_hash(PyObject *self)
{
	PyObject *stream = stream_target(as_switch(self));
	Py_hash_t hash = PyObject_Hash(stream != NULL ? stream : Py_None);

	Py_XDECREF(stream);
	return hash;
}

static const struct stream_kind output_kind = {
	.name = "pystuck.Output",
	.methods = switch_methods,
	.getset = switch_getset,
	.iter = switch_iter,
};

static PyTypeObject *make_type(const struct stream_kind *kind)
{
	PyType_Slot slots[] = {
		{Py_tp_methods, kind->methods},
		{Py_tp_getset, kind->getset},
		{Py_tp_getattro, switch_getattro},
		{Py_tp_setattro, switch_setattro},
		{Py_tp_repr, switch_repr},
		{Py_nb_bool, switch_bool},
		{Py_tp_richcompare, switch_richcompare},
		{Py_tp_hash, switch_hash},
		{Py_tp_iter, kind->iter},
		{kind->next != NULL ? Py_tp_iternext : 0, kind->next},
		{0, NULL},
	};
	PyType_Spec spec = {
		.name = kind->name,
		.basicsize = sizeof(struct stream_switch),
		.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
		.slots = slots,
	};

	return (PyTypeObject *)PyType_FromSpec(&spec);
}

int stream_type_init(void)
{
	if (output_type == NULL)
		output_type = make_type(&output_kind);
	if (input_type == NULL && output_type != NULL)
		input_type = make_type(&stream_input_kind);
	return input_type != NULL ? stream_buffer_init() : -1;
}
