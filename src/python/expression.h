/*
 * expression.h: which object a piece of source code is about: text in, a part of it out. No Python.
 */
#ifndef PYSTUCK_PYTHON_EXPRESSION_H
#define PYSTUCK_PYTHON_EXPRESSION_H

#include "buf.h"

/*
 * Of a whole expression: "self._lock" of "self._lock.acquire(timeout=5)", when that ends in a call of a method that waits; the
 * expression itself when `entered`, that is when it stands behind a `with`, or when it is no call. Else empty.
 */
struct span expression_object(struct span text, int entered);
/*
 * Of a line, where nothing tells which part of it is executed (3.10): the object behind a `with`, or that of the only call in it
 * that waits. Empty when there may be several.
 */
struct span expression_in_line(struct span line);

#endif
