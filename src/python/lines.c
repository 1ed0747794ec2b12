/*
 * lines.c: decodes the line tables of code objects. The text of the lines is source.c's part of
 * lines.h.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"

#define FIRST_SPOTS 128u

/* --- line tables --- */

#if PY_VERSION_HEX >= 0x030B0000
/*
 * 3.11: a location table. Each entry begins with a byte whose highest bit is set: four bits of a
 * code, three of a length in instructions, less one. Codes 10 to 12 say the line's difference
 * themselves, 13 and 14 in a number that follows, 15 says that there is no line, the short forms 0
 * to 9 that the line is the same.
 */
#define CODE_NONE 15
#define CODE_LONG 14
#define CODE_NO_COLUMNS 13
#define CODE_ONE_LINE 10

/* Six bits a byte, lowest first, 0x40 when more follow; the lowest bit of the number is its sign.
 */
static int64_t read_signed(const uint8_t **at, const uint8_t *end)
{
	uint32_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		if (*at >= end || shift > 30)
			return 0;
		byte = *(*at)++;
		value |= (uint32_t)(byte & 0x3F) << shift;
		shift += 6;
	} while (byte & 0x40);
	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

uint32_t lines_decode(struct span table, int first_line, int32_t offset)
{
	const uint8_t *at = table.data, *end = table.data + table.len;
	int64_t reached = 0, line = first_line;

	if (offset < 0)
		return line > 0 ? (uint32_t)line : 0;
	while (at < end) {
		uint8_t head = *at++;
		int code = head >> 3 & 15;

		reached += ((head & 7) + 1) * (int64_t)sizeof(_Py_CODEUNIT);
		if (code == CODE_LONG || code == CODE_NO_COLUMNS)
			line += read_signed(&at, end);
		else if (code >= CODE_ONE_LINE && code != CODE_NONE)
			line += code - CODE_ONE_LINE;
		if (offset < reached)
			return code != CODE_NONE && line > 0 ? (uint32_t)line : 0;
		while (at < end && !(*at & 0x80))
			at++;
	}
	return 0;
}
#else
/*
 * 3.10: pairs of a length in bytes and a signed difference of the line, which counts before the
 * length is passed; -128 says that the range has no line.
 */
#define NO_LINE (-128)

uint32_t lines_decode(struct span table, int first_line, int32_t offset)
{
	int64_t reached = 0, line = first_line;

	if (offset < 0)
		return line > 0 ? (uint32_t)line : 0;
	for (size_t i = 0; i + 1 < table.len; i += 2) {
		int difference = (int8_t)table.data[i + 1];

		reached += table.data[i];
		if (difference != NO_LINE)
			line += difference;
		if (offset < reached)
			return difference != NO_LINE && line > 0 ? (uint32_t)line : 0;
	}
	return 0;
}
#endif

/* --- spots --- */

static uint32_t hash_spot(uint32_t code, int32_t offset)
{
	uint64_t h = ((uint64_t)code << 32 | (uint32_t)offset) * 0x9E3779B97F4A7C15u;

	return (uint32_t)(h >> 32);
}

static uint32_t *find_slot(const struct lines *l, uint32_t code, int32_t offset)
{
	uint32_t mask = l->slot_count - 1, i = hash_spot(code, offset) & mask;

	while (l->slots[i] != 0) {
		const struct lines_spot *s = &l->spots[l->slots[i] - 1];

		if (s->code == code && s->offset == offset)
			break;
		i = (i + 1) & mask;
	}
	return &l->slots[i];
}

/* Room for one more spot, and a table that stays at most half full. */
static int make_room(struct lines *l)
{
	struct lines_spot *spots;
	uint32_t *slots, wanted = l->spot_capacity > 0 ? l->spot_capacity * 2 : FIRST_SPOTS;

	if (l->spot_count < l->spot_capacity)
		return 0;
	spots = realloc(l->spots, wanted * sizeof *spots);
	if (spots == NULL)
		return PYSTUCK_ENOMEM;
	l->spots = spots;
	slots = calloc((size_t)wanted * 2, sizeof *slots);
	if (slots == NULL)
		return PYSTUCK_ENOMEM;
	free(l->slots);
	l->slots = slots;
	l->slot_count = wanted * 2;
	l->spot_capacity = wanted;
	for (uint32_t i = 0; i < l->spot_count; i++)
		*find_slot(l, l->spots[i].code, l->spots[i].offset) = i + 1;
	return 0;
}

static struct span line_table(const PyCodeObject *code)
{
	PyObject *table = code->co_linetable;
	struct span s = {NULL, 0};

	if (table != NULL && PyBytes_Check(table)) {
		s.data = (const uint8_t *)PyBytes_AS_STRING(table);
		s.len = (size_t)PyBytes_GET_SIZE(table);
	}
	return s;
}

static int add_spot(
	struct lines *l, const struct frames *f, const struct frames_frame *frame, uint32_t *index)
{
	const PyCodeObject *code = f->codes[frame->code].code;
	uint32_t *slot;
	int rc = make_room(l);

	if (rc != 0)
		return rc;
	slot = find_slot(l, frame->code, frame->offset);
	if (*slot == 0) {
		l->spots[l->spot_count] = (struct lines_spot){
			.code = frame->code,
			.offset = frame->offset,
			.line = lines_decode(line_table(code), code->co_firstlineno, frame->offset),
			.twin = l->spot_count,
		};
		*slot = ++l->spot_count;
	}
	*index = *slot - 1;
	return 0;
}

int lines_find(struct lines *l, struct frames *f)
{
	uint32_t index = 0;

	memset(l, 0, sizeof *l);
	pytext_init(&l->text, LINES_TEXTS_MAX);
	for (uint32_t i = 0; i < f->frame_count; i++) {
		int rc = add_spot(l, f, &f->frames[i], &index);

		if (rc != 0)
			return rc;
		f->frames[i].offset = (int32_t)index;
	}
	return 0;
}

void lines_free(struct lines *l)
{
	free(l->spots);
	free(l->slots);
	pytext_free(&l->text);
	memset(l, 0, sizeof *l);
}
