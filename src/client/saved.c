/*
 * saved.c: from JSON to dumps. Members that are not known are passed over: later versions may add some. Nothing is believed that
 * was not looked at: a number that is none is 0, a word that is not known is "not known".
 */
#include <stdlib.h>

#include "json.h"
#include "saved_reader.h"
#include "saved_value.h"

#define TEXTS_MAX (64u << 20) /* bytes of texts of one thread */
#define NO_DUMP "this is JSON, but no dump as pystuck --json writes them"

enum dump_end { DUMP_WHOLE, DUMP_CHILDREN, DUMP_BROKEN };

/* What is no thread and no child. */
static void head_scalar(struct saved_reader *r, struct span key, enum jsonread_token token)
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
static enum dump_end read_members(struct saved_reader *r)
{
	for (;;) {
		char name[SAVED_NAME];
		enum jsonread_token token = saved_member(r, name);
		struct span key = span_text(name);

		if (token == JSONREAD_OBJECT_END)
			return DUMP_WHOLE;
		if (token == JSONREAD_ERROR)
			return DUMP_BROKEN;
		if (span_equals(key, "children") && token == JSONREAD_ARRAY)
			return DUMP_CHILDREN;
		if (span_equals(key, "threads") && token == JSONREAD_ARRAY) {
			if (saved_threads_read(r) != 0)
				return DUMP_BROKEN;
			r->head.has_threads = 1;
			continue;
		}
		if (jsonread_skip(r->json, token) != 0)
			return DUMP_BROKEN;
		head_scalar(r, key, token);
		if (r->head.schema > JSON_SCHEMA) {
			(void)saved_wrong(r, "written by a later version of pystuck, in a format that is not known here");
			return DUMP_BROKEN;
		}
	}
}

/* A dump that has begun, or an object that only has children: `outer` is 1 where it is no child. */
static enum dump_end read_dump(struct saved_reader *r, int outer, size_t *dumps)
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
			(void)saved_fail(r, rc);
			return DUMP_BROKEN;
		}
	} else if (outer && end == DUMP_WHOLE) {
		(void)saved_wrong(r, NO_DUMP);
		return DUMP_BROKEN;
	}
	return end;
}

/*
 * All dumps. `open` are those whose children are being read: each is an object and an array of the JSON, so that there are not many.
 */
static int read_all(struct saved_reader *r, size_t *dumps)
{
	unsigned open = 0;
	int in_children = 0; /* or behind them, in the object whose they are */

	for (;;) {
		enum jsonread_token token = jsonread_next(r->json);

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
			if (jsonread_skip(r->json, jsonread_next(r->json)) != 0)
				return -1;
		} else if (token == JSONREAD_OBJECT_END && open > 0) {
			in_children = --open > 0;
		} else {
			return token == JSONREAD_ERROR ? -1 : saved_wrong(r, NO_DUMP);
		}
	}
}

int saved_read(struct jsonread *json, const struct saved_sink *sink, size_t *dumps, struct diag *d)
{
	struct saved_reader r = {.json = json, .sink = sink};
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
