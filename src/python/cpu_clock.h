/*
 * cpu_clock.h: the clock that each thread has of its own: for how long it has been on a processor. Two readings that are the same say
 * that it has not run in between, for one system call and no file.
 */
#ifndef PYSTUCK_PYTHON_CPU_CLOCK_H
#define PYSTUCK_PYTHON_CPU_CLOCK_H

#include <stdint.h>
#include <sys/types.h>

/* Of a thread of this process, in ns, at least 1; 0: not told, it has ended. Any thread, no GIL. */
uint64_t cpu_clock_ns(pid_t tid);

#endif
