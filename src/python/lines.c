/*
 * lines.c: which line each frame is at. How line tables are written is linetable.c's matter, the
 * text of the lines source.c's part of lines.h.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "linetable.h"

#define FIRST_SPOTS 128u

uint32_t lines_decode(struct span table, int first_line, int32_t offset)
{
#if PY_VERSION_HEX >= 0x030B0000
	return linetable_locations(table, first_line, offset);
#else
	return linetable_pairs(table, first_line, offset);
#endif
}

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

/* lines_of_frame for frames whose code objects are held. */
static uint32_t line_of_held(const void *codes, uint32_t code, int32_t offset)
{
	const PyCodeObject *co = ((const struct frames_code *)codes)[code].code;

	/* Of another interpreter: its line has been found already. */
	if (co == NULL)
		return offset > 0 ? (uint32_t)offset : 0;
	return lines_decode(line_table(co), co->co_firstlineno, offset);
}

static int add_spot(struct lines *l, const struct frames_frame *frame, lines_of_frame *line_of,
	const void *codes, uint32_t *index)
{
	uint32_t *slot;
	int rc = make_room(l);

	if (rc != 0)
		return rc;
	slot = find_slot(l, frame->code, frame->offset);
	if (*slot == 0) {
		l->spots[l->spot_count] = (struct lines_spot){
			.code = frame->code,
			.offset = frame->offset,
			.line = line_of(codes, frame->code, frame->offset),
			.twin = l->spot_count,
		};
		*slot = ++l->spot_count;
	}
	*index = *slot - 1;
	return 0;
}

int lines_find(struct lines *l, struct frames *f)
{
	return lines_find_by(l, f, line_of_held, f->codes);
}

int lines_find_by(struct lines *l, struct frames *f, lines_of_frame *line_of, const void *codes)
{
	uint32_t index = 0;

	memset(l, 0, sizeof *l);
	pytext_init(&l->text, LINES_TEXTS_MAX);
	for (uint32_t i = 0; i < f->frame_count; i++) {
		int rc = add_spot(l, &f->frames[i], line_of, codes, &index);

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
