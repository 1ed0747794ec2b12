/*
 * fuzz_raw.c: the readers of src/python/raw_*.c over a made-up image of memory, which may change while it is read. Whatever is in it,
 * they end, stay within it, and what they say holds together. The layout is none of Python's: small, and the same in corpus_raw.py.
 * SOURCES: src/python/raw_own.c src/python/raw_pages.c src/python/raw_frames.c src/python/raw_code.c
 * SOURCES: src/python/raw_interps.c src/python/raw_names.c src/python/raw_stacks.c src/python/linetable.c
 * SOURCES: src/python/raw_locals.c src/python/raw_value.c src/python/pen.c
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/python/raw_interps.h"
#include "../../src/python/raw_locals.h"
#include "../../src/python/raw_names.h"
#include "../../src/python/raw_stacks.h"

#define BASE 0x100000u /* where the image lies */
#define IMAGE_MAX 65536u
#define TYPE(n) (BASE + 0x40u + 8u * (n)) /* addresses that stand for types; Thread's alone is looked into */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* The image, and how restless it is. */
struct image {
	struct raw_mem mem; /* first */
	uint8_t bytes[IMAGE_MAX];
	size_t size;
	unsigned every; /* so many reads, and a byte changes; 0: never */
	unsigned reads;
};

static int read_image(struct raw_mem *m, uintptr_t from, void *to, size_t len)
{
	struct image *i = (struct image *)m;

	if (i->every != 0 && ++i->reads % i->every == 0 && i->size > 0)
		i->bytes[(i->reads * 2654435761u) % i->size] ^= (uint8_t)(1u << (i->reads & 7));
	if (from < BASE || from - BASE > i->size || len > i->size - (from - BASE))
		return 0;
	memcpy(to, i->bytes + (from - BASE), len);
	return 1;
}

static const struct raw_layout plain = {
	.version = 0x030D, .main_ident = 1,
	.interp = BASE, .interp_threads = 0, .interp_modules = 8, .interp_collecting = 16,
	.interps = BASE + 8, .interp_next = 16, .interp_id = 24, .interp_gil = 32,
	.gil = BASE + 24, .gil_locked = 0, .gil_holder = 8, .gil_switches = 16,
	.state_bytes = 72, .state_prev = 0, .state_next = 8, .state_interp = 16, .state_ident = 24, .state_tid = 32,
	.state_frame = 40, .record_frame = RAW_NONE, .state_base = RAW_NONE, .state_chunk = 48, .state_top = 56,
	.frame_bytes = 32, .frame_code = 0, .frame_previous = 8, .frame_instruction = 16, .frame_owner = 24,
	.frame_entry = RAW_NONE, .owner_generator = 1, .owner_skip = 3, .owner_max = 3,
	.chunk_previous = 0, .chunk_bytes = 512,
	.code_bytes = 64, .code_name = 16, .code_file = 24, .code_table = 32, .code_line = 40, .code_flags = 44,
	.code_traceable = 48, .code_instructions = 56,
	.object_type = 8, .var_size = 16, .bytes_data = 24,
	.str_bytes = 48, .str_length = 16, .str_state = 24, .str_ascii = 32, .str_compact = 48,
	.str_kind_mask = 7, .str_kind_shift = 0, .str_compact_mask = 8, .str_ascii_mask = 16,
	.int_tag = 16, .int_digits = 24,
	.dict_keys = 16, .dict_values = 24,
	.keys_log2 = 8, .keys_index_log2 = 9, .keys_kind = 10, .keys_count = 16, .keys_table = 24,
	.module_dict = 16, .type_name = 24, .type_flags = 32, .type_dictoffset = 40, .type_basicsize = 48,
	.type_cached_keys = 56, .attributes = RAW_ATTRIBUTES_INLINE, .flag_managed = 16, .flag_inline = 4, .values_first = 8,
	.type_code = TYPE(0), .type_frame = TYPE(1), .type_str = TYPE(2), .type_str_bytes = TYPE(3), .type_dict = TYPE(4),
	.type_int = TYPE(5), .type_module = TYPE(6), .object_true = TYPE(7), .object_none = TYPE(8),
	.word_threading = TYPE(9), .word_active = TYPE(10), .word_name = TYPE(11), .word_daemonic = TYPE(12),
	.word_native_id = TYPE(13),
};

static const struct raw_value_layout plain_values = {
	.float_value = 16, .list_items = 24, .tuple_items = 24, .dict_used = 32, .set_used = 16, .set_mask = 24, .set_table = 32,
	.cell_value = 16,
	.type_float = TYPE(14), .type_list = TYPE(15), .type_tuple = TYPE(16), .type_set = TYPE(17), .type_frozenset = TYPE(18),
	.type_cell = TYPE(19), .type_function = TYPE(20), .type_c_function = TYPE(21), .object_false = TYPE(22),
	.object_ellipsis = TYPE(23), .flag_type = 64,
	.frame_slots = 32, .frame_namespace = 56,
	.code_names = {64, RAW_NONE, RAW_NONE}, .code_kinds = 72, .kind_cell = 0x40, .flag_function = 1,
};

static struct raw_value_layout values_of(uint8_t kind)
{
	struct raw_value_layout v = plain_values;

	if (kind % 6 != 0)
		return v;
	/* 3.10 */
	v.frame_slots = 40;
	v.code_names[1] = 80;
	v.code_names[2] = 88;
	v.code_kinds = RAW_NONE;
	v.kind_cell = 1;
	return v;
}

/* As the versions differ. */
static struct raw_layout layout_of(uint8_t kind)
{
	struct raw_layout l = plain;

	switch (kind % 6) {
	case 0: /* 3.10 */
		l.frame_owner = l.code_instructions = l.code_traceable = l.state_tid = l.state_chunk = l.state_top = RAW_NONE;
		l.interp_gil = RAW_NONE;
		l.frame_bytes = 40;
		l.frame_code = 16;
		l.frame_previous = 24;
		l.frame_instruction = 32;
		l.int_tag = l.keys_index_log2 = l.keys_kind = RAW_NONE;
		l.attributes = RAW_ATTRIBUTES_DICT;
		l.flag_managed = 0;
		break;
	case 1: /* 3.11 */
		l.record_frame = 8;
		l.frame_entry = 25;
		l.owner_skip = 0xFF;
		l.owner_max = 2;
		l.attributes = RAW_ATTRIBUTES_BEFORE;
		break;
	case 2: /* 3.12 */
		l.record_frame = 8;
		l.attributes = RAW_ATTRIBUTES_TAGGED;
		break;
	case 4: /* 3.14 */
		l.tags = 3;
		l.owner_max = 4;
		break;
	case 5: /* 3.15 */
		l.tags = 3;
		l.state_base = 64;
		break;
	default:
		break;
	}
	return l;
}

/* Names are UTF-8: no byte sequence that is none, nothing cut in the middle of a character. */
static void check_text(struct span s, size_t most)
{
	size_t i = 0, more;

	must(s.len <= most);
	while (i < s.len) {
		more = s.data[i] < 0x80 ? 0 : s.data[i] < 0xC2 ? 9 : s.data[i] < 0xE0 ? 1 : s.data[i] < 0xF0 ? 2 : s.data[i] < 0xF5 ? 3 : 9;
		must(more < 4 && more < s.len - i);
		for (i++; more > 0; more--, i++)
			must((s.data[i] & 0xC0) == 0x80);
	}
}

static void check_stacks(const struct raw_stacks *s, const struct raw_layout *l)
{
	for (uint32_t i = 0; i < s->thread_count; i++) {
		const struct raw_thread *t = raw_stacks_thread(s, i);

		must(t->count <= RAW_FRAMES_MAX && t->first <= s->frame_count && t->count <= s->frame_count - t->first);
		for (uint32_t k = 0; k < t->count; k++) {
			const struct raw_frame *f = raw_stacks_frames(s, t) + k;
			const struct raw_code *c = raw_codes_item(&s->codes, f->code);

			must(f->code < s->codes.count && c->known);
			check_text(raw_codes_text(&s->codes, c->function), RAW_FUNCTION_MAX);
			check_text(raw_codes_text(&s->codes, c->file), RAW_FILE_MAX);
			(void)raw_code_line(&s->codes, l, f->code, f->offset);
		}
	}
}

static int take_local(void *to, struct span name, struct span value)
{
	unsigned *left = to;

	must(name.len > 0 && value.len > 0);
	check_text(name, RAW_LOCALS_NAME);
	check_text(value, RAW_VALUE_MAX);
	return (*left)-- > 0;
}

static void read_locals(const struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, const struct raw_value_layout *v)
{
	struct raw_locals r;
	unsigned left = 200;

	raw_locals_open(&r, m, l, v);
	for (uint32_t i = 0; i < s->thread_count && left <= 200; i++) {
		const struct raw_thread *t = raw_stacks_thread(s, i);

		raw_locals_thread(&r, t->state);
		for (uint32_t k = 0; k < t->count; k++)
			if (raw_locals_frame(&r, raw_codes_item(&s->codes, raw_stacks_frames(s, t)[k].code), take_local, &left) <= 0)
				break;
	}
	raw_locals_close(&r);
}

/* Ids fall, down to the main interpreter's, which is not among them. */
static void read_interps(struct raw_mem *m, const struct raw_layout *l)
{
	static struct raw_interps list;
	int rc = raw_interps_read(&list, m, l);

	must(list.count <= RAW_INTERPS_MAX && (rc == 0 || (list.count == 0 && list.omitted == 0)));
	for (uint32_t i = 0; i < list.count; i++) {
		must(list.at[i].id > 0 && list.at[i].at != l->interp && (i == 0 || list.at[i].id < list.at[i - 1].id));
		(void)raw_interps_has(m, l, &list.at[i]);
	}
}

static void take_name(void *to, const struct raw_name *n)
{
	(void)to;
	must(n->class_len <= sizeof n->class_name);
	check_text((struct span){(const uint8_t *)n->name, n->name_len}, sizeof n->name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct image image;
	struct raw_stacks s = {.thread_count = 0};
	struct raw_pages pages;
	struct raw_value_layout v;
	struct raw_layout l;
	int rc;

	if (size < 2)
		return 0;
	l = layout_of(data[0]);
	v = values_of(data[0]);
	image.mem = (struct raw_mem){.read = read_image};
	image.every = data[1];
	image.reads = 0;
	image.size = size - 2 < IMAGE_MAX ? size - 2 : IMAGE_MAX;
	memcpy(image.bytes, data + 2, image.size);
	rc = raw_stacks_take(&s, &image.mem, &l, 64);
	if (rc == 0)
		check_stacks(&s, &l);
	must(image.every != 0 || rc != 0 || !s.settled || s.thread_count > 0);
	raw_pages_open(&pages, &image.mem);
	if (rc == 0)
		read_locals(&s, data[1] & 2 ? &pages.mem : &image.mem, &l, &v);
	raw_stacks_free(&s);
	read_interps(&image.mem, &l);
	l.is_other = data[1] >> 2 & 1;
	(void)raw_names_read(data[1] & 1 ? &pages.mem : &image.mem, &l, take_name, NULL);
	raw_pages_close(&pages);
	return 0;
}
