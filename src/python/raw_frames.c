/*
 * raw_frames.c: walks thread states and frames in raw memory, many threads at a time: in each round every walk says what it has
 * to see next, and all of it is read together. Knows no Python: raw_layout.h says where things are.
 */
#include "raw_frames.h"

#include "error.h"

#define CURSORS 24u          /* threads that are walked at the same time: what is read of them fits into a processor's cache */
#define WINDOW_BYTES 16384u  /* of a thread's stack of frames that are read at once */
#define PIECES 512u          /* thread states that are read again at once */
#define WORD_MASK (sizeof(uintptr_t) - 1)

void raw_pass_free(struct raw_pass *p)
{
	raw_array_free(&p->threads);
	raw_array_free(&p->steps);
	raw_array_free(&p->cursors);
	raw_array_free(&p->windows);
	raw_array_free(&p->stacks);
	*p = (struct raw_pass){.thread_count = 0};
}

/* --- thread states --- */

static uintptr_t field_or_0(const uint8_t *copy, uint32_t offset)
{
	return offset != RAW_NONE ? raw_mem_field(copy, offset) : 0;
}

/* What a copied thread state says; 0 when it is none of this interpreter's. */
static int read_state(struct raw_seen *t, const struct raw_layout *l, uintptr_t state, const uint8_t *copy)
{
	*t = (struct raw_seen){
		.state = state,
		.prev = raw_mem_field(copy, l->state_prev),
		.next = raw_mem_field(copy, l->state_next),
		.ident = raw_mem_field(copy, l->state_ident),
		.tid = (uint32_t)field_or_0(copy, l->state_tid),
		.frame = raw_mem_field(copy, l->state_frame),
		.chunk = field_or_0(copy, l->state_chunk),
		.top = field_or_0(copy, l->state_top),
		.base = field_or_0(copy, l->state_base),
	};
	return raw_mem_field(copy, l->state_interp) == l->interp;
}

static int add_thread(struct raw_pass *p, const struct raw_seen *t)
{
	int rc = raw_array_grow(&p->threads, (p->thread_count + 1) * sizeof *t, RAW_THREADS_MAX * sizeof *t);

	if (rc == 0)
		*raw_pass_thread(p, p->thread_count++) = *t;
	return rc;
}

int raw_pass_list(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l)
{
	uint8_t copy[RAW_STATE_MAX];
	uintptr_t state, before = 0;
	struct raw_seen t;
	int rc;

	p->thread_count = p->step_count = p->omitted_threads = 0;
	if (!raw_mem_word(m, l->interp + l->interp_threads, &state))
		return PYSTUCK_EAGAIN;
	while (state != 0) {
		if ((state & WORD_MASK) != 0 || !raw_mem_read(m, state, copy, l->state_bytes) ||
			!read_state(&t, l, state, copy) || t.prev != before)
			return PYSTUCK_EAGAIN;
		rc = p->thread_count < RAW_THREADS_MAX ? add_thread(p, &t) : PYSTUCK_ETOOBIG;
		if (rc == PYSTUCK_ENOMEM)
			return rc;
		if (rc != 0 && ++p->omitted_threads > RAW_WALK_MAX)
			return PYSTUCK_EAGAIN;
		before = state;
		state = t.next;
	}
	return p->thread_count > 0 ? 0 : PYSTUCK_EAGAIN;
}

int raw_pass_one(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, uintptr_t state)
{
	uint8_t copy[RAW_STATE_MAX];
	struct raw_seen t;

	p->thread_count = p->step_count = p->omitted_threads = 0;
	if ((state & WORD_MASK) != 0 || !raw_mem_read(m, state, copy, l->state_bytes) || !read_state(&t, l, state, copy))
		return PYSTUCK_EAGAIN;
	return add_thread(p, &t);
}

/* Some thread states again; whether they are what they were. */
static int look_again(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, const struct raw_seen *old,
	uint32_t count, int links, void *copies)
{
	struct raw_piece pieces[PIECES];
	struct raw_seen t;
	int rc;

	for (uint32_t i = 0; i < count; i++)
		pieces[i] = (struct raw_piece){
			.from = old[i].state, .to = (uint8_t *)copies + (size_t)i * RAW_STATE_MAX, .len = l->state_bytes};
	raw_mem_gather(m, pieces, count);
	for (uint32_t i = 0; i < count; i++) {
		if (!pieces[i].ok || !read_state(&t, l, old[i].state, pieces[i].to) || t.ident != old[i].ident)
			return PYSTUCK_EAGAIN;
		if (links && (t.prev != old[i].prev || t.next != old[i].next))
			return PYSTUCK_EAGAIN;
		rc = add_thread(p, &t);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int raw_pass_again(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, const struct raw_pass *old,
	uint32_t only)
{
	uint32_t first = only != RAW_ALL ? only : 0, end = only != RAW_ALL ? only + 1 : old->thread_count, n;
	uintptr_t head;
	int rc = raw_array_grow(&p->windows, (size_t)PIECES * RAW_STATE_MAX, SIZE_MAX);

	p->thread_count = p->step_count = 0;
	p->omitted_threads = old->omitted_threads;
	for (; rc == 0 && first < end; first += n) {
		n = end - first < PIECES ? end - first : PIECES;
		rc = look_again(p, m, l, raw_pass_thread(old, first), n, only == RAW_ALL, p->windows.at);
	}
	if (rc == 0 && only == RAW_ALL &&
		(!raw_mem_word(m, l->interp + l->interp_threads, &head) || head != raw_pass_thread(old, 0)->state))
		rc = PYSTUCK_EAGAIN;
	return rc;
}

/* --- one walk --- */

enum want { WANT_NOTHING, WANT_RECORD, WANT_WINDOW, WANT_FRAME };

/* The walk along the frames of one thread. */
struct cursor {
	struct raw_seen *thread;
	struct raw_step *steps; /* room for `most` */
	uint8_t *window;        /* WINDOW_BYTES; a copy of window_bytes at window_from */
	uintptr_t window_from;
	size_t window_bytes;
	uintptr_t chunk, chunk_end; /* the piece of stack that is walked through */
	uintptr_t chunk_before;     /* the one before it; 0: none, or not known yet */
	uintptr_t frame;            /* the next one; of the record when that is to be read first */
	uintptr_t windowed;         /* for this frame a window was asked for: not again */
	uintptr_t mark;             /* a frame that was passed: who comes back to it goes round in circles */
	uint32_t walked, next_mark;
	int ends_well; /* the last frame may be the end of a chain */
	int running;
	enum want want;
	struct raw_piece piece;
	uintptr_t copied;            /* the frame that is in `copy` */
	uint8_t copy[RAW_FRAME_MAX];
};

static void finish(struct cursor *c, int whole)
{
	c->running = 0;
	c->thread->whole = whole;
}

static void ask(struct cursor *c, enum want want, uintptr_t from, void *to, size_t len)
{
	c->want = want;
	c->piece = (struct raw_piece){.from = from, .to = to, .len = len};
}

/* The part of the current piece of stack that ends at `end`. */
static void ask_window(struct cursor *c, uintptr_t end)
{
	uintptr_t from = end - c->chunk > WINDOW_BYTES ? end - WINDOW_BYTES : c->chunk;

	c->windowed = c->frame;
	ask(c, WANT_WINDOW, from, c->window, end - from);
}

static void begin(struct cursor *c, const struct raw_layout *l)
{
	struct raw_seen *t = c->thread;

	c->frame = t->frame;
	c->running = 1;
	c->ends_well = 1;
	c->next_mark = 1;
	t->first = t->count = t->omitted = 0;
	t->chain = 0;
	t->whole = 0;
	if (t->top > t->chunk && t->chunk != 0) {
		c->chunk = t->chunk;
		c->chunk_end = t->top;
	}
	if (l->record_frame != RAW_NONE && c->frame != 0)
		ask(c, WANT_RECORD, c->frame + l->record_frame, &c->frame, sizeof c->frame);
}

/* Where the frame has been copied to, or NULL. */
static const uint8_t *copy_of(const struct cursor *c, const struct raw_layout *l)
{
	if (c->copied == c->frame)
		return c->copy;
	if (c->frame >= c->window_from && c->frame - c->window_from < c->window_bytes &&
		c->window_bytes - (c->frame - c->window_from) >= l->frame_bytes)
		return c->window + (c->frame - c->window_from);
	return NULL;
}

/* The frame is not at hand: with all of its neighbours where it is on the thread's own stack, else alone. */
static void ask_frame(struct cursor *c, const struct raw_layout *l)
{
	uintptr_t f = c->frame;

	if (c->windowed != f && f >= c->chunk && f < c->chunk_end && c->chunk_end - f >= l->frame_bytes) {
		ask_window(c, c->window_bytes == 0 ? c->chunk_end : f + l->frame_bytes);
	} else if (c->windowed != f && c->chunk_before != 0 && f >= c->chunk_before &&
		   f - c->chunk_before < l->chunk_bytes) {
		c->chunk = c->chunk_before;
		c->chunk_end = c->chunk + l->chunk_bytes;
		c->chunk_before = 0;
		ask_window(c, c->chunk_end);
	} else {
		ask(c, WANT_FRAME, f, c->copy, l->frame_bytes);
	}
}

/* The code that the frame runs. 0: it is no frame at all. */
static uintptr_t code_of(const struct raw_layout *l, const uint8_t *copy)
{
	uintptr_t code = raw_mem_field(copy, l->frame_code);

	/* All tag bits set mean a number and no object. */
	if (l->tags != 0 && (code & l->tags) == l->tags)
		return 0;
	return code & ~l->tags;
}

static void keep(struct cursor *c, uint32_t most, uintptr_t code, uintptr_t at)
{
	struct raw_seen *t = c->thread;

	if (t->count < most)
		c->steps[t->count++] = (struct raw_step){code, at, c->frame};
	else
		t->omitted++;
}

/* A frame of 3.11 and later. 0: it cannot be one. */
static int take_record(struct cursor *c, const struct raw_layout *l, uint32_t most, const uint8_t *copy)
{
	uint8_t owner = copy[l->frame_owner];
	int generator = owner == l->owner_generator;
	uintptr_t code, at;

	if (owner > l->owner_max)
		return 0;
	if (owner >= l->owner_skip) {
		c->ends_well = 1;
		return 1;
	}
	code = code_of(l, copy);
	at = raw_mem_field(copy, l->frame_instruction);
	if (code == 0 || (code & WORD_MASK) != 0 || (at & 1) != 0)
		return 0;
	/*
	 * A generator that is about to yield is cut off from its caller before the thread state knows. From 3.12 on the
	 * interpreter's own frame comes last; 3.11 says of a frame whether it was called from C.
	 */
	c->ends_well = l->frame_entry != RAW_NONE && copy[l->frame_entry] == 1 && !generator;
	if (code != l->object_none)
		keep(c, most, code, at | (uintptr_t)generator);
	return 1;
}

/* A frame of 3.10, an object. Whether the chain may end in it is seen when its code is known. */
static int take_object(struct cursor *c, const struct raw_layout *l, uint32_t most, const uint8_t *copy)
{
	uintptr_t code = raw_mem_field(copy, l->frame_code);
	int32_t at = raw_mem_field32(copy, l->frame_instruction);

	if (raw_mem_field(copy, l->object_type) != l->type_frame || code == 0 || (code & WORD_MASK) != 0 ||
		at < -1 || at > INT32_MAX / 2)
		return 0;
	keep(c, most, code, (uintptr_t)((intptr_t)at * 2));
	return 1;
}

/* One frame further. 0: the walk is over. */
static int step(struct cursor *c, const struct raw_layout *l, uint32_t most, const uint8_t *copy)
{
	struct raw_seen *t = c->thread;
	int right = l->frame_owner != RAW_NONE ? take_record(c, l, most, copy) : take_object(c, l, most, copy);

	t->chain = (t->chain ^ c->frame) * 0x9E3779B97F4A7C15u;
	if (!right || ++c->walked > RAW_WALK_MAX)
		return 0;
	if (c->walked == c->next_mark) {
		c->mark = c->frame;
		c->next_mark *= 2;
	}
	c->frame = raw_mem_field(copy, l->frame_previous);
	return c->frame == 0 || c->frame != c->mark;
}

/* Goes on until something has to be read or the walk is over. */
static void go_on(struct cursor *c, const struct raw_layout *l, uint32_t most)
{
	const uint8_t *copy;

	while (c->running && c->want == WANT_NOTHING) {
		if (c->frame == 0 || (l->state_base != RAW_NONE && c->frame == c->thread->base)) {
			/* 3.15: only the thread state's own frame is the end. */
			finish(c, c->frame != 0 || (c->ends_well && (l->state_base == RAW_NONE || c->walked == 0)));
			return;
		}
		if ((c->frame & WORD_MASK) != 0) {
			finish(c, 0);
			return;
		}
		copy = copy_of(c, l);
		if (copy == NULL)
			ask_frame(c, l);
		else if (!step(c, l, most, copy))
			finish(c, 0);
	}
}

/* What was asked for has been read, or could not be. */
static void receive(struct cursor *c, const struct raw_layout *l)
{
	enum want want = c->want;

	c->want = WANT_NOTHING;
	if (want == WANT_WINDOW) {
		c->window_from = c->piece.from;
		c->window_bytes = c->piece.ok ? c->piece.len : 0;
		if (c->piece.ok && c->piece.from == c->chunk && c->piece.len >= l->chunk_previous + sizeof(uintptr_t))
			c->chunk_before = raw_mem_field(c->window, l->chunk_previous);
	} else if (!c->piece.ok) {
		finish(c, 0);
	} else if (want == WANT_FRAME) {
		c->copied = c->piece.from;
	}
}

/* --- many walks --- */

static int make_room(struct raw_pass *p, uint32_t most)
{
	int rc = raw_array_grow(&p->cursors, CURSORS * sizeof(struct cursor), SIZE_MAX);

	if (rc == 0)
		rc = raw_array_grow(&p->windows, (size_t)CURSORS * WINDOW_BYTES, SIZE_MAX);
	if (rc == 0)
		rc = raw_array_grow(&p->stacks, (size_t)CURSORS * most * sizeof(struct raw_step), SIZE_MAX);
	/* Also of a thread without frames it can be said where they are. */
	if (rc == 0)
		rc = raw_array_grow(&p->steps, sizeof(struct raw_step), SIZE_MAX);
	return rc;
}

/* One round: whoever has to see something gets it. How many did. */
static uint32_t read_wanted(struct cursor *cursors, uint32_t count, struct raw_mem *m, const struct raw_layout *l)
{
	struct raw_piece pieces[CURSORS];
	uint32_t asked = 0, i = 0;

	for (uint32_t c = 0; c < count; c++)
		if (cursors[c].running && cursors[c].want != WANT_NOTHING) {
			pieces[asked] = cursors[c].piece;
			/* An address that a range cannot begin at is not worth a question. */
			if (pieces[asked].from == 0 || pieces[asked].from > UINTPTR_MAX - pieces[asked].len)
				pieces[asked].from = UINTPTR_MAX - pieces[asked].len;
			asked++;
		}
	raw_mem_gather(m, pieces, asked);
	for (uint32_t c = 0; c < count; c++)
		if (cursors[c].running && cursors[c].want != WANT_NOTHING) {
			cursors[c].piece.ok = pieces[i++].ok;
			receive(&cursors[c], l);
		}
	return asked;
}

/* The steps of a finished walk behind those of the others; beyond the limit they are only counted. */
static int store(struct raw_pass *p, struct cursor *c)
{
	struct raw_seen *t = c->thread;
	int rc = PYSTUCK_ETOOBIG;

	if (t->count <= RAW_TOTAL_MAX - p->step_count)
		rc = raw_array_grow(&p->steps, ((size_t)p->step_count + t->count) * sizeof(struct raw_step), SIZE_MAX);
	t->first = p->step_count;
	if (rc == PYSTUCK_ETOOBIG) {
		t->omitted += t->count;
		t->count = 0;
		return 0;
	}
	if (rc == 0 && t->count > 0)
		memcpy(raw_pass_steps(p, t), c->steps, t->count * sizeof(struct raw_step));
	p->step_count += rc == 0 ? t->count : 0;
	return rc;
}

static int walk_some(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, uint32_t first, uint32_t count,
	uint32_t most)
{
	struct cursor *cursors = p->cursors.at;
	int rc = 0;

	for (uint32_t i = 0; i < count; i++) {
		memset(&cursors[i], 0, offsetof(struct cursor, copy));
		cursors[i].thread = raw_pass_thread(p, first + i);
		cursors[i].window = (uint8_t *)p->windows.at + (size_t)i * WINDOW_BYTES;
		cursors[i].steps = (struct raw_step *)p->stacks.at + (size_t)i * most;
		begin(&cursors[i], l);
	}
	do
		for (uint32_t i = 0; i < count; i++)
			go_on(&cursors[i], l, most);
	while (read_wanted(cursors, count, m, l) > 0);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = store(p, &cursors[i]);
	return rc;
}

int raw_pass_walk(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l, uint32_t most)
{
	uint32_t n;
	int rc;

	if (most == 0 || most > RAW_FRAMES_MAX)
		most = RAW_FRAMES_MAX;
	rc = make_room(p, most);
	for (uint32_t i = 0; rc == 0 && i < p->thread_count; i += n) {
		n = p->thread_count - i < CURSORS ? p->thread_count - i : CURSORS;
		rc = walk_some(p, m, l, i, n, most);
	}
	return rc;
}

/* --- two passes --- */

int raw_pass_same(const struct raw_pass *a, uint32_t i, const struct raw_pass *b, uint32_t j, int *still)
{
	const struct raw_seen *x = raw_pass_thread(a, i), *y = raw_pass_thread(b, j);
	const struct raw_step *s = raw_pass_steps(a, x), *t = raw_pass_steps(b, y);

	if (x->state != y->state || x->ident != y->ident || !x->whole || !y->whole || x->chain != y->chain ||
		x->count != y->count || x->omitted != y->omitted)
		return 0;
	if (still != NULL)
		*still = x->count == 0 || s[0].at == t[0].at;
	if (x->count == 0)
		return 1;
	return s[0].code == t[0].code && memcmp(s + 1, t + 1, (x->count - 1) * sizeof *s) == 0;
}
