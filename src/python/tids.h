/*
 * tids.h: the kernel's ids of threads where Python does not say them. Any thread, no GIL; 0:
 * unknown. An id may be wrong in the rare case that a thread has ended and its memory is in use
 * again.
 */
#ifndef PYSTUCK_PYTHON_TIDS_H
#define PYSTUCK_PYTHON_TIDS_H

#include <Python.h>
#include <stdint.h>

/* Of the thread with this ident; 3.10 only: later versions say it. Not on the main thread. */
uint32_t tids_of_ident(uint64_t ident);
/*
 * `told`, which the program's threading says of the thread with this ident; but in a forked child 3.10 still says the parent's there.
 * Not on the main thread.
 */
uint32_t tids_told(uint32_t told, uint64_t ident);
/* Of the thread whose state lies at this address, or lay there a moment ago. */
uint32_t tids_at(const PyThreadState *address);

#endif
