/*
 * loops.h: which event loops of asyncio's kind the program's threads run, found in their frames without running code of the program.
 * The GIL is held.
 */
#ifndef PYSTUCK_PYTHON_LOOPS_H
#define PYSTUCK_PYTHON_LOOPS_H

#include <Python.h>
#include <stdint.h>

#define LOOPS_MAX 32

struct loops_one {
	uint64_t ident;  /* of the thread */
	PyObject *loop; /* a reference */
};

struct loops {
	struct loops_one list[LOOPS_MAX];
	size_t count;
};

/* Those that run. 0, or -1 with an exception; loops_clear in any case. */
int loops_find(struct loops *l);
void loops_clear(struct loops *l);

#endif
