/*
 * pytext.h: Python's str objects copied as UTF-8 into memory of our own, one growing block for many
 * texts. Makes no Python objects and runs no Python code. Names stand for texts by their place in
 * the block, which moves when it grows.
 */
#ifndef PYSTUCK_PYTHON_PYTEXT_H
#define PYSTUCK_PYTHON_PYTEXT_H

#include <Python.h>
#include <stdint.h>

#include "buf.h"

struct pytext {
	char *data;
	size_t used;
	size_t capacity;
	size_t limit; /* bytes; used never exceeds it */
};

/* Where a text lies. {0, 0}: empty. */
struct pytext_ref {
	uint32_t at;
	uint32_t len;
};

void pytext_init(struct pytext *t, size_t limit); /* at most UINT32_MAX; allocates nothing */
void pytext_free(struct pytext *t);
struct span pytext_span(const struct pytext *t, struct pytext_ref ref);

/*
 * Appends bytes as they are. 0, PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG (*ref is then empty). No GIL
 * needed.
 */
int pytext_bytes(struct pytext *t, const void *bytes, size_t len, struct pytext_ref *ref);
/*
 * GIL held. Appends at most `most` bytes of a str as UTF-8, whole characters, lone surrogates
 * spelled \udcff. Anything but a str gives an empty text. 0, PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG
 * (*ref is then empty).
 */
int pytext_str(struct pytext *t, PyObject *str, size_t most, struct pytext_ref *ref);

/* GIL held. 1 when v is a str whose characters can be read in place. */
int pytext_readable(PyObject *v);

#endif
