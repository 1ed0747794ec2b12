/*
 * parked.h: threads that stand still in threading.Condition.wait, as most threads of a program do that has many: told by memory, for
 * a tenth of what asking the kernel about each of them takes.
 */
#ifndef PYSTUCK_PYTHON_PARKED_H
#define PYSTUCK_PYTHON_PARKED_H

#include "frames.h"
#include "raw_layout.h"
#include "raw_mem.h"
#include "waits.h"

/*
 * No GIL; the code objects of the frames are held, and the frames' offsets are still those of instructions. Of threads from number
 * `first` on that are known to threading: fills in the views of those that are parked, .lock and all; the others' stay as they are.
 */
void parked_find(struct waits_view *views, const struct frames *f, uint32_t first, const struct waits *w, struct raw_mem *mem,
	const struct raw_layout *layout);

#endif
