/*
 * cell.c: compiles the source of a cell and splits off the last expression. Whether an input is
 * complete is asked of Python's own parser, without warnings filters or other state of the process;
 * running the code is run.c's.
 */
#include <Python.h>

#include "cell.h"

#include <string.h>

#include "compat_eval.h"
#include "indent.h"

static PyObject *builtin_compile;

int cell_init(void)
{
	PyObject *builtins;

	if (builtin_compile != NULL)
		return 0;
	builtins = PyImport_ImportModule("builtins");
	if (builtins == NULL)
		return -1;
	builtin_compile = PyObject_GetAttrString(builtins, "compile");
	Py_DECREF(builtins);
	return builtin_compile != NULL ? 0 : -1;
}

void cell_clear(struct cell *c)
{
	Py_CLEAR(c->body);
	Py_CLEAR(c->value);
}

static PyObject *compile_text(const char *text, PyObject *file, int start, int more_flags)
{
	PyCompilerFlags flags = {
		.cf_flags = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE | PyCF_ALLOW_TOP_LEVEL_AWAIT | more_flags,
		.cf_feature_version = PY_MINOR_VERSION,
	};

	return Py_CompileStringObject(text, file, start, &flags, -1);
}

/* --- can it go on? -------------------------------------------------------- */

/* The SyntaxError of `text` with `tail` after it, a new reference; NULL without an exception when
 * there is none. */
static PyObject *error_with(const char *text, const char *tail, PyObject *file)
{
	size_t len = strlen(text), more = strlen(tail);
	char *copy = PyMem_Malloc(len + more + 1);
	PyObject *tree, *raised = NULL;

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, len);
	memcpy(copy + len, tail, more + 1);
	tree = compile_text(copy, file, Py_file_input, PyCF_ONLY_AST | COMPAT_INCOMPLETE_FLAG);
	PyMem_Free(copy);
	if (tree == NULL)
		raised = compat_take_raised();
	Py_XDECREF(tree);
	if (raised != NULL && !PyErr_GivenExceptionMatches(raised, PyExc_SyntaxError))
		Py_CLEAR(raised);
	return raised;
}

static int message_has(PyObject *raised, const char *words)
{
	PyObject *text = PyObject_GetAttrString(raised, "msg");
	PyObject *wanted = PyUnicode_FromString(words);
	int has = text != NULL && wanted != NULL && PyUnicode_Check(text) &&
		  PyUnicode_Contains(text, wanted) == 1;

	Py_XDECREF(wanted);
	Py_XDECREF(text);
	PyErr_Clear();
	return has;
}

static int same_error(PyObject *a, PyObject *b)
{
	PyObject *left = PyObject_Repr(a), *right = PyObject_Repr(b);
	int same = left != NULL && right != NULL && PyUnicode_Compare(left, right) == 0;

	Py_XDECREF(left);
	Py_XDECREF(right);
	PyErr_Clear();
	return same;
}

/* `text` does not parse. 1 when it only stops too early. No exception is set before or after. */
static int stops_early(const char *text, PyObject *file)
{
	PyObject *one = error_with(text, "\n", file), *two = NULL;
	int early;

	if (one == NULL) {
		early = 1;
	} else if (COMPAT_INCOMPLETE_FLAG != 0) {
		early = message_has(one, "incomplete input");
	} else {
		/* An error at the end moves when the end does. */
		two = error_with(text, "\n\n", file);
		early = two == NULL || !same_error(one, two) ||
			(message_has(one, "was never closed") &&
				message_has(two, "was never closed"));
	}
	Py_XDECREF(one);
	Py_XDECREF(two);
	return early;
}

/* --- the tree ------------------------------------------------------------- */

/* The list of statements of a parsed cell, a new reference; NULL with an exception. */
static PyObject *statements_of(PyObject *tree)
{
	PyObject *body = PyObject_GetAttrString(tree, "body");

	if (body != NULL && !PyList_Check(body)) {
		PyErr_SetString(PyExc_TypeError, "the parser's tree has no list of statements");
		Py_CLEAR(body);
	}
	return body;
}

/* The name stands with or without its module, by version. */
static int is_kind(PyObject *node, const char *kind)
{
	const char *name = Py_TYPE(node)->tp_name, *dot = strrchr(name, '.');

	return strcmp(dot != NULL ? dot + 1 : name, kind) == 0;
}

/* A statement that holds others: if, for, def, class, match and their like. */
static int is_compound(PyObject *node)
{
	PyObject *inner = PyObject_GetAttrString(node, is_kind(node, "Match") ? "cases" : "body");
	int compound = inner != NULL && PyList_Check(inner);

	Py_XDECREF(inner);
	PyErr_Clear();
	return compound;
}

/* The code of a tree. */
static PyObject *compile_tree(PyObject *tree, PyObject *file, const char *mode)
{
	return PyObject_CallFunction(builtin_compile, "OOsii", tree, file, mode, PyCF_ALLOW_TOP_LEVEL_AWAIT, 1);
}

/* ast.Expression(body=expression). Its type is got by parsing: the module ast need not be imported
 * for it. */
static PyObject *expression_tree(PyObject *expression, PyObject *file)
{
	PyObject *tree = compile_text("0", file, Py_eval_input, PyCF_ONLY_AST);

	if (tree != NULL && PyObject_SetAttrString(tree, "body", expression) != 0)
		Py_CLEAR(tree);
	return tree;
}

/* Takes the last statement, an expression, off the list and compiles it by itself. */
static int split_value(struct cell *c, PyObject *list, PyObject *file)
{
	Py_ssize_t last = PyList_GET_SIZE(list) - 1;
	PyObject *expression = PyObject_GetAttrString(PyList_GET_ITEM(list, last), "value");
	PyObject *tree = expression != NULL ? expression_tree(expression, file) : NULL;

	if (tree != NULL)
		c->value = compile_tree(tree, file, "eval");
	Py_XDECREF(tree);
	Py_XDECREF(expression);
	if (c->value == NULL)
		return -1;
	return PyList_SetSlice(list, last, last + 1, NULL);
}

static int compile_statements(struct cell *c, PyObject *tree, PyObject *list, PyObject *file)
{
	Py_ssize_t n = PyList_GET_SIZE(list);

	if (n > 0 && is_kind(PyList_GET_ITEM(list, n - 1), "Expr") &&
		split_value(c, list, file) != 0)
		return -1;
	if (PyList_GET_SIZE(list) == 0)
		return 0;
	c->body = compile_tree(tree, file, "exec");
	return c->body != NULL ? 0 : -1;
}

/* --- all of it ------------------------------------------------------------ */

/* It parses; at a prompt a block goes on until an empty line. */
static int in_block(PyObject *list, const struct indent *end)
{
	Py_ssize_t n = PyList_GET_SIZE(list);

	return n > 0 && end->indented && is_compound(PyList_GET_ITEM(list, n - 1));
}

static int compile_as_statements(
	struct cell *c, const char *text, PyObject *file, const struct indent *end)
{
	PyObject *tree = compile_text(text, file, Py_file_input, PyCF_ONLY_AST);
	PyObject *list = NULL, *raised;
	int rc = -1;

	if (tree == NULL) {
		if (end == NULL || !PyErr_ExceptionMatches(PyExc_SyntaxError))
			return -1;
		raised = compat_take_raised();
		if (stops_early(text, file)) {
			Py_DECREF(raised);
			return 1;
		}
		compat_set_raised(raised);
		return -1;
	}
	list = statements_of(tree);
	if (list != NULL && end != NULL && in_block(list, end))
		rc = 1;
	else if (list != NULL)
		rc = compile_statements(c, tree, list, file);
	Py_XDECREF(list);
	Py_DECREF(tree);
	if (rc != 0)
		cell_clear(c);
	return rc;
}

int cell_compile(struct cell *c, PyObject *source, PyObject *file, int interactive,
	char indent[static CELL_INDENT_MAX])
{
	const char *text, *first;
	struct indent end;
	Py_ssize_t len;
	int rc;

	*c = (struct cell){NULL, NULL};
	indent[0] = '\0';
	text = PyUnicode_AsUTF8AndSize(source, &len);
	if (text == NULL)
		return -1;
	if (strlen(text) != (size_t)len) {
		PyErr_SetString(PyExc_SyntaxError, "source code cannot contain null bytes");
		return -1;
	}
	/* An expression may be indented, as eval() has it. */
	first = text + strspn(text, " \t");
	c->value = compile_text(first, file, Py_eval_input, 0);
	if (c->value != NULL)
		return 0;
	if (!PyErr_ExceptionMatches(PyExc_SyntaxError))
		return -1;
	PyErr_Clear();
	if (interactive)
		indent_scan(&end, text, (size_t)len);
	rc = compile_as_statements(c, text, file, interactive ? &end : NULL);
	if (rc == 1)
		indent_next(&end, indent, CELL_INDENT_MAX);
	return rc;
}
