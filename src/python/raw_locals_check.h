/*
 * raw_locals_check.h: whether variables are read without the GIL in this process.
 */
#ifndef PYSTUCK_PYTHON_RAW_LOCALS_CHECK_H
#define PYSTUCK_PYTHON_RAW_LOCALS_CHECK_H

#include "raw_layout.h"
#include "raw_mem.h"
#include "raw_value.h"

/* GIL held, once, when raw_check has found no trouble. 1: what is read is as the C API says. Sets no exception. */
int raw_locals_check(struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v);

#endif
