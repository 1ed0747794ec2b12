/*
 * stream_buffer.c: sys.stdout.buffer as the evaluating thread sees it: bytes become text of its
 * output. On any other thread it is the buffer of the program's stream.
 */
#include <Python.h>

#include "stream_type.h"

static PyTypeObject *buffer_type;

struct buffer {
	PyObject_HEAD
	struct stream_switch *owner; /* strong */
};

static PyObject *buffer_forward(PyObject *self, PyObject *name)
{
	PyObject *stream = stream_target_or_raise(((struct buffer *)self)->owner);
	PyObject *raw = stream != NULL ? PyObject_GetAttrString(stream, "buffer") : NULL;
	PyObject *value = raw != NULL ? PyObject_GetAttr(raw, name) : NULL;

	Py_XDECREF(raw);
	Py_XDECREF(stream);
	return value;
}

/* Called by another thread: the method of the program's buffer. */
static PyObject *buffer_call(PyObject *self, const char *name, PyObject *arg)
{
	PyObject *text = PyUnicode_FromString(name);
	PyObject *method = text != NULL ? buffer_forward(self, text) : NULL;
	PyObject *result = NULL;

	if (method != NULL)
		result = arg != NULL ? PyObject_CallOneArg(method, arg)
				     : PyObject_CallNoArgs(method);
	Py_XDECREF(method);
	Py_XDECREF(text);
	return result;
}

static PyObject *buffer_write(PyObject *self, PyObject *data)
{
	struct stream_sink *sink = stream_sink_own();
	PyObject *text;
	Py_buffer view;
	Py_ssize_t n;
	int rc;

	if (sink == NULL)
		return buffer_call(self, "write", data);
	if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
		return NULL;
	n = view.len;
	text = PyUnicode_DecodeUTF8(view.buf, n, "replace");
	PyBuffer_Release(&view);
	if (text == NULL)
		return NULL;
	rc = stream_send_str(sink, ((struct buffer *)self)->owner->which, text);
	Py_DECREF(text);
	return rc == 0 ? PyLong_FromSsize_t(n) : NULL;
}

static PyObject *buffer_flush(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (stream_sink_own() == NULL)
		return buffer_call(self, "flush", NULL);
	Py_RETURN_NONE;
}

static PyObject *buffer_fileno(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (stream_sink_own() == NULL)
		return buffer_call(self, "fileno", NULL);
	return stream_unsupported("fileno");
}

static PyObject *buffer_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (stream_sink_own() == NULL)
		return buffer_call(self, "close", NULL);
	Py_RETURN_NONE;
}

static PyObject *buffer_getattro(PyObject *self, PyObject *name)
{
	PyObject *value = NULL;

	if (stream_sink_own() != NULL)
		value = PyObject_GenericGetAttr(self, name);
	if (value != NULL || (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_AttributeError)))
		return value;
	PyErr_Clear();
	return buffer_forward(self, name);
}

static void buffer_dealloc(PyObject *self)
{
	PyTypeObject *type = Py_TYPE(self);

	Py_DECREF(((struct buffer *)self)->owner);
	PyObject_Free(self);
	Py_DECREF(type);
}

static PyMethodDef buffer_methods[] = {
	{"write", buffer_write, METH_O, NULL},
	{"flush", buffer_flush, METH_NOARGS, NULL},
	{"fileno", buffer_fileno, METH_NOARGS, NULL},
	{"close", buffer_close, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

static PyType_Slot buffer_slots[] = {
	{Py_tp_dealloc, buffer_dealloc},
	{Py_tp_methods, buffer_methods},
	{Py_tp_getattro, buffer_getattro},
	{0, NULL},
};

static PyType_Spec buffer_spec = {
	.name = "pystuck.OutputBuffer",
	.basicsize = sizeof(struct buffer),
	.flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.slots = buffer_slots,
};

int stream_buffer_init(void)
{
	if (buffer_type == NULL)
		buffer_type = (PyTypeObject *)PyType_FromSpec(&buffer_spec);
	return buffer_type != NULL ? 0 : -1;
}

PyObject *stream_buffer_new(struct stream_switch *owner)
{
	struct buffer *b = PyObject_New(struct buffer, buffer_type);

	if (b == NULL)
		return NULL;
	b->owner = (struct stream_switch *)Py_NewRef((PyObject *)owner);
	return (PyObject *)b;
}
