/*
 * natives.h: threads without frames of Python as text, below all others: those of C libraries, and those that only called into Python
 * and are back. One line for those that have the same name and do the same, since a library may have as many as there are processors.
 */
#ifndef PYSTUCK_CLIENT_NATIVES_H
#define PYSTUCK_CLIENT_NATIVES_H

#include "dump.h"
#include "out.h"
#include "print.h"

/* Nothing where there are none, or none that is meant. 0 or PYSTUCK_ENOMEM. */
int natives_print(struct out *o, const struct dump *dump, const struct print_options *po);

#endif
