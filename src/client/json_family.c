/*
 * json_family.c: several processes as JSON: the tree that they are, each with its dump as `pystuck --json` has it.
 */
#include "json_private.h"

#include "family.h"

/* "children": [ of the one that was written last; the next comes into it. */
static void open_member(struct json *j, const struct family_member *m, int locals, int *error)
{
	element(j);
	begin(j, "{");
	if (m->shown) {
		int rc = json_dump_members(j, connect_peer(m->server->c), &m->dump, locals);

		*error = *error != 0 ? *error : rc;
	} else {
		key_number_or_null(j, "pid", m->pid > 0 ? (uint64_t)m->pid : 0);
		key_string(j, "error", span_text(m->why));
	}
	key(j, "children");
	begin(j, "[");
}

static void close_member(struct json *j)
{
	end(j, "]");
	end(j, "}");
}

int json_family(struct out *o, const struct family *f, int all, int locals, int pretty)
{
	struct json j = {.o = o, .pretty = pretty, .first = 1};
	int error = 0;

	if (all) {
		begin(&j, "{");
		key_number(&j, "schema", JSON_SCHEMA);
		key(&j, "children");
		begin(&j, "[");
	}
	for (size_t i = 0; i < f->count; i++) {
		/* The order is that of the tree: whoever stands above the next one stays open. */
		for (size_t depth = i > 0 ? f->at[i - 1].depth + 1 : 0; depth > f->at[i].depth; depth--)
			close_member(&j);
		open_member(&j, &f->at[i], locals, &error);
	}
	for (size_t depth = f->count > 0 ? f->at[f->count - 1].depth + 1 : 0; depth > 0; depth--)
		close_member(&j);
	if (all)
		close_member(&j);
	out_text(o, "\n");
	return error != 0 ? error : o->error;
}
