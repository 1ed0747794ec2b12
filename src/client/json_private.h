/*
 * json_private.h: how values, lists and objects are written, for json.c, which has the dump, json_result.c, which has the outcome
 * of an evaluation, json_family.c, which has several processes, json_greenlets.c, and speedscope.c. For these files only.
 */
#ifndef PYSTUCK_CLIENT_JSON_PRIVATE_H
#define PYSTUCK_CLIENT_JSON_PRIVATE_H

#include <stdio.h>

#include "json.h"

struct json {
	struct out *o;
	int pretty;
	unsigned depth;
	int first; /* nothing has been written yet in this object or array */
};

/* The members of a dump, of an object that has begun. 0 or an error. */
int json_dump_members(struct json *j, const struct msg_welcome *w, const struct dump *dump, int locals);

/* Its greenlets and generators: the same. */
int json_suspended(struct json *j, const struct dump *dump);

/* Its loops and tasks, with the frames of the same dump. 0 or PYSTUCK_ENOMEM. */
struct json_frames;
int json_tasks(struct json *j, struct json_frames *f, const struct dump *dump);

/* Frames of a dump: each place is made into text once. NULL: no memory; json_frames_close says what went wrong in between. */
struct json_frames *json_frames_open(const struct dump *dump);
void json_frames(struct json *j, struct json_frames *f, const uint32_t *places, size_t depth);
int json_frames_close(struct json_frames *f);
/* Microseconds as seconds, whatever the locale's decimal point is. */
void json_key_seconds(struct json *j, const char *name, uint64_t us);

/* Where the next element begins: comma, line, indentation. */
static inline void element(struct json *j)
{
	if (!j->first)
		out_text(j->o, j->pretty ? "," : ", ");
	if (j->pretty && j->depth > 0) {
		out_text(j->o, "\n");
		out_pad(j->o, 2 * (size_t)j->depth);
	}
	j->first = 0;
}

static inline void key(struct json *j, const char *name)
{
	element(j);
	out_text(j->o, "\"");
	out_text(j->o, name);
	out_text(j->o, "\": ");
}

static inline void begin(struct json *j, const char *bracket)
{
	out_text(j->o, bracket);
	j->depth++;
	j->first = 1;
}

static inline void end(struct json *j, const char *bracket)
{
	j->depth--;
	if (j->pretty && !j->first) {
		out_text(j->o, "\n");
		out_pad(j->o, 2 * (size_t)j->depth);
	}
	out_text(j->o, bracket);
	j->first = 0;
}

static inline void string(struct json *j, struct span s)
{
	out_text(j->o, "\"");
	out_safe(j->o, s, TEXT_JSON);
	out_text(j->o, "\"");
}

static inline void key_string(struct json *j, const char *name, struct span s)
{
	key(j, name);
	string(j, s);
}

static inline void key_number(struct json *j, const char *name, uint64_t v)
{
	key(j, name);
	out_number(j->o, v);
}

/* A number whose 0 means that it is not known. */
static inline void key_number_or_null(struct json *j, const char *name, uint64_t v)
{
	key(j, name);
	if (v == 0)
		out_text(j->o, "null");
	else
		out_number(j->o, v);
}

static inline void key_bool(struct json *j, const char *name, int v)
{
	key(j, name);
	out_text(j->o, v ? "true" : "false");
}

static inline void key_text(struct json *j, const char *name, struct span s)
{
	if (s.len > 0)
		key_string(j, name, s);
}

/* An address as people write it: "0x7f12"; nothing for 0. */
static inline void key_known_address(struct json *j, const char *name, uint64_t address)
{
	char text[24];

	if (address == 0)
		return;
	snprintf(text, sizeof text, "0x%llx", (unsigned long long)address);
	key_string(j, name, span_text(text));
}

#endif
