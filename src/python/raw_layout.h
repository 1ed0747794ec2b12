/*
 * raw_layout.h: where the fields of CPython's structures lie, as numbers, so that the walkers over raw memory are the same for
 * all versions and know no header of Python. Filled in by raw_layout.c; an offset of RAW_NONE says that this version has no such field.
 */
#ifndef PYSTUCK_PYTHON_RAW_LAYOUT_H
#define PYSTUCK_PYTHON_RAW_LAYOUT_H

#include <stdint.h>

#define RAW_NONE UINT32_MAX
#define RAW_STATE_MAX 1024u /* bytes of a thread state that are copied, at most */
#define RAW_FRAME_MAX 160u  /* of a frame */
#define RAW_CODE_MAX 320u   /* of a code object */
#define RAW_STR_MAX 80u     /* of a str, without its characters */

/* Which lists of attributes an object may have of its own. */
enum raw_attributes {
	RAW_ATTRIBUTES_DICT,   /* 3.10: a dict at the type's tp_dictoffset */
	RAW_ATTRIBUTES_BEFORE, /* 3.11: values and a dict, each a pointer before the object */
	RAW_ATTRIBUTES_TAGGED, /* 3.12: one pointer before the object, tagged when it is to values */
	RAW_ATTRIBUTES_INLINE, /* 3.13: a dict's pointer before the object, values behind it */
};

struct raw_layout {
	uint32_t version; /* 0x030B */
	uint64_t main_ident;

	/* The interpreter, at this address. */
	uintptr_t interp;
	uint32_t interp_threads, interp_modules, interp_collecting;
	/* Where the list of all interpreters begins, the newest first; and what each says of itself. */
	uintptr_t interps;
	uint32_t interp_next, interp_id;
	uint32_t interp_gil; /* of a pointer to its GIL's structure; RAW_NONE: all have the same one (before 3.12) */
	int is_other;        /* not the main interpreter: its strings may be others than the words below */

	/* The GIL's own structure, at this address; `locked` is an int. */
	uintptr_t gil;
	uint32_t gil_locked, gil_holder, gil_switches, gil_bytes;

	/* A thread state. */
	uint32_t state_bytes; /* so many are copied: they have all fields below */
	uint32_t state_prev, state_next, state_interp, state_ident;
	uint32_t state_tid;         /* RAW_NONE on 3.10 */
	uint32_t state_frame;       /* of the innermost frame, or of the record that has it */
	uint32_t record_frame;      /* 3.11, 3.12: the place in that record; RAW_NONE: there is none */
	uint32_t state_cframe;      /* before 3.13: of a pointer to a record on the C stack of whoever runs it; RAW_NONE */
	uint32_t state_base;        /* 3.15: of the outermost frame, which is none; else RAW_NONE */
	uint32_t state_chunk, state_top; /* 3.11: the stack of frames; RAW_NONE */

	/* A frame. */
	uint32_t frame_bytes;
	uint32_t frame_previous, frame_code, frame_instruction;
	uint32_t frame_owner;   /* one byte; RAW_NONE on 3.10, where frames are objects */
	uint32_t frame_entry;   /* 3.11: one byte, 1 where C called; RAW_NONE */
	uint8_t owner_generator;
	uint8_t owner_skip;     /* from here on frames that CPython puts in for itself; 0xff: it does not */
	uint8_t owner_max;      /* anything above is no frame */
	uintptr_t tags;         /* 3.14: low bits of a reference that are not part of the address */
	uint32_t chunk_previous, chunk_bytes; /* of a piece of the stack: field; size at least */

	/* A code object. */
	uint32_t code_bytes;
	uint32_t code_name, code_file, code_table, code_line, code_flags;
	uint32_t code_instructions; /* where they begin; RAW_NONE on 3.10: offsets are counted */
	uint32_t code_traceable;    /* 3.11: how many of them come before the function's own */

	/* Objects in general, and those that are looked into. */
	uint32_t object_type, var_size;
	uint32_t bytes_data;
	uint32_t str_bytes, str_length, str_state, str_ascii, str_compact; /* the last two: where characters begin */
	uint32_t str_kind_mask, str_kind_shift, str_compact_mask, str_ascii_mask;
	uint32_t int_tag;  /* RAW_NONE before 3.12: var_size has the number of digits */
	uint32_t int_digits;
	uint32_t dict_keys, dict_values;
	uint32_t keys_log2, keys_index_log2, keys_kind, keys_count, keys_table; /* keys_log2: of 3.10 a count */
	uint32_t module_dict;
	uint32_t type_name, type_flags, type_dictoffset, type_basicsize, type_cached_keys;
	enum raw_attributes attributes;
	uint32_t flag_managed, flag_inline; /* bits of type_flags */
	uint32_t values_first;              /* of a list of values */

	/* Types and strings, by address. */
	uintptr_t type_code, type_frame, type_str, type_str_bytes, type_dict, type_int, type_module;
	uintptr_t object_true, object_none;
	uintptr_t word_threading, word_active, word_name, word_daemonic, word_native_id;
};

/* GIL held, once. 0, or PYSTUCK_EINVAL: this Python says of itself that it is laid out otherwise. */
int raw_layout_init(struct raw_layout *l);

#endif
