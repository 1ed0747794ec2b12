/*
 * saved_frames.c: the frames of a saved thread, and the cache of those that come again and again.
 */
#include <stdlib.h>
#include <string.h>

#include "saved_reader.h"
#include "saved_value.h"

#define CACHE_ENTRIES 16384u /* a power of two */
#define CACHE_TEXT 500
#define CACHE_TOP UINT32_MAX /* what stands above the outermost frame */

struct entry {
	uint32_t above, place; /* numbers of the sink */
	uint16_t len;          /* 0: empty */
	uint8_t text[CACHE_TEXT];
};

struct saved_cache {
	struct entry entries[CACHE_ENTRIES];
};

static int frame_member(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	static const struct saved_text texts[] = {
		{"file", SAVED_AT(saved_frame, file)}, {"function", SAVED_AT(saved_frame, function)}, {"source", SAVED_AT(saved_frame, source)}};
	struct span *text = saved_text_field(&r->frame, texts, SAVED_COUNT(texts), name);

	if (jsonread_skip(r->json, value) != 0)
		return -1;
	if (text != NULL)
		saved_note(r, &r->of_frame, text, value);
	else if (span_equals(name, "line"))
		r->frame.line = saved_number32(r->json, value);
	return 0;
}

static int add_place(struct saved_reader *r, uint32_t place)
{
	if (r->thread.depth == r->place_room) {
		size_t room = r->place_room > 0 ? 2 * r->place_room : 64;
		uint32_t *more = realloc(r->places, room * sizeof *more);

		if (more == NULL)
			return saved_fail(r, PYSTUCK_ENOMEM);
		r->places = more;
		r->place_room = room;
	}
	r->places[r->thread.depth++] = place;
	return 0;
}

/* --- what comes again and again --- */

struct saved_cache *saved_cache_new(void)
{
	return calloc(1, sizeof(struct saved_cache));
}

void saved_cache_free(struct saved_cache *c)
{
	free(c);
}

static uint32_t above(const struct saved_reader *r)
{
	return r->thread.depth > 0 ? r->places[r->thread.depth - 1] : CACHE_TOP;
}

static struct entry *below(const struct saved_reader *r)
{
	return r->sink->cache != NULL ? &r->sink->cache->entries[above(r) & (CACHE_ENTRIES - 1)] : NULL;
}

/* 1 when the next frame is the one that came here the last time. */
static int take_cached(struct saved_reader *r, uint32_t *place)
{
	const struct entry *e = below(r);

	if (e == NULL || e->len == 0 || e->above != above(r) || !jsonread_take(r->json, (struct span){e->text, e->len}))
		return 0;
	*place = e->place;
	return 1;
}

static void keep_cached(struct saved_reader *r, uint64_t from, uint32_t place)
{
	struct span text = jsonread_since(r->json, from);
	struct entry *e = below(r);

	if (e == NULL || text.len == 0 || text.len > sizeof e->text)
		return;
	*e = (struct entry){.above = above(r), .place = place, .len = (uint16_t)text.len};
	memcpy(e->text, text.data, text.len);
}

static int read_frame(struct saved_reader *r, uint32_t *place)
{
	/* The brace has been taken. */
	uint64_t from = jsonread_offset(r->json) - 1;
	int rc;

	r->frame = (struct saved_frame){.line = 0};
	buf_clear(&r->of_frame);
	if (saved_members(r, frame_member) != 0)
		return -1;
	saved_settle(&r->of_frame, &r->frame.file);
	saved_settle(&r->of_frame, &r->frame.function);
	saved_settle(&r->of_frame, &r->frame.source);
	rc = r->sink->frame(r->sink->context, &r->frame, place);
	if (rc != 0)
		return saved_fail(r, rc);
	keep_cached(r, from, *place);
	return 0;
}

int saved_frames_read(struct saved_reader *r)
{
	enum jsonread_token token;

	for (;;) {
		uint32_t place = 0;

		if (!take_cached(r, &place)) {
			token = jsonread_next(r->json);
			if (token != JSONREAD_OBJECT)
				break;
			if (read_frame(r, &place) != 0)
				return -1;
		}
		if (r->thread.depth == SAVED_FRAMES_MAX)
			return saved_fail(r, PYSTUCK_ETOOBIG);
		if (add_place(r, place) != 0)
			return -1;
	}
	return token == JSONREAD_ARRAY_END ? 0 : saved_wrong(r, "a frame that is none");
}
