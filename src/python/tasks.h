/*
 * tasks.h: the tasks of asyncio, of every loop in every thread: their coroutines' frames, what each waits for, and who awaits whom.
 * No code of the program is run: fields are read by C functions of asyncio's own, or from instances' dicts. The GIL is held in
 * slices of a few ms, between which tasks may begin and end: what has been looked at is kept alive by references of ours.
 */
#ifndef PYSTUCK_PYTHON_TASKS_H
#define PYSTUCK_PYTHON_TASKS_H

#include <Python.h>
#include <stdint.h>

#include "frames.h"
#include "gil.h"
#include "lines.h"
#include "pytext.h"

#define TASKS_MAX 250000u           /* tasks in a dump; further ones are counted */
#define TASKS_FRAMES_MAX 2000u      /* frames of one, innermost kept; further ones are counted */
#define TASKS_FRAMES_TOTAL 3000000u /* frames of all */
#define TASKS_EDGES_MAX 2000000u    /* of who awaits whom */
#define TASKS_LOOPS_MAX 256u
#define TASKS_NAME_MAX 1024u             /* bytes of a name */
#define TASKS_TEXT_MAX (64u * 1024 * 1024) /* bytes of all texts */
#define TASKS_MS 3000                    /* what has not been looked at by then is left out */
#define TASKS_NONE UINT32_MAX

struct tasks_one {
	PyObject *object;  /* a reference */
	PyObject *waits;   /* what its coroutine waits for, a reference; NULL: nothing */
	PyObject *wanted;  /* the lock, queue... behind that, a reference; NULL: none, or not known */
	uint32_t loop;     /* index into loops, or TASKS_NONE */
	uint32_t first, count, omitted; /* its frames in frames.frames, innermost first */
	uint32_t name_frame;            /* where the source names what it wants, in its frames; TASKS_NONE */
	uint32_t first_edge, edge_count; /* in edges: those that it awaits */
	uint32_t holder;                 /* index of who has it; TASKS_NONE */
	uint8_t state, flags, kind, confidence; /* of msg.h */
	uint8_t gone;      /* it had ended when it was looked at */
	int32_t fd;        /* -1: none */
	uint64_t left_us, items;
	const char *how;   /* static; NULL: nothing to say */
	struct pytext_ref name, coroutine, awaitable, type, source_name, local, peer;
};

struct tasks_loop {
	PyObject *loop; /* a reference */
	PyObject *task; /* that runs at this moment, a reference, or NULL */
	uint64_t ident; /* of the thread */
	uint32_t tid;   /* 0: it runs in none, or not known in which */
	uint8_t flags;  /* LOOP_* of msg.h */
	uint32_t ready, scheduled;
	uint64_t busy_us;
	struct pytext_ref type, callback;
};

/* `waiter` cannot go on before `awaited`. While they are looked for, `awaited` is an object, then an index. */
struct tasks_edge {
	uint32_t waiter;
	uintptr_t awaited;
};

struct tasks_known;

/* The text that was copied last: the next task mostly has the same. */
struct tasks_text {
	PyObject *object; /* a reference: a str, or a class, whose name is meant; NULL: none yet */
	struct pytext_ref ref;
};

struct tasks {
	struct tasks_one *items;
	uint32_t count, capacity, omitted;
	struct tasks_loop loops[TASKS_LOOPS_MAX];
	uint32_t loop_count;
	struct tasks_edge *edges;
	uint32_t edge_count, edge_capacity;
	uint32_t *slots; /* hash table over items, by object: index + 1, 0 for none */
	uint32_t slot_count;
	uint8_t *functions; /* for each of frames.codes which function of asyncio's it is, + 1; 0: not looked at */
	uint32_t function_count;
	uint32_t frames_total;
	struct pytext text;
	struct tasks_text last_coroutine, last_type;
	struct frames *frames;
	struct tasks_known *known;
	int imported;
	int listed; /* all tasks have been taken */
	int cut; /* something was left out beside what is counted */
	int over; /* the time is up, or the courier is wanted elsewhere */
	int collecting; /* the program's collector was on when this slice began */
	struct gil_hold hold;
	uint64_t began_ns, held_ns, longest_ns, took_ns;
};

/* Module init, GIL held: sets no exception. */
void tasks_init(void);
/* GIL held: has the program imported asyncio? If not, a struct of zeroes says all that there is to say. */
int tasks_there(void);
/*
 * On the courier, GIL not held, before lines_find; frames and codes are added to *f. *t is all zero before. Nothing to undo but
 * tasks_release and tasks_free.
 */
void tasks_collect(struct tasks *t, struct frames *f);
/* After lines_read: what the source calls the objects. No GIL. */
void tasks_names(struct tasks *t, const struct lines *lines);
/* GIL not held: lets go of all references, which may run finalizers of the program. Before tasks_free. */
void tasks_release(struct tasks *t);
void tasks_free(struct tasks *t);

#endif
