/*
 * greenlet_types.h: which objects have to do with greenlets, told by their types alone.
 */
#ifndef PYSTUCK_PYTHON_GREENLET_TYPES_H
#define PYSTUCK_PYTHON_GREENLET_TYPES_H

#include <Python.h>
#include <stdint.h>

enum greenlet_kind {
	KIND_UNKNOWN = 0, /* not looked at yet */
	KIND_OTHER,
	KIND_GREENLET,
	KIND_WAITER, /* gevent's: stands for the greenlet that it has */
	KIND_IO,     /* watchers of its loop */
	KIND_TIMER,
	KIND_CHILD,
	KIND_WATCHER,  /* another one */
	KIND_CALLBACK, /* what its loop will call next */
	KIND_OBJECT,   /* whatever else of gevent's may have a list of those that wait */
	KIND_RLOCK,    /* gevent's or threading's: a lock and an owner */
};

#define GREENLET_TYPES 4096u /* a power of two */

/* What is known of types. Good as long as the GIL is held: then no type goes. */
struct greenlet_types {
	PyTypeObject *greenlet; /* the base class of all */
	int gevent;		/* the program has imported it */
	struct {
		const PyTypeObject *type;
		enum greenlet_kind kind;
	} seen[GREENLET_TYPES];
};

/* GIL held. */
void greenlet_types_init(void);
/* greenlet.greenlet, borrowed; NULL: not imported, or it is another thing than we know. */
PyTypeObject *greenlet_types_base(void);
/* Forgets all types. 0: greenlet is not imported. */
int greenlet_types_begin(struct greenlet_types *t);
enum greenlet_kind greenlet_types_slow(struct greenlet_types *t, PyTypeObject *type);

static inline enum greenlet_kind greenlet_types_kind(struct greenlet_types *t, PyTypeObject *type)
{
	uint32_t slot = (uint32_t)(((uintptr_t)type >> 4) * 0x9E3779B1u >> 7) & (GREENLET_TYPES - 1);

	if (t->seen[slot].type != type) {
		t->seen[slot].kind = greenlet_types_slow(t, type);
		t->seen[slot].type = type;
	}
	return t->seen[slot].kind;
}

/*
 * What a type of C code, `name` or one derived from it, says by its own getter of that attribute; a new reference or NULL. No
 * exception is set. `base` NULL: the first base class that has the attribute so.
 */
PyObject *greenlet_types_get(PyObject *object, const PyTypeObject *base, const char *attribute);
/* The type's name without its module. */
const char *greenlet_types_name(const PyTypeObject *type);

#endif
