/*
 * frames.c: walks thread states and frames under the GIL and notes code objects and instruction
 * offsets. What the offsets mean is in lines.c, names of threads in names.c, values of variables in
 * locals.c.
 */
#include "frames.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "code_copy.h"
#include "error.h"
#include "msg.h"
#include "names.h"
#include "ours.h"
#include "tids.h"

#define FIRST_THREADS 64u
#define FIRST_FRAMES 1024u
#define FIRST_CODES 64u
#define TOUCH_THREADS 8u               /* so many chains of frames are followed side by side, */
#define TOUCH_FRAMES 128u              /* each so far */
#define CODE_CACHE 64u                 /* code objects that were just met; a power of two */
#define FILE_CACHE 64u                 /* recently copied file names; a power of two */
#define REMEMBERED_FRAMES_MAX 1000000u /* room is made beforehand for at most so many */

/*
 * What the last dump needed: growing tables and first touches of memory are for the time before the
 * GIL is taken.
 */
static _Atomic uint32_t last_threads, last_frames;

/*
 * What a walk keeps at hand: code objects that it has just met, by their address; file names, of which the code objects of one module
 * share the str: it is copied once.
 */
struct at_hand {
	struct {
		const PyCodeObject *code; /* NULL: none */
		uint32_t index;
	} codes[CODE_CACHE];
	struct {
		PyObject *str;
		struct pytext_ref text;
	} files[FILE_CACHE];
};

/* --- memory --- */

/* Doubles *capacity, up to `most` elements, until it holds `need`. */
static int grow(void **array, uint32_t *capacity, uint32_t need, uint32_t most, size_t size)
{
	uint32_t wanted = *capacity > 0 ? *capacity : 1;
	void *grown;

	if (need <= *capacity)
		return 0;
	if (need > most)
		return PYSTUCK_ETOOBIG;
	while (wanted < need)
		wanted = wanted <= most / 2 ? wanted * 2 : most;
	grown = realloc(*array, (size_t)wanted * size);
	if (grown == NULL)
		return PYSTUCK_ENOMEM;
	*array = grown;
	*capacity = wanted;
	return 0;
}

static int grow_threads(struct frames *f, uint32_t need)
{
	void *array = f->threads;
	int rc = grow(&array, &f->thread_capacity, need, FRAMES_THREADS_MAX, sizeof *f->threads);

	f->threads = array;
	return rc;
}

static int grow_frames(struct frames *f, uint32_t need)
{
	void *array = f->frames;
	int rc = grow(&array, &f->frame_capacity, need, FRAMES_TOTAL_MAX, sizeof *f->frames);

	f->frames = array;
	return rc;
}

static int grow_codes(struct frames *f, uint32_t need)
{
	void *array = f->codes;
	int rc = grow(&array, &f->code_capacity, need, FRAMES_CODES_MAX, sizeof *f->codes);

	f->codes = array;
	return rc;
}

void frames_init(struct frames *f)
{
	uint32_t threads = atomic_load(&last_threads), frames = atomic_load(&last_frames);

	memset(f, 0, sizeof *f);
	pytext_init(&f->text, FRAMES_TEXT_MAX);
	/* A failure shows itself again, and is dealt with, when the room is needed. */
	if (grow_threads(f, threads > FIRST_THREADS ? threads : FIRST_THREADS) == 0)
		memset(f->threads, 0, f->thread_capacity * sizeof *f->threads);
	if (grow_frames(f, frames > FIRST_FRAMES ? frames : FIRST_FRAMES) == 0)
		memset(f->frames, 0, f->frame_capacity * sizeof *f->frames);
	grow_codes(f, FIRST_CODES);
}

void frames_free(struct frames *f)
{
	free(f->threads);
	free(f->frames);
	free(f->codes);
	free(f->slots);
	for (uint32_t i = 0; i < f->copy_count; i++)
		code_copy_free(&f->copies[i]);
	free(f->copies);
	free(f->interps);
	pytext_free(&f->text);
	memset(f, 0, sizeof *f);
}

void frames_release(struct frames *f)
{
	/* A finalizer may run anything: the table is emptied first, entry by entry. */
	while (f->code_count > 0) {
		PyCodeObject *code = f->codes[--f->code_count].code;

		Py_XDECREF(code);
	}
}

/* --- code objects --- */

static uint32_t hash_address(const void *p)
{
	uint64_t h = (uint64_t)(uintptr_t)p * 0x9E3779B97F4A7C15u;

	return (uint32_t)(h >> 32);
}

/* The slot of a code object, or the empty one where it belongs. The table is never full. */
static uint32_t *find_slot(const struct frames *f, const PyCodeObject *code)
{
	uint32_t mask = f->slot_count - 1, i = hash_address(code) & mask;

	while (f->slots[i] != 0 && f->codes[f->slots[i] - 1].code != code)
		i = (i + 1) & mask;
	return &f->slots[i];
}

/* Keeps the table at most half full. */
static int grow_slots(struct frames *f)
{
	uint32_t count = f->slot_count > 0 ? f->slot_count * 2 : FIRST_CODES * 2;
	uint32_t *slots, *old = f->slots;

	if (f->code_count < f->slot_count / 2)
		return 0;
	slots = calloc(count, sizeof *slots);
	if (slots == NULL)
		return PYSTUCK_ENOMEM;
	f->slots = slots;
	f->slot_count = count;
	for (uint32_t i = 0; i < f->code_count; i++)
		*find_slot(f, f->codes[i].code) = i + 1;
	free(old);
	return 0;
}

/*
 * Without memory for a name the frame is shown without it: it is the names that are cut, not the
 * stack.
 */
static void copy_names(struct frames *f, struct frames_code *c, struct at_hand *hand)
{
	PyObject *file = c->code->co_filename;
	uint32_t i = hash_address(file) & (FILE_CACHE - 1);

	if (hand->files[i].str != file) {
		if (pytext_str(&f->text, file, FRAMES_FILE_MAX, &hand->files[i].text) != 0)
			f->cut = 1;
		hand->files[i].str = file;
	}
	c->file = hand->files[i].text;
	if (pytext_str(&f->text, compat_qualname(c->code), FRAMES_FUNCTION_MAX, &c->function) != 0)
		f->cut = 1;
}

static int add_code(struct frames *f, PyCodeObject *code, struct at_hand *hand, uint32_t *index)
{
	struct frames_code *c;
	int rc = grow_slots(f);

	if (rc == 0)
		rc = grow_codes(f, f->code_count + 1);
	if (rc != 0)
		return rc;
	*index = f->code_count;
	*find_slot(f, code) = *index + 1;
	c = &f->codes[f->code_count++];
	memset(c, 0, sizeof *c);
	Py_INCREF(code);
	c->code = code;
	copy_names(f, c, hand);
	return 0;
}

static int find_code(struct frames *f, PyCodeObject *code, struct at_hand *hand, uint32_t *index)
{
	uint32_t *slot = f->slots != NULL ? find_slot(f, code) : NULL;

	if (slot == NULL || *slot == 0)
		return add_code(f, code, hand, index);
	*index = *slot - 1;
	return 0;
}

/* Most frames are of a code object that was met just before. */
static int index_of(struct frames *f, PyCodeObject *code, struct at_hand *hand, uint32_t *index)
{
	uint32_t i = hash_address(code) & (CODE_CACHE - 1);
	int rc = 0;

	if (hand->codes[i].code != code) {
		rc = find_code(f, code, hand, &hand->codes[i].index);
		hand->codes[i].code = rc == 0 ? code : NULL;
	}
	*index = hand->codes[i].index;
	return rc;
}

/* --- frames --- */

static int add_frame(struct frames *f, PyCodeObject *code, int32_t offset, const compat_frame *at, struct at_hand *hand)
{
	uint32_t index;
	int rc = f->frame_count < f->frame_capacity ? 0 : grow_frames(f, f->frame_count + 1);

	if (rc == 0)
		rc = index_of(f, code, hand, &index);
	if (rc == 0)
		f->frames[f->frame_count++] = (struct frames_frame){index, offset, (uintptr_t)at};
	return rc;
}

/*
 * The walk waits for memory more than for anything else, and each chain of frames tells only step by
 * step where the next one lies. So some threads' chains are followed side by side beforehand, which
 * waits for many at a time and leaves in the cache what the walk then reads.
 */
static void touch_frames(const struct frames_thread *threads, uint32_t count)
{
	const compat_frame *at[TOUCH_THREADS];
	uint32_t live = 0;

	for (uint32_t i = 0; i < count; i++)
		if (threads[i].top != NULL)
			at[live++] = threads[i].top;
	for (uint32_t deep = 0; live > 0 && deep < TOUCH_FRAMES; deep++)
		for (uint32_t i = 0; i < live; i++) {
			compat_fetch(at[i]);
			at[i] = compat_back(at[i]);
			if (at[i] == NULL)
				at[i--] = at[--live];
		}
}

/*
 * From the innermost frame outwards. Where a limit or memory ends, the rest is counted, so that
 * what is kept has no holes.
 */
static void walk_thread(
	struct frames *f, struct frames_thread *t, uint32_t most, struct at_hand *hand)
{
	uint32_t walked = 0, count = 0, omitted = 0;
	int32_t offset;
	int complete;

	t->first = f->frame_count;
	for (compat_frame *fr = t->top; fr != NULL && walked < FRAMES_WALK_MAX;
		fr = compat_back(fr), walked++) {
		PyCodeObject *code = compat_code(fr);

		if (code == NULL)
			continue;
		offset = compat_offset(fr, code, &complete);
		if (!complete)
			continue;
		if (omitted == 0 && count < most && add_frame(f, code, offset, fr, hand) == 0)
			count++;
		else
			omitted++;
	}
	t->count = count;
	t->omitted = omitted;
	if (omitted > 0)
		f->cut = 1;
}

int frames_add_one(struct frames *f, PyCodeObject *code, int32_t offset, const compat_frame *at, uint32_t *index)
{
	struct at_hand hand;
	int rc = grow_frames(f, f->frame_count + 1);

	/* Only a code that is new needs it. */
	if (f->slots == NULL || *find_slot(f, code) == 0)
		memset(&hand, 0, sizeof hand);
	if (rc == 0)
		rc = find_code(f, code, &hand, index);
	if (rc == 0)
		f->frames[f->frame_count++] = (struct frames_frame){*index, offset, (uintptr_t)at};
	return rc;
}

int frames_add(struct frames *f, compat_frame *top, uint32_t max_frames)
{
	uint32_t most = max_frames > 0 && max_frames < FRAMES_PER_THREAD_MAX ? max_frames : FRAMES_PER_THREAD_MAX;
	struct at_hand hand = {0};
	int rc = grow_threads(f, f->thread_count + 1);

	if (rc != 0)
		return rc;
	f->threads[f->thread_count] = (struct frames_thread){.top = top};
	walk_thread(f, &f->threads[f->thread_count++], most, &hand);
	return 0;
}

int frames_reserve(struct frames *f, uint32_t threads, uint32_t frames, uint32_t codes)
{
	int rc = threads <= FRAMES_THREADS_MAX ? grow_threads(f, f->thread_count + threads) : PYSTUCK_ETOOBIG;

	if (rc == 0)
		rc = frames <= FRAMES_TOTAL_MAX ? grow_frames(f, f->frame_count + frames) : PYSTUCK_ETOOBIG;
	if (rc == 0)
		rc = codes <= FRAMES_CODES_MAX ? grow_codes(f, f->code_count + codes) : PYSTUCK_ETOOBIG;
	return rc;
}

int frames_again(struct frames *f, const uint32_t *frames, uint32_t count)
{
	int rc = grow_threads(f, f->thread_count + 1);

	if (rc == 0 && count <= FRAMES_TOTAL_MAX)
		rc = grow_frames(f, f->frame_count + count);
	if (rc != 0)
		return rc;
	f->threads[f->thread_count++] = (struct frames_thread){.first = f->frame_count, .count = count};
	for (uint32_t i = 0; i < count; i++)
		f->frames[f->frame_count++] = f->frames[frames[i]];
	return 0;
}

/* --- thread states --- */

static int list_threads(struct frames *f, const PyThreadState *holder, uint64_t *holder_ident)
{
	uint64_t main_ident = compat_main_ident();
	int rc = 0;

	if (!compat_head_lock())
		return PYSTUCK_ETIME;
	for (PyThreadState *t = compat_first_thread(); t != NULL; t = compat_next_thread(t)) {
		if (rc == 0)
			rc = grow_threads(f, f->thread_count + 1);
		if (rc != 0) {
			f->omitted_threads++;
			continue;
		}
		f->threads[f->thread_count++] = (struct frames_thread){
			.ident = t->thread_id,
			.tid = compat_native_tid(t),
			.flags = t->thread_id == main_ident ? THREAD_MAIN : 0,
			.top = compat_top_frame(t),
		};
		if (t == holder)
			*holder_ident = t->thread_id;
	}
	compat_head_unlock();
	if (f->omitted_threads > 0)
		f->cut = 1;
	return f->thread_count > 0 ? 0 : rc;
}

/* Main thread first, then in the order in which they began: the list has the newest first. */
static void order_threads(struct frames *f)
{
	struct frames_thread t;

	for (uint32_t i = 0, j = f->thread_count; i + 1 < j; i++) {
		t = f->threads[i];
		f->threads[i] = f->threads[--j];
		f->threads[j] = t;
	}
	for (uint32_t i = 0; i < f->thread_count; i++) {
		/* Without frames it may be a thread that the main thread is about to start. */
		if (!(f->threads[i].flags & THREAD_MAIN) || f->threads[i].top == NULL)
			continue;
		t = f->threads[i];
		memmove(&f->threads[1], &f->threads[0], i * sizeof *f->threads);
		f->threads[0] = t;
		break;
	}
}

/* Takes our own threads out, or marks them. */
static void sort_out_ours(struct frames *f, uint8_t flags)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < f->thread_count; i++) {
		struct frames_thread *t = &f->threads[i];

		if (ours_has((pid_t)t->tid)) {
			if (!(flags & DUMP_OURS)) {
				if (f->hidden < FRAMES_HIDDEN_MAX)
					f->hidden_idents[f->hidden] = t->ident;
				f->hidden++;
				continue;
			}
			t->flags |= THREAD_OURS;
		}
		f->threads[kept++] = *t;
	}
	f->thread_count = kept;
}

/*
 * A thread state without frames is a native thread that is not in Python at the moment; or one that
 * is about to start and still bears the ident of the thread that made it (3.10, 3.11) or none
 * (3.12+). Only the former is a thread to show.
 */
static void drop_unborn(struct frames *f)
{
	struct frames_idents *map = frames_idents_new(f);
	uint32_t kept = 0;

	if (map == NULL)
		return;
	/* The table knows the first of each ident that has frames, else the first. */
	for (uint32_t i = 0; i < f->thread_count; i++) {
		struct frames_thread *t = &f->threads[i];
		int bare = t->count + t->omitted == 0;

		t->top = bare ? NULL : t->top;
		if (bare && (t->ident == 0 || frames_idents_find(map, f, t->ident) != t))
			t->ident = UINT64_MAX;
	}
	frames_idents_free(map);
	for (uint32_t i = 0; i < f->thread_count; i++)
		if (f->threads[i].ident != UINT64_MAX)
			f->threads[kept++] = f->threads[i];
	f->thread_count = kept;
}

/* 3.10: threading knows the ids of its own threads; those of others are looked for. */
static void fill_in_tids(struct frames *f)
{
	for (uint32_t i = 0; i < f->thread_count; i++)
		if (f->threads[i].tid == 0)
			f->threads[i].tid = tids_of_ident(f->threads[i].ident);
}

int frames_collect(
	struct frames *f, uint8_t flags, uint32_t max_frames, const PyThreadState *holder)
{
	uint32_t most = max_frames > 0 && max_frames < FRAMES_PER_THREAD_MAX
				? max_frames
				: FRAMES_PER_THREAD_MAX;
	struct at_hand hand = {0};
	uint64_t holder_ident = 0;
	int rc = list_threads(f, holder, &holder_ident);

	if (rc != 0)
		return rc;
	order_threads(f);
	for (uint32_t i = 0; i < f->thread_count; i++) {
		uint32_t left = f->thread_count - i;

		if (i % TOUCH_THREADS == 0)
			touch_frames(&f->threads[i], left < TOUCH_THREADS ? left : TOUCH_THREADS);
		walk_thread(f, &f->threads[i], most, &hand);
	}
	drop_unborn(f);
	names_read(f);
	fill_in_tids(f);
	for (uint32_t i = 0; holder_ident != 0 && i < f->thread_count; i++)
		if (f->threads[i].ident == holder_ident)
			f->holder_tid = f->threads[i].tid;
	sort_out_ours(f, flags);
	atomic_store(&last_threads, f->thread_count);
	atomic_store(&last_frames,
		f->frame_count < REMEMBERED_FRAMES_MAX ? f->frame_count : REMEMBERED_FRAMES_MAX);
	return 0;
}

void frames_arrange(struct frames *f)
{
	order_threads(f);
	drop_unborn(f);
}

void frames_finish(struct frames *f, uint8_t flags)
{
	fill_in_tids(f);
	sort_out_ours(f, flags);
}
