/*
 * saved_thread.c: the threads of a saved dump, and what each waits for.
 */
#include "saved_reader.h"
#include "saved_value.h"

/* Only its tid: where the holder is, is found in its own thread. */
static int holder_member(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	if (jsonread_skip(r->json, value) != 0)
		return -1;
	if (span_equals(name, "tid"))
		r->thread.wait.holder = saved_number32(r->json, value);
	return 0;
}

static void wait_flag(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	static const struct {
		const char *name;
		uint8_t flag;
	} flags[] = {{"proved", WAIT_PROVED}, {"timed", WAIT_TIMED}, {"holder_ended", WAIT_ENDED}};

	for (size_t i = 0; i < SAVED_COUNT(flags); i++)
		if (value == JSONREAD_TRUE && span_equals(name, flags[i].name))
			r->thread.wait.flags |= flags[i].flag;
}

static void wait_number(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	struct msg_dump_wait *w = &r->thread.wait;

	if (span_equals(name, "fd")) {
		w->fd = saved_number32(r->json, value);
		w->flags |= WAIT_FD;
	} else if (span_equals(name, "bytes") || span_equals(name, "fds") || span_equals(name, "pool_threads")) {
		w->count = saved_number(r->json, value);
		w->flags |= WAIT_COUNT;
	} else if (span_equals(name, "pid")) {
		w->pid = saved_number32(r->json, value);
	} else if (span_equals(name, "seconds")) {
		w->waited_us = saved_microseconds(r->json, value);
		w->flags |= WAIT_SINCE;
	}
}

static int wait_member(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	static const struct saved_text texts[] = {{"type", SAVED_AT(msg_dump_wait, type)}, {"name", SAVED_AT(msg_dump_wait, name)},
		{"syscall", SAVED_AT(msg_dump_wait, call)}, {"path", SAVED_AT(msg_dump_wait, path)}, {"local", SAVED_AT(msg_dump_wait, local)},
		{"peer", SAVED_AT(msg_dump_wait, peer)}, {"command", SAVED_AT(msg_dump_wait, command)}};
	struct span *text = saved_text_field(&r->thread.wait, texts, SAVED_COUNT(texts), name);

	if (span_equals(name, "holder") && value == JSONREAD_OBJECT)
		return saved_members(r, holder_member);
	if (jsonread_skip(r->json, value) != 0)
		return -1;
	if (text != NULL)
		saved_note(r, &r->texts, text, value);
	else if (span_equals(name, "kind"))
		r->thread.wait.kind = saved_named(r->json, value, wait_name, WAIT_FOR_CHILD);
	else if (span_equals(name, "confidence"))
		r->thread.wait.confidence = saved_named(r->json, value, confidence_name, WAIT_KNOWN);
	else if (span_equals(name, "address") && value == JSONREAD_STRING)
		r->thread.wait.address = saved_address(r->json);
	else if (value == JSONREAD_NUMBER)
		wait_number(r, name, value);
	else
		wait_flag(r, name, value);
	return 0;
}

static void thread_scalar(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	struct msg_dump_thread *t = &r->thread.head;

	if (span_equals(name, "ident")) {
		t->ident = saved_number(r->json, value);
	} else if (span_equals(name, "tid")) {
		t->tid = saved_number32(r->json, value);
	} else if (span_equals(name, "omitted_frames")) {
		t->omitted_frames = saved_number32(r->json, value);
	} else if (span_equals(name, "state")) {
		t->state = saved_named(r->json, value, state_name, STATE_IDLE);
	} else if (span_equals(name, "daemon")) {
		t->flags |= value == JSONREAD_TRUE ? THREAD_DAEMON : 0;
	} else if (span_equals(name, "settled")) {
		t->flags |= value == JSONREAD_FALSE ? THREAD_MOVING : 0;
	} else if (span_equals(name, "cpu_seconds")) {
		r->thread.wait.cpu_us = saved_microseconds(r->json, value);
		r->thread.wait.flags |= WAIT_CPU;
	}
}

static int thread_member(struct saved_reader *r, struct span name, enum jsonread_token value)
{
	static const struct saved_text texts[] = {{"name", SAVED_AT(msg_dump_thread, name)}, {"class", SAVED_AT(msg_dump_thread, class_name)},
		{"os_name", SAVED_AT(msg_dump_thread, os_name)}};
	struct span *text = saved_text_field(&r->thread.head, texts, SAVED_COUNT(texts), name);

	if (span_equals(name, "frames") && value == JSONREAD_ARRAY)
		return saved_frames_read(r);
	if (span_equals(name, "waits_for") && value == JSONREAD_OBJECT)
		return saved_members(r, wait_member);
	if (jsonread_skip(r->json, value) != 0)
		return -1;
	if (text != NULL)
		saved_note(r, &r->texts, text, value);
	else
		thread_scalar(r, name, value);
	return 0;
}

int saved_threads_read(struct saved_reader *r)
{
	enum jsonread_token token;

	while ((token = jsonread_next(r->json)) == JSONREAD_OBJECT) {
		struct msg_dump_thread *t = &r->thread.head;
		struct msg_dump_wait *w = &r->thread.wait;
		struct span *all[] = {&t->name, &t->class_name, &t->os_name, &t->detail, &t->frames, &w->call, &w->type, &w->name, &w->path,
			&w->local, &w->peer, &w->command};

		r->thread = (struct saved_thread){.wait = {.holder_frame = WAIT_FRAME_NONE}};
		buf_clear(&r->texts);
		if (saved_members(r, thread_member) != 0)
			return -1;
		for (size_t i = 0; i < SAVED_COUNT(all); i++)
			saved_settle(&r->texts, all[i]);
		if (span_equals(t->class_name, "_MainThread"))
			t->flags |= THREAD_MAIN;
		r->thread.places = r->places;
		int rc = r->sink->thread(r->sink->context, &r->head, &r->thread);
		if (rc != 0)
			return saved_fail(r, rc);
	}
	return token == JSONREAD_ARRAY_END ? 0 : saved_wrong(r, "a thread that is none");
}
