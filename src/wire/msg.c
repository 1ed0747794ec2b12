/*
 * msg.c: every message of the protocol as one table of fields, and one loop each to encode and to
 * decode. The order of the fields stands in these tables and nowhere else. No framing, no I/O.
 */
#include "msg.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "error.h"
#include "text.h"

_Static_assert(FRAME_BYTES == 8, "MSG_FRAMES_MAX is in units of FRAME_BYTES");
_Static_assert(sizeof(size_t) >= 4, "the lengths of a message fit into size_t");

enum kind {
	U8,		/* from least to most */
	FLAGS,		/* a u8 without other bits than those of most */
	U16,
	VERSION,	/* a u16: the protocol version, which governs what follows */
	U32,
	U64,
	BYTES,		/* u32 length, then at most `most` bytes */
	TEXT,		/* the same, for showing only: cut to `most` when encoding */
	LIST,		/* as BYTES, of texts that each end with a NUL */
	FRAMES,		/* u32 count of at most `most`, then FRAME_BYTES each; ids of tasks are as long */
};

struct field {
	enum kind kind;
	size_t offset;		/* in struct msg */
	uint32_t least, most;
	bool lasting;		/* stands in this place in every version of the protocol */
};

#define AT(member) offsetof(struct msg, member)

static const struct field hello[] = {
	{ BYTES, AT(hello.magic), 0, MSG_MAGIC_MAX, true },
	{ VERSION, AT(hello.version), 0, 0, true },
	{ TEXT, AT(hello.client), 0, MSG_VERSION_MAX, false },
};

static const struct field dump[] = {
	{ U32, AT(dump.id), 0, 0, false },
	{ FLAGS, AT(dump.flags), 0, DUMP_LOCALS | DUMP_OURS | DUMP_RAW | DUMP_SAMPLE | DUMP_GREENLETS | DUMP_GENERATORS | DUMP_TASKS, false },
	{ U32, AT(dump.max_frames), 0, 0, false },
};

static const struct field eval[] = {
	{ U32, AT(eval.id), 0, 0, false },
	{ FLAGS, AT(eval.flags), 0, EVAL_INTERACTIVE | EVAL_PROMPT | EVAL_RAISED, false },
	{ U32, AT(eval.cell), 0, 0, false },
	{ BYTES, AT(eval.source), 0, MSG_TEXT_MAX, false },
};

static const struct field complete[] = {
	{ U32, AT(complete.id), 0, 0, false },
	{ FLAGS, AT(complete.flags), 0, COMPLETE_ASK, false },
	{ BYTES, AT(complete.source), 0, MSG_COMPLETE_MAX, false },
};

static const struct field interrupt[] = {
	{ U32, AT(interrupt.id), 0, 0, false },
};

static const struct field detach[] = {
	{ U32, AT(detach.id), 0, 0, false },
};

static const struct field where[] = {
	{ U32, AT(where.id), 0, 0, false },
};

static const struct field background[] = {
	{ U32, AT(background.id), 0, 0, false },
};

static const struct field bye[] = {
	{ U8, AT(bye.reason), 0, REASON_VETO, false },
	{ TEXT, AT(bye.text), 0, MSG_SENTENCE_MAX, false },
};

static const struct field welcome[] = {
	{ VERSION, AT(welcome.version), 0, 0, true },
	{ U8, AT(welcome.role), ROLE_STACKS, ROLE_EVAL, false },
	{ U32, AT(welcome.pid), 0, 0, false },
	{ U32, AT(welcome.uid), 0, 0, false },
	{ U64, AT(welcome.started_ns), 0, 0, false },
	{ TEXT, AT(welcome.pystuck), 0, MSG_VERSION_MAX, false },
	{ TEXT, AT(welcome.python), 0, MSG_VERSION_MAX, false },
	{ TEXT, AT(welcome.command), 0, MSG_COMMAND_MAX, false },
};

static const struct field refused[] = {
	{ VERSION, AT(refused.version), 0, 0, true },
	{ U8, AT(refused.reason), REASON_DENIED, REASON_VETO, true },
	{ TEXT, AT(refused.text), 0, MSG_SENTENCE_MAX, false },
};

static const struct field error[] = {
	{ U32, AT(error.id), 0, 0, false },
	{ U8, AT(error.reason), REASON_DENIED, REASON_VETO, false },
	{ TEXT, AT(error.text), 0, MSG_SENTENCE_MAX, false },
};

static const struct field dump_begin[] = {
	{ U32, AT(dump_begin.id), 0, 0, false },
	{ U8, AT(dump_begin.how), DUMP_HOW_GIL, DUMP_HOW_OS, false },
	{ U8, AT(dump_begin.settled), 0, 1, false },
	{ U64, AT(dump_begin.time_ns), 0, 0, false },
	{ U64, AT(dump_begin.gil_wait_us), 0, 0, false },
	{ U64, AT(dump_begin.gil_held_us), 0, 0, false },
	{ U32, AT(dump_begin.gil_holder), 0, 0, false },
	{ U32, AT(dump_begin.threads), 0, 0, false },
	{ TEXT, AT(dump_begin.note), 0, MSG_SENTENCE_MAX, false },
};

static const struct field dump_code[] = {
	{ U32, AT(dump_code.code), 0, 0, false },
	{ TEXT, AT(dump_code.file), 0, MSG_FILE_MAX, false },
	{ TEXT, AT(dump_code.function), 0, MSG_NAME_MAX, false },
};

static const struct field dump_source[] = {
	{ U32, AT(dump_source.code), 0, 0, false },
	{ U32, AT(dump_source.line), 0, 0, false },
	{ TEXT, AT(dump_source.text), 0, MSG_LINE_MAX, false },
};

static const struct field dump_thread[] = {
	{ U64, AT(dump_thread.ident), 0, 0, false },
	{ U32, AT(dump_thread.tid), 0, 0, false },
	{ FLAGS, AT(dump_thread.flags), 0, THREAD_MAIN | THREAD_DAEMON | THREAD_OURS | THREAD_MOVING, false },
	{ U8, AT(dump_thread.state), STATE_UNKNOWN, STATE_IDLE, false },
	{ TEXT, AT(dump_thread.name), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_thread.class_name), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_thread.os_name), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_thread.detail), 0, MSG_SENTENCE_MAX, false },
	{ U32, AT(dump_thread.omitted_frames), 0, 0, false },
	{ FRAMES, AT(dump_thread.frames), 0, MSG_FRAMES_MAX, false },
};

static const struct field dump_local[] = {
	{ U32, AT(dump_local.frame), 0, 0, false },
	{ TEXT, AT(dump_local.name), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_local.value), 0, MSG_VALUE_MAX, false },
};

static const struct field dump_end[] = {
	{ U32, AT(dump_end.id), 0, 0, false },
	{ U32, AT(dump_end.omitted_threads), 0, 0, false },
	{ FLAGS, AT(dump_end.flags), 0, DUMP_CUT | DUMP_HAS_GREENLETS, false },
};

static const struct field output[] = {
	{ U32, AT(output.id), 0, 0, false },
	{ U8, AT(output.stream), 1, 3, false },
	{ BYTES, AT(output.text), 0, MSG_TEXT_MAX, false },
};

static const struct field result[] = {
	{ U32, AT(result.id), 0, 0, false },
	{ U8, AT(result.status), RESULT_NONE, RESULT_EXIT, false },
	{ U64, AT(result.duration_us), 0, 0, false },
	{ U64, AT(result.total), 0, 0, false },
	{ TEXT, AT(result.text), 0, MSG_TEXT_MAX, false },
};

static const struct field place[] = {
	{ U32, AT(place.id), 0, 0, false },
	{ TEXT, AT(place.text), 0, MSG_SENTENCE_MAX, false },
};

static const struct field raised[] = {
	{ U32, AT(raised.id), 0, 0, false },
	{ TEXT, AT(raised.type), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(raised.message), 0, MSG_VALUE_MAX, false },
};

static const struct field matches[] = {
	{ U32, AT(matches.id), 0, 0, false },
	{ FLAGS, AT(matches.flags), 0, MATCHES_CUT | MATCHES_UNASKED, false },
	{ U32, AT(matches.from), 0, 0, false },
	{ U32, AT(matches.total), 0, 0, false },
	{ TEXT, AT(matches.signature), 0, MSG_SENTENCE_MAX, false },
	{ LIST, AT(matches.matches), 0, MSG_COMPLETE_MAX, false },
};

static const struct field dump_wait[] = {
	{ U8, AT(dump_wait.kind), WAIT_FOR_NONE, WAIT_FOR_CHILD, false },
	{ FLAGS, AT(dump_wait.flags), 0, WAIT_ALL, false },
	{ U8, AT(dump_wait.confidence), WAIT_UNKNOWN, WAIT_CALLED, false },
	{ U64, AT(dump_wait.cpu_us), 0, 0, false },
	{ U64, AT(dump_wait.waited_us), 0, 0, false },
	{ U64, AT(dump_wait.address), 0, 0, false },
	{ U32, AT(dump_wait.holder), 0, 0, false },
	{ U32, AT(dump_wait.holder_frame), 0, 0, false },
	{ U32, AT(dump_wait.holder_line), 0, 0, false },
	{ U32, AT(dump_wait.fd), 0, 0, false },
	{ U64, AT(dump_wait.count), 0, 0, false },
	{ U32, AT(dump_wait.pid), 0, 0, false },
	{ TEXT, AT(dump_wait.call), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_wait.type), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_wait.name), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_wait.path), 0, MSG_FILE_MAX, false },
	{ TEXT, AT(dump_wait.local), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_wait.peer), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_wait.command), 0, MSG_NAME_MAX, false },
};

static const struct field dump_greenlet[] = {
	{ U64, AT(dump_greenlet.address), 0, 0, false },
	{ U64, AT(dump_greenlet.parent), 0, 0, false },
	{ U64, AT(dump_greenlet.thread), 0, 0, false },
	{ U8, AT(dump_greenlet.state), GREENLET_CURRENT, GREENLET_NEW, false },
	{ FLAGS, AT(dump_greenlet.flags), 0, GREENLET_HUB | GREENLET_MAIN | GREENLET_TIMED, false },
	{ TEXT, AT(dump_greenlet.type), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_greenlet.name), 0, MSG_NAME_MAX, false },
	{ U8, AT(dump_greenlet.wait), GREENLET_FOR_UNKNOWN, GREENLET_FOR_TIME, false },
	{ FLAGS, AT(dump_greenlet.events), 0, GREENLET_READS | GREENLET_WRITES, false },
	{ U32, AT(dump_greenlet.fd), 0, 0, false },
	{ U32, AT(dump_greenlet.count), 0, 0, false },
	{ U64, AT(dump_greenlet.left_us), 0, 0, false },
	{ U64, AT(dump_greenlet.object), 0, 0, false },
	{ U64, AT(dump_greenlet.holder), 0, 0, false },
	{ TEXT, AT(dump_greenlet.object_type), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_greenlet.local), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_greenlet.peer), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_greenlet.path), 0, MSG_FILE_MAX, false },
	{ U32, AT(dump_greenlet.omitted_frames), 0, 0, false },
	{ FRAMES, AT(dump_greenlet.frames), 0, MSG_GREENLET_FRAMES_MAX, false },
};

static const struct field dump_generator[] = {
	{ U8, AT(dump_generator.kind), GENERATOR_PLAIN, GENERATOR_ASYNC, false },
	{ U32, AT(dump_generator.count), 0, 0, false },
	{ U32, AT(dump_generator.omitted_frames), 0, 0, false },
	{ FRAMES, AT(dump_generator.frames), 0, MSG_GREENLET_FRAMES_MAX, false },
};

static const struct field dump_tasks[] = {
	{ FLAGS, AT(dump_tasks.flags), 0, TASKS_ALL, false },
	{ U32, AT(dump_tasks.tasks), 0, 0, false },
	{ U32, AT(dump_tasks.omitted), 0, 0, false },
	{ U64, AT(dump_tasks.took_us), 0, 0, false },
	{ U64, AT(dump_tasks.held_us), 0, 0, false },
	{ U64, AT(dump_tasks.longest_us), 0, 0, false },
};

static const struct field dump_loop[] = {
	{ U32, AT(dump_loop.loop), 0, 0, false },
	{ FLAGS, AT(dump_loop.flags), 0, LOOP_ALL, false },
	{ U64, AT(dump_loop.address), 0, 0, false },
	{ U32, AT(dump_loop.tid), 0, 0, false },
	{ U64, AT(dump_loop.busy_us), 0, 0, false },
	{ U32, AT(dump_loop.ready), 0, 0, false },
	{ U32, AT(dump_loop.scheduled), 0, 0, false },
	{ U64, AT(dump_loop.task), 0, 0, false },
	{ TEXT, AT(dump_loop.type), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_loop.callback), 0, MSG_NAME_MAX, false },
};

static const struct field dump_task[] = {
	{ U64, AT(dump_task.id), 0, 0, false },
	{ U32, AT(dump_task.loop), 0, 0, false },
	{ U8, AT(dump_task.state), TASK_WAITS, TASK_UNBEGUN, false },
	{ FLAGS, AT(dump_task.flags), 0, TASK_ALL, false },
	{ U8, AT(dump_task.kind), TASK_FOR_NONE, TASK_FOR_CHILD, false },
	{ U8, AT(dump_task.confidence), WAIT_UNKNOWN, WAIT_CALLED, false },
	{ U64, AT(dump_task.address), 0, 0, false },
	{ U64, AT(dump_task.holder), 0, 0, false },
	{ U64, AT(dump_task.left_us), 0, 0, false },
	{ U64, AT(dump_task.count), 0, 0, false },
	{ U32, AT(dump_task.fd), 0, 0, false },
	{ TEXT, AT(dump_task.name), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.coroutine), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.awaitable), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.how), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.type), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.object), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.local), 0, MSG_NAME_MAX, false },
	{ TEXT, AT(dump_task.peer), 0, MSG_NAME_MAX, false },
	{ U32, AT(dump_task.omitted_frames), 0, 0, false },
	{ U32, AT(dump_task.omitted_awaits), 0, 0, false },
	{ FRAMES, AT(dump_task.awaits), 0, MSG_AWAITS_MAX, false },
	{ FRAMES, AT(dump_task.frames), 0, MSG_TASK_FRAMES_MAX, false },
};

static const struct field dump_interpreter[] = {
	{ U64, AT(dump_interpreter.id), 0, 0, false },
	{ FLAGS, AT(dump_interpreter.flags), 0, INTERPRETER_ALL, false },
	{ U32, AT(dump_interpreter.gil_holder), 0, 0, false },
};

static const struct field dump_natives[] = {
	{ U32, AT(dump_natives.threads), 0, 0, false },
	{ U32, AT(dump_natives.omitted), 0, 0, false },
};

struct layout {
	const char *name;
	const struct field *fields;
	size_t count;
};

#define LAYOUT(name, fields) { name, fields, sizeof(fields) / sizeof((fields)[0]) }

static const struct layout layouts[] = {
	[MSG_HELLO] = LAYOUT("HELLO", hello),
	[MSG_DUMP] = LAYOUT("DUMP", dump),
	[MSG_EVAL] = LAYOUT("EVAL", eval),
	[MSG_INTERRUPT] = LAYOUT("INTERRUPT", interrupt),
	[MSG_DETACH] = LAYOUT("DETACH", detach),
	[MSG_COMPLETE] = LAYOUT("COMPLETE", complete),
	[MSG_WHERE] = LAYOUT("WHERE", where),
	[MSG_BACKGROUND] = LAYOUT("BACKGROUND", background),
	[MSG_BYE] = LAYOUT("BYE", bye),
	[MSG_WELCOME] = LAYOUT("WELCOME", welcome),
	[MSG_REFUSED] = LAYOUT("REFUSED", refused),
	[MSG_ERROR] = LAYOUT("ERROR", error),
	[MSG_DUMP_BEGIN] = LAYOUT("DUMP_BEGIN", dump_begin),
	[MSG_DUMP_CODE] = LAYOUT("DUMP_CODE", dump_code),
	[MSG_DUMP_SOURCE] = LAYOUT("DUMP_SOURCE", dump_source),
	[MSG_DUMP_THREAD] = LAYOUT("DUMP_THREAD", dump_thread),
	[MSG_DUMP_LOCAL] = LAYOUT("DUMP_LOCAL", dump_local),
	[MSG_DUMP_END] = LAYOUT("DUMP_END", dump_end),
	[MSG_OUTPUT] = LAYOUT("OUTPUT", output),
	[MSG_RESULT] = LAYOUT("RESULT", result),
	[MSG_PLACE] = LAYOUT("PLACE", place),
	[MSG_RAISED] = LAYOUT("RAISED", raised),
	[MSG_MATCHES] = LAYOUT("MATCHES", matches),
	[MSG_DUMP_WAIT] = LAYOUT("DUMP_WAIT", dump_wait),
	[MSG_DUMP_GREENLET] = LAYOUT("DUMP_GREENLET", dump_greenlet),
	[MSG_DUMP_GENERATOR] = LAYOUT("DUMP_GENERATOR", dump_generator),
	[MSG_DUMP_TASKS] = LAYOUT("DUMP_TASKS", dump_tasks),
	[MSG_DUMP_LOOP] = LAYOUT("DUMP_LOOP", dump_loop),
	[MSG_DUMP_TASK] = LAYOUT("DUMP_TASK", dump_task),
	[MSG_DUMP_INTERPRETER] = LAYOUT("DUMP_INTERPRETER", dump_interpreter),
	[MSG_DUMP_NATIVES] = LAYOUT("DUMP_NATIVES", dump_natives),
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const struct layout *layout_of(int type)
{
	if (type < 0 || type >= COUNT(layouts) || layouts[type].name == NULL)
		return NULL;
	return &layouts[type];
}

/* Bytes of an integer on the wire and in the struct; 0 for what has a length of its own. */
static size_t width_of(enum kind kind)
{
	switch (kind) {
	case U8:
	case FLAGS:
		return 1;
	case U16:
	case VERSION:
		return 2;
	case U32:
		return 4;
	case U64:
		return 8;
	default:
		return 0;
	}
}

static uint64_t load(const struct msg *m, const struct field *f)
{
	const uint8_t *at = (const uint8_t *)m + f->offset;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (width_of(f->kind)) {
	case 1:
		return *at;
	case 2:
		memcpy(&v16, at, sizeof v16);
		return v16;
	case 4:
		memcpy(&v32, at, sizeof v32);
		return v32;
	default:
		memcpy(&v64, at, sizeof v64);
		return v64;
	}
}

static void store(struct msg *m, const struct field *f, const void *value, size_t size)
{
	memcpy((uint8_t *)m + f->offset, value, size);
}

static bool in_range(const struct field *f, uint64_t v)
{
	if (f->kind == U8)
		return v >= f->least && v <= f->most;
	if (f->kind == FLAGS)
		return (v & ~(uint64_t)f->most) == 0;
	return true;
}

/* A list is of whole texts: the last one is ended too. */
static bool is_whole_list(const struct span *s)
{
	return s->len == 0 || s->data[s->len - 1] == '\0';
}

/* The string of a field as it is sent. 0, PYSTUCK_ETOOBIG, or PYSTUCK_EINVAL: not whole frames, or not whole texts. */
static int load_string(const struct msg *m, const struct field *f, struct span *s)
{
	memcpy(s, (const uint8_t *)m + f->offset, sizeof *s);
	if (f->kind == TEXT && s->len > f->most)
		s->len = text_whole(*s, f->most);
	if (f->kind == FRAMES) {
		if (s->len % FRAME_BYTES != 0)
			return PYSTUCK_EINVAL;
		return s->len / FRAME_BYTES > f->most ? PYSTUCK_ETOOBIG : 0;
	}
	if (f->kind == LIST && !is_whole_list(s))
		return PYSTUCK_EINVAL;
	return s->len > f->most ? PYSTUCK_ETOOBIG : 0;
}

int msg_size(const struct msg *m, size_t *size)
{
	const struct layout *layout = layout_of((int)m->type);
	size_t total = 1;

	if (layout == NULL)
		return PYSTUCK_EINVAL;
	for (size_t i = 0; i < layout->count; i++) {
		const struct field *f = &layout->fields[i];
		size_t width = width_of(f->kind);
		struct span s;
		int rc;

		if (width > 0) {
			if (!in_range(f, load(m, f)))
				return PYSTUCK_EINVAL;
			total += width;
			continue;
		}
		rc = load_string(m, f, &s);
		if (rc != 0)
			return rc;
		total += 4 + s.len;
	}
	*size = total;
	return total > MSG_MAX ? PYSTUCK_ETOOBIG : 0;
}

/* Writes one field that msg_size has accepted; returns the byte after it. */
static uint8_t *encode_field(uint8_t *at, const struct msg *m, const struct field *f)
{
	size_t width = width_of(f->kind);
	struct span s;

	if (width > 0) {
		uint64_t v = load(m, f);

		for (size_t i = width; i > 0; i--)
			*at++ = (uint8_t)(v >> (8 * (i - 1)));
		return at;
	}
	(void)load_string(m, f, &s);
	be32_put(at, (uint32_t)(f->kind == FRAMES ? s.len / FRAME_BYTES : s.len));
	if (s.len > 0)
		memcpy(at + 4, s.data, s.len);
	return at + 4 + s.len;
}

int msg_encode(struct buf *b, const struct msg *m)
{
	const struct layout *layout;
	uint8_t *at = NULL;
	size_t size = 0;
	int rc;

	rc = msg_size(m, &size);
	if (rc == 0)
		rc = buf_reserve(b, size, &at);
	if (rc != 0)
		return rc;
	layout = layout_of((int)m->type);
	*at++ = (uint8_t)m->type;
	for (size_t i = 0; i < layout->count; i++)
		at = encode_field(at, m, &layout->fields[i]);
	buf_added(b, size);
	return 0;
}

/* Takes an integer; *foreign is set when it is a protocol version that is not ours. */
static int decode_integer(struct msg *m, const struct field *f, struct span *s, bool *foreign)
{
	uint8_t v8 = 0;
	uint16_t v16 = 0;
	uint32_t v32 = 0;
	uint64_t v64 = 0;
	int rc;

	switch (width_of(f->kind)) {
	case 1:
		rc = span_get_u8(s, &v8);
		if (rc == 0 && !*foreign && !in_range(f, v8))
			rc = PYSTUCK_EFORMAT;
		store(m, f, &v8, sizeof v8);
		return rc;
	case 2:
		rc = span_get_u16(s, &v16);
		if (f->kind == VERSION)
			*foreign = v16 != PROTOCOL_VERSION;
		store(m, f, &v16, sizeof v16);
		return rc;
	case 4:
		rc = span_get_u32(s, &v32);
		store(m, f, &v32, sizeof v32);
		return rc;
	default:
		rc = span_get_u64(s, &v64);
		store(m, f, &v64, sizeof v64);
		return rc;
	}
}

static int decode_string(struct msg *m, const struct field *f, struct span *s)
{
	struct span rest = *s;
	struct span v = { NULL, 0 };
	uint32_t count = 0;

	if (f->kind == FRAMES) {
		if (span_get_u32(&rest, &count) != 0)
			return PYSTUCK_EFORMAT;
		if (count > f->most || count > rest.len / FRAME_BYTES)
			return PYSTUCK_EFORMAT;
		v = (struct span){ rest.data, (size_t)count * FRAME_BYTES };
		rest = (struct span){ rest.data + v.len, rest.len - v.len };
	} else if (span_get_string(&rest, &v) != 0 || v.len > f->most ||
		   (f->kind == LIST && !is_whole_list(&v))) {
		return PYSTUCK_EFORMAT;
	}
	store(m, f, &v, sizeof v);
	*s = rest;
	return 0;
}

/* Everything after the type byte. */
static int decode_fields(struct msg *m, const struct layout *layout, struct span bytes)
{
	bool foreign = false;
	int rc;

	for (size_t i = 0; i < layout->count; i++) {
		const struct field *f = &layout->fields[i];

		if (width_of(f->kind) > 0)
			rc = decode_integer(m, f, &bytes, &foreign);
		else
			rc = decode_string(m, f, &bytes);
		/* Another version may have other fields here: those that last have been read. */
		if (rc != 0)
			return foreign && !f->lasting ? 0 : rc;
	}
	return bytes.len == 0 || foreign ? 0 : PYSTUCK_EFORMAT;
}

int msg_decode(struct msg *m, struct span bytes)
{
	const struct layout *layout;
	uint8_t type = 0;
	int rc;

	memset(m, 0, sizeof *m);
	if (bytes.len > MSG_MAX || span_get_u8(&bytes, &type) != 0)
		return PYSTUCK_EFORMAT;
	layout = layout_of(type);
	if (layout == NULL)
		return PYSTUCK_EFORMAT;
	m->type = (enum msg_type)type;
	rc = decode_fields(m, layout, bytes);
	if (rc != 0)
		memset(m, 0, sizeof *m);
	return rc;
}

/* Looks up v in a table of names that may have holes. */
static const char *name_in(const char *const *names, int count, int v)
{
	return v >= 0 && v < count && names[v] != NULL ? names[v] : "?";
}

const char *msg_type_name(int type)
{
	const struct layout *layout = layout_of(type);

	return layout != NULL ? layout->name : "?";
}

static const char *const role_names[] = {
	[ROLE_NONE] = "none",
	[ROLE_STACKS] = "stacks",
	[ROLE_LOCALS] = "locals",
	[ROLE_EVAL] = "eval",
};

const char *role_name(int role)
{
	return name_in(role_names, COUNT(role_names), role);
}

int role_parse(const char *name)
{
	if (name == NULL)
		return PYSTUCK_EINVAL;
	for (int role = 0; role < COUNT(role_names); role++) {
		if (strcmp(name, role_names[role]) == 0)
			return role;
	}
	return PYSTUCK_EINVAL;
}

int msg_is_of_dump(enum msg_type type)
{
	switch (type) {
	case MSG_DUMP_BEGIN:
	case MSG_DUMP_CODE:
	case MSG_DUMP_SOURCE:
	case MSG_DUMP_THREAD:
	case MSG_DUMP_LOCAL:
	case MSG_DUMP_WAIT:
	case MSG_DUMP_GREENLET:
	case MSG_DUMP_GENERATOR:
	case MSG_DUMP_TASKS:
	case MSG_DUMP_LOOP:
	case MSG_DUMP_TASK:
	case MSG_DUMP_INTERPRETER:
	case MSG_DUMP_NATIVES:
	case MSG_DUMP_END:
		return 1;
	/* All others are named, so that the compiler asks of each new one. */
	case MSG_HELLO:
	case MSG_DUMP:
	case MSG_EVAL:
	case MSG_INTERRUPT:
	case MSG_DETACH:
	case MSG_COMPLETE:
	case MSG_WHERE:
	case MSG_BACKGROUND:
	case MSG_BYE:
	case MSG_WELCOME:
	case MSG_REFUSED:
	case MSG_ERROR:
	case MSG_OUTPUT:
	case MSG_RESULT:
	case MSG_MATCHES:
	case MSG_PLACE:
	case MSG_RAISED:
		return 0;
	}
	return 0;
}

const char *reason_name(int reason)
{
	static const char *const names[] = {
		[REASON_DENIED] = "denied",
		[REASON_VERSION] = "version",
		[REASON_FULL] = "full",
		[REASON_GIL] = "gil",
		[REASON_BUSY] = "busy",
		[REASON_STOPPING] = "stopping",
		[REASON_DISABLED] = "disabled",
		[REASON_LIMIT] = "limit",
		[REASON_UNKNOWN] = "unknown",
		[REASON_VETO] = "veto",
	};

	return name_in(names, COUNT(names), reason);
}

const char *state_name(int state)
{
	static const char *const names[] = {
		[STATE_UNKNOWN] = "unknown",
		[STATE_CPU] = "cpu",
		[STATE_GIL] = "gil",
		[STATE_LOCK] = "lock",
		[STATE_SLEEP] = "sleep",
		[STATE_IO] = "io",
		[STATE_CHILD] = "child",
		[STATE_C] = "c",
		[STATE_GC] = "gc",
		[STATE_IDLE] = "idle",
	};

	return name_in(names, COUNT(names), state);
}

const char *wait_name(int kind)
{
	static const char *const names[] = {
		[WAIT_FOR_LOCK] = "lock",
		[WAIT_FOR_JOIN] = "join",
		[WAIT_FOR_FUTURE] = "future",
		[WAIT_FOR_QUEUE] = "queue",
		[WAIT_FOR_IMPORT] = "import",
		[WAIT_FOR_IO] = "io",
		[WAIT_FOR_SLEEP] = "sleep",
		[WAIT_FOR_GIL] = "gil",
		[WAIT_FOR_CHILD] = "child",
	};

	return name_in(names, COUNT(names), kind);
}

const char *task_state_name(int state)
{
	static const char *const names[] = {
		[TASK_WAITS] = "waiting",
		[TASK_RUNS] = "running",
		[TASK_READY] = "ready",
		[TASK_UNBEGUN] = "not started",
	};

	return name_in(names, COUNT(names), state);
}

const char *task_wait_name(int kind)
{
	static const char *const names[] = {
		[TASK_FOR_FUTURE] = "future",
		[TASK_FOR_TASKS] = "tasks",
		[TASK_FOR_SLEEP] = "sleep",
		[TASK_FOR_LOCK] = "lock",
		[TASK_FOR_GET] = "get",
		[TASK_FOR_PUT] = "put",
		[TASK_FOR_JOIN] = "join",
		[TASK_FOR_READ] = "read",
		[TASK_FOR_WRITE] = "write",
		[TASK_FOR_CONNECT] = "connect",
		[TASK_FOR_EXECUTOR] = "executor",
		[TASK_FOR_CHILD] = "child",
	};

	return name_in(names, COUNT(names), kind);
}

const char *confidence_name(int confidence)
{
	static const char *const names[] = {
		[WAIT_UNKNOWN] = "unknown",
		[WAIT_INFERRED] = "inferred",
		[WAIT_KNOWN] = "known",
		[WAIT_CALLED] = "inferred",
	};

	return name_in(names, COUNT(names), confidence);
}
