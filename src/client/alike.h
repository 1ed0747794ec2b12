/*
 * alike.h: whether two processes stand in the same place: their threads, tasks and greenlets, what each waits for and
 * its stack, without what differs between any two processes: numbers, addresses, times, the ends of sockets.
 */
#ifndef PYSTUCK_CLIENT_ALIKE_H
#define PYSTUCK_CLIENT_ALIKE_H

#include <stddef.h>
#include <stdint.h>

#include "dump.h"

/* What is the same for those that are; 128 bits of digest. */
struct alike {
	size_t threads;
	uint64_t digest[2];
};

/* The order of the threads does not matter; numbers in their names do not either: "Thread-3 (work)" is like "Thread-12 (work)". */
struct alike alike_of(const struct dump *dump);
int alike_equal(const struct alike *a, const struct alike *b);

#endif
