/*
 * names.h: what the threading module knows of the threads, read from its objects without running
 * any Python code.
 */
#ifndef PYSTUCK_PYTHON_NAMES_H
#define PYSTUCK_PYTHON_NAMES_H

#include "frames.h"

/*
 * Module init, GIL held: the attribute names, as str objects. Without memory for them threads have
 * no names.
 */
void names_init(void);
/*
 * GIL held: name, class and daemon flag of each thread that threading._active has, and its native
 * id where it is not known yet. The main thread has its usual name also where threading is not
 * imported. An attribute that is a property, or whose class computes it otherwise, is left out.
 * Neither allocates Python objects nor sets an exception.
 */
void names_read(struct frames *f);

#endif
