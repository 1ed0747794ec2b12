/*
 * answer_tasks.h: the loops and tasks of a dump as messages, behind those of the threads. No GIL; no Python object is touched.
 */
#ifndef PYSTUCK_PYTHON_ANSWER_TASKS_H
#define PYSTUCK_PYTHON_ANSWER_TASKS_H

#include <Python.h>

#include "stack_encoder.h"
#include "tasks.h"

/* Bytes that are needed even when no task finds room; 0 for NULL. */
size_t answer_tasks_least(const struct tasks *t);
/* Appends what fits into `most` bytes of the whole; *left_out says how many tasks did not. 0, PYSTUCK_ENOMEM, PYSTUCK_ETOOBIG. */
int answer_tasks_put(struct stack_encoder *e, const struct tasks *t, size_t most, uint32_t *left_out);

#endif
