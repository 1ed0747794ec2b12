/*
 * objects.h: locks and a few other objects of the standard library, as they lie in memory that is read without the GIL
 * (raw_mem.h). No code of the program is run, and nothing is believed: an address may be of anything.
 */
#ifndef PYSTUCK_PYTHON_OBJECTS_H
#define PYSTUCK_PYTHON_OBJECTS_H

#include <stdint.h>

#include "raw_layout.h"
#include "raw_mem.h"
#include "raw_names.h"

/* Words that are looked for among attributes. */
enum objects_word {
	WORD_LOCK,	/* _lock */
	WORD_FLAG,	/* _flag */
	WORD_VALUE,	/* _value */
	WORD_WAITERS,	/* _waiters */
	WORD_TSTATE_LOCK,	/* _tstate_lock */
	WORD_HANDLE,	/* _handle; 3.14: _os_thread_handle */
	WORD_IDENT,	/* _ident */
	WORD_OWNER,	/* owner */
	WORD_NAME,	/* name */
	WORD_FUTURE,	/* future */
	WORD_GEN,	/* gen */
	WORD_SEMLOCK,	/* _semlock */
	WORD_MUTEX,	/* mutex */
	WORD_EXIT_CALLBACKS,	/* _exit_callbacks */
	WORD_MAX_WORKERS,	/* _max_workers */
	WORD_ACQUIRE,	/* acquire */
	WORD_RELEASE,	/* release */
	WORDS,
};

enum objects_kind {
	OBJECT_OTHER = 0,
	OBJECT_LOCK,
	OBJECT_RLOCK,
	OBJECT_SIMPLE_QUEUE,
	OBJECT_SEMLOCK,	/* multiprocessing's */
	OBJECT_HANDLE,	/* 3.13: of a thread */
};

#define OBJECTS_TYPES 32u

/* What memory is read with, and what is known of the interpreter. One for each analysis. */
struct objects {
	struct raw_mem *mem;
	const struct raw_layout *layout;
	struct raw_dict dict; /* of the last attribute: its memory is used again */
	struct {
		uintptr_t type;
		enum objects_kind kind;
	} types[OBJECTS_TYPES]; /* that have been seen */
	uint8_t found_at; /* which word of a stack was a lock the last time */
};

/* Module init, GIL held: notes types and words, and tries out where the fields of locks are. Sets no exception. */
void objects_init(void);
/* 0: locks are laid out otherwise than expected; nothing of this works. */
int objects_usable(void);

/* The word as the interned string that names in programs are; 0: there is none. */
uintptr_t objects_word(enum objects_word word);

enum objects_kind objects_kind(struct objects *o, uintptr_t object);
/* The type's name without its module: how many bytes. */
size_t objects_type_name(struct objects *o, uintptr_t object, char *out, size_t most);
/* An attribute that the object stores itself; 0: none. */
uintptr_t objects_attribute(struct objects *o, uintptr_t object, enum objects_word word);
/* Attribute `word` as a number that is not negative; UINT64_MAX: it is none. */
uint64_t objects_number(struct objects *o, uintptr_t object, enum objects_word word);

/* Whom a bound method belongs to; 0: it is none. */
uintptr_t objects_self(struct objects *o, uintptr_t method);

/*
 * Which object a thread waits for, when it waits on this word of memory, with its stack there: 0 when that cannot be proved.
 * *key is what identifies a lock of any kind (it may be set with 0 returned: 3.13, waiting for the end of a thread).
 */
uintptr_t objects_waited_for(struct objects *o, uintptr_t word, uintptr_t stack, uintptr_t *key);
/*
 * The same of many threads at once, for those of them whose lock lies where the last one's did: most threads wait in the same functions,
 * and what is read of all of them together takes a tenth of the time.
 */
struct objects_waiter {
	uintptr_t word, stack;
	uintptr_t object, key; /* the answer; object 0: not there, which says nothing */
};
void objects_waited_for_alike(struct objects *o, struct objects_waiter *waiters, size_t count);
/* Which of these plain locks (.object) somebody waits for: sets .key, the word that is waited on; 0: nobody, or it is no lock. */
void objects_wanted(struct objects *o, struct objects_waiter *locks, size_t count);
/* 1 when `key` lies in what this thread handle (3.13+) stands for. */
int objects_handle_has(struct objects *o, uintptr_t handle, uintptr_t key);

/* Of a Lock or RLock: 1 when somebody has it. */
int objects_locked(struct objects *o, uintptr_t lock);
/* Of an RLock: who has it; 0: nobody. */
uint64_t objects_owner(struct objects *o, uintptr_t lock);
/* Of a lock of multiprocessing: who in this process has it; 0: nobody. */
uint64_t objects_semlock_owner(struct objects *o, uintptr_t lock);

#endif
