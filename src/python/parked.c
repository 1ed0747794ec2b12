/*
 * parked.c: whoever is in Condition.wait waits for a lock that was made for him alone, is locked, and is waited for by nobody else.
 * So a lock in `waiter` of that function's frame that somebody waits for says that it is this thread who waits. Whether locks are laid
 * out as it is thought here is not believed: the kernel is asked about one such thread, and unless it says the same, nothing is said.
 */
#include <Python.h>

#include "parked.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "blocks.h"
#include "msg.h"
#include "objects.h"

#define VARIABLES_MAX 16u /* of Condition.wait: it has seven */
#define ALIKE 64u /* threads that are looked at together */

/* What is looked for in the function: numbers of variables; waiter 0: it is another function. */
struct place {
	uint8_t looked, waiter, timeout;
};

struct parked {
	struct objects o;
	const struct frames *f;
	struct waits_view *views;
	const struct waits *w;
	struct place *places; /* of each code */
	uint32_t first;
	int agreed; /* the kernel has said the same of one; -1: something else */
};

static struct place look_for(const struct parked *p, const struct frames_code *c)
{
	struct place place = {.looked = 1};
	uint32_t waiter, timeout;

	if (c->code == NULL || !span_ends_with(pytext_span(&p->f->text, c->file), "/threading.py") ||
		!span_ends_with(pytext_span(&p->f->text, c->function), "wait"))
		return place;
	waiter = blocks_number(c->code, "waiter");
	timeout = blocks_number(c->code, "timeout");
	if (waiter != 0 && waiter < VARIABLES_MAX && timeout < VARIABLES_MAX) {
		place.waiter = (uint8_t)waiter;
		place.timeout = (uint8_t)timeout;
	}
	return place;
}

/* Where the variables of a thread's innermost frame lie that is Condition.wait's; NULL: it is another's. */
static const struct place *place_of(const struct parked *p, uint32_t thread, struct blocks_frame *out)
{
	const struct frames_thread *t = &p->f->threads[thread];
	const struct frames_frame *f = &p->f->frames[t->first];
	struct place *place;

	if (t->count == 0 || t->class_name.len == 0 || f->at == 0)
		return NULL;
	place = &p->places[f->code];
	if (!place->looked)
		*place = look_for(p, &p->f->codes[f->code]);
	*out = (struct blocks_frame){f->at, p->f->codes[f->code].code, f->offset};
	return place->waiter != 0 ? place : NULL;
}

/* --- a few threads at once --- */

struct few {
	uint32_t threads[ALIKE];
	const struct place *places[ALIKE];
	uintptr_t variables[ALIKE][VARIABLES_MAX];
	struct raw_piece pieces[ALIKE];
	struct objects_waiter waiters[ALIKE];
	size_t count;
};

static void add(struct few *few, uint32_t thread, const struct place *place, const struct blocks_frame *frame)
{
	size_t slots, n = few->count++;
	uintptr_t at = blocks_variables(frame, &slots);

	slots = slots < VARIABLES_MAX ? slots : VARIABLES_MAX;
	few->threads[n] = thread;
	few->places[n] = place;
	few->pieces[n] = (struct raw_piece){at, few->variables[n], slots * sizeof(uintptr_t), 0};
}

static void put(struct parked *p, const struct few *few, size_t i)
{
	struct waits_view *v = &p->views[few->threads[i]];
	const uintptr_t *variables = few->variables[i];

	*v = (struct waits_view){.exists = 1, .state = STATE_LOCK, .detail = "waiting for lock", .call = "futex", .number = SYS_futex,
		.cpu = -1, .lock = few->waiters[i].object};
	v->arguments[WAITS_FUTEX_WORD] = few->waiters[i].key;
	v->arguments[WAITS_FUTEX_TIMEOUT] = blocks_untag(variables[few->places[i]->timeout]) != (uintptr_t)Py_None;
}

/* What the kernel says of a thread of which memory says that it waits for this lock: 1 the same, -1 another one; 0: it cannot be told. */
static int compare(struct parked *p, uint32_t thread, uintptr_t lock)
{
	struct waits_view *v = &p->views[thread];
	uintptr_t key = 0;

	if (thread >= p->first)
		waits_look(p->w, (pid_t)p->f->threads[thread].tid, 0, v);
	if (v->call == NULL || v->number != SYS_futex || v->state != STATE_LOCK)
		return 0;
	return objects_waited_for(&p->o, v->arguments[WAITS_FUTEX_WORD], v->stack, &key) == lock ? 1 : -1;
}

static void look(struct parked *p, struct few *few)
{
	raw_mem_gather(p->o.mem, few->pieces, few->count);
	for (size_t i = 0; i < few->count; i++)
		few->waiters[i].object = few->pieces[i].ok ? blocks_untag(few->variables[i][few->places[i]->waiter]) : 0;
	objects_wanted(&p->o, few->waiters, few->count);
	for (size_t i = 0; i < few->count && p->agreed >= 0; i++) {
		if (few->waiters[i].key == 0)
			continue;
		if (p->agreed == 0)
			p->agreed = compare(p, few->threads[i], few->waiters[i].object);
		else if (few->threads[i] >= p->first)
			put(p, few, i);
	}
	few->count = 0;
}

void parked_find(struct waits_view *views, const struct frames *f, uint32_t first, const struct waits *w, struct raw_mem *mem,
	const struct raw_layout *layout)
{
	struct parked p = {.o = {.mem = mem, .layout = layout}, .f = f, .views = views, .w = w, .first = first};
	struct few *few = NULL;

	if (f->thread_count <= first || f->code_count == 0 || !objects_usable())
		return;
	p.places = calloc(f->code_count, sizeof *p.places);
	few = calloc(1, sizeof *few);
	if (p.places == NULL || few == NULL)
		goto out;
	for (uint32_t i = 0; i < f->thread_count && p.agreed >= 0; i++) {
		struct blocks_frame frame;
		const struct place *place = place_of(&p, i, &frame);

		/* Of those that the kernel was asked about only one is of use. */
		if (place == NULL || (i < first && p.agreed != 0))
			continue;
		add(few, i, place, &frame);
		if (few->count == ALIKE || i < first)
			look(&p, few);
	}
	if (few->count > 0 && p.agreed >= 0)
		look(&p, few);
out:
	free(few);
	free(p.places);
}
