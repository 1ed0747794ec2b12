/*
 * greenlets.h: the greenlets of the program, found among all objects, with their stacks and what each waits for. Nothing is patched, no
 * code of the program is run: of a class of the program's only what its C base class stores is read. No greenlet is kept alive, since
 * whoever drops the last reference to one that is suspended would end it.
 */
#ifndef PYSTUCK_PYTHON_GREENLETS_H
#define PYSTUCK_PYTHON_GREENLETS_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "msg.h"
#include "pytext.h"

#define GREENLETS_MAX 1000000u		   /* further ones are not noted */
#define GREENLETS_TEXT_MAX (16u * 1024 * 1024) /* bytes of all their names */
#define GREENLETS_NAME_MAX 200

struct greenlet {
	uintptr_t at, parent; /* the object's address, its parent's; 0: none */
	uint64_t ident;	      /* of its thread; 0: not known */
	uint8_t state;	      /* enum greenlet_state of msg.h; 0: dead, unless something waits to start it */
	uint8_t flags;	      /* GREENLET_* of msg.h */
	uint32_t stack;	      /* index into frames.threads; UINT32_MAX: none */
	struct pytext_ref type, name;
	uint32_t order; /* as found */
	/* What it waits for, by greenlet_waits.h. */
	uint8_t wait;		   /* enum greenlet_wait of msg.h */
	uint32_t fd, events, count; /* count: of things that it waits for, all of that kind */
	uint64_t left_us;
	uintptr_t object, holder;
	int is_rlock;
	struct pytext_ref object_type;
	struct pytext_ref local, peer, path;
};

/* An object in which a greenlet is entered, to be switched to. */
struct greenlet_link {
	uintptr_t target; /* the greenlet */
	uintptr_t owner;
	uint8_t wait; /* enum greenlet_wait */
	uint8_t events;
	uint8_t of_end; /* the owner is a greenlet, and its end is what is waited for */
	uint32_t fd;
	uint64_t at_ns; /* a timer: of CLOCK_MONOTONIC */
	struct pytext_ref type;
};

/* A lock that is made of another one, and knows who has it. */
struct greenlet_lock {
	uintptr_t inner, outer, owner;
	struct pytext_ref type;
};

struct greenlets {
	struct frames *frames; /* the caller's */
	struct greenlet *list;
	uint32_t count, capacity;
	struct greenlet_link *links;
	uint32_t link_count, link_capacity;
	struct greenlet_lock *locks;
	uint32_t lock_count, lock_capacity;
	struct pytext text;
	uint32_t max_frames;
	int cut;		      /* no memory, or a limit */
	uint64_t only_ident;	      /* of the one thread that is in Python; 0: there are more */
	struct greenlet_types *types; /* of this slice */
};

/* Module init, GIL held. Sets no exception. */
void greenlets_init(void);
/* GIL held: 1 when the program has imported greenlet. Imports nothing. */
int greenlets_there(void);

/* Any thread. 0 or PYSTUCK_ENOMEM; greenlets_free in any case. */
int greenlets_open(struct greenlets *g, struct frames *frames, uint32_t max_frames);
/* GIL held: before a slice of heap_walk, since classes may have gone since the last one. 0: greenlet is not imported. */
int greenlets_slice(struct greenlets *g);
/* GIL held: one object; `to` is the struct greenlets. */
void greenlets_visit(void *to, PyObject *object);
/*
 * No GIL, after the last slice: what only all of them together tell: threads, and what is waited for; and what fds are. Each greenlet
 * is there once then.
 */
void greenlets_finish(struct greenlets *g);
void greenlets_free(struct greenlets *g);

#endif
