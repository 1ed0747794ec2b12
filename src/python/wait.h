/*
 * wait.h: what each thread of a dump waits for: the kernel's part (a file, a socket, a child), and the locks of Python. Found
 * out without the GIL, from /proc and from memory that is read so that it may be gone. No code of the program is run, and no
 * fd of the program is read from, or used for anything that could wait.
 */
#ifndef PYSTUCK_PYTHON_WAIT_H
#define PYSTUCK_PYTHON_WAIT_H

#include <stdint.h>

#include "frames.h"
#include "pytext.h"
#include "waits.h"

#define WAIT_TEXTS_MAX (16u * 1024 * 1024) /* bytes of all texts of a dump */
#define WAIT_MS 1000 /* what has not been found out by then stays unsaid */
#define WAIT_NO_FRAME UINT32_MAX

/* Module init, GIL held. Sets no exception. */
void wait_init(void);

/* As in DUMP_WAIT (msg.h), where the fields are explained. */
struct wait {
	uint8_t kind;       /* enum wait_kind */
	uint8_t flags;      /* WAIT_* of msg.h */
	uint8_t confidence; /* enum wait_confidence */
	uint8_t state;      /* enum thread_state: what the kernel said, or what is known better */
	uint32_t holder;    /* tid */
	uint32_t holder_frame; /* innermost first; WAIT_NO_FRAME: none */
	uint32_t holder_line;
	uint32_t name_frame; /* where the source names the object, innermost first; WAIT_NO_FRAME: nowhere */
	uint32_t fd, pid;
	uint64_t address, count, cpu_us, waited_us;
	const char *call; /* static; NULL: none */
	struct pytext_ref type, name, path, local, peer, command;
};

/* One for each thread of the dump, in its order. */
struct wait_list {
	struct wait *items; /* NULL: nothing is known */
	uint32_t count;
	struct pytext text;
	struct wait_before *before; /* by wait_begin; in the order of the tids */
	size_t before_count;
	int collecting; /* set by the caller: garbage was being collected when the stacks were looked at */
};

/* For how long a thread had been on a CPU before its stack was looked at; 0: not known. */
struct wait_before {
	pid_t tid;
	uint64_t cpu_ns;
};

/*
 * Before the GIL is taken, with *l all zero: notes what will tell of each thread whether it has run in between. Nothing to undo but
 * wait_free.
 */
void wait_begin(struct wait_list *l);
/* What was noted of a thread; 0: nothing. */
uint64_t wait_before_ns(const struct wait_list *l, pid_t tid);
/* Before wait_find: fills in the views of those from number `first` on that are parked (parked.h). */
void wait_parked(struct waits_view *views, const struct frames *f, uint32_t first, const struct waits *w);
/*
 * No GIL; before lines_find, which changes the frames' offsets. `views` says in which system call each thread was. 0, or
 * PYSTUCK_ENOMEM. wait_free in any case.
 */
int wait_find(struct wait_list *l, const struct frames *f, const struct waits *w, const struct waits_view *views);
/* After lines_read: what the source calls the objects. */
struct lines;
void wait_names(struct wait_list *l, const struct frames *f, const struct lines *lines);
void wait_free(struct wait_list *l);

/* Where CPython's fields are, since wait_init; NULL: not known. */
struct raw_layout;
const struct raw_layout *wait_layout(void);

#endif
