/*
 * raw_stacks.c: passes until two agree. Between each two the code objects are copied: whatever two equal passes enclose did not
 * change, since a frame keeps its code object alive. Where the GIL has not changed hands meanwhile one pass is enough for all threads
 * but the one that has had it. How a pass is made is in raw_frames.c.
 */
#include "raw_stacks.h"

#include <time.h>

#include "error.h"

#define LIST_TRIES 20u  /* of following a list that changes */
#define WHOLE_TRIES 4u  /* pairs of passes over everything */
#define SINGLE_TRIES 20u /* pairs of passes over one thread */
/* 3.10: of generators, coroutines and asynchronous generators; no chain ends in one of them. */
#define GENERATOR_FLAGS 0x2A0u

void raw_stacks_free(struct raw_stacks *s)
{
	raw_array_free(&s->threads);
	raw_array_free(&s->frames);
	raw_codes_free(&s->codes);
	raw_pass_free(&s->passes[0]);
	raw_pass_free(&s->passes[1]);
	*s = (struct raw_stacks){.thread_count = 0};
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

/* --- the GIL --- */

/* The thread state that holds it now; 0: nobody. */
static uintptr_t holder_now(struct raw_mem *m, const struct raw_layout *l)
{
	uintptr_t holder = 0;
	int32_t locked = 0;

	if (l->gil == 0 || !raw_mem_read(m, l->gil + l->gil_locked, &locked, sizeof locked) ||
		!raw_mem_word(m, l->gil + l->gil_holder, &holder))
		return 0;
	return locked == 1 ? holder : 0;
}

static int collecting_now(struct raw_mem *m, const struct raw_layout *l)
{
	int32_t collecting = 0;

	return raw_mem_read(m, l->interp + l->interp_collecting, &collecting, sizeof collecting) && collecting != 0;
}

/* --- from a pass to the answer --- */

static int add_frame(struct raw_stacks *s, const struct raw_layout *l, const struct raw_code *code, const struct raw_step *step)
{
	uintptr_t at = step->at;
	struct raw_frame *f;
	int generator = (int)(at & 1);
	int rc;

	if (l->code_instructions != RAW_NONE) {
		at &= ~(uintptr_t)1;
		/* Hidden from sys._current_frames() and from tracebacks, too: CPython is still setting it up. */
		if (!generator && at < code->traceable)
			return 0;
		at -= code->first;
	}
	rc = raw_array_grow(&s->frames, ((size_t)s->frame_count + 1) * sizeof *f, SIZE_MAX);
	if (rc != 0)
		return rc;
	f = (struct raw_frame *)s->frames.at + s->frame_count++;
	*f = (struct raw_frame){(uint32_t)(code - raw_codes_item(&s->codes, 0)), (int32_t)(intptr_t)at, step->frame};
	return 0;
}

/* Whether 3.10's chain of frame objects may end where it did. */
static int ends_well(const struct raw_stacks *s, const struct raw_layout *l, const struct raw_pass *p, const struct raw_seen *seen)
{
	const struct raw_code *last;

	if (l->frame_owner != RAW_NONE || seen->count == 0 || seen->omitted > 0)
		return 1;
	last = raw_codes_find(&s->codes, raw_pass_steps(p, seen)[seen->count - 1].code);
	return last != NULL && last->known && (last->flags & GENERATOR_FLAGS) == 0;
}

/*
 * The frames of thread i of a pass, whose code objects are those of this epoch, as the stack of the thread t. Where the code is
 * none the rest is left out. *right says whether that did not happen.
 */
static int put_thread(struct raw_stacks *s, const struct raw_layout *l, const struct raw_pass *p, uint32_t i, struct raw_thread *t,
	int *right)
{
	const struct raw_seen *seen = raw_pass_thread(p, i);
	const struct raw_step *steps = raw_pass_steps(p, seen);
	int rc = 0;

	*t = (struct raw_thread){
		.state = seen->state, .ident = seen->ident, .tid = seen->tid, .first = s->frame_count, .omitted = seen->omitted};
	*right = ends_well(s, l, p, seen);
	for (uint32_t k = 0; rc == 0 && k < seen->count; k++) {
		const struct raw_code *code = raw_codes_find(&s->codes, steps[k].code);

		if (code == NULL || !code->known) {
			*right = 0;
			t->omitted += seen->count - k;
			break;
		}
		rc = add_frame(s, l, code, &steps[k]);
	}
	t->count = s->frame_count - t->first;
	return rc;
}

/* --- all threads --- */

static int list(struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l)
{
	int rc = PYSTUCK_EAGAIN;

	for (unsigned i = 0; rc == PYSTUCK_EAGAIN && i < LIST_TRIES; i++)
		rc = raw_pass_list(p, m, l);
	return rc;
}

/* A pass after the first one: over the same threads as long as they are. */
static int pass_again(struct raw_pass *p, const struct raw_pass *old, struct raw_mem *m, const struct raw_layout *l, uint32_t most)
{
	int rc = raw_pass_again(p, m, l, old, RAW_ALL);

	if (rc == PYSTUCK_EAGAIN)
		rc = list(p, m, l);
	return rc == 0 ? raw_pass_walk(p, m, l, most) : rc;
}

/* The index of the thread in a pass, looked for near where it would be; RAW_ALL: it is not there. */
static uint32_t index_in(const struct raw_pass *p, const struct raw_seen *t, uint32_t near)
{
	for (uint32_t i = near; i < p->thread_count; i++)
		if (raw_pass_thread(p, i)->state == t->state)
			return i;
	for (uint32_t i = 0; i < near && i < p->thread_count; i++)
		if (raw_pass_thread(p, i)->state == t->state)
			return i;
	return RAW_ALL;
}

/*
 * What two passes agree on: threads are those of `b`, frames those of `a`, whose code objects are at hand. Returns 0 or
 * PYSTUCK_ENOMEM; *all says that nothing differed.
 */
static int put_agreed(struct raw_stacks *s, const struct raw_layout *l, const struct raw_pass *a, const struct raw_pass *b, int *all)
{
	int rc = raw_array_grow(&s->threads, ((size_t)b->thread_count + 1) * sizeof(struct raw_thread), SIZE_MAX);
	uint32_t next = 0;

	if (rc == 0)
		rc = raw_array_grow(&s->frames, sizeof(struct raw_frame), SIZE_MAX);
	*all = a->thread_count == b->thread_count;
	s->thread_count = s->frame_count = 0;
	for (uint32_t j = 0; rc == 0 && j < b->thread_count; j++) {
		uint32_t i = index_in(a, raw_pass_thread(b, j), next);
		struct raw_thread *t = raw_stacks_thread(s, j);
		int still = 0, right = 0;

		s->thread_count = j + 1;
		if (i != RAW_ALL && raw_pass_same(a, i, b, j, &still))
			rc = put_thread(s, l, a, i, t, &right);
		t->moving = !right;
		t->still = right && still;
		*all = *all && right && i == j;
		next = i != RAW_ALL ? i + 1 : next;
	}
	s->omitted_threads = b->omitted_threads;
	return rc;
}

/* --- who can have run --- */

/* Whose turn it is, or was last. */
struct turn {
	uintptr_t holder;   /* a thread state */
	uintptr_t switches; /* so often the GIL has gone from one thread state to another */
};

static struct turn turn_now(struct raw_mem *m, const struct raw_layout *l)
{
	struct turn t = {0, 0};

	if (l->gil == 0 || !raw_mem_word(m, l->gil + l->gil_holder, &t.holder) ||
		!raw_mem_word(m, l->gil + l->gil_switches, &t.switches))
		t.switches = 0;
	return t;
}

/* Frames change only with the GIL held: by nobody but this holder since the turn was read. */
static int is_same_turn(const struct turn *t, struct raw_mem *m, const struct raw_layout *l)
{
	struct turn now = turn_now(m, l);

	return t->switches != 0 && t->switches == now.switches && t->holder == now.holder;
}

/* The list and where stacks begin are what they were, but for the runner's. */
static int is_same_list(const struct raw_pass *a, const struct raw_pass *b, uint32_t runner)
{
	for (uint32_t i = 0; i < a->thread_count; i++) {
		const struct raw_seen *x = raw_pass_thread(a, i), *y = raw_pass_thread(b, i);

		if (i != runner && (x->frame != y->frame || x->chunk != y->chunk || x->top != y->top || x->base != y->base))
			return 0;
	}
	return 1;
}

/* All threads as one pass has them. `moved`: the runner was not seen twice the same; `still`: not even its innermost frame went on. */
static int put_seen(struct raw_stacks *s, const struct raw_layout *l, const struct raw_pass *p, uint32_t runner, int moved, int still)
{
	int rc = raw_array_grow(&s->threads, ((size_t)p->thread_count + 1) * sizeof(struct raw_thread), SIZE_MAX);

	if (rc == 0)
		rc = raw_array_grow(&s->frames, sizeof(struct raw_frame), SIZE_MAX);
	s->thread_count = s->frame_count = 0;
	s->omitted_threads = p->omitted_threads;
	s->settled = 1;
	for (uint32_t i = 0; rc == 0 && i < p->thread_count; i++) {
		struct raw_thread *t = raw_stacks_thread(s, i);
		int right = 0;

		s->thread_count = i + 1;
		*t = (struct raw_thread){.moving = 1};
		if (raw_pass_thread(p, i)->whole && !(i == runner && moved))
			rc = put_thread(s, l, p, i, t, &right);
		t->moving = !right;
		t->still = right && (i != runner || still);
		s->settled = s->settled && right;
	}
	return rc;
}

/* Whether the pass, whose code objects are at hand, is enough: *enough. passes[1] is used meanwhile. */
static int take_once(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uint32_t most, const struct turn *turn, int *enough)
{
	struct raw_pass *a = &s->passes[0], *b = &s->passes[1];
	uint32_t runner = 0;
	int rc = raw_pass_again(b, m, l, a, RAW_ALL), still = 1, same = 1;

	*enough = 0;
	while (runner < a->thread_count && raw_pass_thread(a, runner)->state != turn->holder)
		runner++;
	if (rc == 0 && !is_same_list(a, b, runner))
		rc = PYSTUCK_EAGAIN;
	if (rc == 0 && runner < a->thread_count) {
		rc = raw_pass_again(b, m, l, a, runner);
		if (rc == 0)
			rc = raw_pass_walk(b, m, l, most);
		same = rc == 0 && raw_pass_same(a, runner, b, 0, &still);
	}
	if (rc != 0 || !is_same_turn(turn, m, l))
		return rc == PYSTUCK_EAGAIN ? 0 : rc;
	*enough = 1;
	return put_seen(s, l, a, runner, !same, still);
}

/* Which of the passes is the newest goes into *last. */
static int take_whole(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uint32_t most, uint64_t until, unsigned *last)
{
	struct raw_pass *p = s->passes;
	struct turn turn = turn_now(m, l);
	unsigned now = 0;
	int enough = 0;
	int rc = list(&p[0], m, l);

	if (rc == 0)
		rc = raw_pass_walk(&p[0], m, l, most);
	if (rc == 0)
		rc = raw_codes_read(&s->codes, m, l, &p[0]);
	if (rc == 0 && is_same_turn(&turn, m, l))
		rc = take_once(s, m, l, most, &turn, &enough);
	for (unsigned i = 0; rc == 0 && !enough && i < WHOLE_TRIES && (i == 0 || now_ms() < until) && !s->settled; i++) {
		if (i > 0)
			rc = raw_codes_read(&s->codes, m, l, &p[now]);
		now = !now;
		if (rc == 0)
			rc = pass_again(&p[now], &p[!now], m, l, most);
		if (rc == 0)
			rc = put_agreed(s, l, &p[!now], &p[now], &s->settled);
	}
	*last = now;
	return rc;
}

/* --- one thread --- */

/* Whether the only thread of a pass is in the list: memory of one that has ended may look as it did. */
static int is_listed(const struct raw_pass *p, struct raw_mem *m, const struct raw_layout *l)
{
	const struct raw_seen *t = raw_pass_thread(p, 0);
	uintptr_t from = t->prev != 0 ? t->prev + l->state_next : l->interp + l->interp_threads, next;

	return raw_mem_word(m, from, &next) && next == t->state;
}

/* Looks at one thread that moves until it is seen twice the same; else it is shown as it was last seen. */
static int take_single(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uint32_t most, uint64_t until,
	const struct raw_pass *whole, uint32_t j, struct raw_pass singles[2])
{
	struct raw_thread *t = raw_stacks_thread(s, j);
	uint32_t frames = s->frame_count;
	unsigned now = 0;
	int still = 0, right = 0;
	int rc = raw_pass_again(&singles[0], m, l, whole, j);

	if (rc == 0)
		rc = raw_pass_walk(&singles[0], m, l, most);
	for (unsigned i = 0; rc == 0 && i < SINGLE_TRIES && (i == 0 || now_ms() < until); i++) {
		rc = raw_codes_read(&s->codes, m, l, &singles[now]);
		if (rc == 0)
			rc = raw_pass_again(&singles[!now], m, l, &singles[now], 0);
		if (rc == 0)
			rc = raw_pass_walk(&singles[!now], m, l, most);
		if (rc != 0)
			break;
		s->frame_count = frames;
		rc = put_thread(s, l, &singles[now], 0, t, &right);
		if (!is_listed(&singles[!now], m, l))
			rc = PYSTUCK_EAGAIN;
		right = right && raw_pass_same(&singles[now], 0, &singles[!now], 0, &still);
		t->moving = !right;
		t->still = right && still;
		if (right)
			break;
		now = !now;
	}
	if (rc != PYSTUCK_EAGAIN)
		return rc;
	/* It has ended meanwhile. */
	*t = (struct raw_thread){.moving = 1};
	return 0;
}

/* Whose thread state went away is no thread any more. */
static void drop_ended(struct raw_stacks *s)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < s->thread_count; i++)
		if (raw_stacks_thread(s, i)->state != 0)
			*raw_stacks_thread(s, kept++) = *raw_stacks_thread(s, i);
	s->thread_count = kept;
}

static int take_singles(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uint32_t most, uint64_t until,
	const struct raw_pass *whole)
{
	struct raw_pass singles[2] = {{.thread_count = 0}, {.thread_count = 0}};
	int rc = 0;

	for (uint32_t j = 0; rc == 0 && j < s->thread_count; j++)
		if (raw_stacks_thread(s, j)->moving) {
			*raw_stacks_thread(s, j) = (struct raw_thread){.moving = 1};
			rc = take_single(s, m, l, most, until, whole, j, singles);
		}
	raw_pass_free(&singles[0]);
	raw_pass_free(&singles[1]);
	drop_ended(s);
	return rc;
}

int raw_stacks_one(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uintptr_t state, uint32_t most)
{
	struct raw_pass *p = s->passes;
	int rc;

	*s = (struct raw_stacks){.thread_count = 0};
	s->holder = holder_now(m, l);
	rc = raw_pass_one(&p[0], m, l, state);
	if (rc == 0)
		rc = raw_pass_walk(&p[0], m, l, most);
	if (rc == 0)
		rc = raw_codes_read(&s->codes, m, l, &p[0]);
	if (rc == 0)
		rc = raw_pass_again(&p[1], m, l, &p[0], 0);
	if (rc == 0)
		rc = raw_pass_walk(&p[1], m, l, most);
	return rc == 0 ? put_agreed(s, l, &p[0], &p[1], &s->settled) : rc;
}

int raw_stacks_take(struct raw_stacks *s, struct raw_mem *m, const struct raw_layout *l, uint32_t most)
{
	uint64_t until = now_ms() + RAW_STACKS_MS;
	uintptr_t holder = holder_now(m, l);
	int collecting = collecting_now(m, l);
	unsigned last;
	int rc;

	*s = (struct raw_stacks){.thread_count = 0};
	rc = take_whole(s, m, l, most, until, &last);
	if (rc == 0 && !s->settled)
		rc = take_singles(s, m, l, most, until, &s->passes[last]);
	s->holder = holder != 0 && holder == holder_now(m, l) ? holder : 0;
	s->collecting = collecting && collecting_now(m, l);
	return rc;
}
