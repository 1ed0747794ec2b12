/*
 * json.h: a dump, or the outcome of an evaluation, as JSON (docs/dump.schema.json,
 * docs/result.schema.json): always valid UTF-8 and valid JSON.
 */
#ifndef PYSTUCK_CLIENT_JSON_H
#define PYSTUCK_CLIENT_JSON_H

#include "dump.h"
#include "out.h"

#define JSON_SCHEMA 1

/*
 * `pretty` 1: indented, for a person at a terminal; 0: one line. `locals` 1: each frame has its
 * variables. 0 or an error.
 */
int json_dump(struct out *o, const struct msg_welcome *w, const struct dump *dump, int locals,
	int pretty);

struct family;
/* The tree of processes; `all`: of the machine, in an object of its own; else the first is the root of it. 0 or an error. */
int json_family(struct out *o, const struct family *f, int all, int locals, int pretty);

struct json_result {
	const char *status;   /* "none", "value", "raised", "interrupted", "exit", "timeout" */
	int has_value;
	struct span repr;     /* of the value */
	int has_exception;
	struct span type, message, traceback; /* of the exception; an empty type: not known */
	struct span out, err; /* what the code printed */
	int cut;              /* something of the above was left out */
	uint64_t duration_us;
};

int json_result(struct out *o, const struct json_result *r, int pretty);

#endif
