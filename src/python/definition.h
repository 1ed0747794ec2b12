/*
 * definition.h: where a function, a class or a module is defined, and the lines that define it. The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_DEFINITION_H
#define PYSTUCK_PYTHON_DEFINITION_H

#include <Python.h>

#include "buf.h"
#include "raised.h"

#define DEFINITION_FILE_BYTES (4u << 20) /* of a source file that is read */

struct definition {
	PyObject *file; /* a new reference, a str, or NULL */
	int line;       /* the first; 0: to be searched for */
	PyObject *name; /* borrowed, of a class that is to be searched for */
};

struct definition definition_find(PyObject *object);

/* Appends the whole file, or what was typed at a prompt as that cell; nothing where it cannot be read. */
void definition_read(PyObject *file, const struct raised_sources *cells, struct buf *out);

/* The place of line `line`, from 1, or of "class name"; text.len: it is not there. */
size_t definition_start(struct span text, const struct definition *d);
/* The end of the block that begins at `start`, without empty lines at its end; of a statement where it is none. */
size_t definition_end(struct span text, size_t start);

/* The place behind the line that `at` is in. */
size_t definition_line_end(struct span text, size_t at);
/* So many spaces and tabs are there from `at` on. */
size_t definition_white(struct span text, size_t at, size_t end);

#endif
