/*
 * forkgate.h: what threads of ours must not be in the middle of when the program forks, because its child
 * would find it half done for ever: an import (the module's lock is held by nobody who lives), and the
 * making of a thread state (up to 3.11 the lock of their list is not set up anew in time).
 *
 * No GIL, unless it says otherwise.
 */
#ifndef PYSTUCK_PYTHON_FORKGATE_H
#define PYSTUCK_PYTHON_FORKGATE_H

#include <Python.h>

/* Waits while a fork is under way. Short work follows, then forkgate_leave. */
void forkgate_enter(void);
void forkgate_leave(void);

/* GIL held; let go of while a fork is under way. The module, a new reference; NULL with an exception. */
PyObject *forkgate_import(const char *name);

/* Before a fork: waits for those inside, a second at most, and holds others back. Counted. */
void forkgate_close(void);
/* After it, in the parent. */
void forkgate_open(void);
/* In the child. */
void forkgate_forget(void);

#endif
