/*
 * json_result.c: the outcome of an evaluation as JSON: docs/result.schema.json.
 */
#include "json_private.h"

static void exception(struct json *j, const struct json_result *r)
{
	key(j, "exception");
	if (!r->has_exception) {
		out_text(j->o, "null");
		return;
	}
	begin(j, "{");
	key(j, "type");
	if (r->type.len > 0)
		string(j, r->type);
	else
		out_text(j->o, "null");
	key_string(j, "message", r->message);
	key_string(j, "traceback", r->traceback);
	end(j, "}");
}

int json_result(struct out *o, const struct json_result *r, int pretty)
{
	struct json j = {.o = o, .pretty = pretty, .first = 1};

	begin(&j, "{");
	key_number(&j, "schema", JSON_SCHEMA);
	key_string(&j, "status", span_text(r->status));
	key(&j, "repr");
	if (r->has_value)
		string(&j, r->repr);
	else
		out_text(o, "null");
	key_string(&j, "stdout", r->out);
	key_string(&j, "stderr", r->err);
	exception(&j, r);
	key_bool(&j, "cut", r->cut);
	key_number(&j, "duration_us", r->duration_us);
	end(&j, "}");
	out_text(o, "\n");
	return o->error;
}
