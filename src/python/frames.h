/*
 * frames.h: the thread states and frames of the main interpreter, collected under the GIL in as
 * short a time as possible: which code, at which instruction. Names are copied, everything else
 * (lines, source, what the kernel knows) is found out later, when the GIL has been given back.
 */
#ifndef PYSTUCK_PYTHON_FRAMES_H
#define PYSTUCK_PYTHON_FRAMES_H

#include <Python.h>
#include <stdint.h>

#include "compat.h"
#include "pytext.h"

#define FRAMES_THREADS_MAX 65536u /* threads in a dump; further ones are counted */
#define FRAMES_PER_THREAD_MAX                                                                      \
	16384u /* frames of one thread, innermost kept; further ones are counted */
#define FRAMES_HIDDEN_MAX 32u
#define FRAMES_TOTAL_MAX 4000000u           /* frames in a dump */
#define FRAMES_CODES_MAX 1000000u           /* distinct code objects in a dump */
#define FRAMES_WALK_MAX 10000000u           /* frames of one thread that are even counted */
#define FRAMES_NAME_MAX 128                 /* bytes of a thread's name, of its class's */
#define FRAMES_FUNCTION_MAX 1024            /* bytes of a function's qualified name */
#define FRAMES_FILE_MAX 4096                /* bytes of a file name */
#define FRAMES_TEXT_MAX (64u * 1024 * 1024) /* bytes of all these texts together */

/* A code object that at least one frame runs. */
struct frames_code {
	/* A reference of ours: the line table is read through it later; or one of the copies; NULL: not there, or another interpreter's. */
	PyCodeObject *code;
	struct pytext_ref file;
	struct pytext_ref function;
};

struct frames_frame {
	uint32_t code;  /* index into codes */
	int32_t offset; /* of the instruction, in bytes; negative: not begun. Of another interpreter's code: the line */
	uintptr_t at;   /* the frame's address, for who reads memory that may be gone; 0: not known */
};

/* An interpreter of the process. */
struct frames_interp {
	uint64_t id;
	uintptr_t gil;    /* where the structure of a GIL of its own lies; 0: it has the main interpreter's */
	uint32_t gil_bytes; /* its size */
	uint32_t holder;  /* tid of who has that GIL; 0: nobody, or not known */
	int unread;       /* its threads could not be followed */
};

struct frames_thread {
	uint64_t ident;
	uint32_t tid;   /* 0: unknown */
	uint8_t flags;  /* THREAD_* of msg.h */
	uint32_t first; /* its frames in `frames`, innermost first */
	uint32_t count;
	uint32_t omitted;       /* outermost ones that were left out */
	struct pytext_ref name; /* by names.h */
	struct pytext_ref class_name;
	uint32_t interp; /* index into interps; 0: the main one */
	int native;      /* it is no interpreter's (natives.h) */
	compat_frame *top; /* to be followed only while the GIL has not been given back */
};

struct frames {
	struct frames_thread *threads; /* main thread first, then the oldest first */
	uint32_t thread_count, thread_capacity;
	struct frames_interp *interps; /* the main one first; NULL: there is no other (raw_others.h) */
	uint32_t interp_count;
	struct frames_frame *frames;
	uint32_t frame_count, frame_capacity;
	struct frames_code *codes;
	uint32_t code_count, code_capacity;
	uint32_t *slots;     /* hash table over codes: index + 1, 0 for none */
	uint32_t slot_count; /* a power of two */
	struct pytext text;
	uint32_t omitted_threads;
	uint32_t native_count, omitted_natives; /* threads without Python, behind all others */
	uint32_t hidden; /* of pystuck's own, left out; and who the first of them are */
	uint64_t hidden_idents[FRAMES_HIDDEN_MAX];
	uint32_t holder_tid; /* of the thread state that frames_collect was told of; 0: unknown */
	int cut;             /* something was left out, and counted */
	struct code_copy *copies; /* read without the GIL: of so many codes; there is no reference then */
	uint32_t copy_count;
};

/*
 * Before the GIL is taken: makes room, as much as the last dump needed. Nothing to undo but
 * frames_free.
 */
void frames_init(struct frames *f);
/*
 * GIL held, once after frames_init; reads the names of threads too (names.h). `flags` are DUMP_* of
 * msg.h; max_frames 0: FRAMES_PER_THREAD_MAX; `holder` is an address to compare with. 0;
 * PYSTUCK_ETIME when the list of thread states is locked and stays so; PYSTUCK_ENOMEM. No exception
 * is set. Makes no Python objects, runs no Python code, starts no garbage collection.
 */
int frames_collect(
	struct frames *f, uint8_t flags, uint32_t max_frames, const PyThreadState *holder);
/*
 * GIL held, after frames_init, any number of times: one more stack, which is no thread's: of who stands still elsewhere. It is the
 * last one of f->threads then. 0, PYSTUCK_ENOMEM, PYSTUCK_ETOOBIG.
 */
int frames_add(struct frames *f, compat_frame *top, uint32_t max_frames);
/* No GIL: the same, of frames that are there already: indexes into f->frames, innermost first. Before lines_find. */
int frames_again(struct frames *f, const uint32_t *frames, uint32_t count);
/* No GIL: makes room for so many more of each, where the caller then puts them. 0, PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG. */
int frames_reserve(struct frames *f, uint32_t threads, uint32_t frames, uint32_t codes);
/*
 * GIL held: adds a frame behind all others, as of a coroutine that no thread runs; the caller notes where it stands. *index is its
 * code's. 0, PYSTUCK_ENOMEM or PYSTUCK_ETOOBIG.
 */
int frames_add_one(struct frames *f, PyCodeObject *code, int32_t offset, const compat_frame *at, uint32_t *index);
/*
 * The same order, and the same threads left out, for threads that were found otherwise (raw.c): the newest first, `top` not NULL
 * where there are frames. No GIL needed. First the one; then names are filled in; then the other, which needs the kernel's ids.
 */
void frames_arrange(struct frames *f);
void frames_finish(struct frames *f, uint8_t flags);
/*
 * GIL held: lets go of the code objects, which may run finalizers of the program. Must come before
 * frames_free.
 */
void frames_release(struct frames *f);
/* No GIL needed. Code objects that were not released are leaked, never touched. */
void frames_free(struct frames *f);

/* The thread with this ident, or NULL; a table of threads for many such questions. NULL: no memory.
 */
struct frames_idents;
struct frames_idents *frames_idents_new(const struct frames *f);
struct frames_idents *frames_idents_from(const struct frames *f, uint32_t first); /* of those from there on */
struct frames_thread *frames_idents_find(
	const struct frames_idents *map, struct frames *f, uint64_t ident);
void frames_idents_free(struct frames_idents *map);

#endif
