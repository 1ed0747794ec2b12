/*
 * suspended.c: reads a suspended generator's frame and has its code copied.
 */
#include <Python.h>

#include "suspended.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_frame.h> /* 3.14: the states of a frame are in none of the others */
#endif

#define BATCH 512u    /* variables that are read together */
#define OF_FRAME 64u  /* variables of a frame that are looked at */

static int is_generator(uintptr_t type)
{
	return type == (uintptr_t)&PyGen_Type || type == (uintptr_t)&PyCoro_Type || type == (uintptr_t)&PyAsyncGen_Type;
}

#if PY_VERSION_HEX >= 0x030B0000
int suspended_is(int8_t state)
{
#if PY_VERSION_HEX >= 0x030D0000
	/* 3.13: another state when it waits for a generator of its own. */
	return FRAME_STATE_SUSPENDED(state);
#else
	return state == FRAME_SUSPENDED;
#endif
}

static uintptr_t code_of(const compat_frame *f)
{
#if PY_VERSION_HEX >= 0x030E0000
	return (uintptr_t)compat_untag(f->f_executable);
#elif PY_VERSION_HEX >= 0x030D0000
	return (uintptr_t)f->f_executable;
#else
	return (uintptr_t)f->f_code;
#endif
}

static int read_frame(struct suspended *s, struct objects *o, uintptr_t generator)
{
	uintptr_t at = generator + offsetof(PyGenObject, gi_iframe), code;
	compat_frame f;
	int8_t state = 0;
	int complete;

	if (!raw_mem_read(o->mem, generator + offsetof(PyGenObject, gi_frame_state), &state, sizeof state) || !suspended_is(state) ||
		!raw_mem_read(o->mem, at, &f, offsetof(compat_frame, localsplus)) || f.owner != FRAME_OWNED_BY_GENERATOR)
		return 0;
	code = code_of(&f);
	/* Only the address of the code is counted from, since the frame is a generator's. */
	s->frame.offset = compat_offset(&f, (const PyCodeObject *)code, &complete);
	code_copy_read(&s->copy, o->mem, code);
	s->frame.code = s->copy.code;
	s->frame.at = at;
	return s->frame.code != NULL;
}
#else
/* 3.10: the frame is an object. */
static int read_frame(struct suspended *s, struct objects *o, uintptr_t generator)
{
	uintptr_t at = 0;
	PyFrameObject f;

	if (!raw_mem_word(o->mem, generator + offsetof(PyGenObject, gi_frame), &at) || at == 0 ||
		!raw_mem_read(o->mem, at, &f, offsetof(PyFrameObject, f_localsplus)) ||
		f.ob_base.ob_base.ob_type != &PyFrame_Type || f.f_state != FRAME_SUSPENDED)
		return 0;
	s->frame.offset = f.f_lasti * 2;
	code_copy_read(&s->copy, o->mem, (uintptr_t)f.f_code);
	s->frame.code = s->copy.code;
	s->frame.at = at;
	return s->frame.code != NULL;
}
#endif

int suspended_read(struct suspended *s, struct objects *o, uintptr_t object)
{
	uintptr_t type = 0;

	memset(s, 0, sizeof *s);
	return object != 0 && (object & 7) == 0 && raw_mem_word(o->mem, object + offsetof(PyObject, ob_type), &type) &&
	       is_generator(type) && read_frame(s, o, object);
}

void suspended_free(struct suspended *s)
{
	code_copy_free(&s->copy);
	memset(s, 0, sizeof *s);
}

/* --- many variables --- */

/* A variable's place, then what is in it. */
struct variable {
	uintptr_t word, type;
	uint32_t thread, frame;
};

struct suspended_batch {
	struct objects *o;
	void (*take)(void *to, uintptr_t object, uint32_t thread, uint32_t frame);
	void *to;
	size_t count;
	struct variable variables[BATCH];
	struct raw_piece pieces[BATCH];
};

struct suspended_batch *suspended_batch_new(
	struct objects *o, void (*take)(void *to, uintptr_t object, uint32_t thread, uint32_t frame), void *to)
{
	struct suspended_batch *b = calloc(1, sizeof *b);

	if (b != NULL)
		*b = (struct suspended_batch){.o = o, .take = take, .to = to};
	return b;
}

/* Keeps the variables that have been read and that may be objects, and reads their types. */
static void read_types(struct suspended_batch *b)
{
	size_t kept = 0;

	raw_mem_gather(b->o->mem, b->pieces, b->count);
	for (size_t i = 0; i < b->count; i++) {
		uintptr_t object = b->pieces[i].ok ? blocks_untag(b->variables[i].word) : 0;

		if (object == 0 || (object & 7) != 0)
			continue;
		b->variables[kept] = b->variables[i];
		b->variables[kept++].word = object;
	}
	for (size_t i = 0; i < kept; i++)
		b->pieces[i] = (struct raw_piece){
			b->variables[i].word + offsetof(PyObject, ob_type), &b->variables[i].type, sizeof(uintptr_t), 0};
	raw_mem_gather(b->o->mem, b->pieces, kept);
	b->count = kept;
}

static void flush(struct suspended_batch *b)
{
	read_types(b);
	for (size_t i = 0; i < b->count; i++) {
		struct variable *v = &b->variables[i];

		if (!b->pieces[i].ok)
			continue;
		/* Of a function inside a function. */
		if (v->type == (uintptr_t)&PyCell_Type &&
			(!raw_mem_word(b->o->mem, v->word + offsetof(PyCellObject, ob_ref), &v->word) ||
				!raw_mem_word(b->o->mem, v->word + offsetof(PyObject, ob_type), &v->type)))
			continue;
		if (is_generator(v->type))
			b->take(b->to, v->word, v->thread, v->frame);
	}
	b->count = 0;
}

void suspended_batch_add(struct suspended_batch *b, const struct blocks_frame *f, uint32_t thread, uint32_t frame)
{
	size_t count = 0;
	uintptr_t at = blocks_variables(f, &count);

	count = count < OF_FRAME ? count : OF_FRAME;
	if (b->count + count > BATCH)
		flush(b);
	for (size_t i = 0; i < count; i++) {
		struct variable *v = &b->variables[b->count];

		*v = (struct variable){.thread = thread, .frame = frame};
		b->pieces[b->count++] = (struct raw_piece){at + i * sizeof(uintptr_t), &v->word, sizeof v->word, 0};
	}
}

void suspended_batch_end(struct suspended_batch *b)
{
	if (b == NULL)
		return;
	flush(b);
	free(b);
}
