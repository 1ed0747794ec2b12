/*
 * saved.c: from JSON to dumps. Members that are not known are passed over: later versions may add some. Nothing is believed that
 * was not looked at: a number that is none is 0, a word that is not known is "not known".
 */
#include "saved.h"

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "saved_value.h"

#define TEXTS_MAX (64u << 20) /* bytes of texts of one thread */

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

struct reader {
	struct jsonread *json;
	const struct saved_sink *sink;
	struct saved_head head;
	struct saved_thread thread;
	struct saved_frame frame;
	struct buf texts;   /* of the thread: offsets until it is whole, see settle */
	struct buf of_frame;
	uint32_t *places;
	size_t place_room;
	int error;          /* of the sink, or of memory */
	const char *wrong;  /* what is not as it should be, of what is JSON */
};

static int fail(struct reader *r, int code)
{
	r->error = r->error != 0 ? r->error : code;
	return -1;
}

static int wrong(struct reader *r, const char *what)
{
	r->wrong = r->wrong != NULL ? r->wrong : what;
	return -1;
}

/* --- values --- */

static enum jsonread_token next(struct reader *r)
{
	return jsonread_next(r->json);
}

/* The texts of what is read move when more come: until all are there, a span has its place instead of its address. */
static void note(struct reader *r, struct buf *texts, struct span *s, enum jsonread_token token)
{
	struct span text = jsonread_text(r->json);

	*s = (struct span){NULL, 0};
	if (token != JSONREAD_STRING || text.len == 0)
		return;
	*s = (struct span){(const uint8_t *)(uintptr_t)buf_len(texts), text.len};
	int rc = buf_put(texts, text.data, text.len);
	if (rc != 0)
		(void)fail(r, rc);
}

static void settle(const struct buf *texts, struct span *s)
{
	s->data = s->len > 0 ? buf_bytes(texts) + (uintptr_t)s->data : (const uint8_t *)"";
}

/* --- objects --- */

/*
 * Calls member(r, key, token) for each member of an object that has begun; it takes the value, all of it. 0, or -1.
 */
static int each_member(struct reader *r, int (*member)(struct reader *, struct span key, enum jsonread_token *value))
{
	for (;;) {
		enum jsonread_token token = next(r);

		if (token == JSONREAD_OBJECT_END)
			return 0;
		if (token != JSONREAD_KEY || member(r, jsonread_text(r->json), &token) != 0 || r->error != 0)
			return -1;
	}
}

/* The key is needed no longer: the value, in its place. What is more than a token is passed over, unless the caller looks into it. */
static int plain(struct reader *r, enum jsonread_token *token)
{
	*token = next(r);
	return jsonread_skip(r->json, *token);
}

/* Names of members with the field that each fills. */
struct text_member {
	const char *name;
	size_t offset;
};

static struct span *text_field(void *object, const struct text_member *members, size_t count, struct span key)
{
	for (size_t i = 0; i < count; i++)
		if (span_equals(key, members[i].name))
			return (struct span *)(void *)((char *)object + members[i].offset);
	return NULL;
}

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define AT(type, field) offsetof(struct type, field)

static int frame_member(struct reader *r, struct span key, enum jsonread_token *token)
{
	static const struct text_member texts[] = {
		{"file", AT(saved_frame, file)}, {"function", AT(saved_frame, function)}, {"source", AT(saved_frame, source)}};
	struct span *text = text_field(&r->frame, texts, COUNT(texts), key);
	int is_line = span_equals(key, "line");

	if (plain(r, token) != 0)
		return -1;
	if (text != NULL)
		note(r, &r->of_frame, text, *token);
	else if (is_line)
		r->frame.line = saved_number32(r->json, *token);
	return 0;
}

static int add_place(struct reader *r, uint32_t place)
{
	if (r->thread.depth == r->place_room) {
		size_t room = r->place_room > 0 ? 2 * r->place_room : 64;
		uint32_t *more = realloc(r->places, room * sizeof *more);

		if (more == NULL)
			return fail(r, PYSTUCK_ENOMEM);
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

static uint32_t above(const struct reader *r)
{
	return r->thread.depth > 0 ? r->places[r->thread.depth - 1] : CACHE_TOP;
}

static struct entry *below(const struct reader *r)
{
	return r->sink->cache != NULL ? &r->sink->cache->entries[above(r) & (CACHE_ENTRIES - 1)] : NULL;
}

/* 1 when the next frame is the one that came here the last time. */
static int take_cached(struct reader *r, uint32_t *place)
{
	const struct entry *e = below(r);

	if (e == NULL || e->len == 0 || e->above != above(r) || !jsonread_take(r->json, (struct span){e->text, e->len}))
		return 0;
	*place = e->place;
	return 1;
}

static void keep_cached(struct reader *r, uint64_t from, uint32_t place)
{
	struct span text = jsonread_since(r->json, from);
	struct entry *e = below(r);

	if (e == NULL || text.len == 0 || text.len > sizeof e->text)
		return;
	*e = (struct entry){.above = above(r), .place = place, .len = (uint16_t)text.len};
	memcpy(e->text, text.data, text.len);
}

static int read_frame(struct reader *r, uint32_t *place)
{
	/* The brace has been taken. */
	uint64_t from = jsonread_offset(r->json) - 1;
	int rc;

	r->frame = (struct saved_frame){.line = 0};
	buf_clear(&r->of_frame);
	if (each_member(r, frame_member) != 0)
		return -1;
	settle(&r->of_frame, &r->frame.file);
	settle(&r->of_frame, &r->frame.function);
	settle(&r->of_frame, &r->frame.source);
	rc = r->sink->frame(r->sink->context, &r->frame, place);
	if (rc != 0)
		return fail(r, rc);
	keep_cached(r, from, *place);
	return 0;
}

static int read_frames(struct reader *r)
{
	enum jsonread_token token;

	for (;;) {
		uint32_t place = 0;

		if (!take_cached(r, &place)) {
			token = next(r);
			if (token != JSONREAD_OBJECT)
				break;
			if (read_frame(r, &place) != 0)
				return -1;
		}
		if (r->thread.depth == SAVED_FRAMES_MAX)
			return fail(r, PYSTUCK_ETOOBIG);
		if (add_place(r, place) != 0)
			return -1;
	}
	return token == JSONREAD_ARRAY_END ? 0 : wrong(r, "a frame that is none");
}

/* Only its tid: where the holder is, is found in its own thread. */
static int holder_member(struct reader *r, struct span key, enum jsonread_token *token)
{
	int is_tid = span_equals(key, "tid");

	if (plain(r, token) != 0)
		return -1;
	if (is_tid)
		r->thread.wait.holder = saved_number32(r->json, *token);
	return 0;
}

static void wait_flag(struct reader *r, struct span key, enum jsonread_token token)
{
	static const struct {
		const char *name;
		uint8_t flag;
	} flags[] = {{"proved", WAIT_PROVED}, {"timed", WAIT_TIMED}, {"holder_ended", WAIT_ENDED}};

	for (size_t i = 0; i < COUNT(flags); i++)
		if (token == JSONREAD_TRUE && span_equals(key, flags[i].name))
			r->thread.wait.flags |= flags[i].flag;
}

static void wait_number(struct reader *r, struct span key, enum jsonread_token token)
{
	struct msg_dump_wait *w = &r->thread.wait;

	if (span_equals(key, "fd")) {
		w->fd = saved_number32(r->json, token);
		w->flags |= WAIT_FD;
	} else if (span_equals(key, "bytes") || span_equals(key, "fds") || span_equals(key, "pool_threads")) {
		w->count = saved_number(r->json, token);
		w->flags |= WAIT_COUNT;
	} else if (span_equals(key, "pid")) {
		w->pid = saved_number32(r->json, token);
	} else if (span_equals(key, "seconds")) {
		w->waited_us = saved_microseconds(r->json, token);
		w->flags |= WAIT_SINCE;
	}
}

static int wait_member(struct reader *r, struct span name, enum jsonread_token *token)
{
	static const struct text_member texts[] = {{"type", AT(msg_dump_wait, type)}, {"name", AT(msg_dump_wait, name)},
		{"syscall", AT(msg_dump_wait, call)}, {"path", AT(msg_dump_wait, path)}, {"local", AT(msg_dump_wait, local)},
		{"peer", AT(msg_dump_wait, peer)}, {"command", AT(msg_dump_wait, command)}};
	struct span *text = text_field(&r->thread.wait, texts, COUNT(texts), name);
	char copy[sizeof "holder_ended"] = "";
	struct span key;

	/* The value takes the place of the name. */
	if (name.len < sizeof copy)
		memcpy(copy, name.data, name.len);
	key = span_text(copy);
	*token = next(r);
	if (span_equals(key, "holder") && *token == JSONREAD_OBJECT)
		return each_member(r, holder_member);
	if (jsonread_skip(r->json, *token) != 0)
		return -1;
	if (text != NULL)
		note(r, &r->texts, text, *token);
	else if (span_equals(key, "kind"))
		r->thread.wait.kind = saved_named(r->json, *token, wait_name, WAIT_FOR_CHILD);
	else if (span_equals(key, "confidence"))
		r->thread.wait.confidence = saved_named(r->json, *token, confidence_name, WAIT_KNOWN);
	else if (span_equals(key, "address") && *token == JSONREAD_STRING)
		r->thread.wait.address = saved_address(r->json);
	else if (*token == JSONREAD_NUMBER)
		wait_number(r, key, *token);
	else
		wait_flag(r, key, *token);
	return 0;
}

static void thread_scalar(struct reader *r, struct span key, enum jsonread_token token)
{
	struct msg_dump_thread *t = &r->thread.head;

	if (span_equals(key, "ident")) {
		t->ident = saved_number(r->json, token);
	} else if (span_equals(key, "tid")) {
		t->tid = saved_number32(r->json, token);
	} else if (span_equals(key, "omitted_frames")) {
		t->omitted_frames = saved_number32(r->json, token);
	} else if (span_equals(key, "state")) {
		t->state = saved_named(r->json, token, state_name, STATE_IDLE);
	} else if (span_equals(key, "daemon")) {
		t->flags |= token == JSONREAD_TRUE ? THREAD_DAEMON : 0;
	} else if (span_equals(key, "settled")) {
		t->flags |= token == JSONREAD_FALSE ? THREAD_MOVING : 0;
	} else if (span_equals(key, "cpu_seconds")) {
		r->thread.wait.cpu_us = saved_microseconds(r->json, token);
		r->thread.wait.flags |= WAIT_CPU;
	}
}

static int thread_member(struct reader *r, struct span name, enum jsonread_token *token)
{
	static const struct text_member texts[] = {{"name", AT(msg_dump_thread, name)}, {"class", AT(msg_dump_thread, class_name)},
		{"os_name", AT(msg_dump_thread, os_name)}};
	struct span *text = text_field(&r->thread.head, texts, COUNT(texts), name);
	char copy[sizeof "omitted_frames"] = "";
	struct span key;

	if (name.len < sizeof copy)
		memcpy(copy, name.data, name.len);
	key = span_text(copy);
	*token = next(r);
	if (span_equals(key, "frames") && *token == JSONREAD_ARRAY)
		return read_frames(r);
	if (span_equals(key, "waits_for") && *token == JSONREAD_OBJECT)
		return each_member(r, wait_member);
	if (jsonread_skip(r->json, *token) != 0)
		return -1;
	if (text != NULL)
		note(r, &r->texts, text, *token);
	else
		thread_scalar(r, key, *token);
	return 0;
}

static int read_threads(struct reader *r)
{
	enum jsonread_token token;

	while ((token = next(r)) == JSONREAD_OBJECT) {
		struct msg_dump_thread *t = &r->thread.head;
		struct msg_dump_wait *w = &r->thread.wait;
		struct span *all[] = {&t->name, &t->class_name, &t->os_name, &t->detail, &t->frames, &w->call, &w->type, &w->name, &w->path,
			&w->local, &w->peer, &w->command};

		r->thread = (struct saved_thread){.wait = {.holder_frame = WAIT_FRAME_NONE}};
		buf_clear(&r->texts);
		if (each_member(r, thread_member) != 0)
			return -1;
		for (size_t i = 0; i < COUNT(all); i++)
			settle(&r->texts, all[i]);
		if (span_equals(t->class_name, "_MainThread"))
			t->flags |= THREAD_MAIN;
		r->thread.places = r->places;
		int rc = r->sink->thread(r->sink->context, &r->head, &r->thread);
		if (rc != 0)
			return fail(r, rc);
	}
	return token == JSONREAD_ARRAY_END ? 0 : wrong(r, "a thread that is none");
}

/* --- dumps --- */

enum dump_end { DUMP_WHOLE, DUMP_CHILDREN, DUMP_BROKEN };

/* What is no thread and no child. */
static void head_scalar(struct reader *r, struct span key, enum jsonread_token token)
{
	struct saved_head *h = &r->head;

	if (span_equals(key, "schema"))
		h->schema = saved_number(r->json, token);
	else if (span_equals(key, "pid"))
		h->pid = saved_number(r->json, token);
	else if (span_equals(key, "time"))
		h->time_ns = saved_time_ns(r->json, token);
	else if (span_equals(key, "settled"))
		h->settled = token == JSONREAD_TRUE;
	else if (span_equals(key, "omitted_threads"))
		h->omitted_threads = saved_number(r->json, token);
	else if (span_equals(key, "how") && token == JSONREAD_STRING)
		h->how = span_equals(jsonread_text(r->json), "gil")   ? DUMP_HOW_GIL
			 : span_equals(jsonread_text(r->json), "raw") ? DUMP_HOW_RAW
								      : DUMP_HOW_OS;
}

/* The members of a dump, up to its children: those stay open. */
static enum dump_end read_members(struct reader *r)
{
	for (;;) {
		char copy[sizeof "omitted_threads"] = "";
		enum jsonread_token token = next(r);

		if (token == JSONREAD_OBJECT_END)
			return DUMP_WHOLE;
		if (token != JSONREAD_KEY)
			return DUMP_BROKEN;
		struct span key = jsonread_text(r->json);
		if (key.len < sizeof copy)
			memcpy(copy, key.data, key.len);
		key = span_text(copy);
		token = next(r);
		if (span_equals(key, "children") && token == JSONREAD_ARRAY)
			return DUMP_CHILDREN;
		if (span_equals(key, "threads") && token == JSONREAD_ARRAY) {
			if (read_threads(r) != 0)
				return DUMP_BROKEN;
			r->head.has_threads = 1;
			continue;
		}
		if (jsonread_skip(r->json, token) != 0)
			return DUMP_BROKEN;
		head_scalar(r, key, token);
		if (r->head.schema > JSON_SCHEMA) {
			(void)wrong(r, "written by a later version of pystuck, in a format that is not known here");
			return DUMP_BROKEN;
		}
	}
}

/* A dump that has begun, or an object that only has children: `outer` is 1 where it is no child. */
static enum dump_end read_dump(struct reader *r, int outer, size_t *dumps)
{
	r->head = (struct saved_head){.how = DUMP_HOW_OS};
	enum dump_end end = read_members(r);
	int rc;

	if (end == DUMP_BROKEN)
		return end;
	if (r->head.has_threads && r->head.schema != 0) {
		rc = r->sink->end(r->sink->context, &r->head);
		++*dumps;
		if (rc != 0) {
			(void)fail(r, rc);
			return DUMP_BROKEN;
		}
	} else if (outer && end == DUMP_WHOLE) {
		(void)wrong(r, "this is JSON, but no dump as pystuck --json writes them");
		return DUMP_BROKEN;
	}
	return end;
}

/*
 * All dumps. `open` are those whose children are being read: each is an object and an array of the JSON, so that there are not many.
 */
static int read_all(struct reader *r, size_t *dumps)
{
	unsigned open = 0;
	int in_children = 0; /* or behind them, in the object whose they are */

	for (;;) {
		enum jsonread_token token = next(r);

		if (token == JSONREAD_END)
			return 0;
		if (token == JSONREAD_OBJECT && (open == 0 || in_children)) {
			enum dump_end end = read_dump(r, open == 0, dumps);

			if (end == DUMP_BROKEN)
				return -1;
			open += end == DUMP_CHILDREN;
			in_children = open > 0;
		} else if (token == JSONREAD_ARRAY_END && in_children) {
			in_children = 0;
		} else if (token == JSONREAD_KEY && open > 0) {
			if (jsonread_skip(r->json, next(r)) != 0)
				return -1;
		} else if (token == JSONREAD_OBJECT_END && open > 0) {
			in_children = --open > 0;
		} else {
			return token == JSONREAD_ERROR ? -1 : wrong(r, "this is JSON, but no dump as pystuck --json writes them");
		}
	}
}

int saved_read(struct jsonread *json, const struct saved_sink *sink, size_t *dumps, struct diag *d)
{
	struct reader r = {.json = json, .sink = sink};
	int rc;

	*dumps = 0;
	buf_init(&r.texts, TEXTS_MAX);
	buf_init(&r.of_frame, TEXTS_MAX);
	rc = read_all(&r, dumps);
	buf_free(&r.texts);
	buf_free(&r.of_frame);
	free(r.places);
	if (rc == 0)
		return 0;
	if (r.error != 0)
		return diag_set(d, r.error, 0, "%s", error_text(r.error));
	if (*jsonread_why(json) != '\0')
		return diag_set(d, PYSTUCK_EFORMAT, 0, "%s", jsonread_why(json));
	return diag_set(d, PYSTUCK_EFORMAT, 0, "%s", r.wrong != NULL ? r.wrong : "no dump as pystuck --json writes them");
}
