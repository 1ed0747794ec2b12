/*
 * dump.c: collects the messages of a dump, which dump_await.c waits for. Whatever the server sends, the memory is bounded and
 * every index is checked here, so that print.c and json.c can follow them blindly.
 */
#include "dump.h"

#include <stdlib.h>
#include <string.h>

#include "dump_private.h"

#define DUMP_CHUNK (256u * 1024) /* bytes of text taken at a time */
#define DUMP_INDEX_FIRST 256     /* slots */

struct dump_chunk {
	struct dump_chunk *next;
	size_t used, size;
	uint8_t bytes[];
};

void dump_init(struct dump *dump)
{
	memset(dump, 0, sizeof *dump);
}

void dump_free(struct dump *dump)
{
	struct dump_chunk *next;

	for (struct dump_chunk *c = dump->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	for (size_t i = 0; i < dump->thread_count; i++)
		free(dump->threads[i].places);
	dump_suspended_free(dump);
	dump_tasks_free(dump);
	free(dump->interpreters);
	free(dump->natives);
	free(dump->codes);
	free(dump->places);
	free(dump->threads);
	free(dump->locals);
	free(dump->index);
	dump_init(dump);
}

/* Is it what was asked for? Stacks that were read without the GIL are, if so they were to be, and if they are right. */
static int is_as_asked(const struct dump *dump, uint8_t flags)
{
	if (dump->begin.how == DUMP_HOW_RAW)
		return (flags & DUMP_RAW) != 0 && dump->begin.settled;
	return dump->begin.how == DUMP_HOW_GIL;
}

int dump_is_degraded(const struct dump *dump, uint8_t flags)
{
	if (!is_as_asked(dump, flags) || (dump->end.flags & DUMP_CUT) || dump->end.omitted_threads > 0)
		return 1;
	for (size_t i = 0; i < dump->thread_count; i++)
		if (dump->threads[i].head.omitted_frames > 0)
			return 1;
	return dump->suspended != NULL && (dump->suspended->end.flags & DUMP_CUT) != 0;
}

int dump_spend(struct dump *dump, size_t bytes)
{
	if (bytes > DUMP_BYTES_MAX - dump->bytes)
		return PYSTUCK_ETOOBIG;
	dump->bytes += bytes;
	return 0;
}

int dump_grow(struct dump *dump, void **array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return 0;
	size_t more = *room > 0 ? *room : 16;
	int rc = dump_spend(dump, more * size);
	if (rc != 0)
		return rc;
	void *bigger = realloc(*array, (*room + more) * size);
	if (bigger == NULL)
		return PYSTUCK_ENOMEM;
	*array = bigger;
	*room += more;
	return 0;
}

int dump_keep(struct dump *dump, struct span *s)
{
	struct dump_chunk *c = dump->chunks;

	if (s->len == 0) {
		*s = (struct span){(const uint8_t *)"", 0};
		return 0;
	}
	if (c == NULL || c->size - c->used < s->len) {
		size_t size = s->len > DUMP_CHUNK ? s->len : DUMP_CHUNK;
		int rc = dump_spend(dump, sizeof *c + size);

		if (rc != 0)
			return rc;
		c = malloc(sizeof *c + size);
		if (c == NULL)
			return PYSTUCK_ENOMEM;
		*c = (struct dump_chunk){.next = dump->chunks, .size = size};
		dump->chunks = c;
	}
	uint8_t *to = c->bytes + c->used;
	memcpy(to, s->data, s->len);
	c->used += s->len;
	s->data = to;
	return 0;
}

/*
 * Murmur's finalizer: enough to spread (code, line) pairs; who chooses them badly slows down only
 * his own answer.
 */
static size_t hash(uint32_t code, uint32_t line)
{
	uint64_t x = (uint64_t)code << 32 | line;

	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdu;
	x ^= x >> 33;
	return (size_t)x;
}

/*
 * The slot of (code, line), or the empty one where it belongs. index_size is not 0 and there is an
 * empty slot.
 */
static size_t slot_of(const struct dump *dump, uint32_t code, uint32_t line)
{
	size_t mask = dump->index_size - 1, i = hash(code, line) & mask;

	for (; dump->index[i] != 0; i = (i + 1) & mask) {
		const struct dump_place *p = &dump->places[dump->index[i] - 1];

		if (p->code == code && p->line == line)
			break;
	}
	return i;
}

static int grow_index(struct dump *dump)
{
	if (dump->place_count + 1 <= dump->index_size / 2)
		return 0;
	size_t size = dump->index_size > 0 ? dump->index_size * 2 : DUMP_INDEX_FIRST;
	int rc = dump_spend(dump, size * sizeof *dump->index);
	if (rc != 0)
		return rc;
	uint32_t *index = calloc(size, sizeof *index);
	if (index == NULL)
		return PYSTUCK_ENOMEM;
	free(dump->index);
	dump->index = index;
	dump->index_size = size;
	for (size_t i = 0; i < dump->place_count; i++)
		index[slot_of(dump, dump->places[i].code, dump->places[i].line)] = (uint32_t)i + 1;
	return 0;
}

/* The index of the place (code, line), made when it is new. */
static int find_place(struct dump *dump, uint32_t code, uint32_t line, uint32_t *place)
{
	if (code >= dump->code_count)
		return PYSTUCK_EFORMAT;
	int rc = grow_index(dump);
	if (rc != 0)
		return rc;
	size_t slot = slot_of(dump, code, line);
	if (dump->index[slot] == 0) {
		rc = dump_grow(dump, (void **)&dump->places, dump->place_count, &dump->place_room,
			sizeof *dump->places);
		if (rc != 0)
			return rc;
		dump->places[dump->place_count++] = (struct dump_place){.code = code, .line = line};
		dump->index[slot] = (uint32_t)dump->place_count;
	}
	*place = dump->index[slot] - 1;
	return 0;
}

static int accept_code(struct dump *dump, const struct msg_dump_code *m)
{
	struct dump_code code = {m->file, m->function};
	int rc = dump_grow(dump, (void **)&dump->codes, dump->code_count, &dump->code_room,
		sizeof *dump->codes);

	if (m->code != dump->code_count)
		return PYSTUCK_EFORMAT;
	if (rc == 0)
		rc = dump_keep(dump, &code.file);
	if (rc == 0)
		rc = dump_keep(dump, &code.function);
	if (rc == 0)
		dump->codes[dump->code_count++] = code;
	return rc;
}

static int accept_source(struct dump *dump, const struct msg_dump_source *m)
{
	struct span text = m->text;
	uint32_t place = 0;
	int rc = find_place(dump, m->code, m->line, &place);

	if (rc == 0)
		rc = dump_keep(dump, &text);
	if (rc == 0)
		dump->places[place].source = text;
	return rc;
}

int dump_stack(struct dump *dump, struct span frames, uint32_t **places, size_t *depth)
{
	size_t count = frames.len / FRAME_BYTES;

	if (frames.len % FRAME_BYTES != 0)
		return PYSTUCK_EFORMAT;
	if (count == 0)
		return 0;
	int rc = dump_spend(dump, count * sizeof **places);
	if (rc != 0)
		return rc;
	*places = malloc(count * sizeof **places);
	if (*places == NULL)
		return PYSTUCK_ENOMEM;
	for (; *depth < count && rc == 0; ++*depth) {
		const uint8_t *at = frames.data + *depth * FRAME_BYTES;

		rc = find_place(dump, be32_get(at), be32_get(at + 4), &(*places)[*depth]);
	}
	return rc;
}

static int accept_interpreter(struct dump *dump, const struct msg_dump_interpreter *m)
{
	int rc = dump_grow(dump, (void **)&dump->interpreters, dump->interpreter_count, &dump->interpreter_room,
		sizeof *dump->interpreters);

	/* What was said before of threads would not be true. */
	if (dump->has_natives || (dump->interpreter_count == 0 && dump->thread_count > 0))
		return PYSTUCK_EFORMAT;
	if (rc == 0)
		dump->interpreters[dump->interpreter_count++] = *m;
	return rc;
}

static int accept_natives(struct dump *dump, const struct msg_dump_natives *m)
{
	if (dump->has_natives)
		return PYSTUCK_EFORMAT;
	dump->natives_head = *m;
	dump->has_natives = 1;
	return 0;
}

/* Room for one more thread. */
static int grow_threads(struct dump *dump)
{
	if (dump->has_natives)
		return dump_grow(dump, (void **)&dump->natives, dump->native_count, &dump->native_room, sizeof *dump->natives);
	return dump_grow(dump, (void **)&dump->threads, dump->thread_count, &dump->thread_room, sizeof *dump->threads);
}

static int accept_thread(struct dump *dump, const struct msg_dump_thread *m)
{
	struct dump_thread t = {.head = *m, .first_local = dump->local_count, .holder = DUMP_NOBODY,
		.interpreter = (uint32_t)(dump->interpreter_count > 0 ? dump->interpreter_count - 1 : 0)};
	int rc = dump->has_natives && m->frames.len > 0 ? PYSTUCK_EFORMAT : grow_threads(dump);

	t.head.frames = (struct span){(const uint8_t *)"", 0};
	if (rc == 0)
		rc = dump_keep(dump, &t.head.name);
	if (rc == 0)
		rc = dump_keep(dump, &t.head.class_name);
	if (rc == 0)
		rc = dump_keep(dump, &t.head.os_name);
	if (rc == 0)
		rc = dump_keep(dump, &t.head.detail);
	if (rc == 0)
		rc = dump_stack(dump, m->frames, &t.places, &t.depth);
	if (rc != 0)
		free(t.places);
	else if (dump->has_natives)
		dump->natives[dump->native_count++] = t;
	else
		dump->threads[dump->thread_count++] = t;
	return rc;
}

/* The one that came last; NULL: none has come. */
static struct dump_thread *last_thread(const struct dump *dump)
{
	if (dump->has_natives)
		return dump->native_count > 0 ? &dump->natives[dump->native_count - 1] : NULL;
	return dump->thread_count > 0 ? &dump->threads[dump->thread_count - 1] : NULL;
}

static int accept_local(struct dump *dump, const struct msg_dump_local *m)
{
	struct dump_local local = {.frame = m->frame, .name = m->name, .value = m->value};

	struct dump_thread *t = last_thread(dump);

	if (t == NULL || m->frame >= t->depth)
		return PYSTUCK_EFORMAT;
	int rc = dump_grow(dump, (void **)&dump->locals, dump->local_count, &dump->local_room,
		sizeof *dump->locals);
	if (rc == 0)
		rc = dump_keep(dump, &local.name);
	if (rc == 0)
		rc = dump_keep(dump, &local.value);
	if (rc != 0)
		return rc;
	local.order = (uint32_t)t->local_count++;
	dump->locals[dump->local_count++] = local;
	return 0;
}

static int accept_wait(struct dump *dump, const struct msg_dump_wait *m)
{
	struct msg_dump_wait w = *m;
	struct span *texts[] = {&w.call, &w.type, &w.name, &w.path, &w.local, &w.peer, &w.command};
	struct dump_thread *t = last_thread(dump);
	int rc = 0;

	if (t == NULL || (m->holder == 0 && m->holder_frame != WAIT_FRAME_NONE))
		return PYSTUCK_EFORMAT;
	if (t->has_wait)
		return PYSTUCK_EFORMAT;
	for (size_t i = 0; rc == 0 && i < sizeof texts / sizeof *texts; i++)
		rc = dump_keep(dump, texts[i]);
	if (rc != 0)
		return rc;
	t->wait = w;
	t->has_wait = 1;
	return 0;
}

struct by_tid {
	uint32_t tid, interpreter, thread;
};

static int compare_tids(const void *a, const void *b)
{
	const struct by_tid *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/* A thread that is in several interpreters is there once for each. */
static int compare_exactly(const void *a, const void *b)
{
	const struct by_tid *x = a, *y = b;
	int order = compare_tids(a, b);

	return order != 0 ? order : x->interpreter < y->interpreter ? -1 : x->interpreter > y->interpreter;
}

/* Whom a thread with this tid and interpreter stands for; NULL: nobody. */
static const struct by_tid *find_tid(const struct by_tid *tids, size_t count, uint32_t tid, uint32_t interpreter)
{
	const struct by_tid wanted = {tid, interpreter, 0}, *found;

	if (tid == 0)
		return NULL;
	found = bsearch(&wanted, tids, count, sizeof *tids, compare_exactly);
	return found != NULL ? found : bsearch(&wanted, tids, count, sizeof *tids, compare_tids);
}

/* Who holds what is said by the holder's tid: here it becomes an index, which others can follow blindly. */
static int find_holders(struct dump *dump)
{
	struct by_tid *tids = malloc((dump->thread_count + 1) * sizeof *tids);
	const struct by_tid *found;

	if (tids == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < dump->thread_count; i++)
		tids[i] = (struct by_tid){dump->threads[i].head.tid, dump->threads[i].interpreter, (uint32_t)i};
	qsort(tids, dump->thread_count, sizeof *tids, compare_exactly);
	for (size_t i = 0; i < dump->thread_count; i++) {
		struct dump_thread *t = &dump->threads[i];

		t->holder = DUMP_NOBODY;
		found = find_tid(tids, dump->thread_count, t->wait.holder, t->interpreter);
		if (found == NULL)
			continue;
		t->holder = found->thread;
		if (t->wait.holder_frame >= dump->threads[found->thread].depth)
			t->wait.holder_frame = WAIT_FRAME_NONE;
	}
	free(tids);
	return 0;
}

static int by_frame(const void *a, const void *b)
{
	const struct dump_local *x = a, *y = b;

	if (x->frame != y->frame)
		return x->frame < y->frame ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/*
 * The order in which people read: the main thread first, the others as they came; variables with
 * their frames.
 */
static void put_in_order(struct dump *dump)
{
	for (size_t i = 1; i < dump->thread_count; i++) {
		struct dump_thread main_thread = dump->threads[i];

		if (!(main_thread.head.flags & THREAD_MAIN))
			continue;
		if (!(dump->threads[0].head.flags & THREAD_MAIN)) {
			memmove(dump->threads + 1, dump->threads, i * sizeof *dump->threads);
			dump->threads[0] = main_thread;
		}
		break;
	}
	for (size_t i = 0; i < dump->thread_count; i++)
		if (dump->threads[i].local_count > 1)
			qsort(dump->locals + dump->threads[i].first_local,
				dump->threads[i].local_count, sizeof *dump->locals, by_frame);
}

int dump_accept(struct dump *dump, const struct msg *m)
{
	int rc;

	if (dump->complete || dump->begun == (m->type == MSG_DUMP_BEGIN))
		return PYSTUCK_EFORMAT;
	switch (m->type) {
	case MSG_DUMP_BEGIN:
		dump->begin = m->dump_begin;
		dump->begun = 1;
		return dump_keep(dump, &dump->begin.note);
	case MSG_DUMP_CODE:
		return accept_code(dump, &m->dump_code);
	case MSG_DUMP_SOURCE:
		return accept_source(dump, &m->dump_source);
	case MSG_DUMP_THREAD:
		return accept_thread(dump, &m->dump_thread);
	case MSG_DUMP_INTERPRETER:
		return accept_interpreter(dump, &m->dump_interpreter);
	case MSG_DUMP_NATIVES:
		return accept_natives(dump, &m->dump_natives);
	case MSG_DUMP_LOCAL:
		return accept_local(dump, &m->dump_local);
	case MSG_DUMP_WAIT:
		return accept_wait(dump, &m->dump_wait);
	case MSG_DUMP_GREENLET:
		return dump_accept_greenlet(dump, &m->dump_greenlet);
	case MSG_DUMP_GENERATOR:
		return dump_accept_generator(dump, &m->dump_generator);
	case MSG_DUMP_LOOP:
	case MSG_DUMP_TASK:
	case MSG_DUMP_TASKS:
		return dump_tasks_accept(dump, m);
	case MSG_DUMP_END:
		if (m->dump_end.id != dump->begin.id)
			return PYSTUCK_EFORMAT;
		dump->end = m->dump_end;
		dump->complete = 1;
		put_in_order(dump);
		rc = find_holders(dump);
		if (rc == 0)
			rc = dump_tasks_settle(dump);
		if (rc == 0)
			rc = dump_suspended_end(dump);
		return rc == 0 ? 1 : rc;
	default:
		return PYSTUCK_EFORMAT;
	}
}
