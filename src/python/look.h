/*
 * look.h: reads objects of the program without running any of its code: no property, no __getattr__, no __dir__, no
 * __eq__ of a key. What can only be had by running something is not found here, and *unasked says so. The GIL is held in all
 * of these, and no exception is set before or after.
 */
#ifndef PYSTUCK_PYTHON_LOOK_H
#define PYSTUCK_PYTHON_LOOK_H

#include <Python.h>

#include "context.h"
#include "look_dict.h"

/*
 * object.name, a new reference, or NULL. *bound: what was found is a function whose first parameter is the object. *unasked is
 * set, not cleared.
 */
PyObject *look_attribute(PyObject *object, struct span name, int *bound, int *unasked);
/* object["key"] or object[index] of a dict, list or tuple. A new reference, or NULL. */
PyObject *look_item(PyObject *object, const struct context_step *step, int *unasked);

/* In a session names come from more than one dict: the first that has it counts. NULL: none. */
#define LOOK_SPACES 4
struct look_spaces {
	PyObject *dicts[LOOK_SPACES]; /* the last one: Python's own */
};
/* What a row of names, keys and attributes stands for; a new reference, or NULL. */
PyObject *look_row(const struct look_spaces *spaces, struct span row, int *bound, int *unasked);

/* Called with each name, borrowed, an exact str; not 0: enough. */
typedef int look_visit(void *context, PyObject *name);
/* What dir(object) would say, in any order, some twice; not 0 when the visitor had enough. */
int look_names(PyObject *object, look_visit *visit, void *context, int *unasked);
int look_dict_names(PyObject *dict, look_visit *visit, void *context);
/* The keys of a dict, or of sys.modules for `modules`: any objects. */
int look_keys(PyObject *object, look_visit *visit, void *context, int *unasked);

#endif
