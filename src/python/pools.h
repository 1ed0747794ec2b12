/*
 * pools.h: futures that wait in the queue of a ThreadPoolExecutor, and pools all of whose threads wait for such futures of their
 * own.
 */
#ifndef PYSTUCK_PYTHON_POOLS_H
#define PYSTUCK_PYTHON_POOLS_H

#include "locks.h"

/*
 * After all threads have been classified: says of each that waits for a queued future how many threads the pool has, and, when all
 * of these wait for futures in the same queue, which of them it waits for: of its own it is the next one, so that they make a circle.
 */
void pools_find(struct locks *k);

#endif
