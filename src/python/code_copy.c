/*
 * code_copy.c: reads a code object and the bytes, tuples and strings that it has, each with a look at its type and its size.
 */
#include <Python.h>

#include "code_copy.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"

/* A variable-sized object of this exact type: `head` bytes, then items. NULL: there is none. */
static void *copy_items(struct code_copy *c, enum code_copy_part part, struct raw_mem *m, const void *object, const PyTypeObject *type,
	size_t head, size_t item, size_t most)
{
	PyVarObject var, *copy;
	size_t bytes;

	if (((uintptr_t)object & 7) != 0 || !raw_mem_read(m, (uintptr_t)object, &var, sizeof var) || var.ob_base.ob_type != type ||
		var.ob_size < 0 || (size_t)var.ob_size > most)
		return NULL;
	bytes = head + (size_t)var.ob_size * item;
	/* One more for the end of a string. */
	copy = c->parts[part] = calloc(1, bytes + item);
	if (copy == NULL || !raw_mem_read(m, (uintptr_t)object, copy, bytes))
		return NULL;
	/* It may have become another one between the two. */
	copy->ob_base.ob_type = var.ob_base.ob_type;
	copy->ob_size = var.ob_size;
	c->bytes += bytes;
	return copy;
}

static PyObject *copy_bytes(struct code_copy *c, enum code_copy_part part, struct raw_mem *m, const PyObject *bytes)
{
	return copy_items(c, part, m, bytes, &PyBytes_Type, offsetof(PyBytesObject, ob_sval), 1, CODE_COPY_BYTES);
}

static PyObject *copy_tuple(struct code_copy *c, enum code_copy_part part, struct raw_mem *m, const PyObject *tuple)
{
	return copy_items(c, part, m, tuple, &PyTuple_Type, offsetof(PyTupleObject, ob_item), sizeof(PyObject *), CODE_COPY_NAMES);
}

/* --- names --- */

struct name {
	PyASCIIObject head;
	char characters[CODE_COPY_NAME];
};

static int is_short_ascii(const struct name *n)
{
	const PyASCIIObject *head = &n->head;

	return ((const PyObject *)head)->ob_type == &PyUnicode_Type && head->state.compact && head->state.ascii && head->length >= 0 &&
	       (size_t)head->length < CODE_COPY_NAME;
}

/* The strings of a tuple that has been copied, in place of their addresses. Whatever is none, or too long, is one without characters. */
static int copy_names(struct code_copy *c, enum code_copy_part part, struct raw_mem *m, PyObject *tuple)
{
	size_t n = (size_t)Py_SIZE(tuple);
	struct name *names = calloc(n + 1, sizeof *names);
	struct raw_piece *pieces = calloc(n + 1, sizeof *pieces);
	PyObject **items = ((PyTupleObject *)tuple)->ob_item;
	int rc = names != NULL && pieces != NULL;

	c->parts[part] = names;
	for (size_t i = 0; rc && i < n; i++)
		pieces[i] = (struct raw_piece){(uintptr_t)items[i], &names[i].head, sizeof names[i].head, 0};
	if (rc && n > 0)
		raw_mem_gather(m, pieces, n);
	for (size_t i = 0; rc && i < n; i++) {
		int right = pieces[i].ok && is_short_ascii(&names[i]);

		if (!right)
			memset(&names[i], 0, sizeof names[i]);
		pieces[i] = (struct raw_piece){(uintptr_t)items[i] + sizeof names->head, names[i].characters,
			right ? (size_t)names[i].head.length : 0, 0};
		if (pieces[i].len == 0)
			pieces[i] = (struct raw_piece){(uintptr_t)&c->bytes, names[i].characters, 1, 0};
	}
	if (rc && n > 0)
		raw_mem_gather(m, pieces, n);
	for (size_t i = 0; rc && i < n; i++) {
		if (!pieces[i].ok)
			memset(&names[i], 0, sizeof names[i]);
		items[i] = (PyObject *)(void *)&names[i];
	}
	c->bytes += rc ? n * sizeof *names : 0;
	free(pieces);
	return rc;
}

/* --- the whole --- */

#if PY_VERSION_HEX >= 0x030B0000
static int read_parts(struct code_copy *c, struct raw_mem *m, uintptr_t address)
{
	PyCodeObject *code = copy_items(c, CODE_COPY_CODE, m, (const void *)address, &PyCode_Type, offsetof(PyCodeObject, co_code_adaptive),
		sizeof(_Py_CODEUNIT), CODE_COPY_BYTES / sizeof(_Py_CODEUNIT));
	PyObject *variables;

	if (code == NULL)
		return 0;
	code->co_exceptiontable = copy_bytes(c, CODE_COPY_TABLE, m, code->co_exceptiontable);
	code->co_linetable = copy_bytes(c, CODE_COPY_LINES, m, code->co_linetable);
	code->co_names = copy_tuple(c, CODE_COPY_GLOBALS, m, code->co_names);
	code->co_localsplusnames = variables = copy_tuple(c, CODE_COPY_VARIABLES, m, code->co_localsplusnames);
	c->code = code;
	return code->co_exceptiontable != NULL && code->co_linetable != NULL && code->co_names != NULL && variables != NULL &&
	       code->co_nlocals >= 0 && code->co_nlocals <= code->co_nlocalsplus && Py_SIZE(variables) == code->co_nlocalsplus &&
	       copy_names(c, CODE_COPY_STRINGS, m, variables);
}
#else
static int read_parts(struct code_copy *c, struct raw_mem *m, uintptr_t address)
{
	PyCodeObject *code = c->parts[CODE_COPY_CODE] = calloc(1, sizeof *code);
	PyObject *variables;

	if (code == NULL || !raw_mem_read(m, address, code, sizeof *code) || ((PyObject *)code)->ob_type != &PyCode_Type)
		return 0;
	code->co_code = copy_bytes(c, CODE_COPY_TABLE, m, code->co_code);
	code->co_linetable = copy_bytes(c, CODE_COPY_LINES, m, code->co_linetable);
	code->co_names = copy_tuple(c, CODE_COPY_GLOBALS, m, code->co_names);
	code->co_varnames = variables = copy_tuple(c, CODE_COPY_VARIABLES, m, code->co_varnames);
	code->co_cellvars = copy_tuple(c, CODE_COPY_CELLS, m, code->co_cellvars);
	code->co_freevars = copy_tuple(c, CODE_COPY_FREE, m, code->co_freevars);
	c->code = code;
	return code->co_code != NULL && code->co_linetable != NULL && code->co_names != NULL && variables != NULL &&
	       code->co_cellvars != NULL && code->co_freevars != NULL && code->co_nlocals == Py_SIZE(variables) &&
	       copy_names(c, CODE_COPY_STRINGS, m, variables) && copy_names(c, CODE_COPY_CELL_STRINGS, m, code->co_cellvars) &&
	       copy_names(c, CODE_COPY_FREE_STRINGS, m, code->co_freevars);
}
#endif

int code_copy_read(struct code_copy *c, struct raw_mem *m, uintptr_t address)
{
	memset(c, 0, sizeof *c);
	if (address == 0 || (address & 7) != 0)
		return 0;
	if (!read_parts(c, m, address))
		c->code = NULL;
	return c->code != NULL;
}

void code_copy_free(struct code_copy *c)
{
	for (size_t i = 0; i < CODE_COPY_PARTS; i++)
		free(c->parts[i]);
	memset(c, 0, sizeof *c);
}
