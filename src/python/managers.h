/*
 * managers.h: which locks are taken while an object is in a `with`: itself, a condition's, those in the `with` of a function that
 * contextlib.contextmanager has made one of, those on an ExitStack.
 */
#ifndef PYSTUCK_PYTHON_MANAGERS_H
#define PYSTUCK_PYTHON_MANAGERS_H

#include "objects.h"

/* Calls `take` for each Lock and RLock. No GIL. */
void managers_locks(struct objects *o, uintptr_t manager, void (*take)(void *to, uintptr_t lock), void *to);
/* The same for what a suspended generator or coroutine is in a `with` of; nothing when the object is none. */
void managers_suspended(struct objects *o, uintptr_t object, void (*take)(void *to, uintptr_t lock), void *to);

#endif
