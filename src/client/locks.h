/*
 * locks.h: a dump by its locks: each that somebody waits for, who has it, and who waits.
 */
#ifndef PYSTUCK_CLIENT_LOCKS_H
#define PYSTUCK_CLIENT_LOCKS_H

#include "dump.h"
#include "out.h"
#include "print.h"

/*
 * Locks, conditions, events, queues, futures, imports, and locks on files; not the ends of threads, nor the queues of workers that
 * have nothing to do. The one that most wait for comes first; deadlocks before all. 0 or an error.
 */
int locks_print(struct out *o, const struct dump *dump, const struct print_options *po);

#endif
