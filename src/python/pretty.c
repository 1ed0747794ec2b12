/*
 * pretty.c: first a tree of the value, whose leaves are texts, so that each repr is called once; then its layout, which is
 * pretty_layout.c's. What is shown how follows IPython, since that is what people are used to.
 */
#include <Python.h>

#include "pretty.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "compat_eval.h"
#include "gil.h"
#include "look.h"
#include "pretty_tree.h"
#include "pytext.h"
#include "raised.h"
#include "signature.h"
#include "text.h"

#define TREE_TEXT_MAX (8u << 20)
#define INT_BITS_MAX 14000 /* longer ones take long, or have no digits since 3.11 */
#define LEAF_CHARS_MAX (2 * PRETTY_CHARS_MAX) /* of a repr: escapes make it longer than what it is of */

/* What a container is in: to find one that holds itself. */
struct above {
	const struct above *up;
	PyObject *container;
	int depth;
};

/* --- leaves --------------------------------------------------------------- */

PyObject *pretty_failed(PyObject *value)
{
	PyObject *raised = compat_take_raised();
	PyObject *line = raised != NULL ? raised_line(raised) : NULL;
	PyObject *text = NULL;

	if (line != NULL)
		text = PyUnicode_FromFormat("<repr of %s object at %p raised %U>", Py_TYPE(value)->tp_name, (void *)value, line);
	PyErr_Clear();
	Py_XDECREF(line);
	Py_XDECREF(raised);
	return text;
}

/* NONE with an exception. */
static uint32_t add_node(struct tree *t, enum kind kind)
{
	uint32_t room = t->room > 0 ? 2 * t->room : 64;
	struct node *nodes;

	if (t->count == t->room) {
		nodes = realloc(t->nodes, room * sizeof *nodes);
		if (nodes == NULL) {
			PyErr_NoMemory();
			return NONE;
		}
		t->nodes = nodes;
		t->room = room;
	}
	t->nodes[t->count] = (struct node){.kind = kind, .next = NONE, .first = NONE, .open = "", .close = ""};
	return t->count++;
}

static uint32_t add_bytes(struct tree *t, const void *bytes, size_t len)
{
	uint32_t node = add_node(t, LEAF);
	struct pytext_ref ref;

	if (node == NONE)
		return NONE;
	if (pytext_bytes(&t->text, bytes, len, &ref) != 0)
		t->cut = 1;
	t->nodes[node].text = ref;
	t->nodes[node].width = pretty_width(pytext_span(&t->text, ref));
	return node;
}

static uint32_t add_text(struct tree *t, const char *text)
{
	return add_bytes(t, text, strlen(text));
}

/* A str as a leaf; takes the reference over. NULL: an exception is set. */
static uint32_t add_str(struct tree *t, PyObject *str)
{
	char more[64];
	struct buf text;
	Py_ssize_t len;
	uint32_t node = NONE;

	if (str == NULL)
		return NONE;
	buf_init(&text, TREE_TEXT_MAX);
	len = PyUnicode_GET_LENGTH(str);
	if (len > LEAF_CHARS_MAX) {
		PyObject *head = PyUnicode_Substring(str, 0, LEAF_CHARS_MAX);

		Py_SETREF(str, head);
		t->cut = 1;
	}
	if (str != NULL && look_text(&text, str) == 0) {
		if (len > LEAF_CHARS_MAX) {
			snprintf(more, sizeof more, "... (%zd characters more)", len - LEAF_CHARS_MAX);
			(void)buf_put(&text, more, strlen(more));
		}
		node = add_bytes(t, buf_bytes(&text), buf_len(&text));
	} else {
		PyErr_NoMemory();
	}
	buf_free(&text);
	Py_XDECREF(str);
	return node;
}

/* What would take long to make a text of is cut before. */
static PyObject *short_part(PyObject *value, Py_ssize_t *len)
{
	*len = 0;
	if (PyUnicode_CheckExact(value))
		*len = PyUnicode_GET_LENGTH(value);
	else if (PyBytes_CheckExact(value))
		*len = PyBytes_GET_SIZE(value);
	else if (PyByteArray_CheckExact(value))
		*len = PyByteArray_GET_SIZE(value);
	if (*len <= PRETTY_CHARS_MAX)
		return Py_NewRef(value);
	return PySequence_GetSlice(value, 0, PRETTY_CHARS_MAX);
}

static uint32_t add_repr(struct tree *t, PyObject *value)
{
	Py_ssize_t len;
	PyObject *part, *text;

	if (PyLong_CheckExact(value) && compat_int_bits(value) > INT_BITS_MAX) {
		char words[64];

		snprintf(words, sizeof words, "<int of %llu bits>", (unsigned long long)compat_int_bits(value));
		return add_text(t, words);
	}
	part = short_part(value, &len);
	text = part != NULL ? PyObject_Repr(part) : NULL;
	Py_XDECREF(part);
	if (text != NULL && len > PRETTY_CHARS_MAX) {
		PyObject *more = PyUnicode_FromFormat("%U... (%zd more)", text, len - PRETTY_CHARS_MAX);

		Py_SETREF(text, more);
		t->cut = 1;
	}
	if (text == NULL && *t->interrupted && PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
		return NONE;
	if (text == NULL)
		text = pretty_failed(value);
	return add_str(t, text);
}

/* <function module.name(a, b)>, without asking the function for anything. */
static uint32_t add_function(struct tree *t, PyObject *value)
{
	PyFunctionObject *f = (PyFunctionObject *)value;
	uint32_t node = NONE;
	struct buf text;
	int rc;

	buf_init(&text, PRETTY_CHARS_MAX);
	rc = buf_put(&text, "<function ", 10);
	if (rc == 0 && f->func_module != NULL && PyUnicode_CheckExact(f->func_module))
		rc = look_text(&text, f->func_module) != 0 || buf_put(&text, ".", 1) != 0;
	if (rc == 0)
		rc = look_text(&text, f->func_qualname);
	if (rc == 0 && !signature_put(&text, value, 0))
		rc = buf_put(&text, "(...)", 5);
	if (rc == 0 && buf_put(&text, ">", 1) == 0)
		node = add_bytes(t, buf_bytes(&text), buf_len(&text));
	else
		node = add_repr(t, value);
	buf_free(&text);
	return node;
}

/* module.Class, and int for what is built in. */
static uint32_t add_type(struct tree *t, PyObject *value)
{
	PyTypeObject *type = (PyTypeObject *)value;
	PyObject *dict, *module = NULL, *name = NULL;

	if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE))
		return add_text(t, type->tp_name);
	dict = compat_type_dict(type);
	if (dict != NULL)
		module = look_name(dict, span_text("__module__"));
	Py_XDECREF(dict);
	if (module != NULL && PyUnicode_CheckExact(module))
		name = PyUnicode_FromFormat("%U.%U", module, ((PyHeapTypeObject *)type)->ht_qualname);
	Py_XDECREF(module);
	if (name == NULL) {
		PyErr_Clear();
		return add_repr(t, value);
	}
	return add_str(t, name);
}

/* --- containers ----------------------------------------------------------- */

static uint32_t add_value(struct tree *t, PyObject *value, const struct above *up);

/* The last child so far. */
struct chain {
	uint32_t parent, last;
	Py_ssize_t count;
};

static void link_child(struct tree *t, struct chain *c, uint32_t child)
{
	if (c->last == NONE)
		t->nodes[c->parent].first = child;
	else
		t->nodes[c->last].next = child;
	c->last = child;
	c->count++;
}

/* 1: the next item is to be left out, and so are all that follow; -1 with an exception. */
static int is_full(struct tree *t, struct chain *c, Py_ssize_t total)
{
	char words[64];
	uint32_t child;

	if (c->count < PRETTY_ITEMS_MAX && t->count < PRETTY_NODES_MAX && gil_now_ns() < t->until)
		return 0;
	snprintf(words, sizeof words, "... (%zd more)", total > c->count ? total - c->count : 1);
	child = add_text(t, words);
	if (child == NONE)
		return -1;
	link_child(t, c, child);
	t->cut = 1;
	return 1;
}

/* 0, 1 (enough) or -1. */
static int add_item(struct tree *t, struct chain *c, PyObject *item, Py_ssize_t total, const struct above *up)
{
	int full = is_full(t, c, total);
	uint32_t child;

	if (full != 0)
		return full;
	child = add_value(t, item, up);
	if (child == NONE)
		return -1;
	link_child(t, c, child);
	return 0;
}

/* Of a list or tuple; the items may change while a repr runs. */
static int add_sequence(struct tree *t, struct chain *c, PyObject *value, const struct above *up)
{
	int list = PyList_Check(value), rc = 0;

	for (Py_ssize_t i = 0; rc == 0; i++) {
		Py_ssize_t n = list ? PyList_GET_SIZE(value) : PyTuple_GET_SIZE(value);
		PyObject *item;

		if (i >= n)
			break;
		item = Py_XNewRef(list ? PyList_GET_ITEM(value, i) : PyTuple_GET_ITEM(value, i));
		rc = add_item(t, c, item != NULL ? item : Py_None, n, up);
		Py_XDECREF(item);
	}
	return rc < 0 ? -1 : 0;
}

static int add_pair(struct tree *t, struct chain *c, PyObject *item, Py_ssize_t total, const struct above *up)
{
	int full = is_full(t, c, total);
	struct chain pair = {.last = NONE};

	if (full != 0)
		return full;
	pair.parent = add_node(t, PAIR);
	if (pair.parent == NONE)
		return -1;
	for (int i = 0; i < 2; i++) {
		uint32_t child = add_value(t, PyTuple_GET_ITEM(item, i), up);

		if (child == NONE)
			return -1;
		link_child(t, &pair, child);
	}
	link_child(t, c, pair.parent);
	return 0;
}

/* A copy of what is shown of it, since a repr may change it. */
static int add_dict(struct tree *t, struct chain *c, PyObject *value, const struct above *up)
{
	Py_ssize_t total = PyDict_GET_SIZE(value), at = 0;
	PyObject *items = PyList_New(0), *key, *item, *pair;
	int rc = items != NULL ? 0 : -1;

	while (rc == 0 && PyList_GET_SIZE(items) <= PRETTY_ITEMS_MAX && PyDict_Next(value, &at, &key, &item)) {
		pair = PyTuple_Pack(2, key, item);
		rc = pair != NULL ? PyList_Append(items, pair) : -1;
		Py_XDECREF(pair);
		if (PyDict_GET_SIZE(value) != total)
			break;
	}
	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(items); i++)
		rc = add_pair(t, c, PyList_GET_ITEM(items, i), total, up);
	Py_XDECREF(items);
	return rc < 0 ? -1 : 0;
}

/* Sorted where that runs no code of the program. */
static int add_set(struct tree *t, struct chain *c, PyObject *value, const struct above *up)
{
	PyObject *items = PySequence_List(value);
	int rc = items != NULL ? 0 : -1, alike = items != NULL && PyList_GET_SIZE(items) > 0;

	for (Py_ssize_t i = 0; alike && i < PyList_GET_SIZE(items); i++) {
		PyTypeObject *type = Py_TYPE(PyList_GET_ITEM(items, i));

		alike = type == Py_TYPE(PyList_GET_ITEM(items, 0)) &&
			(type == &PyLong_Type || type == &PyUnicode_Type || type == &PyFloat_Type || type == &PyBytes_Type);
	}
	if (alike)
		rc = PyList_Sort(items);
	if (rc == 0)
		rc = add_sequence(t, c, items, up);
	Py_XDECREF(items);
	return rc;
}

/* How it is written; NULL: not as a container. */
static const char *brackets_of(PyObject *value, const char **close)
{
	reprfunc repr = Py_TYPE(value)->tp_repr;

	*close = "]";
	if (PyList_Check(value) && repr == PyList_Type.tp_repr)
		return "[";
	*close = ")";
	if (PyTuple_Check(value) && repr == PyTuple_Type.tp_repr)
		return "(";
	*close = "}";
	if (PyDict_Check(value) && repr == PyDict_Type.tp_repr)
		return "{";
	if (PySet_CheckExact(value) && PySet_GET_SIZE(value) > 0)
		return "{";
	*close = "})";
	if (PyFrozenSet_CheckExact(value) && PySet_GET_SIZE(value) > 0)
		return "frozenset({";
	return NULL;
}

static int is_above(const struct above *up, PyObject *value)
{
	for (; up != NULL; up = up->up)
		if (up->container == value)
			return 1;
	return 0;
}

static int add_children(struct tree *t, struct chain *c, PyObject *value, const struct above *here)
{
	if (PyDict_Check(value))
		return add_dict(t, c, value, here);
	if (PyAnySet_Check(value))
		return add_set(t, c, value, here);
	return add_sequence(t, c, value, here);
}

static uint32_t add_group(struct tree *t, PyObject *value, const char *open, const char *close, const struct above *up)
{
	struct above here = {up, value, up != NULL ? up->depth + 1 : 0};
	struct chain c = {.last = NONE};
	char dots[32];

	if (is_above(up, value) || here.depth > PRETTY_DEPTH_MAX) {
		t->cut |= here.depth > PRETTY_DEPTH_MAX;
		snprintf(dots, sizeof dots, "%s...%s", open, close);
		return add_text(t, dots);
	}
	c.parent = add_node(t, GROUP);
	if (c.parent == NONE || add_children(t, &c, value, &here) != 0)
		return NONE;
	t->nodes[c.parent].open = open;
	t->nodes[c.parent].close = close;
	t->nodes[c.parent].alone = PyTuple_Check(value) && c.count == 1;
	return c.parent;
}

/* Calls itself, PRETTY_DEPTH_MAX deep. */
static uint32_t add_value(struct tree *t, PyObject *value, const struct above *up)
{
	const char *close, *open = brackets_of(value, &close);

	if (open != NULL)
		return add_group(t, value, open, close, up);
	if (Py_IS_TYPE(value, &PyFunction_Type))
		return add_function(t, value);
	if (PyType_Check(value) && Py_TYPE(value)->tp_repr == PyType_Type.tp_repr)
		return add_type(t, value);
	return add_repr(t, value);
}

int pretty_put(struct buf *out, PyObject *value, size_t width, const int *interrupted, int *cut)
{
	struct tree t = {.until = gil_now_ns() + PRETTY_NS, .interrupted = interrupted};
	uint32_t root;

	pytext_init(&t.text, TREE_TEXT_MAX);
	root = add_value(&t, value, NULL);
	*cut = t.cut;
	if (root != NONE && pretty_layout(&t, root, out, width) != 0)
		*cut = 1;
	pytext_free(&t.text);
	free(t.nodes);
	return root != NONE ? 0 : -1;
}
