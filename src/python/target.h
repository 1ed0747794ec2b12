/*
 * target.h: what THREAD [FRAME] in a command of the prompt means: a thread by its name, its ident or its tid, and one of its
 * frames. The GIL is held from target_find to target_free, and what it points to is there only so long.
 */
#ifndef PYSTUCK_PYTHON_TARGET_H
#define PYSTUCK_PYTHON_TARGET_H

#include <Python.h>

#include "frames.h"

struct target {
	struct frames frames;
	const struct frames_thread *thread;
	uint32_t frame; /* as a dump counts: 0 is the outermost */
};

/*
 * Without a FRAME the innermost one. `words` is the beginning of a complaint ("%frame"). 1 when it was found; 0 when the user
 * has been told why not; -1 with an exception. target_free in any case.
 */
int target_find(struct target *t, struct span text, const char *words);
/* The thread with this ident. 1 or 0. */
int target_of_thread(struct target *t, uint64_t ident);
/* The same, and the frame with this address. 1 or 0. */
int target_again(struct target *t, uint64_t ident, const compat_frame *at);
void target_free(struct target *t);

/* The address of the frame that is meant. */
const compat_frame *target_at(const struct target *t);
/* It as an object, a new reference; NULL, with or without an exception: it has gone on meanwhile. */
PyFrameObject *target_object(const struct target *t);
/* The same by address, of the thread with this ident; one that has an object already. */
PyFrameObject *target_live(uint64_t ident, const compat_frame *at, const void *object);
/* "MainThread" or, without a name, "tid 12". */
void target_name(const struct target *t, struct buf *out);

#endif
