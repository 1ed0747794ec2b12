/*
 * objects.c: the fields of locks, and finding the lock whose futex somebody waits on. Who holds it by the look of his frames is
 * lock_holders.c's.
 */
#include <Python.h>

#include "objects.h"

#include <string.h>

#include "compat.h"

#define STACK_WORDS 128u  /* of a waiting thread's C stack */
#define STACK_FIRST 48u   /* within which the lock was always seen */
#define NAME_MAX_BYTES 64u
#define PARKED_NEAR 4096u /* 3.13: the word lies on the waiter's own stack, so far from its end at most */
#define ALIKE 128u        /* waiters that are looked at together */
#define HANDLE_BYTES 256u /* of what a thread handle points to */

/* A lock of either kind is a byte in itself, or a pointer to a semaphore of C's (3.10 to 3.13). */
struct lock_byte {
	PyObject base;
	uint8_t bits; /* bit 0: locked */
};
struct lock_sem {
	PyObject base;
	void *sem;
	PyObject *weakrefs;
	char locked;
};
struct rlock_byte {
	PyObject base;
	uint8_t bits;
	unsigned long long owner;
	size_t level;
};
struct rlock_sem {
	PyObject base;
	void *sem;
	unsigned long owner;
	unsigned long count;
};
union rlock_fields {
	PyObject base;
	struct rlock_byte byte;
	struct rlock_sem sem;
};

/* multiprocessing's, up to what is looked at. */
#define SEMLOCK_RECURSIVE 0
struct semlock_fields {
	PyObject base;
	void *handle;
	unsigned long last_tid;
	int count, most, kind;
};

static struct {
	uintptr_t lock, rlock, handle; /* types; handle: 0 before 3.13 */
	uintptr_t words[WORDS];
	int byte, rbyte; /* whether a lock, a recursive one is a byte in itself */
	int usable;
} known;

/* --- at import --- */

#if PY_VERSION_HEX >= 0x030E0000
#define HANDLE_WORD "_os_thread_handle" /* 3.14: renamed */
#else
#define HANDLE_WORD "_handle"
#endif
static const char *const words[WORDS] = {"_lock", "_flag", "_value", "_waiters", "_tstate_lock", HANDLE_WORD, "_ident", "owner",
	"name", "future", "gen", "_semlock", "mutex", "_exit_callbacks", "_max_workers", "acquire", "release"};

static int call(PyObject *object, const char *method)
{
	PyObject *result = PyObject_CallMethod(object, method, NULL);

	Py_XDECREF(result);
	return result != NULL;
}

static size_t locked_at(void)
{
	return known.byte ? offsetof(struct lock_byte, bits) : offsetof(struct lock_sem, locked);
}

static int is_locked(const uint8_t *byte)
{
	return known.byte ? *byte & 1 : *byte != 0;
}

static uint64_t owner_of(const union rlock_fields *f)
{
	if (known.rbyte)
		return f->byte.bits & 1 ? f->byte.owner : 0;
	return f->sem.count > 0 ? f->sem.owner : 0;
}

/* The layouts above are not in any header: whether they are right is tried out. */
static int try_out(PyObject *lock, PyObject *rlock)
{
	uint64_t self = PyThread_get_thread_ident();
	const uint8_t *byte = (const uint8_t *)lock + locked_at();
	const union rlock_fields *f = (const union rlock_fields *)rlock;
	int right;

	if (Py_TYPE(rlock)->tp_basicsize < (Py_ssize_t)sizeof *f || Py_TYPE(lock)->tp_basicsize <= (Py_ssize_t)locked_at())
		return 0;
	right = !is_locked(byte) && call(lock, "acquire") && is_locked(byte) && call(lock, "release") && !is_locked(byte);
	return right && owner_of(f) == 0 && call(rlock, "acquire") && call(rlock, "acquire") && owner_of(f) == self &&
	       call(rlock, "release") && owner_of(f) == self && call(rlock, "release") && owner_of(f) == 0;
}

void objects_init(void)
{
	PyObject *module = PyImport_ImportModule("_thread"); /* built in, and there always */
	PyObject *lock = module != NULL ? PyObject_CallMethod(module, "allocate_lock", NULL) : NULL;
	PyObject *type = module != NULL ? PyObject_GetAttrString(module, "RLock") : NULL;
	PyObject *rlock = type != NULL ? PyObject_CallNoArgs(type) : NULL;
	PyObject *handle = module != NULL ? PyObject_GetAttrString(module, "_ThreadHandle") : NULL;

	PyErr_Clear();
	for (size_t i = 0; i < WORDS; i++)
		if (known.words[i] == 0)
			known.words[i] = (uintptr_t)PyUnicode_InternFromString(words[i]);
	/* 3.14, and for a plain lock a later 3.13 than 3.13.0: a module built for one is loaded by the other. */
	known.byte = lock != NULL && Py_TYPE(lock)->tp_basicsize < (Py_ssize_t)sizeof(struct lock_sem);
	known.rbyte = PY_VERSION_HEX >= 0x030E0000;
	if (lock != NULL && rlock != NULL && try_out(lock, rlock)) {
		known.lock = (uintptr_t)Py_TYPE(lock);
		known.rlock = (uintptr_t)Py_TYPE(rlock);
		known.handle = (uintptr_t)handle;
		known.usable = 1;
	}
	PyErr_Clear();
	Py_XDECREF(handle); /* a static address as long as its module lives: only compared with */
	Py_XDECREF(rlock);
	Py_XDECREF(type);
	Py_XDECREF(lock);
	Py_XDECREF(module);
}

int objects_usable(void)
{
	return known.usable;
}

/* --- objects in general --- */

static int plausible(uintptr_t object)
{
	return object >= 65536 && (object & 7) == 0 && object >> 47 == 0;
}

static uintptr_t type_of(struct objects *o, uintptr_t object)
{
	uintptr_t type = 0;

	if (!plausible(object) || !raw_mem_word(o->mem, object + offsetof(PyObject, ob_type), &type) || !plausible(type))
		return 0;
	return type;
}

size_t objects_type_name(struct objects *o, uintptr_t object, char *out, size_t most)
{
	uintptr_t type = type_of(o, object);

	return type != 0 ? raw_type_name(o->mem, o->layout, type, out, most) : 0;
}

/* The whole name of a type that is no heap type has its module in it. */
static int has_type_name(struct objects *o, uintptr_t type, const char *name)
{
	char text[NAME_MAX_BYTES];
	size_t len = raw_type_name(o->mem, o->layout, type, text, sizeof text);

	return len == strlen(name) && memcmp(text, name, len) == 0;
}

static enum objects_kind kind_of_type(struct objects *o, uintptr_t type)
{
	enum objects_kind kind;

	if (type == known.lock)
		return OBJECT_LOCK;
	if (type == known.rlock)
		return OBJECT_RLOCK;
	if (type != 0 && type == known.handle)
		return OBJECT_HANDLE;
	if (o->types[type / 16 % OBJECTS_TYPES].type == type)
		return o->types[type / 16 % OBJECTS_TYPES].kind;
	kind = has_type_name(o, type, "SimpleQueue") ? OBJECT_SIMPLE_QUEUE
	       : has_type_name(o, type, "SemLock")   ? OBJECT_SEMLOCK
						     : OBJECT_OTHER;
	o->types[type / 16 % OBJECTS_TYPES].type = type;
	o->types[type / 16 % OBJECTS_TYPES].kind = kind;
	return kind;
}

enum objects_kind objects_kind(struct objects *o, uintptr_t object)
{
	uintptr_t type = type_of(o, object);

	return type != 0 ? kind_of_type(o, type) : OBJECT_OTHER;
}

uintptr_t objects_word(enum objects_word word)
{
	return known.words[word];
}

uintptr_t objects_attribute(struct objects *o, uintptr_t object, enum objects_word word)
{
	if (!plausible(object) || !raw_attributes_read(&o->dict, o->mem, o->layout, object))
		return 0;
	return raw_dict_find(&o->dict, known.words[word]);
}

uint64_t objects_number(struct objects *o, uintptr_t object, enum objects_word word)
{
	return raw_int_read(o->mem, o->layout, objects_attribute(o, object, word));
}

uintptr_t objects_self(struct objects *o, uintptr_t method)
{
	uintptr_t type = type_of(o, method), self = 0;

	if (type == (uintptr_t)&PyMethod_Type)
		raw_mem_word(o->mem, method + offsetof(PyMethodObject, im_self), &self);
	else if (type == (uintptr_t)&PyCFunction_Type)
		raw_mem_word(o->mem, method + offsetof(PyCFunctionObject, m_self), &self);
	return plausible(self) ? self : 0;
}

/* --- locks --- */

int objects_locked(struct objects *o, uintptr_t lock)
{
	enum objects_kind kind = objects_kind(o, lock);
	uint8_t byte = 0;

	if (kind == OBJECT_RLOCK)
		return objects_owner(o, lock) != 0;
	if (kind != OBJECT_LOCK)
		return 0;
	return raw_mem_read(o->mem, lock + locked_at(), &byte, 1) && is_locked(&byte);
}

uint64_t objects_owner(struct objects *o, uintptr_t lock)
{
	union rlock_fields f;

	if (!raw_mem_read(o->mem, lock, &f, sizeof f) || (uintptr_t)f.base.ob_type != known.rlock)
		return 0;
	return owner_of(&f);
}

uint64_t objects_semlock_owner(struct objects *o, uintptr_t lock)
{
	struct semlock_fields f;

	/* Of a semaphore that several may have, whoever was last says nothing. */
	if (!raw_mem_read(o->mem, lock, &f, sizeof f) || f.count <= 0 || (f.kind != SEMLOCK_RECURSIVE && f.most != 1))
		return 0;
	return f.last_tid;
}

int objects_handle_has(struct objects *o, uintptr_t handle, uintptr_t key)
{
	uintptr_t inner = 0;

	return known.handle != 0 && type_of(o, handle) == known.handle &&
	       raw_mem_word(o->mem, handle + sizeof(PyObject), &inner) && key >= inner && key - inner < HANDLE_BYTES;
}

/* --- what somebody waits for --- */

/* What lies at an address that is plausibly an object's: its type and the word behind the head. */
struct candidate {
	uintptr_t object;
	PyObject head;
	uintptr_t first;
};

static int is_lock(enum objects_kind kind)
{
	return kind != OBJECT_OTHER && kind != OBJECT_HANDLE;
}

static int has_semaphore(struct objects *o, const struct candidate *c, uintptr_t word)
{
	return c->first == word && is_lock(kind_of_type(o, (uintptr_t)c->head.ob_type));
}

/* Tries those of the words from `first` up to `end` that may be objects. */
static uintptr_t search_words(
	struct objects *o, uintptr_t word, uintptr_t stack, const uintptr_t words_there[static STACK_WORDS], size_t first, size_t end)
{
	struct candidate tried[STACK_WORDS];
	struct raw_piece pieces[STACK_WORDS];
	uint8_t at[STACK_WORDS];
	size_t n = 0;

	for (size_t i = first; i < end; i++) {
		int seen = 0;

		/* These words are no object themselves; further up, objects may lie right above a small stack. */
		if (!plausible(words_there[i]) || (words_there[i] & 15) != 0 ||
			(words_there[i] >= stack && words_there[i] - stack < STACK_WORDS * sizeof word))
			continue;
		for (size_t j = 0; j < n; j++)
			seen |= tried[j].object == words_there[i];
		if (seen)
			continue;
		tried[n] = (struct candidate){.object = words_there[i]};
		pieces[n] = (struct raw_piece){words_there[i], &tried[n].head, sizeof tried[n].head + sizeof tried[n].first, 0};
		at[n++] = (uint8_t)i;
	}
	if (n > 0)
		raw_mem_gather(o->mem, pieces, n);
	for (size_t i = 0; i < n; i++)
		if (pieces[i].ok && has_semaphore(o, &tried[i], word)) {
			o->found_at = at[i];
			return tried[i].object;
		}
	return 0;
}

/*
 * A semaphore of C's belongs to one object, which the waiting C functions have in their frames: the first words of the stack
 * are tried, each by what it points to. First the one that was right the last time: most threads wait in the same functions.
 */
static uintptr_t search_stack(struct objects *o, uintptr_t word, uintptr_t stack)
{
	const size_t ends[] = {STACK_FIRST, STACK_WORDS};
	uintptr_t words_there[STACK_WORDS], found;
	struct raw_piece all = {stack, words_there, sizeof words_there, 0};
	size_t first = 0;

	/* Not through pages that are kept: nothing else is looked for there. */
	raw_mem_gather(o->mem, &all, 1);
	if (!all.ok)
		return 0;
	found = search_words(o, word, stack, words_there, o->found_at, o->found_at + 1u);
	for (size_t i = 0; found == 0 && i < sizeof ends / sizeof *ends; first = ends[i++])
		found = search_words(o, word, stack, words_there, first, ends[i]);
	return found;
}

/* 3.13: struct wait_entry { void *park_arg; uintptr_t addr; _PySemaphore sema; ... } on the waiter's own stack. */
static int is_parked(uintptr_t word, uintptr_t stack)
{
	return PY_VERSION_HEX >= 0x030D0000 && word > stack && word - stack < PARKED_NEAR;
}

uintptr_t objects_waited_for(struct objects *o, uintptr_t word, uintptr_t stack, uintptr_t *key)
{
	uintptr_t object;

	*key = word;
	if (!is_parked(word, stack))
		return search_stack(o, word, stack);
	if (!raw_mem_word(o->mem, word - sizeof(uintptr_t), key))
		return 0;
	object = *key - sizeof(PyObject);
	return is_lock(objects_kind(o, object)) ? object : 0;
}

/* What was read for one waiter: the word that tells the object, and the object's beginning. */
static void decide_alike(struct objects *o, struct objects_waiter *w, const struct candidate *c, uintptr_t told)
{
	int parked = is_parked(w->word, w->stack);

	w->key = parked ? told : w->word;
	if (parked ? is_lock(kind_of_type(o, (uintptr_t)c->head.ob_type)) : has_semaphore(o, c, w->word))
		w->object = c->object;
}

/* Up to ALIKE of them: first where the object is, then what it is. */
static void look_alike(struct objects *o, struct objects_waiter *waiters, size_t count)
{
	uintptr_t told[ALIKE];
	struct candidate found[ALIKE];
	struct raw_piece pieces[ALIKE];
	uint8_t whose[ALIKE];
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct objects_waiter *w = &waiters[i];
		uintptr_t at = is_parked(w->word, w->stack) ? w->word - sizeof *told : w->stack + o->found_at * sizeof *told;

		pieces[i] = (struct raw_piece){at, &told[i], sizeof *told, 0};
	}
	raw_mem_gather(o->mem, pieces, count);
	for (size_t i = 0; i < count; i++) {
		uintptr_t object = pieces[i].ok ? told[i] : 0;

		if (is_parked(waiters[i].word, waiters[i].stack))
			object -= sizeof(PyObject);
		found[n].object = object;
		if (plausible(object))
			whose[n++] = (uint8_t)i;
	}
	for (size_t i = 0; i < n; i++)
		pieces[i] = (struct raw_piece){
			found[i].object, &found[i].head, sizeof found[i].head + sizeof found[i].first, 0};
	if (n > 0)
		raw_mem_gather(o->mem, pieces, n);
	for (size_t i = 0; i < n; i++)
		if (pieces[i].ok)
			decide_alike(o, &waiters[whose[i]], &found[i], told[whose[i]]);
}

void objects_waited_for_alike(struct objects *o, struct objects_waiter *waiters, size_t count)
{
	for (size_t n; count > 0; count -= n, waiters += n) {
		n = count < ALIKE ? count : ALIKE;
		look_alike(o, waiters, n);
	}
}

/* --- who is waited for --- */

#define LOCKED_AND_PARKED 3 /* bits of a lock that is a byte */

/* A semaphore as glibc and musl have it on machines of 64 bits. */
struct semaphore {
	uint32_t value, waiters;
};

/* What was read for one lock: the word that is waited on; 0: none, or it has to be asked of the semaphore. */
static uintptr_t byte_wanted(const struct candidate *c)
{
	uint8_t bits;

	memcpy(&bits, &c->first, sizeof bits);
	return (bits & LOCKED_AND_PARKED) == LOCKED_AND_PARKED ? c->object + sizeof c->head : 0;
}

static void wanted_alike(struct objects *o, struct objects_waiter *locks, size_t count)
{
	struct candidate found[ALIKE];
	struct semaphore semaphores[ALIKE];
	struct raw_piece pieces[ALIKE];
	uint8_t whose[ALIKE];
	size_t n = 0, m = 0;

	for (size_t i = 0; i < count; i++) {
		locks[i].key = 0;
		if (!plausible(locks[i].object))
			continue;
		found[n].object = locks[i].object;
		pieces[n] = (struct raw_piece){locks[i].object, &found[n].head, sizeof found[n].head + sizeof found[n].first, 0};
		whose[n++] = (uint8_t)i;
	}
	if (n > 0)
		raw_mem_gather(o->mem, pieces, n);
	for (size_t i = 0; i < n; i++) {
		if (!pieces[i].ok || (uintptr_t)found[i].head.ob_type != known.lock)
			continue;
		if (known.byte) {
			locks[whose[i]].key = byte_wanted(&found[i]);
		} else {
			whose[m] = whose[i];
			pieces[m] = (struct raw_piece){found[i].first, &semaphores[m], sizeof *semaphores, 0};
			m++;
		}
	}
	if (m > 0)
		raw_mem_gather(o->mem, pieces, m);
	for (size_t i = 0; i < m; i++)
		if (pieces[i].ok && semaphores[i].waiters > 0 && semaphores[i].waiters < UINT16_MAX)
			locks[whose[i]].key = pieces[i].from;
}

void objects_wanted(struct objects *o, struct objects_waiter *locks, size_t count)
{
	for (size_t n; count > 0; count -= n, locks += n) {
		n = count < ALIKE ? count : ALIKE;
		wanted_alike(o, locks, n);
	}
}
