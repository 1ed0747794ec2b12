/*
 * stream_input.c: sys.stdin as the evaluating thread sees it: at its end, and in words. Whoever sits at the client is not asked, and
 * what the program reads is not taken from it. For other threads it is the program's stream (stream_type.c).
 */
#include <Python.h>

#include "stream_type.h"

static PyObject *no_input(void)
{
	PyErr_SetString(PyExc_EOFError, "there is no input for what is evaluated here: sys.stdin is the program's own");
	return NULL;
}

/* Of a thread of the program that has got hold of the switch. */
static PyObject *read_as(PyObject *self, const char *name, PyObject *args)
{
	return stream_sink_own() != NULL ? no_input() : stream_forward(self, name, args, NULL);
}

static PyObject *input_read(PyObject *self, PyObject *args)
{
	return read_as(self, "read", args);
}

static PyObject *input_read1(PyObject *self, PyObject *args)
{
	return read_as(self, "read1", args);
}

static PyObject *input_readinto(PyObject *self, PyObject *args)
{
	return read_as(self, "readinto", args);
}

static PyObject *input_readline(PyObject *self, PyObject *args)
{
	return read_as(self, "readline", args);
}

static PyObject *input_readlines(PyObject *self, PyObject *args)
{
	return read_as(self, "readlines", args);
}

static PyObject *input_iter(PyObject *self)
{
	return stream_sink_own() != NULL ? Py_NewRef(self) : stream_forward(self, "__iter__", NULL, NULL);
}

static PyObject *input_next(PyObject *self)
{
	return read_as(self, "__next__", NULL);
}

/* The program's stream is not the evaluation's to close. */
static PyObject *input_close(PyObject *self, PyObject *unused)
{
	(void)unused;
	if (stream_sink_own() == NULL)
		return stream_forward(self, "close", NULL, NULL);
	Py_RETURN_NONE;
}

static PyObject *input_detach(PyObject *self, PyObject *unused)
{
	(void)unused;
	return stream_sink_own() != NULL ? stream_unsupported("detach") : stream_forward(self, "detach", NULL, NULL);
}

/* Without a number input() asks readline(), and nobody polls the program's. */
static PyObject *input_fileno(PyObject *self, PyObject *unused)
{
	(void)unused;
	return stream_sink_own() != NULL ? stream_unsupported("fileno") : stream_forward(self, "fileno", NULL, NULL);
}

static PyObject *input_isatty(PyObject *self, PyObject *unused)
{
	(void)unused;
	return stream_sink_own() != NULL ? Py_NewRef(Py_False) : stream_forward(self, "isatty", NULL, NULL);
}

static PyMethodDef input_methods[] = {
	{"read", input_read, METH_VARARGS, NULL},
	{"read1", input_read1, METH_VARARGS, NULL},
	{"readinto", input_readinto, METH_VARARGS, NULL},
	{"readline", input_readline, METH_VARARGS, NULL},
	{"readlines", input_readlines, METH_VARARGS, NULL},
	{"close", input_close, METH_NOARGS, NULL},
	{"detach", input_detach, METH_NOARGS, NULL},
	{"fileno", input_fileno, METH_NOARGS, NULL},
	{"isatty", input_isatty, METH_NOARGS, NULL},
	{NULL, NULL, 0, NULL},
};

/* Its bytes are as little there as its text. */
static PyObject *get_buffer(PyObject *self, void *unused)
{
	(void)unused;
	return Py_NewRef(self);
}

static PyGetSetDef input_getset[] = {
	{"buffer", get_buffer, NULL, NULL, NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

const struct stream_kind stream_input_kind = {
	.name = "pystuck.Input",
	.methods = input_methods,
	.getset = input_getset,
	.iter = input_iter,
	.next = input_next,
};
