/*
 * raw_layout.c: the places of CPython's fields, from the headers that this was compiled with, and from what the interpreter says
 * of itself where it does (3.13+). Whether they are right is tried out by raw_check.c. Reads nothing.
 */
#include <Python.h>

#include "raw_layout.h"

#include <stddef.h>
#include <string.h>

#include "compat.h"
#if PY_VERSION_HEX >= 0x030B0000
#include <internal/pycore_dict.h>
#endif
#include <internal/pycore_moduleobject.h>

#include "error.h"
#include "names.h"

#define AT(type, field) ((uint32_t)offsetof(type, field))
/* No field that is looked at is longer than a word; behind a shorter one comes more of the structure. */
#define END(type, field) (AT(type, field) + (uint32_t)sizeof(uintptr_t))

/* --- interpreter, GIL, threads --- */

static void lay_interpreter(struct raw_layout *l)
{
	l->interp = (uintptr_t)PyInterpreterState_Main();
#if PY_VERSION_HEX >= 0x030B0000
	l->interp_threads = AT(PyInterpreterState, threads.head);
#else
	l->interp_threads = AT(PyInterpreterState, tstate_head);
#endif
#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: what import knows has a structure of its own. */
	l->interp_modules = AT(PyInterpreterState, imports.modules);
#else
	l->interp_modules = AT(PyInterpreterState, modules);
#endif
	l->interp_collecting = AT(PyInterpreterState, gc.collecting);
	l->interps = (uintptr_t)&_PyRuntime.interpreters.head;
	l->interp_next = AT(PyInterpreterState, next);
	l->interp_id = AT(PyInterpreterState, id);
#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: an interpreter may have a GIL of its own. */
	l->interp_gil = AT(PyInterpreterState, ceval.gil);
#else
	l->interp_gil = RAW_NONE;
#endif
	l->main_ident = compat_main_ident();
	l->gil = (uintptr_t)compat_gil();
	l->gil_locked = AT(struct _gil_runtime_state, locked);
	l->gil_holder = AT(struct _gil_runtime_state, last_holder);
	l->gil_switches = AT(struct _gil_runtime_state, switch_number);
	l->gil_bytes = sizeof(struct _gil_runtime_state);
}

static void raise_to(uint32_t *bytes, uint32_t end)
{
	if (*bytes < end)
		*bytes = end;
}

static void lay_state(struct raw_layout *l)
{
	l->state_prev = AT(PyThreadState, prev);
	l->state_next = AT(PyThreadState, next);
	l->state_interp = AT(PyThreadState, interp);
	l->state_ident = AT(PyThreadState, thread_id);
	l->state_cframe = l->record_frame = l->state_base = l->state_tid = l->state_chunk = l->state_top = RAW_NONE;
	raise_to(&l->state_bytes, END(PyThreadState, thread_id));
	raise_to(&l->state_bytes, END(PyThreadState, interp));
#if PY_VERSION_HEX >= 0x030B0000
	/* 3.11: the kernel's id of the thread, and frames on a stack of the thread state's. */
	l->state_tid = AT(PyThreadState, native_thread_id);
	l->state_chunk = AT(PyThreadState, datastack_chunk);
	l->state_top = AT(PyThreadState, datastack_top);
	raise_to(&l->state_bytes, END(PyThreadState, native_thread_id));
	raise_to(&l->state_bytes, END(PyThreadState, datastack_top));
	raise_to(&l->state_bytes, END(PyThreadState, datastack_chunk));
	l->chunk_previous = AT(_PyStackChunk, previous);
	l->chunk_bytes = 16384; /* DATA_STACK_CHUNK_SIZE of pystate.c, which no header has */
#endif
#if PY_VERSION_HEX >= 0x030F0000
	/* 3.15: every chain of frames ends in one that is part of the thread state. */
	l->state_base = AT(PyThreadState, base_frame);
	raise_to(&l->state_bytes, END(PyThreadState, base_frame));
#endif
#if PY_VERSION_HEX < 0x030D0000
	l->state_cframe = AT(PyThreadState, cframe);
#endif
#if PY_VERSION_HEX >= 0x030D0000
	l->state_frame = AT(PyThreadState, current_frame);
	raise_to(&l->state_bytes, END(PyThreadState, current_frame));
#elif PY_VERSION_HEX >= 0x030B0000
	l->state_frame = AT(PyThreadState, cframe);
	l->record_frame = AT(_PyCFrame, current_frame);
	raise_to(&l->state_bytes, END(PyThreadState, cframe));
#else
	l->state_frame = AT(PyThreadState, frame);
	raise_to(&l->state_bytes, END(PyThreadState, frame));
#endif
}

/* --- frames and code --- */

static void lay_frame(struct raw_layout *l)
{
	l->frame_owner = l->frame_entry = RAW_NONE;
	l->owner_skip = 0xFF;
#if PY_VERSION_HEX >= 0x030B0000
	l->frame_bytes = AT(compat_frame, localsplus);
	l->frame_previous = AT(compat_frame, previous);
	l->frame_owner = AT(compat_frame, owner);
	l->owner_generator = FRAME_OWNED_BY_GENERATOR;
	l->owner_max = FRAME_OWNED_BY_FRAME_OBJECT;
#if PY_VERSION_HEX >= 0x030D0000
	l->frame_code = AT(compat_frame, f_executable);
	l->frame_instruction = AT(compat_frame, instr_ptr);
#else
	l->frame_code = AT(compat_frame, f_code);
	l->frame_instruction = AT(compat_frame, prev_instr);
#endif
#if PY_VERSION_HEX >= 0x030E0000
	l->owner_skip = FRAME_OWNED_BY_INTERPRETER;
	l->owner_max = FRAME_OWNED_BY_INTERPRETER + 1; /* 3.14 has one more */
	l->tags = 3;
#elif PY_VERSION_HEX >= 0x030C0000
	l->owner_skip = l->owner_max = FRAME_OWNED_BY_CSTACK;
#else
	l->frame_entry = AT(compat_frame, is_entry);
#endif
#else
	l->frame_bytes = END(PyFrameObject, f_lasti);
	l->frame_previous = AT(PyFrameObject, f_back);
	l->frame_code = AT(PyFrameObject, f_code);
	l->frame_instruction = AT(PyFrameObject, f_lasti);
#endif
}

static void lay_code(struct raw_layout *l)
{
	l->code_file = AT(PyCodeObject, co_filename);
	l->code_table = AT(PyCodeObject, co_linetable);
	l->code_line = AT(PyCodeObject, co_firstlineno);
	l->code_flags = AT(PyCodeObject, co_flags);
	raise_to(&l->code_bytes, END(PyCodeObject, co_filename));
	raise_to(&l->code_bytes, END(PyCodeObject, co_linetable));
	raise_to(&l->code_bytes, END(PyCodeObject, co_firstlineno));
	raise_to(&l->code_bytes, END(PyCodeObject, co_flags));
#if PY_VERSION_HEX >= 0x030B0000
	l->code_name = AT(PyCodeObject, co_qualname);
	l->code_instructions = AT(PyCodeObject, co_code_adaptive);
	l->code_traceable = AT(PyCodeObject, _co_firsttraceable);
	raise_to(&l->code_bytes, END(PyCodeObject, co_qualname));
	raise_to(&l->code_bytes, END(PyCodeObject, _co_firsttraceable));
#else
	l->code_name = AT(PyCodeObject, co_name);
	l->code_instructions = l->code_traceable = RAW_NONE;
	raise_to(&l->code_bytes, END(PyCodeObject, co_name));
#endif
	l->code_bytes += 8; /* the object goes on: any field may be copied as a word */
}

/* --- objects --- */

/* Which bits of a str's state word a field is: the compiler decides that, and CPython's versions differ. */
#define STATE_BITS(mask, field, value)                                                             \
	do {                                                                                       \
		PyASCIIObject s;                                                                   \
		memset(&s, 0, sizeof s);                                                           \
		s.state.field = (value);                                                           \
		memcpy(&(mask), (const char *)&s + offsetof(PyASCIIObject, state), sizeof(mask));  \
	} while (0)

static void lay_str(struct raw_layout *l)
{
	l->str_bytes = sizeof(PyCompactUnicodeObject);
	l->str_length = AT(PyASCIIObject, length);
	l->str_state = AT(PyASCIIObject, state);
	l->str_ascii = sizeof(PyASCIIObject);
	l->str_compact = sizeof(PyCompactUnicodeObject);
	STATE_BITS(l->str_kind_mask, kind, 7);
	STATE_BITS(l->str_compact_mask, compact, 1);
	STATE_BITS(l->str_ascii_mask, ascii, 1);
	l->str_kind_shift = (uint32_t)__builtin_ctz(l->str_kind_mask);
}

static void lay_dict(struct raw_layout *l)
{
	l->dict_keys = AT(PyDictObject, ma_keys);
	l->dict_values = AT(PyDictObject, ma_values);
#if PY_VERSION_HEX >= 0x030B0000
	l->keys_log2 = AT(struct _dictkeysobject, dk_log2_size);
	l->keys_index_log2 = AT(struct _dictkeysobject, dk_log2_index_bytes);
	l->keys_kind = AT(struct _dictkeysobject, dk_kind);
	l->keys_count = AT(struct _dictkeysobject, dk_nentries);
	l->keys_table = AT(struct _dictkeysobject, dk_indices);
	l->values_first = AT(struct _dictvalues, values);
#else
	/*
	 * 3.10 shows the structure to nobody: reference count, number of slots, look-up function, free entries, used entries,
	 * then the slots.
	 */
	l->keys_log2 = 8;
	l->keys_index_log2 = l->keys_kind = RAW_NONE;
	l->keys_count = 32;
	l->keys_table = 40;
	l->values_first = 0;
#endif
#if PY_VERSION_HEX >= 0x030D0000
	l->attributes = RAW_ATTRIBUTES_INLINE;
	l->flag_inline = Py_TPFLAGS_INLINE_VALUES;
#elif PY_VERSION_HEX >= 0x030C0000
	l->attributes = RAW_ATTRIBUTES_TAGGED;
#elif PY_VERSION_HEX >= 0x030B0000
	l->attributes = RAW_ATTRIBUTES_BEFORE;
#else
	l->attributes = RAW_ATTRIBUTES_DICT;
#endif
#if PY_VERSION_HEX >= 0x030B0000
	l->flag_managed = Py_TPFLAGS_MANAGED_DICT;
#endif
}

static void lay_objects(struct raw_layout *l)
{
	l->object_type = AT(PyObject, ob_type);
	l->var_size = AT(PyVarObject, ob_size);
	l->bytes_data = AT(PyBytesObject, ob_sval);
#if PY_VERSION_HEX >= 0x030C0000
	/* 3.12: the number of digits of an int shares a word with its sign. */
	l->int_tag = AT(PyLongObject, long_value.lv_tag);
	l->int_digits = AT(PyLongObject, long_value.ob_digit);
#else
	l->int_tag = RAW_NONE;
	l->int_digits = sizeof(PyVarObject);
#endif
	l->module_dict = AT(PyModuleObject, md_dict);
	l->type_name = AT(PyTypeObject, tp_name);
	l->type_flags = AT(PyTypeObject, tp_flags);
	l->type_dictoffset = AT(PyTypeObject, tp_dictoffset);
	l->type_basicsize = AT(PyTypeObject, tp_basicsize);
	l->type_cached_keys = AT(PyHeapTypeObject, ht_cached_keys);
	l->type_code = (uintptr_t)&PyCode_Type;
	l->type_frame = (uintptr_t)&PyFrame_Type;
	l->type_str = (uintptr_t)&PyUnicode_Type;
	l->type_str_bytes = (uintptr_t)&PyBytes_Type;
	l->type_dict = (uintptr_t)&PyDict_Type;
	l->type_int = (uintptr_t)&PyLong_Type;
	l->type_module = (uintptr_t)&PyModule_Type;
	l->object_true = (uintptr_t)Py_True;
	l->object_none = (uintptr_t)Py_None;
}

/* --- what the interpreter says of itself --- */

#if PY_VERSION_HEX >= 0x030D0000
/*
 * 3.13: a table at the beginning of _PyRuntime, for debuggers. It counts more than our headers, which may be those of another
 * patch release: the program may have been built with other options than the headers say.
 */
static int believe_the_interpreter(struct raw_layout *l)
{
	const struct _Py_DebugOffsets *d = &_PyRuntime.debug_offsets;

	if (memcmp(d->cookie, _Py_Debug_Cookie, sizeof d->cookie) != 0 || d->free_threaded != 0 ||
		d->version >> 16 != PY_VERSION_HEX >> 16)
		return PYSTUCK_EINVAL;
	l->interp_threads = (uint32_t)d->interpreter_state.threads_head;
	l->interp_next = (uint32_t)d->interpreter_state.next;
	l->interp_id = (uint32_t)d->interpreter_state.id;
	l->interp_gil = (uint32_t)d->interpreter_state.ceval_gil;
	l->interp_modules = (uint32_t)d->interpreter_state.imports_modules;
	l->interp_collecting =
		(uint32_t)(d->interpreter_state.gc + d->gc.collecting);
	l->state_prev = (uint32_t)d->thread_state.prev;
	l->state_next = (uint32_t)d->thread_state.next;
	l->state_interp = (uint32_t)d->thread_state.interp;
	l->state_frame = (uint32_t)d->thread_state.current_frame;
	l->state_ident = (uint32_t)d->thread_state.thread_id;
	l->state_tid = (uint32_t)d->thread_state.native_thread_id;
	l->state_chunk = (uint32_t)d->thread_state.datastack_chunk;
	l->frame_previous = (uint32_t)d->interpreter_frame.previous;
	l->frame_code = (uint32_t)d->interpreter_frame.executable;
	l->frame_instruction = (uint32_t)d->interpreter_frame.instr_ptr;
	l->frame_owner = (uint32_t)d->interpreter_frame.owner;
	l->frame_bytes = (uint32_t)d->interpreter_frame.localsplus;
	l->code_file = (uint32_t)d->code_object.filename;
	l->code_name = (uint32_t)d->code_object.qualname;
	l->code_table = (uint32_t)d->code_object.linetable;
	l->code_line = (uint32_t)d->code_object.firstlineno;
	l->code_instructions = (uint32_t)d->code_object.co_code_adaptive;
	return 0;
}
#else
static int believe_the_interpreter(struct raw_layout *l)
{
	(void)l;
	return 0;
}
#endif

/* The copies that the walkers make have fixed sizes, and every word that is looked at lies in them. */
static int fits(const struct raw_layout *l)
{
	const uint32_t in_state[] = {l->state_prev, l->state_next, l->state_interp, l->state_ident,
		l->state_frame, l->state_tid, l->state_chunk, l->state_top, l->state_base};
	const uint32_t in_frame[] = {l->frame_previous, l->frame_code};
	const uint32_t in_code[] = {l->code_name, l->code_file, l->code_table, l->code_line, l->code_flags};

	for (size_t i = 0; i < sizeof in_state / sizeof *in_state; i++)
		if (in_state[i] != RAW_NONE && in_state[i] + 8 > l->state_bytes)
			return 0;
	for (size_t i = 0; i < sizeof in_frame / sizeof *in_frame; i++)
		if (in_frame[i] + 8 > l->frame_bytes)
			return 0;
	if (l->frame_instruction + (l->frame_owner != RAW_NONE ? 8 : 4) > l->frame_bytes ||
		(l->frame_owner != RAW_NONE && l->frame_owner >= l->frame_bytes))
		return 0;
	for (size_t i = 0; i < sizeof in_code / sizeof *in_code; i++)
		if (in_code[i] + 8 > l->code_bytes)
			return 0;
	return l->state_bytes <= RAW_STATE_MAX && l->frame_bytes <= RAW_FRAME_MAX &&
	       l->code_bytes <= RAW_CODE_MAX && l->str_bytes <= RAW_STR_MAX;
}

int raw_layout_init(struct raw_layout *l)
{
	int rc;

	memset(l, 0, sizeof *l);
	l->version = PY_VERSION_HEX >> 16;
	lay_interpreter(l);
	lay_state(l);
	lay_frame(l);
	lay_code(l);
	lay_str(l);
	lay_dict(l);
	lay_objects(l);
	names_words(l);
	rc = believe_the_interpreter(l);
	return rc == 0 && !fits(l) ? PYSTUCK_EINVAL : rc;
}
