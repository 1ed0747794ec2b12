/*
 * waits.c: one phrase for what a thread waits for. Cycles among threads that wait for each other are deadlock.c's.
 */
#include "waits.h"

#include <stdio.h>
#include <string.h>

static int is(struct span s, const char *text)
{
	return s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

const char *waits_state(int state)
{
	static const char *const words[] = {
		[STATE_UNKNOWN] = "in an unknown state",
		[STATE_CPU] = "on CPU",
		[STATE_GIL] = "waiting for the GIL",
		[STATE_LOCK] = "waiting for a lock",
		[STATE_SLEEP] = "sleeping",
		[STATE_IO] = "in I/O",
		[STATE_CHILD] = "waiting for a child process",
		[STATE_C] = "in C code",
		[STATE_GC] = "collecting garbage",
		[STATE_IDLE] = "idle",
	};

	return state >= 0 && state < (int)(sizeof words / sizeof words[0]) ? words[state] : words[STATE_UNKNOWN];
}

struct span waits_thread_name(const struct dump_thread *t)
{
	return t->head.class_name.len > 0 ? t->head.name : t->head.os_name;
}

void waits_duration(struct out *o, uint64_t us)
{
	uint64_t tenths = (us + 50000) / 100000;

	if (us >= 3600u * (uint64_t)1000000) {
		out_number(o, us / 1000000 / 3600);
		out_text(o, " h ");
		out_number(o, us / 1000000 / 60 % 60);
		out_text(o, " min");
	} else if (us >= 100u * (uint64_t)1000000) {
		out_number(o, us / 1000000 / 60);
		out_text(o, " min ");
		out_number(o, us / 1000000 % 60);
		out_text(o, " s");
	} else {
		out_number(o, tenths / 10);
		out_text(o, ".");
		out_number(o, tenths % 10);
		out_text(o, " s");
	}
}

static void process(struct out *o, const struct msg_dump_wait *w)
{
	out_text(o, "pid ");
	out_number(o, w->pid);
	if (w->command.len > 0) {
		out_text(o, " (");
		out_safe(o, w->command, TEXT_LINE);
		out_text(o, ")");
	}
}

/* --- files and sockets --- */

static void socket_ends(struct out *o, const struct msg_dump_wait *w)
{
	out_text(o, ", ");
	out_safe(o, w->type, TEXT_LINE);
	if (w->local.len > 0) {
		out_text(o, " ");
		out_safe(o, w->local, TEXT_LINE);
	}
	if (w->peer.len > 0) {
		out_text(o, " -> ");
		out_safe(o, w->peer, TEXT_LINE);
	}
}

static void count(struct out *o, const struct msg_dump_wait *w)
{
	int sends = is(w->call, "send") || is(w->call, "sendmsg") || is(w->call, "write");

	out_text(o, ", ");
	out_number(o, w->count);
	out_text(o, w->count == 1 ? " byte " : " bytes ");
	out_text(o, sends ? "not taken yet" : "queued");
}

static void io(struct out *o, const struct msg_dump_wait *w)
{
	int many = is(w->call, "epoll_wait") || is(w->call, "poll") || is(w->call, "select");
	int locks = w->pid != 0 && (is(w->call, "flock") || is(w->call, "fcntl"));

	out_safe(o, w->call, TEXT_LINE);
	if (many && (w->flags & WAIT_COUNT)) {
		out_text(o, " on ");
		out_number(o, w->count);
		out_text(o, w->count == 1 ? " fd" : " fds");
		return;
	}
	if (w->flags & WAIT_FD) {
		out_text(o, " on fd ");
		out_number(o, w->fd);
	}
	if (w->path.len > 0) {
		out_text(o, ", ");
		out_safe(o, w->path, TEXT_LINE);
	}
	if (w->type.len > 0 || w->local.len > 0 || w->peer.len > 0)
		socket_ends(o, w);
	if (w->flags & WAIT_COUNT)
		count(o, w);
	if (locks) {
		out_text(o, ", held by ");
		process(o, w);
	}
}

static void child(struct out *o, const struct msg_dump_wait *w)
{
	out_text(o, "waiting for ");
	if (w->pid != 0) {
		out_text(o, "child process ");
		process(o, w);
	} else {
		out_text(o, "a child process");
	}
}

/* --- things of Python --- */

static void thread_name(struct out *o, const struct dump *dump, uint32_t index, uint32_t tid)
{
	if (index != DUMP_NOBODY) {
		out_safe(o, waits_thread_name(&dump->threads[index]), TEXT_LINE);
		return;
	}
	out_text(o, "thread ");
	out_number(o, tid);
}

/* ", held by Thread-1 at /app/x.py line 12 (inferred)" */
static void holder(struct out *o, const struct dump *dump, const struct dump_thread *t, const char *verb)
{
	const struct msg_dump_wait *w = &t->wait;

	if (w->flags & WAIT_ENDED) {
		out_text(o, verb);
		out_text(o, "a thread that has ended");
		return;
	}
	if (w->holder == 0)
		return;
	out_text(o, verb);
	if (t->holder != DUMP_NOBODY && t == &dump->threads[t->holder])
		out_text(o, "itself");
	else
		thread_name(o, dump, t->holder, w->holder);
	if (t->holder != DUMP_NOBODY && w->holder_frame != WAIT_FRAME_NONE) {
		const struct dump_place *p = &dump->places[dump->threads[t->holder].places[w->holder_frame]];

		out_text(o, " at ");
		out_safe(o, dump->codes[p->code].file, TEXT_LINE);
		out_text(o, ":");
		out_number(o, w->holder_line != 0 ? w->holder_line : p->line);
	}
	if (w->confidence == WAIT_INFERRED || w->confidence == WAIT_CALLED)
		out_text(o, " (inferred)");
}

/* ", queued in a pool of 4 threads": nobody runs it yet. */
static void queued(struct out *o, const struct msg_dump_wait *w)
{
	out_text(o, ", queued in a pool ");
	if (w->holder != 0 && w->count == 1) {
		out_text(o, "whose only thread waits for a future in the same queue");
	} else if (w->holder != 0) {
		out_text(o, "all of whose ");
		out_number(o, w->count);
		out_text(o, " threads wait for futures in the same queue");
	} else {
		out_text(o, "of ");
		out_number(o, w->count);
		out_text(o, w->count == 1 ? " thread" : " threads");
	}
}

/* " 'self._lock' (RLock at 0x7f12)" */
static void object(struct out *o, const struct msg_dump_wait *w, int with_type)
{
	char address[24];

	if (w->name.len > 0) {
		out_text(o, " '");
		out_safe(o, w->name, TEXT_LINE);
		out_text(o, "'");
	}
	if (w->address == 0)
		return;
	snprintf(address, sizeof address, "0x%llx", (unsigned long long)w->address);
	out_text(o, " (");
	if (with_type && w->type.len > 0) {
		out_safe(o, w->type, TEXT_LINE);
		out_text(o, " at ");
	}
	out_text(o, address);
	out_text(o, ")");
}

const char *waits_word(const struct msg_dump_wait *w)
{
	if (is(w->type, "Event"))
		return "waiting for event";
	if (is(w->type, "Condition"))
		return "waiting for condition";
	if (is(w->type, "Barrier"))
		return "waiting at barrier";
	if (is(w->type, "Semaphore") || is(w->type, "BoundedSemaphore"))
		return "waiting for semaphore";
	return "waiting for lock";
}

static int phrase(struct out *o, const struct dump *dump, const struct dump_thread *t)
{
	const struct msg_dump_wait *w = &t->wait;

	if (!t->has_wait)
		return 0;
	switch (w->kind) {
	case WAIT_FOR_LOCK:
		out_text(o, waits_word(w));
		object(o, w, 1);
		holder(o, dump, t, ", held by ");
		return 1;
	case WAIT_FOR_JOIN:
		out_text(o, "waiting for the end of ");
		if (w->holder != 0)
			thread_name(o, dump, t->holder, w->holder);
		else
			out_text(o, "a thread");
		object(o, w, 1);
		return 1;
	case WAIT_FOR_FUTURE:
		out_text(o, "waiting for future");
		object(o, w, 1);
		if (w->flags & WAIT_COUNT)
			queued(o, w);
		else
			holder(o, dump, t, ", run by ");
		return 1;
	case WAIT_FOR_QUEUE:
		out_text(o, t->head.state == STATE_IDLE ? "idle, waiting for work from queue" : "waiting for queue");
		object(o, w, 1);
		return 1;
	case WAIT_FOR_IMPORT:
		out_text(o, "waiting for the import of module");
		object(o, w, 0);
		holder(o, dump, t, ", which is imported by ");
		return 1;
	case WAIT_FOR_IO:
		if (w->call.len == 0)
			return 0;
		io(o, w);
		return 1;
	case WAIT_FOR_CHILD:
		child(o, w);
		return 1;
	case WAIT_FOR_GIL:
		out_text(o, "waiting for the GIL");
		holder(o, dump, t, ", held by ");
		return 1;
	default:
		return 0;
	}
}

/* Who collects garbage may be made to wait by whatever that calls. */
static void collects(struct out *o, const struct dump *dump, const struct dump_thread *t)
{
	const struct msg_dump_wait *w = &t->wait;

	out_text(o, "collecting garbage");
	if (!t->has_wait || w->kind == WAIT_FOR_NONE || (w->kind == WAIT_FOR_IO && w->call.len == 0))
		return;
	out_text(o, ": ");
	if (w->kind == WAIT_FOR_SLEEP)
		out_text(o, "sleeping");
	else
		(void)phrase(o, dump, t);
}

int waits_print(struct out *o, const struct dump *dump, const struct dump_thread *t)
{
	if (t->head.state != STATE_GC)
		return phrase(o, dump, t);
	collects(o, dump, t);
	return 1;
}

void waits_doing(struct out *o, const struct dump *dump, const struct dump_thread *t)
{
	uint8_t state = t->head.state;
	int own = state == STATE_UNKNOWN || state == STATE_IO || state == STATE_C;

	if (waits_print(o, dump, t)) {
		/* It has said all there is. */
	} else if (own && t->head.detail.len > 0)
		out_safe(o, t->head.detail, TEXT_LINE);
	else if (state == STATE_LOCK)
		out_text(o, "waiting for lock"); /* as of a lock that is known */
	else if (state != STATE_UNKNOWN)
		out_text(o, waits_state(state));
}
