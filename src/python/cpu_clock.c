/*
 * cpu_clock.c: a thread's clock as clockid_t has it: the complement of the thread's id above three bits of kind (the kernel's
 * posix-timers.h; pthread_getcpuclockid makes the same, of a pthread_t that is not known here).
 */
#include "cpu_clock.h"

#include <time.h>

#define KIND_BITS 3
#define THREAD_TIME 6u /* of one thread, what the scheduler has counted */

uint64_t cpu_clock_ns(pid_t tid)
{
	struct timespec t;
	uint64_t ns;

	if (tid <= 0 || clock_gettime((clockid_t)(~(uint32_t)tid << KIND_BITS | THREAD_TIME), &t) != 0)
		return 0;
	ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	/* What the host gave to others the kernel of a virtual machine does not count, which may be all that a short thread has had. */
	return ns > 0 ? ns : 1;
}
