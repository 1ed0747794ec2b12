/*
 * fork.h: the hooks at os.fork() and at exit: when host.h's functions are called, and with what held.
 */
#ifndef PYSTUCK_PYTHON_FORK_H
#define PYSTUCK_PYTHON_FORK_H

#include <Python.h>

/*
 * Registers the hooks with posix.register_at_fork and atexit, once in the life of the interpreter (again: nothing happens).
 * GIL held. 0, or -1 with an exception. sys.modules is afterwards as it was before.
 */
int fork_hooks(void);

#endif
