/*
 * compat.h: every difference between CPython 3.10 and 3.15 that collecting a dump has to know, each
 * with its version and its reason. The code above it reads the same for all versions. Nothing here
 * takes the GIL, allocates or runs Python code.
 *
 * "GIL held" is meant of all functions that take a PyObject, a frame or a thread state, unless they
 * say otherwise.
 */
#ifndef PYSTUCK_PYTHON_COMPAT_H
#define PYSTUCK_PYTHON_COMPAT_H

#include <Python.h>

#if PY_VERSION_HEX < 0x030A0000
#error "pystuck needs CPython 3.10 or later"
#endif
#ifdef Py_GIL_DISABLED
#error "pystuck does not support the free-threaded build: its dumps rely on the GIL"
#endif

/* CPython shows its structures only to those who say that they are part of it. */
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <frameobject.h>
/* 3.12: a macro of the public headers stands in the way of an inline function of the internal ones.
 */
#undef _PyGC_FINALIZED
#if PY_VERSION_HEX >= 0x030E0000
/*
 * 3.14: the structures have a header of their own, without the functions that CPython does not
 * export.
 */
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_code.h>
#elif PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_frame.h>
#include <internal/pycore_code.h>
#endif
#if PY_VERSION_HEX >= 0x030D0000
/*
 * 3.13: _PyObject_GenericGetAttrWithDict is still exported, but no longer declared with the public
 * functions.
 */
#include <internal/pycore_object.h>
#endif
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>

#include <sched.h>
#include <stdint.h>
#include <time.h>

/* 3.11: frames are no objects any more, but records on a stack of the thread state. */
#if PY_VERSION_HEX >= 0x030B0000
typedef struct _PyInterpreterFrame compat_frame;
#else
typedef PyFrameObject compat_frame;
#endif

/*
 * The list of thread states changes without the GIL: a native thread on its way into Python links
 * its new thread state in before it waits for the GIL. Its lock is held for moments only, and never
 * by a thread that waits for the GIL; even so the wait is bounded, because the whole program waits
 * with us. 1 when it is ours.
 */
#define COMPAT_HEAD_WAIT_US 50000
#if PY_VERSION_HEX >= 0x030D0000
/*
 * 3.13: a PyMutex. PyMutex_Lock would let go of the GIL while it waits, and then wait for the GIL
 * with this mutex held, which is a deadlock with a thread that does it the other way round; the
 * call that CPython uses instead is not exported. So: take the mutex only when it is free, by its
 * documented lowest bit.
 */
static inline int compat_head_lock(void)
{
	uint8_t *bits = &_PyRuntime.interpreters.mutex._bits;
	const struct timespec pause = {0, 20000};
	int tries = 0;

	for (;;) {
		uint8_t seen = __atomic_load_n(bits, __ATOMIC_RELAXED);

		if ((seen & 1) == 0 && __atomic_compare_exchange_n(bits, &seen, (uint8_t)(seen | 1),
					       0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return 1;
		if (++tries > COMPAT_HEAD_WAIT_US / 20)
			return 0;
		if (tries < 50)
			sched_yield();
		else
			nanosleep(&pause, NULL);
	}
}

static inline void compat_head_unlock(void)
{
	PyMutex_Unlock(&_PyRuntime.interpreters.mutex);
}
#else
static inline int compat_head_lock(void)
{
	return PyThread_acquire_lock_timed(_PyRuntime.interpreters.mutex, COMPAT_HEAD_WAIT_US, 0) ==
	       PY_LOCK_ACQUIRED;
}

static inline void compat_head_unlock(void)
{
	PyThread_release_lock(_PyRuntime.interpreters.mutex);
}
#endif

/* Walking the list under that lock. Not PyThreadState_Next: from 3.13 on it takes the lock itself.
 */
static inline PyThreadState *compat_first_thread(void)
{
#if PY_VERSION_HEX >= 0x030B0000
	/* 3.11: tstate_head became threads.head. */
	return PyInterpreterState_Main()->threads.head;
#else
	return PyInterpreterState_Main()->tstate_head;
#endif
}

static inline PyThreadState *compat_next_thread(const PyThreadState *t)
{
	return t->next;
}

/*
 * 1 when there is no interpreter but the main one, at this moment. Any thread, no GIL: the newest one stands first in a list of
 * which the main one is the end.
 */
static inline int compat_is_only_interpreter(void)
{
	return __atomic_load_n(&_PyRuntime.interpreters.head, __ATOMIC_ACQUIRE) == PyInterpreterState_Main();
}

/* The kernel's id of the thread; 0: not known. 3.11: the thread state carries it. */
static inline uint32_t compat_native_tid(const PyThreadState *t)
{
#if PY_VERSION_HEX >= 0x030B0000
	return (uint32_t)t->native_thread_id;
#else
	(void)t;
	return 0;
#endif
}

static inline uint64_t compat_main_ident(void)
{
	return _PyRuntime.main_thread;
}

/*
 * The structure of the GIL, whose address threads that wait for the GIL show to the kernel. Any
 * thread, no GIL.
 */
static inline const struct _gil_runtime_state *compat_gil(void)
{
#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: each interpreter has (or shares) its own GIL. */
	PyInterpreterState *interp = PyInterpreterState_Main();

	return interp != NULL ? interp->ceval.gil : NULL;
#else
	return &_PyRuntime.ceval.gil;
#endif
}

/*
 * Who holds it: an address that may be stale the next moment. Any thread, no GIL. last_holder means
 * nothing while locked is 0. Read with the compiler's atomics: the fields are plain ones on 3.13+
 * and of CPython's own atomic types before.
 */
static inline PyThreadState *compat_gil_holder(void)
{
	const struct _gil_runtime_state *gil = compat_gil();
	uintptr_t holder;
	int locked;

	if (gil == NULL)
		return NULL;
#if PY_VERSION_HEX >= 0x030D0000
	locked = __atomic_load_n(&gil->locked, __ATOMIC_RELAXED);
	holder = (uintptr_t)__atomic_load_n(&gil->last_holder, __ATOMIC_RELAXED);
#else
	locked = __atomic_load_n((const int *)(const void *)&gil->locked, __ATOMIC_RELAXED);
	holder = __atomic_load_n(
		(const uintptr_t *)(const void *)&gil->last_holder, __ATOMIC_RELAXED);
#endif
	return locked == 1 ? (PyThreadState *)holder : NULL;
}

/*
 * 1 when sys.audit() has somebody to tell: a hook in C or in Python. Any thread, no GIL: hooks are
 * added and never taken away, and each pointer is written whole.
 */
static inline int compat_has_audit_hooks(void)
{
	const PyInterpreterState *interp = PyInterpreterState_Main();

#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: the head of the list has a mutex beside it. */
	if (__atomic_load_n(&_PyRuntime.audit_hooks.head, __ATOMIC_ACQUIRE) != NULL)
		return 1;
#else
	if (__atomic_load_n(&_PyRuntime.audit_hook_head, __ATOMIC_ACQUIRE) != NULL)
		return 1;
#endif
	return interp != NULL && __atomic_load_n(&interp->audit_hooks, __ATOMIC_ACQUIRE) != NULL;
}

/* The innermost frame, complete or not; NULL: none. */
static inline compat_frame *compat_top_frame(const PyThreadState *t)
{
#if PY_VERSION_HEX >= 0x030D0000
	return t->current_frame;
#elif PY_VERSION_HEX >= 0x030B0000
	/* 3.11, 3.12: one record for each nested interpreter loop holds it. */
	return t->cframe != NULL ? t->cframe->current_frame : NULL;
#else
	return t->frame;
#endif
}

static inline compat_frame *compat_back(const compat_frame *f)
{
#if PY_VERSION_HEX >= 0x030B0000
	return f->previous;
#else
	return f->f_back;
#endif
}

#if PY_VERSION_HEX >= 0x030E0000
/* 3.14: references on a frame carry two tag bits; both set means a small integer and no object. */
static inline PyObject *compat_untag(_PyStackRef ref)
{
	return (ref.bits & 3) == 3 ? NULL : (PyObject *)(ref.bits & ~(uintptr_t)3);
}
#endif

/*
 * The code that the frame runs; NULL for the frames that CPython puts in between for itself
 * (3.12+).
 */
static inline PyCodeObject *compat_code(const compat_frame *f)
{
#if PY_VERSION_HEX >= 0x030E0000
	PyObject *code =
		f->owner < FRAME_OWNED_BY_INTERPRETER ? compat_untag(f->f_executable) : NULL;

	return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
#elif PY_VERSION_HEX >= 0x030D0000
	/* 3.13: f_executable may be None. */
	PyObject *code = f->owner != FRAME_OWNED_BY_CSTACK ? f->f_executable : NULL;

	return code != NULL && PyCode_Check(code) ? (PyCodeObject *)code : NULL;
#elif PY_VERSION_HEX >= 0x030C0000
	return f->owner != FRAME_OWNED_BY_CSTACK ? f->f_code : NULL;
#else
	return f->f_code;
#endif
}

/*
 * Offset in bytes of the instruction that the frame is at, as the line tables count. Negative: it
 * has not begun. *complete 0: CPython is still setting the frame up and hides it from
 * sys._current_frames() and from tracebacks (3.11+).
 */
static inline int32_t compat_offset(const compat_frame *f, const PyCodeObject *code, int *complete)
{
#if PY_VERSION_HEX >= 0x030B0000
	const _Py_CODEUNIT *first = (const _Py_CODEUNIT *)(const void *)code->co_code_adaptive;
#if PY_VERSION_HEX >= 0x030D0000
	const _Py_CODEUNIT *at = f->instr_ptr;
#else
	const _Py_CODEUNIT *at = f->prev_instr;
#endif
	/* Most are, and 3.11 has the owner on another cache line. */
	*complete = at >= first + code->_co_firsttraceable || f->owner == FRAME_OWNED_BY_GENERATOR;
	return (int32_t)((at - first) * (ptrdiff_t)sizeof(_Py_CODEUNIT));
#else
	/* 3.10: counted in instructions of two bytes. */
	(void)code;
	*complete = 1;
	return f->f_lasti * 2;
#endif
}

/* Fetches what compat_code, compat_back and compat_offset will read of a frame. */
static inline void compat_fetch(const compat_frame *f)
{
#if PY_VERSION_HEX >= 0x030C0000
	__builtin_prefetch(f);
	__builtin_prefetch(&f->owner);
#elif PY_VERSION_HEX >= 0x030B0000
	__builtin_prefetch(&f->f_code);
	__builtin_prefetch(&f->prev_instr);
#else
	__builtin_prefetch(f);
	__builtin_prefetch(&f->f_lasti);
#endif
}

/*
 * 1 when the characters of a str can be read in place. Up to 3.11 the old C API could make some
 * that have none yet.
 */
static inline int compat_str_ready(PyObject *str)
{
#if PY_VERSION_HEX < 0x030C0000
	return PyUnicode_IS_READY(str) != 0;
#else
	(void)str;
	return 1;
#endif
}

/* A str, borrowed. 3.11: with the classes and functions around it; before there is only the name.
 */
static inline PyObject *compat_qualname(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030B0000
	return code->co_qualname;
#else
	return code->co_name;
#endif
}

/* 1 when local variables live in numbered slots: a function. 0: a module, a class body, exec(). */
static inline int compat_is_function(const PyCodeObject *code)
{
	return (code->co_flags & CO_OPTIMIZED) != 0;
}

static inline PyObject *compat_namespace(const compat_frame *f)
{
	return f->f_locals;
}

/* How many slots for variables the frame has: parameters, locals, cells, free variables. */
static inline Py_ssize_t compat_slots(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030B0000
	return code->co_nlocalsplus;
#else
	return code->co_nlocals + PyTuple_GET_SIZE(code->co_cellvars) +
	       PyTuple_GET_SIZE(code->co_freevars);
#endif
}

/* The variable in slot i: its name (borrowed, a str) and its value (borrowed; NULL: unbound). */
static inline PyObject *compat_slot(
	const compat_frame *f, const PyCodeObject *code, Py_ssize_t i, PyObject **name)
{
	PyObject *value;
	int cell;

#if PY_VERSION_HEX >= 0x030B0000
	/* 3.11: one numbering for all of them, with a byte that tells the kind. */
	const char *kinds = PyBytes_AS_STRING(code->co_localspluskinds);

	*name = PyTuple_GET_ITEM(code->co_localsplusnames, i);
	cell = (kinds[i] & (CO_FAST_CELL | CO_FAST_FREE)) != 0;
#if PY_VERSION_HEX >= 0x030E0000
	value = compat_untag(f->localsplus[i]);
#else
	value = f->localsplus[i];
#endif
#else
	Py_ssize_t cells = PyTuple_GET_SIZE(code->co_cellvars);

	cell = i >= code->co_nlocals;
	if (!cell)
		*name = PyTuple_GET_ITEM(code->co_varnames, i);
	else if (i < code->co_nlocals + cells)
		*name = PyTuple_GET_ITEM(code->co_cellvars, i - code->co_nlocals);
	else
		*name = PyTuple_GET_ITEM(code->co_freevars, i - code->co_nlocals - cells);
	value = f->f_localsplus[i];
#endif
	/* Before its first instructions a parameter that will be a cell is still bare. */
	if (cell && value != NULL && PyCell_Check(value))
		value = ((PyCellObject *)value)->ob_ref;
	return value;
}

/*
 * An exact set or frozenset, entry by entry: 0 at the end. *key is borrowed. Without hashing or
 * comparing anything.
 */
static inline int compat_set_next(PyObject *set, Py_ssize_t *at, PyObject **key)
{
	const PySetObject *so = (const PySetObject *)set;

	/* A removed entry has the hash -1 and a placeholder for a key. */
	for (; *at <= so->mask; (*at)++)
		if (so->table[*at].key != NULL && so->table[*at].hash != -1) {
			*key = so->table[(*at)++].key;
			return 1;
		}
	return 0;
}

/*
 * The attribute as object.__getattribute__ finds it, whatever the type's own way is: a new
 * reference, or NULL without an exception and without making one. The caller has seen to it that no
 * descriptor of the program's is called.
 */
static inline PyObject *compat_stored_attribute(PyObject *object, PyObject *name)
{
	return _PyObject_GenericGetAttrWithDict(object, name, NULL, 1);
}

/*
 * Where the values of an instance's attributes lie, most likely, or NULL: an address that is fetched before they are read, and never
 * followed.
 */
static inline const void *compat_attributes(PyObject *object)
{
#if PY_VERSION_HEX >= 0x030D0000
	return (const char *)object + 64; /* within the object itself */
#elif PY_VERSION_HEX >= 0x030B0000
	/* 3.12 has the pointer one word further on, with a tag bit. */
	enum { WORD = PY_VERSION_HEX >= 0x030C0000 ? -3 : -4 };

	return Py_TYPE(object)->tp_flags & Py_TPFLAGS_MANAGED_DICT ? ((const void *const *)object)[WORD] : NULL;
#else
	PyObject **dict = _PyObject_GetDictPtr(object);

	return dict != NULL ? *dict : NULL;
#endif
}

/* How many bits the absolute value of an exact int has. 3.14: returned as a signed number. */
static inline uint64_t compat_int_bits(PyObject *v)
{
	return (uint64_t)_PyLong_NumBits(v);
}

#endif
