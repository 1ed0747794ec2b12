/*
 * json.c: a dump as JSON, with nothing but the pieces of out.h. The order of the keys is fixed, so that
 * two dumps can be compared by eye.
 */
#include "json_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "waits.h"

#define JSON_CACHE_MAX (512u << 20) /* bytes: DUMP_BYTES_MAX, as far as it is text, escaped */
#define JSON_TIME 40

/* "2026-01-31T12:00:00.123456Z" */
static void key_time(struct json *j, const char *name, uint64_t ns)
{
	char text[JSON_TIME];
	time_t s = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (gmtime_r(&s, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + len, sizeof text - len, ".%06uZ", (unsigned)(ns / 1000 % 1000000));
	key_string(j, name, span_text(text));
}

/* The command line: arguments with a NUL behind each (or between them). */
static void key_command(struct json *j, const char *name, struct span command)
{
	int pretty = j->pretty;

	key(j, name);
	j->pretty = 0;
	begin(j, "[");
	while (command.len > 0) {
		const uint8_t *nul = memchr(command.data, '\0', command.len);
		size_t len = nul != NULL ? (size_t)(nul - command.data) : command.len;

		element(j);
		string(j, (struct span){command.data, len});
		len += nul != NULL;
		command.data += len;
		command.len -= len;
	}
	end(j, "]");
	j->pretty = pretty;
}

struct json_frames {
	const struct dump *dump;
	struct buf cache; /* of each place its members, made once */
	struct piece {
		size_t at, len;
	} * pieces;
	int locals;
	int error;
};

static void put(struct json_frames *f, const char *text)
{
	if (f->error == 0)
		f->error = buf_put(&f->cache, text, strlen(text));
}

static void put_string(struct json_frames *f, struct span s)
{
	put(f, "\"");
	if (f->error == 0)
		f->error = text_append(&f->cache, s, TEXT_JSON);
	put(f, "\"");
}

static const struct piece *place_text(struct json_frames *f, uint32_t index)
{
	const struct dump_place *place = &f->dump->places[index];
	struct piece *piece = &f->pieces[index];
	char digits[OUT_DIGITS] = "";

	if (piece->len != 0)
		return piece;
	piece->at = buf_len(&f->cache);
	put(f, "{\"file\": ");
	put_string(f, f->dump->codes[place->code].file);
	put(f, ", \"line\": ");
	put(f, place->line != 0 ? out_decimal(digits, place->line) : "null");
	put(f, ", \"function\": ");
	put_string(f, f->dump->codes[place->code].function);
	put(f, ", \"source\": ");
	if (place->source.len > 0)
		put_string(f, place->source);
	else
		put(f, "null");
	piece->len = buf_len(&f->cache) - piece->at;
	return piece;
}

static void frame_locals(struct json *j, const struct json_frames *f, const struct dump_thread *t,
	size_t frame, size_t *next)
{
	const char *comma = "";

	out_text(j->o, ", \"locals\": [");
	for (; *next < t->local_count; (*next)++) {
		const struct dump_local *l = &f->dump->locals[t->first_local + *next];

		if (l->frame != frame)
			break;
		out_text(j->o, comma);
		out_text(j->o, "{\"name\": ");
		string(j, l->name);
		out_text(j->o, ", \"value\": ");
		string(j, l->value);
		out_text(j->o, "}");
		comma = ", ";
	}
	out_text(j->o, "]");
}

/* One frame a line also when pretty: a stack is read from top to bottom. */
static void thread_frames(struct json *j, struct json_frames *f, const struct dump_thread *t)
{
	size_t next_local = 0;

	key(j, "frames");
	begin(j, "[");
	for (size_t i = 0; i < t->depth && f->error == 0; i++) {
		const struct piece *piece = place_text(f, t->places[i]);

		if (f->error != 0)
			break;
		element(j);
		out_bytes(j->o, buf_bytes(&f->cache) + piece->at, piece->len);
		if (f->locals)
			frame_locals(j, f, t, i, &next_local);
		out_text(j->o, "}");
	}
	end(j, "]");
}

struct json_frames *json_frames_open(const struct dump *dump)
{
	struct json_frames *f = calloc(1, sizeof *f);

	if (f == NULL)
		return NULL;
	f->dump = dump;
	buf_init(&f->cache, JSON_CACHE_MAX);
	f->pieces = calloc(dump->place_count + 1, sizeof *f->pieces);
	f->error = f->pieces != NULL ? 0 : PYSTUCK_ENOMEM;
	return f;
}

void json_frames(struct json *j, struct json_frames *f, const uint32_t *places, size_t depth)
{
	const struct dump_thread t = {.places = (uint32_t *)(uintptr_t)places, .depth = depth};

	thread_frames(j, f, &t);
}

int json_frames_close(struct json_frames *f)
{
	int error = f != NULL ? f->error : 0;

	if (f != NULL) {
		buf_free(&f->cache);
		free(f->pieces);
	}
	free(f);
	return error;
}

void json_key_seconds(struct json *j, const char *name, uint64_t us)
{
	char text[JSON_TIME];

	key(j, name);
	snprintf(text, sizeof text, "%llu.%06u", (unsigned long long)(us / 1000000), (unsigned)(us % 1000000));
	out_text(j->o, text);
}

static void holder(struct json *j, const struct dump *dump, const struct dump_thread *t)
{
	const struct dump_thread *h = t->holder != DUMP_NOBODY ? &dump->threads[t->holder] : NULL;

	key(j, "holder");
	if (t->wait.holder == 0) {
		out_text(j->o, "null");
		return;
	}
	begin(j, "{");
	key_number(j, "tid", t->wait.holder);
	key(j, "name");
	if (h != NULL)
		string(j, waits_thread_name(h));
	else
		out_text(j->o, "null");
	if (h != NULL && t->wait.holder_frame != WAIT_FRAME_NONE) {
		const struct dump_place *p = &dump->places[h->places[t->wait.holder_frame]];

		key(j, "frame");
		begin(j, "{");
		key_string(j, "file", dump->codes[p->code].file);
		key_number_or_null(j, "line", t->wait.holder_line != 0 ? t->wait.holder_line : p->line);
		end(j, "}");
	}
	end(j, "}");
}

static void waits_for(struct json *j, const struct dump *dump, const struct dump_thread *t)
{
	const struct msg_dump_wait *w = &t->wait;
	int io = w->kind == WAIT_FOR_IO || w->kind == WAIT_FOR_CHILD || w->kind == WAIT_FOR_SLEEP, pretty = j->pretty;
	char address[24];

	key(j, "waits_for");
	if (w->kind == WAIT_FOR_NONE) {
		out_text(j->o, "null");
		return;
	}
	j->pretty = 0;
	begin(j, "{");
	key_string(j, "kind", span_text(wait_name(w->kind)));
	key_text(j, "type", w->type);
	key_text(j, "name", w->name);
	if (w->address != 0) {
		snprintf(address, sizeof address, "0x%llx", (unsigned long long)w->address);
		key_string(j, "address", span_text(address));
	}
	if (!io) {
		holder(j, dump, t);
		key_string(j, "confidence", span_text(confidence_name(w->confidence)));
		key_bool(j, "proved", w->flags & WAIT_PROVED);
	}
	if (w->flags & WAIT_ENDED)
		key_bool(j, "holder_ended", 1);
	if (w->flags & WAIT_TIMED)
		key_bool(j, "timed", 1);
	key_text(j, "syscall", w->call);
	if (w->flags & WAIT_FD)
		key_number(j, "fd", w->fd);
	key_text(j, "path", w->path);
	key_text(j, "local", w->local);
	key_text(j, "peer", w->peer);
	if (w->flags & WAIT_COUNT)
		key_number(j, w->kind == WAIT_FOR_FUTURE ? "pool_threads" : w->type.len > 0 || w->path.len > 0 ? "bytes" : "fds",
			w->count);
	if (w->pid != 0)
		key_number(j, "pid", w->pid);
	key_text(j, "command", w->command);
	if (w->flags & WAIT_SINCE)
		json_key_seconds(j, "seconds", w->waited_us);
	end(j, "}");
	j->pretty = pretty;
}

/* Of one who is in a circle: what he wants, or what another wants of him. */
static void key_object(struct json *j, const char *name, const struct msg_dump_wait *w)
{
	char address[24];

	key(j, name);
	begin(j, "{");
	key_string(j, "kind", span_text(wait_name(w->kind)));
	key_text(j, "type", w->type);
	key_text(j, "name", w->name);
	snprintf(address, sizeof address, "0x%llx", (unsigned long long)w->address);
	key_string(j, "address", span_text(address));
	end(j, "}");
}

static void circle(struct json *j, const struct report *r, size_t number)
{
	int pretty;

	element(j);
	begin(j, "{");
	key(j, "members");
	begin(j, "[");
	for (size_t i = report_begin(r, number); i < r->deadlocks.ends[number]; i++) {
		const struct dump_thread *t = &r->dump->threads[r->deadlocks.members[i]];

		element(j);
		pretty = j->pretty;
		j->pretty = 0;
		begin(j, "{");
		key_number_or_null(j, "tid", t->head.tid);
		key_string(j, "name", waits_thread_name(t));
		key_object(j, "wants", &t->wait);
		key_object(j, "holds", &r->dump->threads[report_before(r, number, i)].wait);
		end(j, "}");
		j->pretty = pretty;
	}
	end(j, "]");
	key_string(j, "confidence", span_text(report_sure_name(report_sureness(r, number))));
	end(j, "}");
}

/* The same sentence as in the text. */
static void key_summary(struct json *j, const struct report *r)
{
	struct out line;

	out_init(&line, -1);
	report_summary(&line, r);
	key_string(j, "summary", buf_span(&line.buf));
	out_free(&line);
}

static int report(struct json *j, const struct dump *dump)
{
	struct report r;
	int rc = report_open(&r, dump), pretty = j->pretty;

	if (rc == 0) {
		key_summary(j, &r);
		key(j, "deadlocks");
		begin(j, "[");
		for (size_t i = 0; i < r.deadlocks.count; i++)
			circle(j, &r, i);
		end(j, "]");
		key(j, "led_into");
		j->pretty = 0;
		begin(j, "[");
		for (size_t i = 0; i < r.deadlocks.led_count; i++) {
			element(j);
			out_number(j->o, dump->threads[r.deadlocks.led_into[i]].head.tid);
		}
		end(j, "]");
		j->pretty = pretty;
	}
	report_close(&r);
	return rc;
}

static void thread(struct json *j, struct json_frames *f, const struct dump_thread *t)
{
	int known = t->head.class_name.len > 0;

	element(j);
	begin(j, "{");
	key_number(j, "ident", t->head.ident);
	key_number_or_null(j, "tid", t->head.tid);
	key_string(j, "name", known ? t->head.name : t->head.os_name);
	key(j, "class");
	if (known)
		string(j, t->head.class_name);
	else
		out_text(j->o, "null");
	key_bool(j, "daemon", t->head.flags & THREAD_DAEMON);
	key_string(j, "state", span_text(state_name(t->head.state)));
	waits_for(j, f->dump, t);
	key_string(j, "os_name", t->head.os_name);
	key_number(j, "interpreter", f->dump->interpreter_count > 0 ? f->dump->interpreters[t->interpreter].id : 0);
	if (t->wait.flags & WAIT_CPU)
		json_key_seconds(j, "cpu_seconds", t->wait.cpu_us);
	key_bool(j, "settled", !(t->head.flags & THREAD_MOVING));
	thread_frames(j, f, t);
	key_number(j, "omitted_frames", t->head.omitted_frames);
	end(j, "}");
}

/* One line each, also when pretty: there may be many, and little is said of each. */
static void native(struct json *j, const struct dump *dump, const struct dump_thread *t)
{
	int pretty = j->pretty;

	element(j);
	j->pretty = 0;
	begin(j, "{");
	key_number(j, "tid", t->head.tid);
	key_string(j, "name", t->head.os_name);
	key_string(j, "state", span_text(state_name(t->head.state)));
	waits_for(j, dump, t);
	if (t->wait.flags & WAIT_CPU)
		json_key_seconds(j, "cpu_seconds", t->wait.cpu_us);
	end(j, "}");
	j->pretty = pretty;
}

/* Threads without Python. */
static void natives(struct json *j, const struct dump *dump)
{
	key(j, "native_threads");
	begin(j, "[");
	for (size_t i = 0; i < dump->native_count; i++)
		native(j, dump, &dump->natives[i]);
	end(j, "]");
	key_number(j, "omitted_native_threads", dump->natives_head.omitted);
}

static void interpreter(struct json *j, const struct msg_dump_interpreter *i)
{
	int pretty = j->pretty;

	element(j);
	j->pretty = 0;
	begin(j, "{");
	key_number(j, "id", i->id);
	key_bool(j, "main", i->flags & INTERPRETER_MAIN);
	key_bool(j, "own_gil", i->flags & INTERPRETER_OWN_GIL);
	key_number_or_null(j, "gil_holder", i->gil_holder);
	key_bool(j, "read", !(i->flags & INTERPRETER_UNREAD));
	end(j, "}");
	j->pretty = pretty;
}

static void interpreters(struct json *j, const struct dump *dump)
{
	static const struct msg_dump_interpreter only = {.flags = INTERPRETER_MAIN};

	key(j, "interpreters");
	begin(j, "[");
	if (dump->interpreter_count == 0)
		interpreter(j, &only);
	for (size_t i = 0; i < dump->interpreter_count; i++)
		interpreter(j, &dump->interpreters[i]);
	end(j, "]");
}

static const char *how_name(int how)
{
	switch (how) {
	case DUMP_HOW_GIL:
		return "gil";
	case DUMP_HOW_RAW:
		return "raw";
	default:
		return "os";
	}
}

static void dump_head(struct json *j, const struct msg_welcome *w, const struct msg_dump_begin *b)
{
	key_number(j, "schema", JSON_SCHEMA);
	key_string(j, "pystuck", w->pystuck);
	key_number(j, "pid", w->pid);
	key_string(j, "python", w->python);
	key_command(j, "command", w->command);
	key_time(j, "time", b->time_ns);
	key_string(j, "how", span_text(how_name(b->how)));
	key_bool(j, "settled", b->settled);
	key(j, "gil");
	begin(j, "{");
	key_number(j, "wait_us", b->gil_wait_us);
	key_number(j, "held_us", b->gil_held_us);
	key_number_or_null(j, "holder", b->gil_holder);
	end(j, "}");
}

int json_dump_members(struct json *j, const struct msg_welcome *w, const struct dump *dump, int locals)
{
	struct json_frames *f = json_frames_open(dump);
	int rc;

	if (f == NULL)
		return PYSTUCK_ENOMEM;
	f->locals = locals;
	dump_head(j, w, &dump->begin);
	rc = report(j, dump);
	f->error = f->error != 0 ? f->error : rc;
	interpreters(j, dump);
	key(j, "threads");
	begin(j, "[");
	for (size_t i = 0; i < dump->thread_count && f->error == 0; i++)
		thread(j, f, &dump->threads[i]);
	end(j, "]");
	key_number(j, "omitted_threads", dump->end.omitted_threads);
	natives(j, dump);
	if (f->error == 0)
		f->error = json_tasks(j, f, dump);
	rc = json_frames_close(f);
	return rc == 0 ? json_suspended(j, dump) : rc;
}

int json_dump(
	struct out *o, const struct msg_welcome *w, const struct dump *dump, int locals, int pretty)
{
	struct json j = {.o = o, .pretty = pretty, .first = 1};

	begin(&j, "{");
	int rc = json_dump_members(&j, w, dump, locals);
	end(&j, "}");
	out_text(o, "\n");
	return rc != 0 ? rc : o->error;
}
