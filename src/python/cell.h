/*
 * cell.h: the source of one cell made into code: an expression, or statements of which the last may
 * be an expression whose value is shown. Also says whether what was typed at a prompt can go on.
 */
#ifndef PYSTUCK_PYTHON_CELL_H
#define PYSTUCK_PYTHON_CELL_H

#include <Python.h>

struct cell {
	PyObject *body;  /* code to be run first, or NULL */
	PyObject *value; /* code whose value is the cell's, or NULL */
};

#define CELL_INDENT_MAX 256 /* bytes; deeper indentation is cut */

/* Module init, GIL held: notes the built-in compile() before anybody can replace it. 0, or -1 with
 * an exception. */
int cell_init(void);

/*
 * GIL held. `source` and `file` are str. 0: *c is filled, and cell_clear is the caller's to call.
 * 1: only when interactive: the input can go on, and *indent says how far to indent the next line.
 * -1 with an exception, usually SyntaxError.
 *
 * Lines of an interactive input are separated by newlines: one at the very end means that an empty
 * line was entered.
 */
int cell_compile(struct cell *c, PyObject *source, PyObject *file, int interactive,
	char indent[static CELL_INDENT_MAX]);
void cell_clear(struct cell *c);

#endif
