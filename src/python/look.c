/*
 * look.c: attributes by way of the dicts of instances and types, each read with PyDict_Next, since a look-up may call the
 * __eq__ of a key. Which of them are wanted, and what they are for, is decided elsewhere.
 */
#include <Python.h>

#include "look.h"

#include <string.h>

#include "compat_eval.h"
#include "modules.h"

/* --- items ---------------------------------------------------------------- */

static int is_number(PyObject *key, long number)
{
	int overflow = 0;

	return PyLong_CheckExact(key) && PyLong_AsLongAndOverflow(key, &overflow) == number && !overflow;
}

static PyObject *dict_item(PyObject *dict, const struct context_step *step)
{
	struct span name = {(const uint8_t *)step->text, step->len};
	PyObject *key, *value;
	Py_ssize_t at = 0;

	if (step->kind == CONTEXT_STEP_KEY)
		return look_name(dict, name);
	while (PyDict_Next(dict, &at, &key, &value))
		if (is_number(key, step->index))
			return Py_NewRef(value);
	return NULL;
}

static PyObject *sequence_item(PyObject *object, const struct context_step *step)
{
	int list = PyList_Check(object);
	Py_ssize_t n = list ? PyList_GET_SIZE(object) : PyTuple_GET_SIZE(object);
	Py_ssize_t i = step->index < 0 ? step->index + n : step->index;

	if (step->kind != CONTEXT_STEP_INDEX || i < 0 || i >= n)
		return NULL;
	return Py_XNewRef(list ? PyList_GET_ITEM(object, i) : PyTuple_GET_ITEM(object, i));
}

PyObject *look_item(PyObject *object, const struct context_step *step, int *unasked)
{
	if (modules_is(object) && step->kind == CONTEXT_STEP_KEY)
		return look_module((struct span){(const uint8_t *)step->text, step->len});
	if (PyDict_Check(object))
		return dict_item(object, step);
	if (PyList_Check(object) || PyTuple_Check(object))
		return sequence_item(object, step);
	*unasked = 1;
	return NULL;
}

/* --- attributes ----------------------------------------------------------- */

/* The instance's own dict, borrowed, or NULL: not made for our sake. */
static PyObject *instance_dict(PyObject *object)
{
	PyObject **dict;

	if (PyModule_Check(object))
		return PyModule_GetDict(object);
	if (PyType_Check(object))
		return NULL;
	dict = _PyObject_GetDictPtr(object);
	PyErr_Clear();
	return dict != NULL && *dict != NULL && PyDict_Check(*dict) ? *dict : NULL;
}

/* In the dicts of a type and its bases; a new reference, or NULL. */
static PyObject *in_type(PyTypeObject *type, struct span name)
{
	PyObject *mro = type->tp_mro, *found = NULL;

	for (Py_ssize_t i = 0; mro != NULL && found == NULL && i < PyTuple_GET_SIZE(mro); i++) {
		PyObject *dict = compat_type_dict((PyTypeObject *)PyTuple_GET_ITEM(mro, i));

		found = look_name(dict, name);
		Py_XDECREF(dict);
	}
	return found;
}

/* staticmethod and classmethod: what they hold. Reads a member of a type of C. */
static PyObject *held(PyObject *method)
{
	PyObject *function = PyObject_GetAttrString(method, "__func__");

	PyErr_Clear();
	return function;
}

/*
 * What stands in a class, as one gets it through an object (NULL: through the class itself). Takes the reference over; NULL:
 * only by running something.
 */
static PyObject *through(PyObject *value, PyObject *object, int *bound, int *unasked)
{
	PyTypeObject *type = Py_TYPE(value);
	PyObject *result = NULL;

	*bound = 0;
	if (type == &PyFunction_Type || type == &PyMethodDescr_Type || type == &PyWrapperDescr_Type) {
		*bound = object != NULL;
		return value;
	}
	if (type == &PyClassMethodDescr_Type) {
		*bound = 1;
		return value;
	}
	if (type == &PyStaticMethod_Type || type == &PyClassMethod_Type) {
		*bound = type == &PyClassMethod_Type;
		result = held(value);
	} else if (type == &PyMemberDescr_Type && object != NULL) {
		/* A slot: C code that reads a field. */
		result = type->tp_descr_get(value, object, (PyObject *)Py_TYPE(object));
		PyErr_Clear();
	} else if (type->tp_descr_get == NULL || PyType_Check(value)) {
		return value;
	} else {
		*unasked = 1;
	}
	Py_DECREF(value);
	return result;
}

/* A type decides by itself what its attributes are. */
static int is_custom(PyTypeObject *type)
{
	return type->tp_getattro != PyObject_GenericGetAttr && type->tp_getattro != PyModule_Type.tp_getattro &&
	       type->tp_getattro != PyType_Type.tp_getattro;
}

static PyObject *of_module(PyObject *module, struct span name)
{
	PyObject *found = look_name(PyModule_GetDict(module), name);
	const char *package;
	struct buf full;

	if (found != NULL)
		return found;
	package = PyModule_GetName(module);
	PyErr_Clear();
	if (package == NULL)
		return NULL;
	/* modules.a.b imports a.b: here only when it is there. */
	buf_init(&full, 4096);
	if (buf_put(&full, package, strlen(package)) == 0 && buf_put(&full, ".", 1) == 0 &&
		buf_put(&full, name.data, name.len) == 0)
		found = look_module(buf_span(&full));
	buf_free(&full);
	return found;
}

static PyObject *of_instance(PyObject *object, struct span name, int *bound, int *unasked)
{
	PyObject *in_class = in_type(Py_TYPE(object), name), *own;

	/* What decides about setting, too, comes before the instance's own. */
	if (in_class != NULL && Py_TYPE(in_class)->tp_descr_set != NULL)
		return through(in_class, object, bound, unasked);
	own = look_name(instance_dict(object), name);
	if (own != NULL) {
		Py_XDECREF(in_class);
		return own;
	}
	if (in_class != NULL)
		return through(in_class, object, bound, unasked);
	if (is_custom(Py_TYPE(object)))
		*unasked = 1;
	return NULL;
}

PyObject *look_attribute(PyObject *object, struct span name, int *bound, int *unasked)
{
	PyObject *found, *module = modules_unwrap(object);

	*bound = 0;
	if (modules_is(object))
		return look_module(name);
	if (module != NULL)
		return of_module(module, name);
	if (!PyType_Check(object))
		return of_instance(object, name, bound, unasked);
	found = in_type((PyTypeObject *)object, name);
	if (found != NULL)
		return through(found, NULL, bound, unasked);
	found = in_type(Py_TYPE(object), name);
	return found != NULL ? through(found, object, bound, unasked) : NULL;
}

/* --- a row ---------------------------------------------------------------- */

static PyObject *first_of_row(const struct look_spaces *spaces, const struct context_step *step)
{
	struct span name = {(const uint8_t *)step->text, step->len};
	PyObject *found = NULL;

	if (step->kind == CONTEXT_STEP_STRING)
		return PyUnicode_FromString("");
	for (size_t i = 0; found == NULL && i < LOOK_SPACES; i++)
		found = look_name(spaces->dicts[i], name);
	return found;
}

PyObject *look_row(const struct look_spaces *spaces, struct span row, int *bound, int *unasked)
{
	const char *at = (const char *)row.data, *end = at + row.len;
	struct context_step step;
	PyObject *object = NULL, *next;
	int more;

	*bound = 0;
	more = context_step(&step, &at, end, 1);
	if (more == 1)
		object = first_of_row(spaces, &step);
	while (object != NULL && (more = context_step(&step, &at, end, 0)) == 1) {
		*bound = 0;
		if (step.kind == CONTEXT_STEP_NAME)
			next = look_attribute(object, (struct span){(const uint8_t *)step.text, step.len}, bound, unasked);
		else
			next = look_item(object, &step, unasked);
		/* Others have references to it: this one runs no finalizer, unless it was the last. */
		Py_SETREF(object, next);
	}
	PyErr_Clear();
	if (more == 0)
		return object;
	Py_XDECREF(object);
	return NULL;
}

/* --- lists of names ------------------------------------------------------- */

int look_dict_names(PyObject *dict, look_visit *visit, void *context)
{
	PyObject *key, *value;
	Py_ssize_t at = 0;
	int rc = 0;

	if (dict == NULL || !PyDict_Check(dict))
		return 0;
	while (rc == 0 && PyDict_Next(dict, &at, &key, &value))
		if (PyUnicode_CheckExact(key))
			rc = visit(context, key);
	return rc;
}

static int type_names(PyTypeObject *type, look_visit *visit, void *context)
{
	PyObject *mro = type->tp_mro;
	int rc = 0;

	for (Py_ssize_t i = 0; mro != NULL && rc == 0 && i < PyTuple_GET_SIZE(mro); i++) {
		PyObject *dict = compat_type_dict((PyTypeObject *)PyTuple_GET_ITEM(mro, i));

		rc = look_dict_names(dict, visit, context);
		Py_XDECREF(dict);
	}
	return rc;
}

/* Its type, or a base other than object, has a method of this name. */
static int has_own(PyObject *object, const char *name)
{
	PyObject *found = in_type(Py_TYPE(object), span_text(name));
	PyTypeObject *type = found != NULL ? Py_TYPE(found) : NULL;

	Py_XDECREF(found);
	return type == &PyFunction_Type;
}

int look_names(PyObject *object, look_visit *visit, void *context, int *unasked)
{
	PyObject *module = modules_unwrap(object);
	int rc;

	if (modules_is(object))
		return look_dict_names(PyImport_GetModuleDict(), visit, context);
	if (module != NULL)
		return look_dict_names(PyModule_GetDict(module), visit, context);
	if (PyType_Check(object)) {
		if (has_own(object, "__dir__"))
			*unasked = 1;
		return type_names((PyTypeObject *)object, visit, context);
	}
	if (has_own(object, "__dir__") || has_own(object, "__getattr__") || is_custom(Py_TYPE(object)))
		*unasked = 1;
	rc = look_dict_names(instance_dict(object), visit, context);
	return rc != 0 ? rc : type_names(Py_TYPE(object), visit, context);
}

int look_keys(PyObject *object, look_visit *visit, void *context, int *unasked)
{
	PyObject *dict = modules_is(object) ? PyImport_GetModuleDict() : object;
	PyObject *key, *value;
	Py_ssize_t at = 0;
	int rc = 0;

	if (dict == NULL)
		return 0;
	if (!PyDict_Check(dict)) {
		if (!PyList_Check(object) && !PyTuple_Check(object) && !PyUnicode_Check(object))
			*unasked = 1;
		return 0;
	}
	while (rc == 0 && PyDict_Next(dict, &at, &key, &value))
		rc = visit(context, key);
	return rc;
}
