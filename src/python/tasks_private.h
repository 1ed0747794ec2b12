/*
 * tasks_private.h: between tasks.c, which has the order of things and the slices, and the files of its parts. For these only. The
 * GIL is held wherever nothing else is said.
 */
#ifndef PYSTUCK_PYTHON_TASKS_PRIVATE_H
#define PYSTUCK_PYTHON_TASKS_PRIVATE_H

#include "tasks.h"

#include "compat.h"
#include "msg.h"

/*
 * An object that will be looked at soon. 100,000 tasks and what hangs on them are in no cache, and waiting for memory is most of what it
 * takes to look at them: so several are fetched at a time.
 */
#define TASKS_AHEAD 16u
static inline void tasks_fetch(const void *object)
{
	for (size_t at = 0; at < 256; at += 64)
		__builtin_prefetch((const char *)object + at);
}

/* --- tasks.c --- */

/* The GIL is taken, and given back; between them nothing else does. */
void tasks_slice_begin(struct tasks *t);
void tasks_slice_end(struct tasks *t);
/* A good moment to let the program go on: the GIL may be given back and taken again. 0: enough, come to an end. */
int tasks_pause(struct tasks *t);
/* Takes the task, unless it has been taken; its index, or TASKS_NONE: it is none, or there is no room. */
uint32_t tasks_take(struct tasks *t, PyObject *task, uint8_t flags);
/* Its index, or TASKS_NONE. The object is only compared with. */
uint32_t tasks_find(const struct tasks *t, uintptr_t object);
void tasks_add_edge(struct tasks *t, uint32_t waiter, PyObject *awaited);
/* A text that many tasks have: a str, or the name of a class. */
void tasks_text(struct tasks *t, struct tasks_text *last, PyObject *object, struct pytext_ref *ref);

/* --- task_objects.c: fields of futures and tasks --- */

enum task_field { FIELD_CORO, FIELD_WAITER, FIELD_LOOP, FIELD_STATE, FIELD_CALLBACKS, FIELD_MUST_CANCEL, FIELD_AWAITED_BY, FIELDS };

/* Names of attributes and variables. */
enum task_word {
	TASK_WORD_CHILDREN, TASK_WORD_FS, TASK_WORD_FUT, TASK_WORD_HANDLE, TASK_WORD_INNER, TASK_WORD_SELF, TASK_WORD_WHEN,
	TASK_WORD_RETURN_WHEN, TASK_WORD_TIMEOUT, TASK_WORD_TIMEOUT_HANDLE, TASK_WORD_RUNNING_TASKS, TASK_WORD_TRANSPORT,
	TASK_WORD_SSL_PROTOCOL, TASK_WORD_SOCK_FD, TASK_WORD_FILENO, TASK_WORD_FD, TASK_WORD_SOCK, TASK_WORD_END_TIME, TASK_WORD_CALLBACK,
	TASK_WORD_READY, TASK_WORD_SCHEDULED, TASK_WORD_THREAD_ID, TASK_WORD_DATA, TASK_WORD_PARENT_TASK, TASK_WORD_NAME,
	TASK_WORD_LOCK, TASK_WORD_LOCKED, TASK_WORD_QUEUE, TASK_WORD_TODO, TASK_WORD_RESOLUTION,
	TASK_WORDS,
};

struct tasks_known {
	PyObject *tasks;   /* the dict of asyncio.tasks, a reference */
	PyTypeObject *c_task, *c_future, *py_task, *py_future; /* references; NULL: none */
	const PyGetSetDef *of_task[FIELDS], *of_future[FIELDS];
	PyObject *get_name, *cancelling; /* of c_task, references */
	PyObject *pending;		 /* the state of one that has not ended, as it was seen last, a reference */
	PyObject *words[TASK_WORDS];     /* borrowed from for ever */
};

void task_objects_init(void);
/* NULL: asyncio has not been imported, or not yet as far as needed; no exception is set. */
struct tasks_known *task_objects_open(void);
void task_objects_close(struct tasks_known *k);

int task_is_task(const struct tasks_known *k, PyObject *object);
int task_is_future(const struct tasks_known *k, PyObject *object); /* tasks too */
/* A new reference; NULL: none, or None. No exception is set. */
PyObject *task_field(const struct tasks_known *k, PyObject *future, enum task_field field);
/* Its name as a str, a new reference, or NULL. */
PyObject *task_name(const struct tasks_known *k, PyObject *task);
/* 1: its cancellation has been asked for. */
int task_is_cancelled(const struct tasks_known *k, PyObject *task);
/* An attribute that the object stores itself, a new reference, or NULL; never by code of the program. */
PyObject *task_peek(const struct tasks_known *k, PyObject *object, enum task_word word);
/* The class's name without its module. */
struct span task_class_name(const PyTypeObject *type);
struct span task_type_name(PyObject *object);

/* --- task_list.c --- */

/* Takes all tasks there are. Pauses. */
void task_list_take(struct tasks *t);

/* --- task_stack.c --- */

/* Functions of asyncio that are known. */
enum task_function {
	FUNCTION_OTHER, FUNCTION_SLEEP, FUNCTION_WAIT, FUNCTION_WAIT_FOR, FUNCTION_AS_COMPLETED, FUNCTION_LOCK, FUNCTION_GET, FUNCTION_PUT,
	FUNCTION_JOIN, FUNCTION_GROUP, FUNCTION_STAGGERED, FUNCTION_READ, FUNCTION_DRAIN, FUNCTION_SOCK_READ, FUNCTION_SOCK_WRITE,
	FUNCTION_SOCK_CONNECT, FUNCTION_CHILD, FUNCTION_INSIDE, FUNCTION_RUN, FUNCTION_RUN_ONCE,
};

#define TASK_TAIL 8u /* innermost frames that are looked at closely */

/* Borrowed, for as long as the GIL has not been given back. */
struct task_tail {
	struct {
		compat_frame *frame;
		PyCodeObject *code;
		enum task_function function;
	} frames[TASK_TAIL]; /* the innermost first */
	uint32_t count;
	int executing; /* a thread is in it */
	int unbegun;
	PyObject *end; /* what the innermost frame awaits, where that is no frame; NULL */
};

void task_stack_init(void);
/* Notes the frames of task i, whose coroutine this is. */
void task_stack_read(struct tasks *t, uint32_t i, PyObject *coroutine, struct task_tail *tail);
/* The frame of a generator, coroutine or asynchronous generator that is suspended; NULL: it is none. And what it awaits, a new reference. */
compat_frame *task_stack_frame(PyObject *generator);
PyObject *task_stack_next(PyObject *awaited);
/*
 * Of one that a thread is in: how many frames there are from the innermost one of that thread out to its own, in *frames in this order,
 * for the caller to free. 0: it is none.
 */
uint32_t task_stack_executing(PyObject *generator, compat_frame ***frames);
enum task_function task_function_of(const PyCodeObject *code);
/* The value of a variable of a frame, borrowed; NULL: none. */
PyObject *task_variable(const struct tasks_known *k, const compat_frame *frame, const PyCodeObject *code, enum task_word word);

/* --- task_waits.c --- */

/* What task i waits for, by what its coroutine waits for (items[i].waits) and its innermost frames. */
void task_waits_find(struct tasks *t, uint32_t i, const struct task_tail *tail);
/* Whom it is awaited by, as far as that is told by itself and not by them. */
void task_waits_of_callbacks(struct tasks *t, uint32_t i);

/* --- task_loops.c --- */

/* The index of a loop, which may be a new one; TASKS_NONE: there is no room. */
uint32_t task_loops_add(struct tasks *t, PyObject *loop);
/* The loops that run, in which threads, and what they run at this moment. */
void task_loops_find(struct tasks *t);
/* What is to be said of each loop; after all tasks have been read. */
void task_loops_describe(struct tasks *t);

/* --- task_holders.c --- */

/*
 * The second look at all tasks: who still waits for what he waited for at the first (TASK_STILL), and who is inside a `with` on what
 * others wait for, or has awaited its acquire(). Takes the GIL itself, in slices.
 */
void task_holders_find(struct tasks *t);

#endif
