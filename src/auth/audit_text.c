/*
 * audit_text.c: an audit event as a line, as a datagram of the journal, as one of syslog. Pure
 * functions. Every string goes through text.c here, also those that are ours: nothing that somebody
 * chose can begin a line or a field.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "audit_private.h"
#include "text.h"

#define REASON_MAX 1024 /* bytes of a reason that are logged */
#define NAME_MAX_BYTES ADDR_TEXT
#define IDENTIFIER "pystuck"
#define FACILITY 10 /* authpriv: for the eyes of those who look after security */
#define NUMBER_MAX 160

static const struct {
	const char *name;
	int priority;
} actions[AUDIT_ACTIONS] = {
	[AUDIT_CONNECT] = {"connect", 6},
	[AUDIT_REFUSE] = {"refuse", 4},
	[AUDIT_OPEN] = {"open", 5},
	[AUDIT_DENY] = {"deny", 4},
	[AUDIT_EVAL] = {"eval", 5},
	[AUDIT_VETO] = {"veto", 4},
	[AUDIT_LATE] = {"late", 5},
	[AUDIT_DISCONNECT] = {"disconnect", 6},
	[AUDIT_KEYS] = {"keys", 5},
	[AUDIT_LISTEN] = {"listen", 5},
	[AUDIT_LOST] = {"lost", 4},
};

static atomic_int can_hash;

void audit_text_init(void)
{
	if (!atomic_load(&can_hash))
		atomic_store(&can_hash, sodium_init() >= 0);
}

const char *audit_action_name(enum audit_action action)
{
	return (unsigned)action < AUDIT_ACTIONS ? actions[action].name : "unknown";
}

int audit_priority(enum audit_action action)
{
	return (unsigned)action < AUDIT_ACTIONS ? actions[action].priority : 4;
}

void audit_source_hash(
	const struct audit_event *e, size_t most, char hex[static 2 * AUDIT_HASH + 1])
{
	crypto_generichash_state state;
	uint8_t hash[AUDIT_HASH];

	hex[0] = '\0';
	if (e->source.len <= most || !atomic_load(&can_hash))
		return;
	(void)crypto_generichash_init(&state, NULL, 0, sizeof(hash));
	(void)crypto_generichash_update(&state, e->source.data, e->source.len);
	(void)crypto_generichash_final(&state, hash, sizeof(hash));
	for (size_t i = 0; i < sizeof(hash); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
}

/* ---- pieces, all of which append and keep the first error ------------------------------------ */

struct out {
	struct buf *b;
	int rc;
};

static void put(struct out *o, const char *bytes, size_t len)
{
	if (o->rc == 0)
		o->rc = buf_put(o->b, bytes, len);
}

static void put_str(struct out *o, const char *text)
{
	put(o, text, strlen(text));
}

/* Our own words and numbers. */
__attribute__((format(printf, 2, 3))) static void put_format(struct out *o, const char *format, ...)
{
	char text[NUMBER_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_str(o, text);
}

/* The first `most` bytes, whole characters, made safe. */
static void put_safe(struct out *o, struct span text, size_t most, enum text_mode mode)
{
	text.len = text_whole(text, most);
	if (o->rc == 0)
		o->rc = text_append(o->b, text, mode);
}

static int is_there(const char *text)
{
	return text != NULL && text[0] != '\0';
}

/* ---- the line -------------------------------------------------------------------------------- */

/* "uid 1000, pid 4242", "key ci from 10.0.0.7:5123", "10.0.0.7:5123", or nothing. */
static void put_who(struct out *o, const struct audit_event *e)
{
	if (is_there(e->key)) {
		put_str(o, " key ");
		put_safe(o, span_text(e->key), NAME_MAX_BYTES, TEXT_LINE);
		put_str(o, " from");
	}
	if (is_there(e->address)) {
		put_str(o, " ");
		put_safe(o, span_text(e->address), NAME_MAX_BYTES, TEXT_LINE);
	} else if (is_there(e->key)) {
		put_str(o, " somewhere");
	}
	if (e->uid != (uid_t)-1)
		put_format(o, " uid %lu,", (unsigned long)e->uid);
	if (e->pid != 0)
		put_format(o, " pid %ld,", (long)e->pid);
	else if (is_there(e->address) || is_there(e->key))
		put_str(o, ",");
}

static void put_source(struct out *o, const struct audit_event *e, size_t most)
{
	char hex[2 * AUDIT_HASH + 1];

	put_str(o, ": ");
	put_safe(o, e->source, most, TEXT_LINE);
	audit_source_hash(e, most, hex);
	if (hex[0] != '\0')
		put_format(o, " ... (%zu bytes, BLAKE2b %s)", e->source.len, hex);
	else if (e->source.len > most)
		put_format(o, " ... (%zu bytes)", e->source.len);
}

int audit_text(struct buf *b, const struct audit_event *e, size_t source_max)
{
	struct out o = {b, 0};

	put_format(&o, "%s:", audit_action_name(e->action));
	if (e->action == AUDIT_LOST)
		put_format(&o, " %llu events", (unsigned long long)e->lost);
	if (e->action == AUDIT_KEYS)
		put_str(&o, " the file has changed");
	put_who(&o, e);
	if (e->role != ROLE_NONE)
		put_format(&o, " role %s,", role_name((int)e->role));
	if (e->session != 0)
		put_format(&o, " session %llu", (unsigned long long)e->session);
	if (e->action == AUDIT_DISCONNECT)
		put_format(&o, ", after %llu.%03u s, %llu evaluations, %llu dumps",
			(unsigned long long)(e->duration_us / 1000000),
			(unsigned)(e->duration_us / 1000 % 1000), (unsigned long long)e->evals,
			(unsigned long long)e->dumps);
	if (e->reason.len > 0) {
		put_str(&o, ": ");
		put_safe(&o, e->reason, REASON_MAX, TEXT_LINE);
	}
	if (e->action == AUDIT_EVAL)
		put_source(&o, e, source_max);
	return o.rc;
}

/* ---- the journal ----------------------------------------------------------------------------- */

/*
 * A field in the binary form, which may hold any byte: the name, a newline, 8 bytes of length (least significant first), the
 * value, a newline.
 */
static void put_binary(struct out *o, const char *name, struct span value)
{
	uint8_t length[8];

	for (size_t i = 0; i < sizeof(length); i++)
		length[i] = (uint8_t)((uint64_t)value.len >> 8 * i);
	put_str(o, name);
	put_str(o, "\n");
	put(o, (const char *)length, sizeof(length));
	put(o, (const char *)value.data, value.len);
	put_str(o, "\n");
}

static void put_field(struct out *o, const char *name, struct span raw, size_t most, enum text_mode mode)
{
	struct buf value;
	struct out safe = {&value, 0};

	if (raw.len == 0)
		return;
	buf_init(&value, AUDIT_DATAGRAM_MAX);
	put_safe(&safe, raw, most, mode);
	if (safe.rc == 0)
		put_binary(o, name, buf_span(&value));
	else
		o->rc = o->rc != 0 ? o->rc : safe.rc;
	buf_free(&value);
}

static void put_number(struct out *o, const char *name, uint64_t value)
{
	put_format(o, "%s=%llu\n", name, (unsigned long long)value);
}

static void put_message(struct out *o, const struct audit_event *e)
{
	struct buf line;
	int rc;

	buf_init(&line, AUDIT_DATAGRAM_MAX);
	rc = audit_text(&line, e, AUDIT_LINE_SOURCE);
	if (rc == 0)
		put_binary(o, "MESSAGE", buf_span(&line));
	else
		o->rc = o->rc != 0 ? o->rc : rc;
	buf_free(&line);
}

static void put_who_fields(struct out *o, const struct audit_event *e)
{
	if (e->session != 0)
		put_number(o, "PYSTUCK_SESSION", e->session);
	if (e->uid != (uid_t)-1)
		put_number(o, "PYSTUCK_UID", e->uid);
	if (e->pid != 0)
		put_number(o, "PYSTUCK_PID", (uint64_t)e->pid);
	put_field(o, "PYSTUCK_KEY", span_text(e->key), NAME_MAX_BYTES, TEXT_LINE);
	put_field(o, "PYSTUCK_ADDRESS", span_text(e->address), NAME_MAX_BYTES, TEXT_LINE);
	put_field(o, "PYSTUCK_LISTENER", span_text(e->listener), NAME_MAX_BYTES, TEXT_LINE);
	if (e->role != ROLE_NONE)
		put_field(o, "PYSTUCK_ROLE", span_text(role_name((int)e->role)), NAME_MAX_BYTES,
			TEXT_LINE);
}

static void put_source_fields(struct out *o, const struct audit_event *e, size_t source_max)
{
	char hex[2 * AUDIT_HASH + 1];

	if (e->action != AUDIT_EVAL)
		return;
	put_field(o, "PYSTUCK_SOURCE", e->source, source_max, TEXT_BLOCK);
	put_number(o, "PYSTUCK_SOURCE_BYTES", e->source.len);
	audit_source_hash(e, source_max, hex);
	put_field(o, "PYSTUCK_SOURCE_BLAKE2B", span_text(hex), sizeof(hex), TEXT_LINE);
}

int audit_text_journal(struct buf *b, const struct audit_event *e, size_t source_max)
{
	struct out o = {b, 0};

	put_message(&o, e);
	put_number(&o, "PRIORITY", (uint64_t)audit_priority(e->action));
	put_number(&o, "SYSLOG_FACILITY", FACILITY);
	put_str(&o, "SYSLOG_IDENTIFIER=" IDENTIFIER "\n");
	put_format(&o, "PYSTUCK_ACTION=%s\n", audit_action_name(e->action));
	put_who_fields(&o, e);
	put_field(&o, "PYSTUCK_REASON", e->reason, REASON_MAX, TEXT_LINE);
	put_source_fields(&o, e, source_max);
	if (e->action == AUDIT_DISCONNECT) {
		put_number(&o, "PYSTUCK_DURATION_US", e->duration_us);
		put_number(&o, "PYSTUCK_EVALS", e->evals);
		put_number(&o, "PYSTUCK_DUMPS", e->dumps);
	}
	if (e->action == AUDIT_LOST)
		put_number(&o, "PYSTUCK_LOST", e->lost);
	return o.rc;
}

/* ---- syslog ---------------------------------------------------------------------------------- */

/*
 * RFC 3164 without the time (its section 4.3.2): the daemon notes when it came. Making the time here would need the time zone, and
 * with it a lock of the C library, which a child forked at that moment would find taken.
 */
int audit_text_syslog(struct buf *b, const struct audit_event *e, pid_t pid)
{
	struct out o = {b, 0};

	put_format(&o, "<%d>" IDENTIFIER "[%ld]: ", FACILITY * 8 + audit_priority(e->action), (long)pid);
	if (o.rc == 0)
		o.rc = audit_text(b, e, AUDIT_LINE_SOURCE);
	return o.rc;
}
