/*
 * collector.c: finds the thread that collects garbage. While the collector calls anything that may let go of the GIL (a finalizer, a
 * callback, whatever a freed object calls) the objects in question are in a list whose head is a variable of the collector's: two
 * words on its thread's C stack that point to objects that point back. No other thread has such words. A thread that runs shows
 * no stack: that one it is only when all others have been looked through.
 */
#include <Python.h>

#include "collector.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compat.h"
#include "cpu_clock.h"
#include "gil.h"
#include "ours.h"

#define STACK_BYTES (128u * 1024) /* that are looked through, from its end upwards */
#define PAGE 4096u
#define STACK_MAX (1u << 30) /* so far above its end a stack may go on at most */
#define FLAGS ((uintptr_t)3) /* of the collector's, in the low bits of its links */
#define FIND_MS 200u
#define SET_UP (Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_READY)

static int usable;

/* 1 when the word is the address of a list. The words may be anything. */
static int is_list(struct raw_mem *mem, uintptr_t at)
{
	uintptr_t list = 0, type = 0;

	return raw_mem_word(mem, at, &list) && raw_mem_word(mem, list + offsetof(PyObject, ob_type), &type) &&
	       type == (uintptr_t)&PyList_Type;
}

/*
 * The flag has no name in Python, but the fields around it have: gc.isenabled() before it, gc.garbage and gc.callbacks behind. Not
 * by the module gc: the program would see that it has been imported.
 */
void collector_init(void)
{
	uintptr_t gc = (uintptr_t)&PyInterpreterState_Main()->gc;
	struct raw_own own = {.fd = -1};
	int enabled = -1, enabled_then = PyGC_IsEnabled();

	if (raw_own_open(&own) == 0)
		usable = raw_mem_read(&own.mem, gc + offsetof(struct _gc_runtime_state, enabled), &enabled, sizeof enabled) &&
			 enabled == enabled_then && is_list(&own.mem, gc + offsetof(struct _gc_runtime_state, garbage)) &&
			 is_list(&own.mem, gc + offsetof(struct _gc_runtime_state, callbacks));
	raw_own_close(&own);
}

int collector_runs(void)
{
	return usable && __atomic_load_n(&PyInterpreterState_Main()->gc.collecting, __ATOMIC_RELAXED) != 0;
}

/* Functions in gc.callbacks are called without any list. */
static int has_callbacks(struct raw_mem *mem, const struct raw_layout *l)
{
	uintptr_t list = 0, size = 1;

	return !raw_mem_word(mem, l->interp + offsetof(PyInterpreterState, gc.callbacks), &list) ||
	       !raw_mem_word(mem, list + l->var_size, &size) || size != 0;
}

/* --- a list's head on a stack --- */

/* What lies behind this head is an object that the collector knows. */
static int is_collectable(struct raw_mem *mem, const struct raw_layout *l, uintptr_t head)
{
	uintptr_t type = 0, flags = 0;

	return raw_mem_word(mem, head + sizeof(PyGC_Head) + l->object_type, &type) && type != 0 &&
	       raw_mem_word(mem, type + l->type_flags, &flags) && (flags & SET_UP) == SET_UP;
}

static int is_head(struct raw_mem *mem, const struct raw_layout *l, uintptr_t at, const uintptr_t words[static 2])
{
	uintptr_t first = words[0] & ~FLAGS, last = words[1] & ~FLAGS, back = 0, on = 0;

	if (first < PAGE || last < PAGE || ((first | last) & 15) != 0 || (first | last) >> 47 != 0 || first == at || last == at)
		return 0;
	return raw_mem_word(mem, first + offsetof(PyGC_Head, _gc_prev), &back) && (back & ~FLAGS) == at &&
	       raw_mem_word(mem, last + offsetof(PyGC_Head, _gc_next), &on) && (on & ~FLAGS) == at &&
	       is_collectable(mem, l, first) && is_collectable(mem, l, last);
}

/* 1 when a list of the collector's begins on this stack, 0 when not, -1 when that could not be told in time. */
static int has_head(struct raw_mem *mem, const struct raw_layout *l, uintptr_t stack, uintptr_t end, uint64_t until)
{
	uintptr_t words[PAGE / sizeof(uintptr_t) + 1], at = stack & ~(uintptr_t)7;

	for (words[0] = 0; at < end; at = (at & ~(uintptr_t)(PAGE - 1)) + PAGE) {
		size_t count = (PAGE - at % PAGE) / sizeof *words;

		if (gil_now_ns() > until)
			return -1;
		/* The word before is the last one of the page below. */
		if (!raw_mem_read(mem, at, words + 1, count * sizeof *words))
			return 0;
		for (size_t i = 0; i < count; i++)
			if (is_head(mem, l, at + (i - 1) * sizeof *words, words + i))
				return 1;
		words[0] = words[count];
	}
	return 0;
}

/* --- threads --- */

struct search {
	const struct waits *w;
	struct raw_mem *mem;
	const struct raw_layout *l;
	uint64_t until;
};

/* 1: it collects, 0: it does not, -1: not known. */
static int look_at(const struct search *s, pid_t tid, uint64_t ident, const struct waits_view *v)
{
	uintptr_t end = v->stack + STACK_BYTES;
	int found;

	if (!v->exists)
		return 0;
	if (v->call == NULL || v->stack == 0 || v->cpu_ns == 0)
		return -1;
	/* What a thread is known by lies at the other end of its stack. */
	if (ident > v->stack && ident - v->stack < STACK_MAX && ident < end)
		end = (uintptr_t)ident;
	found = has_head(s->mem, s->l, v->stack, end, s->until);
	if (found == 1)
		return waits_same(s->w, tid, v) ? 1 : -1;
	return found == 0 && cpu_clock_ns(tid) == v->cpu_ns ? 0 : -1;
}

/* Threads of ours run code of the program too. 1 when none of them can be the one. */
static int are_ours_out(const struct search *s)
{
	pid_t tids[OURS_MAX], self = (pid_t)syscall(SYS_gettid);
	size_t n = ours_list(tids, OURS_MAX);
	struct waits_view v;

	for (size_t i = 0; i < n; i++) {
		if (tids[i] == self)
			continue;
		waits_look(s->w, tids[i], 0, &v);
		if (look_at(s, tids[i], 0, &v) != 0)
			return 0;
	}
	return n < OURS_MAX;
}

uint32_t collector_find(
	const struct frames *f, const struct waits *w, const struct waits_view *views, struct raw_mem *mem, const struct raw_layout *l)
{
	struct search s = {w, mem, l, gil_now_ns() + (uint64_t)FIND_MS * 1000000u};
	uint32_t left = UINT32_MAX, unknown = 0;

	for (uint32_t i = 0; i < f->thread_count; i++) {
		int found;

		/* It is the main interpreter's collector that is looked for. */
		if (f->threads[i].native || f->threads[i].interp != 0)
			continue;
		found = look_at(&s, (pid_t)f->threads[i].tid, f->threads[i].ident, &views[i]);
		if (found == 1)
			return collector_runs() ? i : UINT32_MAX;
		if (found < 0) {
			left = i;
			unknown++;
		}
	}
	if (unknown == 1 && f->omitted_threads == 0 && !has_callbacks(mem, l) && are_ours_out(&s) && collector_runs())
		return left;
	return UINT32_MAX;
}
