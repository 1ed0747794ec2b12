/*
 * raw_code.c: copies code objects, str objects and line tables out of raw memory, some hundred code objects at a time. Which
 * code: raw_frames.c has seen it.
 */
#include "raw_code.h"

#include "error.h"
#include "linetable.h"
#include "ucs.h"

#define BLOCK 128u          /* code objects that are read at the same time */
#define FIRST_SLOTS 1024u   /* a power of two */
#define SPREAD 0x9E3779B97F4A7C15u

void raw_codes_free(struct raw_codes *c)
{
	raw_array_free(&c->items);
	raw_array_free(&c->text);
	raw_array_free(&c->slots);
	raw_array_free(&c->scratch);
	*c = (struct raw_codes){.count = 0};
}

/* --- by address --- */

/* The slot of a code object, or one that is free for it: slots of older epochs are. The table is never full. */
static uint32_t *slot_of(const struct raw_codes *c, uintptr_t address)
{
	uint32_t *slots = c->slots.at, mask = c->slot_count - 1;
	uint32_t i = (uint32_t)((address * SPREAD) >> 32) & mask;

	while (slots[i] > c->epoch && raw_codes_item(c, slots[i] - 1)->address != address)
		i = (i + 1) & mask;
	return &slots[i];
}

struct raw_code *raw_codes_find(const struct raw_codes *c, uintptr_t address)
{
	uint32_t slot = c->slot_count > 0 ? *slot_of(c, address) : 0;

	return slot > c->epoch ? raw_codes_item(c, slot - 1) : NULL;
}

/* Keeps the table at most half full with those of this epoch. */
static int grow_slots(struct raw_codes *c)
{
	uint32_t count = c->slot_count > 0 ? c->slot_count : FIRST_SLOTS;
	int rc;

	while (count / 2 <= c->count - c->epoch)
		count *= 2;
	if (count == c->slot_count)
		return 0;
	rc = raw_array_grow(&c->slots, count * sizeof(uint32_t), SIZE_MAX);
	if (rc != 0)
		return rc;
	memset(c->slots.at, 0, count * sizeof(uint32_t));
	c->slot_count = count;
	for (uint32_t i = c->epoch; i < c->count; i++)
		*slot_of(c, raw_codes_item(c, i)->address) = i + 1;
	return 0;
}

static int add(struct raw_codes *c, uintptr_t address)
{
	int rc = raw_array_grow(&c->items, (c->count + 1) * sizeof(struct raw_code),
		RAW_CODES_MAX * sizeof(struct raw_code));

	if (rc == 0)
		rc = grow_slots(c);
	if (rc != 0)
		return rc;
	*raw_codes_item(c, c->count) = (struct raw_code){.address = address};
	*slot_of(c, address) = ++c->count;
	return 0;
}

/* --- str --- */

struct raw_str raw_str_view(const struct raw_layout *l, uintptr_t str, const uint8_t *head)
{
	struct raw_str v = {.kind = 0};
	uint32_t state = (uint32_t)raw_mem_field32(head, l->str_state);
	uintptr_t length = raw_mem_field(head, l->str_length);

	if (raw_mem_field(head, l->object_type) != l->type_str || (state & l->str_compact_mask) == 0 ||
		length > PTRDIFF_MAX)
		return v;
	v.ascii = (state & l->str_ascii_mask) != 0;
	v.kind = v.ascii ? 1 : (state & l->str_kind_mask) >> l->str_kind_shift;
	if (v.kind != 1 && v.kind != 2 && v.kind != 4)
		v.kind = 0;
	v.chars = length;
	v.data = str + (v.ascii ? l->str_ascii : l->str_compact);
	return v;
}

uint32_t raw_str_char(const uint8_t *data, unsigned kind, size_t i)
{
	uint16_t two;
	uint32_t four;

	switch (kind) {
	case 1:
		return data[i];
	case 2:
		memcpy(&two, data + i * 2, sizeof two);
		return two;
	default:
		memcpy(&four, data + i * 4, sizeof four);
		return four;
	}
}

/* Characters as UTF-8, as many as fit. A byte above 127 in what calls itself ASCII counts as Latin-1. */
static size_t put_utf8(char *out, size_t most, const uint8_t *data, unsigned kind, size_t chars)
{
	char one[UCS_UTF8_MAX];
	size_t used = 0, n;

	for (size_t i = 0; i < chars; i++) {
		n = ucs_utf8(one, raw_str_char(data, kind, i));
		if (n > most - used)
			break;
		memcpy(out + used, one, n);
		used += n;
	}
	return used;
}

size_t raw_str_read(struct raw_mem *m, const struct raw_layout *l, uintptr_t str, char *out, size_t most)
{
	uint8_t head[RAW_STR_MAX], data[RAW_FUNCTION_MAX * 4];
	struct raw_str v;

	if ((str & 7) != 0 || !raw_mem_read(m, str, head, l->str_bytes))
		return 0;
	v = raw_str_view(l, str, head);
	if (v.chars > RAW_FUNCTION_MAX)
		v.chars = RAW_FUNCTION_MAX;
	if (v.kind == 0 || v.chars == 0 || !raw_mem_read(m, v.data, data, v.chars * v.kind))
		return 0;
	return put_utf8(out, most, data, v.kind, v.chars);
}

/* --- a block of code objects --- */

enum part { PART_FUNCTION, PART_FILE, PART_TABLE, PARTS };

/* Where the copies of a block go. */
struct block {
	struct raw_piece pieces[BLOCK * PARTS];
	struct raw_str views[BLOCK * PARTS];
	uint8_t codes[BLOCK][RAW_CODE_MAX];
	uint8_t heads[BLOCK * PARTS][RAW_STR_MAX];
	uint8_t data[]; /* the contents of the three parts of each */
};

static size_t most_of(enum part part)
{
	switch (part) {
	case PART_FUNCTION:
		return RAW_FUNCTION_MAX;
	case PART_FILE:
		return RAW_FILE_MAX;
	default:
		return RAW_TABLE_MAX;
	}
}

static void read_codes(struct raw_codes *c, struct block *b, struct raw_mem *m, const struct raw_layout *l,
	uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		b->pieces[i] = (struct raw_piece){.from = raw_codes_item(c, first + i)->address,
			.to = b->codes[i],
			.len = l->code_bytes};
	raw_mem_gather(m, b->pieces, count);
	for (uint32_t i = 0; i < count; i++) {
		struct raw_code *item = raw_codes_item(c, first + i);
		const uint8_t *copy = b->codes[i];

		item->known = b->pieces[i].ok && raw_mem_field(copy, l->object_type) == l->type_code;
		if (!item->known)
			continue;
		item->line = raw_mem_field32(copy, l->code_line);
		item->flags = (uint32_t)raw_mem_field32(copy, l->code_flags);
		if (l->code_instructions == RAW_NONE)
			continue;
		item->first = item->address + l->code_instructions;
		item->traceable = item->first + (uintptr_t)(intptr_t)raw_mem_field32(copy, l->code_traceable) * 2;
	}
}

/* A part that is not to be read keeps its place, with a byte that does no harm. */
static void no_piece(struct raw_piece *piece)
{
	static const uint8_t from;
	static uint8_t to;

	*piece = (struct raw_piece){.from = (uintptr_t)&from, .to = &to, .len = 1};
}

/* The heads of the three parts of each, and what they say. */
static void read_heads(const struct raw_codes *c, struct block *b, struct raw_mem *m, const struct raw_layout *l,
	uint32_t first, uint32_t count)
{
	const uint32_t fields[PARTS] = {l->code_name, l->code_file, l->code_table};

	for (uint32_t i = 0; i < count * PARTS; i++) {
		uintptr_t part = raw_mem_field(b->codes[i / PARTS], fields[i % PARTS]);
		uint32_t len = i % PARTS == PART_TABLE ? l->bytes_data : l->str_bytes;

		if (raw_codes_item(c, first + i / PARTS)->known && part != 0 && (part & 7) == 0 &&
			part <= UINTPTR_MAX - RAW_STR_MAX)
			b->pieces[i] = (struct raw_piece){.from = part, .to = b->heads[i], .len = len};
		else
			no_piece(&b->pieces[i]);
	}
	raw_mem_gather(m, b->pieces, count * PARTS);
	for (uint32_t i = 0; i < count * PARTS; i++) {
		const uint8_t *head = b->heads[i];
		struct raw_str *v = &b->views[i];
		size_t most = most_of(i % PARTS);

		*v = (struct raw_str){.kind = 0};
		if (!b->pieces[i].ok || b->pieces[i].to != head)
			continue;
		if (i % PARTS != PART_TABLE)
			*v = raw_str_view(l, b->pieces[i].from, head);
		else if (raw_mem_field(head, l->object_type) == l->type_str_bytes &&
			 raw_mem_field(head, l->var_size) <= RAW_TABLE_MAX)
			*v = (struct raw_str){.data = b->pieces[i].from + l->bytes_data,
				.chars = raw_mem_field(head, l->var_size),
				.kind = 1,
				.ascii = 1};
		if (v->chars > most)
			v->chars = most;
	}
}

/* Room for the contents, which are laid out one behind the other. The block may move. */
static int make_data(struct raw_codes *c, struct block **b, uint32_t count)
{
	size_t bytes = 0;
	int rc;

	for (uint32_t i = 0; i < count * PARTS; i++)
		bytes += (*b)->views[i].kind * (*b)->views[i].chars;
	rc = raw_array_grow(&c->scratch, sizeof **b + bytes, SIZE_MAX);
	*b = c->scratch.at;
	return rc;
}

static void read_data(struct block *b, struct raw_mem *m, uint32_t count)
{
	uint8_t *at = b->data;

	for (uint32_t i = 0; i < count * PARTS; i++) {
		const struct raw_str *v = &b->views[i];
		size_t len = v->kind * v->chars;

		if (len > 0)
			b->pieces[i] = (struct raw_piece){.from = v->data, .to = at, .len = len};
		else
			no_piece(&b->pieces[i]);
		at += len;
	}
	raw_mem_gather(m, b->pieces, count * PARTS);
}

/* Appends one part to the texts. */
static int keep_text(struct raw_codes *c, const struct raw_piece *piece, const struct raw_str *v, size_t most,
	struct raw_text *text)
{
	size_t room = v->ascii ? v->chars : v->chars * UCS_UTF8_MAX;
	char *to;
	int rc;

	if (v->kind == 0 || v->chars == 0 || !piece->ok)
		return 0;
	room = room < most ? room : most;
	rc = raw_array_grow(&c->text, c->text_used + room, RAW_TEXT_MAX);
	if (rc != 0)
		return rc;
	to = (char *)c->text.at + c->text_used;
	text->at = c->text_used;
	if (most == RAW_TABLE_MAX) {
		memcpy(to, piece->to, v->chars);
		text->len = (uint32_t)v->chars;
	} else {
		text->len = (uint32_t)put_utf8(to, room, piece->to, v->kind, v->chars);
	}
	c->text_used += text->len;
	return 0;
}

static int keep_data(struct raw_codes *c, const struct block *b, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count * PARTS; i++) {
		struct raw_code *item = raw_codes_item(c, first + i / PARTS);
		struct raw_text *texts[PARTS] = {&item->function, &item->file, &item->table};
		int rc = keep_text(c, &b->pieces[i], &b->views[i], most_of(i % PARTS), texts[i % PARTS]);

		if (rc == PYSTUCK_ENOMEM)
			return rc;
		/* Without room for a name the frame is shown without it. */
		if (rc != 0)
			c->cut = 1;
	}
	return 0;
}

static int read_block(struct raw_codes *c, struct raw_mem *m, const struct raw_layout *l, uint32_t first, uint32_t count)
{
	int rc = raw_array_grow(&c->scratch, sizeof(struct block), SIZE_MAX);
	struct block *b = c->scratch.at;

	if (rc != 0)
		return rc;
	read_codes(c, b, m, l, first, count);
	read_heads(c, b, m, l, first, count);
	rc = make_data(c, &b, count);
	if (rc != 0)
		return rc;
	read_data(b, m, count);
	return keep_data(c, b, first, count);
}

int raw_codes_read(struct raw_codes *c, struct raw_mem *m, const struct raw_layout *l, const struct raw_pass *p)
{
	const struct raw_step *steps = p->steps.at;
	uintptr_t last = 0;
	int rc;

	c->epoch = c->count;
	rc = grow_slots(c);
	for (uint32_t i = 0; rc == 0 && i < p->step_count; i++) {
		/* Recursion has the same code many times in a row. */
		if (steps[i].code != last && raw_codes_find(c, steps[i].code) == NULL)
			rc = add(c, steps[i].code);
		last = steps[i].code;
	}
	for (uint32_t i = c->epoch; rc == 0 && i < c->count; i += BLOCK)
		rc = read_block(c, m, l, i, c->count - i < BLOCK ? c->count - i : BLOCK);
	return rc;
}

uint32_t raw_code_line(const struct raw_codes *c, const struct raw_layout *l, uint32_t item, int32_t offset)
{
	const struct raw_code *code = raw_codes_item(c, item);
	struct span table = raw_codes_text(c, code->table);

	return l->code_instructions != RAW_NONE ? linetable_locations(table, code->line, offset)
						: linetable_pairs(table, code->line, offset);
}
