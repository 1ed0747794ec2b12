/*
 * names.h: what the threading module knows of the threads, read from its objects without running
 * any Python code.
 * Without the GIL: raw_names.h.
 */
#ifndef PYSTUCK_PYTHON_NAMES_H
#define PYSTUCK_PYTHON_NAMES_H

#include "frames.h"
#include "raw_layout.h"

/*
 * Module init, GIL held: the attribute names, as str objects. Without memory for them threads have
 * no names.
 */
void names_init(void);
/* The same words by address, for who reads without the GIL. After names_init. */
void names_words(struct raw_layout *l);
/*
 * GIL held: name, class and daemon flag of each thread that threading._active has, and its native
 * id where it is not known yet. The main thread has its usual name also where threading is not
 * imported. An attribute that is a property, or whose class computes it otherwise, is left out.
 * Neither allocates Python objects nor sets an exception.
 */
void names_read(struct frames *f);
/* No GIL: names a main thread that has no name yet. */
void names_main(struct frames *f);

#endif
