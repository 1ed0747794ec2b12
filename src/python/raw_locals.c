/*
 * raw_locals.c: finds the variables of a frame: its slots, and the namespace of a module or class body. The text of a value is
 * raw_value.c's; which frames there are, raw_frames.c's.
 */
#include "raw_locals.h"

#include <string.h>

#include "raw_frames.h"

#define TUPLES 3u /* of names, at most */

void raw_locals_open(struct raw_locals *r, struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v)
{
	*r = (struct raw_locals){.frame = 0};
	raw_value_open(&r->values, m, l, v);
}

void raw_locals_close(struct raw_locals *r)
{
	raw_value_close(&r->values);
	raw_dict_free(&r->names);
}

/* --- frames --- */

void raw_locals_thread(struct raw_locals *r, uintptr_t state)
{
	const struct raw_layout *l = r->values.layout;
	uintptr_t frame = 0;

	r->frame = r->base = 0;
	r->walked = 0;
	if ((state & 7) != 0 || !raw_mem_word(r->values.mem, state + l->state_frame, &frame))
		return;
	if (l->state_base != RAW_NONE && !raw_mem_word(r->values.mem, state + l->state_base, &r->base))
		return;
	if (l->record_frame != RAW_NONE && frame != 0 && !raw_mem_word(r->values.mem, frame + l->record_frame, &frame))
		return;
	r->frame = frame;
}

/* Whether a copied frame is one that a dump shows, of this code. */
static int is_frame_of(const struct raw_layout *l, const uint8_t *copy, const struct raw_code *code)
{
	uintptr_t at;

	if ((raw_mem_field(copy, l->frame_code) & ~l->tags) != code->address)
		return 0;
	if (l->frame_owner == RAW_NONE)
		return raw_mem_field(copy, l->object_type) == l->type_frame;
	if (copy[l->frame_owner] >= l->owner_skip)
		return 0;
	/* CPython is still setting it up: then it is not in the stack either. */
	at = raw_mem_field(copy, l->frame_instruction);
	return copy[l->frame_owner] == l->owner_generator || at >= code->traceable;
}

/* The address of the next frame that runs this code; 0: none. */
static uintptr_t find_frame(struct raw_locals *r, const struct raw_code *code)
{
	const struct raw_layout *l = r->values.layout;
	uint8_t copy[RAW_FRAME_MAX];
	uintptr_t frame;

	while (r->frame != 0 && r->frame != r->base && ++r->walked <= RAW_WALK_MAX) {
		frame = r->frame;
		r->frame = 0;
		if ((frame & 7) != 0 || !raw_mem_read(r->values.mem, frame, copy, l->frame_bytes))
			return 0;
		if (l->frame_owner != RAW_NONE && copy[l->frame_owner] > l->owner_max)
			return 0;
		r->frame = raw_mem_field(copy, l->frame_previous);
		if (is_frame_of(l, copy, code))
			return frame;
	}
	return 0;
}

/* --- variables --- */

/* Tells one, unless its name is none that anybody wrote, as that of the hidden parameter ".0" of a generator expression is. */
static int tell(struct raw_locals *r, uintptr_t name, uintptr_t value, raw_locals_take *take, void *to)
{
	char name_text[RAW_LOCALS_NAME], value_text[RAW_VALUE_MAX];
	size_t name_len = raw_str_read(r->values.mem, r->values.layout, name, name_text, sizeof name_text), value_len;

	if (name_len == 0 || name_text[0] == '.')
		return 1;
	value_len = raw_value_text(&r->values, value, value_text);
	return take(to, (struct span){(const uint8_t *)name_text, name_len}, (struct span){(const uint8_t *)value_text, value_len});
}

/* What a slot means: a cell has the value in it, from the function's first instructions on. */
static uintptr_t value_of(const struct raw_locals *r, uintptr_t slot, int cell)
{
	const struct raw_layout *l = r->values.layout;
	uintptr_t value = slot & ~l->tags, type, inside;

	/* All tag bits set mean a number and no object. */
	if (value == 0 || (l->tags != 0 && (slot & l->tags) == l->tags))
		return 0;
	if (!cell || (value & 7) != 0 || !raw_mem_word(r->values.mem, value + l->object_type, &type) ||
		type != r->values.values->type_cell)
		return value;
	return raw_mem_word(r->values.mem, value + r->values.values->cell_value, &inside) ? inside : 0;
}

/* The slots from `first` on that one tuple of a code object names. How many; -1: enough. */
static int tell_slots(struct raw_locals *r, const struct raw_code *code, uintptr_t slots, uint32_t tuple, uint32_t first,
	raw_locals_take *take, void *to)
{
	const struct raw_layout *l = r->values.layout;
	const struct raw_value_layout *v = r->values.values;
	uintptr_t names[RAW_LOCALS_SLOTS] = {0}, words[RAW_LOCALS_SLOTS] = {0}, at, count, kinds_at;
	uint8_t kinds[RAW_LOCALS_SLOTS];
	struct raw_mem *m = r->values.mem;

	if (!raw_mem_word(m, code->address + v->code_names[tuple], &at) || (at & 7) != 0 ||
		!raw_mem_word(m, at + l->var_size, &count) || count > UINT32_MAX)
		return 0;
	if (count > RAW_LOCALS_SLOTS - first) {
		count = RAW_LOCALS_SLOTS - first;
		r->cut = 1;
	}
	if (!raw_mem_read(m, at + v->tuple_items, names, count * sizeof *names) ||
		!raw_mem_read(m, slots + first * sizeof *words, words, count * sizeof *words))
		return 0;
	memset(kinds, tuple > 0 ? v->kind_cell : 0, sizeof kinds);
	if (v->code_kinds != RAW_NONE && (!raw_mem_word(m, code->address + v->code_kinds, &kinds_at) ||
						 !raw_mem_read(m, kinds_at + l->bytes_data, kinds, count)))
		return 0;
	for (size_t i = 0; i < count; i++) {
		uintptr_t value = value_of(r, words[i], (kinds[i] & v->kind_cell) != 0);

		if (value != 0 && !tell(r, names[i], value, take, to))
			return -1;
	}
	return (int)count;
}

/* What every module has, and what only says which other code it uses. */
static int is_furniture(const struct raw_locals *r, uintptr_t name, uintptr_t value)
{
	const struct raw_layout *l = r->values.layout;
	const struct raw_value_layout *v = r->values.values;
	uintptr_t type = 0, flags = 0;
	char text[RAW_LOCALS_NAME];
	size_t n = raw_str_read(r->values.mem, l, name, text, sizeof text);

	if (n > 4 && memcmp(text, "__", 2) == 0 && memcmp(text + n - 2, "__", 2) == 0)
		return 1;
	if ((value & 7) != 0 || !raw_mem_word(r->values.mem, value + l->object_type, &type))
		return 1;
	if (type == l->type_module || type == v->type_function || type == v->type_c_function)
		return 1;
	return (type & 7) == 0 && raw_mem_word(r->values.mem, type + l->type_flags, &flags) && (flags & v->flag_type) != 0;
}

/* The namespace of a module, a class body, an exec(): only of an exact dict. -1: enough. */
static int tell_namespace(struct raw_locals *r, uintptr_t frame, raw_locals_take *take, void *to)
{
	uintptr_t names = 0;

	r->names.most = RAW_LOCALS_ENTRIES;
	if (!raw_mem_word(r->values.mem, frame + r->values.values->frame_namespace, &names) ||
		!raw_dict_read(&r->names, r->values.mem, r->values.layout, names))
		return 1;
	r->cut |= r->names.count == RAW_LOCALS_ENTRIES;
	for (uint32_t i = 0; i < r->names.count; i++) {
		uintptr_t name = raw_dict_key(&r->names, i), value = raw_dict_value(&r->names, i);

		if (name != 0 && value != 0 && !is_furniture(r, name, value) && !tell(r, name, value, take, to))
			return -1;
	}
	return 1;
}

int raw_locals_frame(struct raw_locals *r, const struct raw_code *code, raw_locals_take *take, void *to)
{
	const struct raw_value_layout *v = r->values.values;
	uintptr_t frame = find_frame(r, code);
	uint32_t first = 0;

	if (frame == 0)
		return 0;
	for (uint32_t tuple = 0; tuple < TUPLES && v->code_names[tuple] != RAW_NONE && first < RAW_LOCALS_SLOTS; tuple++) {
		int n = tell_slots(r, code, frame + v->frame_slots, tuple, first, take, to);

		if (n < 0)
			return -1;
		first += (uint32_t)n;
	}
	if ((code->flags & v->flag_function) == 0)
		return tell_namespace(r, frame, take, to);
	return 1;
}
