/*
 * json_greenlets.c: greenlets and generators as members of a dump's JSON. In words: greenlets.c.
 */
#include <stdio.h>

#include "greenlets.h"
#include "json_private.h"

static void key_address(struct json *j, const char *name, uint64_t address)
{
	char text[24];

	key(j, name);
	snprintf(text, sizeof text, "0x%llx", (unsigned long long)address);
	if (address != 0)
		string(j, span_text(text));
	else
		out_text(j->o, "null");
}

static void waits_for(struct json *j, const struct msg_dump_greenlet *h)
{
	int pretty = j->pretty;

	key(j, "waits_for");
	if (h->wait == GREENLET_FOR_UNKNOWN) {
		out_text(j->o, "null");
		return;
	}
	j->pretty = 0;
	begin(j, "{");
	key_string(j, "kind", span_text(greenlets_wait_name(h->wait)));
	if (h->count > 1)
		key_number(j, "count", h->count);
	if (h->object_type.len > 0)
		key_string(j, "type", h->object_type);
	if (h->object != 0)
		key_address(j, "address", h->object);
	if (h->holder != 0)
		key_address(j, "holder", h->holder);
	if (h->wait == GREENLET_FOR_IO) {
		key_bool(j, "read", h->events & GREENLET_READS);
		key_bool(j, "write", h->events & GREENLET_WRITES);
	}
	if (h->fd != GREENLET_NO_FD)
		key_number(j, "fd", h->fd);
	if (h->path.len > 0)
		key_string(j, "path", h->path);
	if (h->local.len > 0)
		key_string(j, "local", h->local);
	if (h->peer.len > 0)
		key_string(j, "peer", h->peer);
	if (h->flags & GREENLET_TIMED)
		json_key_seconds(j, "seconds_left", h->left_us);
	end(j, "}");
	j->pretty = pretty;
}

static void greenlet(struct json *j, struct json_frames *f, const struct dump_greenlet *g)
{
	element(j);
	begin(j, "{");
	key_address(j, "address", g->head.address);
	key_address(j, "parent", g->head.parent);
	key_number_or_null(j, "thread", g->head.thread);
	key_string(j, "class", g->head.type);
	key_string(j, "name", g->head.name);
	key_bool(j, "hub", g->head.flags & GREENLET_HUB);
	key_bool(j, "main", g->head.flags & GREENLET_MAIN);
	key_string(j, "state", span_text(greenlets_state_name(g->head.state)));
	waits_for(j, &g->head);
	json_frames(j, f, g->places, g->depth);
	key_number(j, "omitted_frames", g->head.omitted_frames);
	end(j, "}");
}

static void generator(struct json *j, struct json_frames *f, const struct dump_generator *g)
{
	static const char *const kinds[] = {
		[GENERATOR_PLAIN] = "generator", [GENERATOR_COROUTINE] = "coroutine", [GENERATOR_ASYNC] = "async_generator"};

	element(j);
	begin(j, "{");
	key_string(j, "kind", span_text(kinds[g->head.kind]));
	key_number(j, "count", g->head.count);
	json_frames(j, f, g->places, g->depth);
	key_number(j, "omitted_frames", g->head.omitted_frames);
	end(j, "}");
}

int json_suspended(struct json *j, const struct dump *dump)
{
	const struct dump *s = dump->suspended;
	uint8_t asked = s != NULL ? s->asked : 0;
	struct json_frames *f = NULL;

	if (s != NULL && (f = json_frames_open(s)) == NULL)
		return PYSTUCK_ENOMEM;
	key(j, "greenlets");
	if (asked & DUMP_GREENLETS) {
		begin(j, "[");
		for (size_t i = 0; i < s->greenlet_count; i++)
			greenlet(j, f, &s->greenlets[i]);
		end(j, "]");
	} else {
		out_text(j->o, "null");
	}
	key(j, "generators");
	if (asked & DUMP_GENERATORS) {
		begin(j, "[");
		for (size_t i = 0; i < s->generator_count; i++)
			generator(j, f, &s->generators[i]);
		end(j, "]");
	} else {
		out_text(j->o, "null");
	}
	if (s != NULL)
		key_bool(j, "suspended_cut", s->end.flags & DUMP_CUT);
	return json_frames_close(f);
}
