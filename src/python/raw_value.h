/*
 * raw_value.h: the text of a value that lies in raw memory, as far as its bytes tell it: None, bool, int, float, str, bytes, and small
 * containers of such. It is the text that render.c makes of the same value; any other object is told by its type's name and its
 * address. Which variables there are: raw_locals.c.
 */
#ifndef PYSTUCK_PYTHON_RAW_VALUE_H
#define PYSTUCK_PYTHON_RAW_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "pen.h"
#include "raw_layout.h"
#include "raw_mem.h"
#include "raw_names.h"

#define RAW_VALUE_MAX PEN_MAX /* bytes of one value's text */
#define RAW_VALUE_ITEMS 20u /* elements of a container that are looked at */
#define RAW_VALUE_DEPTH 2   /* containers within containers */
#define RAW_VALUE_BITS 512u /* larger ints are told by their size */

/* Where the fields are that only values have, beside those of raw_layout. */
struct raw_value_layout {
	uint32_t float_value, list_items, tuple_items, dict_used, set_used, set_mask, set_table, cell_value;
	uintptr_t type_float, type_list, type_tuple, type_set, type_frozenset, type_cell, type_function, type_c_function;
	uintptr_t object_false, object_ellipsis;
	uintptr_t flag_type; /* bit of type_flags: objects of the type are types */

	/* A frame's variables, and a code object's names of them. */
	uint32_t frame_slots, frame_namespace;
	uint32_t code_names[3]; /* tuples of names, in the order of the slots; RAW_NONE after the last one */
	uint32_t code_kinds;    /* bytes, one for each slot; RAW_NONE on 3.10, where all but the first tuple name cells */
	uint8_t kind_cell;      /* bits of such a byte: a cell, when it has been made */
	uint32_t flag_function; /* of a code object's flags: variables have slots */
};

/* GIL held, once, after raw_layout_init. */
void raw_value_layout_init(struct raw_value_layout *v, const struct raw_layout *l);

/* Who reads values: what it needs for it. */
struct raw_value_reader {
	struct raw_mem *mem;
	const struct raw_layout *layout;
	const struct raw_value_layout *values;
	struct raw_dict dicts[RAW_VALUE_DEPTH + 1];
};

void raw_value_open(struct raw_value_reader *r, struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v);
void raw_value_close(struct raw_value_reader *r);
/* The text of the object at this address, which may be any number. How many bytes; it is UTF-8. */
size_t raw_value_text(struct raw_value_reader *r, uintptr_t object, char out[static RAW_VALUE_MAX]);

#endif
