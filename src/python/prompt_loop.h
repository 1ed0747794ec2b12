/*
 * prompt_loop.h: %loop: which event loops run, and which of them code that awaits goes to. As the commands of prompt.c.
 */
#ifndef PYSTUCK_PYTHON_PROMPT_LOOP_H
#define PYSTUCK_PYTHON_PROMPT_LOOP_H

#include <Python.h>

#include "prompt.h"

/* 0, or -1 with an exception. */
int prompt_loop(const struct prompt *p, struct span arguments);

#endif
