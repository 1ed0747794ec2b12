/*
 * acquires.c: goes through a frame's instructions from the first one to the one that it is at, as they stand in the source: what a loop or
 * a jump backwards has done before is done again by what comes later, or has been undone.
 */
#include <Python.h>

#include "acquires.h"

#include <opcode.h>
#include <string.h>

#include "buf.h"
#include "compat.h"

/*
 * How many code units an instruction is followed by (3.11), and what a specialised one stands for. CPython does not export its
 * tables, and its header defines them: under names of ours.
 */
#define _PyOpcode_Caches acquires_caches
#define _PyOpcode_Deopt acquires_plain
#define _PyOpcode_opcode_metadata acquires_metadata
#define _PyOpcode_macro_expansion acquires_macros
#define _PyOpcode_OpName acquires_names
#define _PyOpcode_num_popped acquires_popped
#define _PyOpcode_num_pushed acquires_pushed
#define _PyOpcode_PseudoTargets acquires_pseudo_targets
#define _PyOpcode_Jump acquires_jumps
#if PY_VERSION_HEX >= 0x030D0000
#define NEED_OPCODE_METADATA
#include <internal/pycore_opcode_metadata.h>
#elif PY_VERSION_HEX >= 0x030B0000
#define NEED_OPCODE_TABLES
#include <internal/pycore_opcode.h>
#endif

#define INSTRUCTIONS_MAX 4096u /* of a code that are looked at */
#define CHAIN_MAX 6u           /* a.b.c.acquire() */
#define UNIT 2                 /* bytes */

struct instruction {
	int32_t at; /* in bytes */
	uint32_t argument;
	uint8_t opcode;
};

/* The last few, newest first: what a method belongs to stands right before it. */
struct recent {
	struct instruction items[CHAIN_MAX + 2];
	size_t count;
};

/* --- instructions --- */

static struct span code_of(const PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030B0000
	return (struct span){(const uint8_t *)code->co_code_adaptive, (size_t)Py_SIZE(code) * UNIT};
#else
	return (struct span){(const uint8_t *)PyBytes_AS_STRING(code->co_code), (size_t)PyBytes_GET_SIZE(code->co_code)};
#endif
}

/* The next instruction, and where the one behind it is; 0: there is none, or it is not what the compiler wrote. */
static int next_instruction(struct span code, size_t *at, struct instruction *i)
{
	uint32_t extended = 0;

	for (; *at + 1 < code.len; *at += UNIT) {
		uint8_t op = code.data[*at];

#if PY_VERSION_HEX >= 0x030B0000
#ifdef MIN_INSTRUMENTED_OPCODE
		/* Somebody watches the program by sys.monitoring, or traces it: the instruction itself is elsewhere. */
		if (op >= MIN_INSTRUMENTED_OPCODE)
			return 0;
#endif
		op = _PyOpcode_Deopt[op];
#endif
		*i = (struct instruction){(int32_t)*at, extended << 8 | code.data[*at + 1], op};
		if (op != EXTENDED_ARG) {
			*at += UNIT;
#if PY_VERSION_HEX >= 0x030B0000
			*at += (size_t)_PyOpcode_Caches[op] * UNIT;
#endif
			return 1;
		}
		extended = i->argument;
	}
	return 0;
}

/* Where a jump forwards leads, in bytes; 0: it is none. `next`: behind the instruction and its caches. */
static size_t jump_target(const struct instruction *i, size_t next)
{
	switch (i->opcode) {
	case JUMP_FORWARD:
	case FOR_ITER:
#if PY_VERSION_HEX >= 0x030C0000
	case POP_JUMP_IF_FALSE:
	case POP_JUMP_IF_TRUE:
	case POP_JUMP_IF_NONE:
	case POP_JUMP_IF_NOT_NONE:
	case SEND:
#elif PY_VERSION_HEX >= 0x030B0000
	case POP_JUMP_FORWARD_IF_FALSE:
	case POP_JUMP_FORWARD_IF_TRUE:
	case POP_JUMP_FORWARD_IF_NONE:
	case POP_JUMP_FORWARD_IF_NOT_NONE:
	case JUMP_IF_FALSE_OR_POP:
	case JUMP_IF_TRUE_OR_POP:
	case SEND:
#endif
		return next + (size_t)i->argument * UNIT;
#if PY_VERSION_HEX < 0x030B0000
	case POP_JUMP_IF_FALSE:
	case POP_JUMP_IF_TRUE:
	case JUMP_IF_FALSE_OR_POP:
	case JUMP_IF_TRUE_OR_POP:
	case JUMP_IF_NOT_EXC_MATCH:
		return (size_t)i->argument * UNIT > next ? (size_t)i->argument * UNIT : 0;
#endif
	default:
		return 0;
	}
}

static int is_call_without_arguments(const struct instruction *i)
{
#if PY_VERSION_HEX >= 0x030B0000
	return i->opcode == CALL && i->argument == 0;
#else
	return i->opcode == CALL_METHOD && i->argument == 0;
#endif
}

/* Between the method and its call. */
static int is_filler(const struct instruction *i)
{
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030C0000
	return i->opcode == PRECALL && i->argument == 0;
#else
	(void)i;
	return 0;
#endif
}

/* --- names --- */

static uintptr_t name_at(const PyCodeObject *code, uint32_t i)
{
	return (Py_ssize_t)i < PyTuple_GET_SIZE(code->co_names) ? (uintptr_t)PyTuple_GET_ITEM(code->co_names, i) : 0;
}

/* The name of the attribute or method that is loaded; 0: it is no such instruction. */
static uintptr_t attribute_of(const PyCodeObject *code, const struct instruction *i)
{
#if PY_VERSION_HEX >= 0x030C0000
	return i->opcode == LOAD_ATTR ? name_at(code, i->argument >> 1) : 0;
#else
	return i->opcode == LOAD_ATTR || i->opcode == LOAD_METHOD ? name_at(code, i->argument) : 0;
#endif
}

static uint32_t global_argument(uint32_t argument)
{
#if PY_VERSION_HEX >= 0x030B0000
	return argument >> 1; /* the lowest bit: a NULL is pushed, too */
#else
	return argument;
#endif
}

int acquires_in(const PyCodeObject *code)
{
	uintptr_t acquire = objects_word(WORD_ACQUIRE);

	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(code->co_names); i++)
		if ((uintptr_t)PyTuple_GET_ITEM(code->co_names, i) == acquire)
			return 1;
	return 0;
}

/* --- what a name stands for --- */

static uintptr_t in_dict(struct objects *o, uintptr_t dict, uintptr_t name)
{
	return dict != 0 && raw_dict_read(&o->dict, o->mem, o->layout, dict) ? raw_dict_find(&o->dict, name) : 0;
}

static uintptr_t word_of_frame(struct objects *o, const struct blocks_frame *f, size_t offset)
{
	uintptr_t word = 0;

	return f->at != 0 && raw_mem_word(o->mem, f->at + offset, &word) ? blocks_untag(word) : 0;
}

static uintptr_t global(struct objects *o, const struct blocks_frame *f, uintptr_t name)
{
	return in_dict(o, word_of_frame(o, f, offsetof(compat_frame, f_globals)), name);
}

static uintptr_t named(struct objects *o, const struct blocks_frame *f, uintptr_t name)
{
	uintptr_t found = in_dict(o, word_of_frame(o, f, offsetof(compat_frame, f_locals)), name);

	return found != 0 ? found : global(o, f, name);
}

/*
 * A variable, as a number of ours: its slot, or NAMED and the number of its name. NO_VARIABLE: none. What is loaded and what is stored
 * go by the same numbers.
 */
#define NAMED 0x80000000u
#define NO_VARIABLE UINT32_MAX

static uint32_t cell_slot(const PyCodeObject *code, uint32_t argument)
{
#if PY_VERSION_HEX >= 0x030B0000
	(void)code;
	return argument;
#else
	return (uint32_t)code->co_nlocals + argument;
#endif
}

static uint32_t variable_loaded(const PyCodeObject *code, const struct instruction *i)
{
	switch (i->opcode) {
	case LOAD_GLOBAL:
		return NAMED | global_argument(i->argument);
	case LOAD_NAME:
		return NAMED | i->argument;
	case LOAD_DEREF:
		return cell_slot(code, i->argument);
	case LOAD_FAST:
#if PY_VERSION_HEX >= 0x030C0000
	case LOAD_FAST_CHECK:
#endif
#if PY_VERSION_HEX >= 0x030E0000
	case LOAD_FAST_BORROW:
#endif
		return i->argument;
#if PY_VERSION_HEX >= 0x030D0000
	case LOAD_FAST_LOAD_FAST:
	case STORE_FAST_LOAD_FAST:
#if PY_VERSION_HEX >= 0x030E0000
	case LOAD_FAST_BORROW_LOAD_FAST_BORROW:
#endif
		return i->argument & 15;
#endif
	default:
		return NO_VARIABLE;
	}
}

/* What an instruction puts on top of the stack; 0: that cannot be told. */
static uintptr_t loaded(struct objects *o, const struct blocks_frame *f, const struct instruction *i)
{
	uint32_t variable = variable_loaded(f->code, i);

	if (variable == NO_VARIABLE)
		return 0;
	if ((variable & NAMED) == 0)
		return blocks_variable(o, f, variable);
	return i->opcode == LOAD_GLOBAL ? global(o, f, name_at(f->code, variable & ~NAMED)) : named(o, f, name_at(f->code, variable & ~NAMED));
}

/* What the instruction gives another value, or takes it from: *second only where there are two. */
static uint32_t variable_stored(const PyCodeObject *code, const struct instruction *i, uint32_t *second)
{
	*second = NO_VARIABLE;
	switch (i->opcode) {
	case STORE_FAST:
	case DELETE_FAST:
		return i->argument;
	case STORE_DEREF:
	case DELETE_DEREF:
		return cell_slot(code, i->argument);
	case STORE_GLOBAL:
	case DELETE_GLOBAL:
	case STORE_NAME:
	case DELETE_NAME:
		return NAMED | i->argument;
#if PY_VERSION_HEX >= 0x030D0000
	case STORE_FAST_STORE_FAST:
		*second = i->argument & 15;
		return i->argument >> 4;
	case STORE_FAST_LOAD_FAST:
		return i->argument >> 4;
#endif
	default:
		return NO_VARIABLE;
	}
}

/* What a method is called of. */
struct receiver {
	uintptr_t object;   /* 0: that cannot be told */
	uint32_t variable;  /* where it was found, or its outermost owner */
	uintptr_t attribute; /* the innermost one's name; 0: it is a variable itself */
};

/* What the newest instructions have put on top: a name, or attributes of one. */
static struct receiver resolve(struct objects *o, const struct blocks_frame *f, const struct recent *r)
{
	struct receiver of = {0, NO_VARIABLE, 0};
	uintptr_t names[CHAIN_MAX];
	size_t n = 0;

	while (n < r->count && n < CHAIN_MAX && (names[n] = attribute_of(f->code, &r->items[n])) != 0)
		n++;
	if (n >= r->count)
		return of;
	of.variable = variable_loaded(f->code, &r->items[n]);
	of.attribute = n > 0 ? names[0] : 0;
	of.object = loaded(o, f, &r->items[n]);
	while (of.object != 0 && n > 0)
		of.object = raw_attributes_read(&o->dict, o->mem, o->layout, of.object) ? raw_dict_find(&o->dict, names[--n]) : 0;
	return of;
}

/* --- the walk --- */

static void push(struct recent *r, const struct instruction *i)
{
	size_t most = sizeof r->items / sizeof *r->items;

	memmove(r->items + 1, r->items, (most - 1) * sizeof *r->items);
	r->items[0] = *i;
	r->count += r->count < most;
}

struct walk {
	const struct blocks_frame *f;
	int awaited;
	struct acquire *out;
	struct receiver of[ACQUIRES_MAX]; /* of each of out */
	size_t count;
	size_t passed; /* how far jumps may have passed over what came in between */
	/* A coroutine that has been called, and is not yet known to have been awaited to its end. */
	struct receiver pending;
	int32_t pending_at;
};

static void add(struct walk *w, const struct receiver *of, int32_t at)
{
	if (of->object == 0 || w->count == ACQUIRES_MAX || (size_t)at < w->passed)
		return;
	w->of[w->count] = *of;
	w->out[w->count++] = (struct acquire){of->object, blocks_line(w->f->code, at)};
}

static void remove_at(struct walk *w, size_t i)
{
	w->count--;
	memmove(w->out + i, w->out + i + 1, (w->count - i) * sizeof *w->out);
	memmove(w->of + i, w->of + i + 1, (w->count - i) * sizeof *w->of);
}

static void take_away(struct walk *w, uintptr_t lock)
{
	/* What it is cannot be told: it may be any of them. */
	for (size_t i = w->count; i > 0; i--)
		if (lock == 0 || w->out[i - 1].lock == lock)
			remove_at(w, i - 1);
}

/* What was found by a name that means something else since is not what was acquired. */
static void forget_stored(struct walk *w, const struct instruction *i)
{
	uint32_t second, first = variable_stored(w->f->code, i, &second);
	uintptr_t attribute = i->opcode == STORE_ATTR ? name_at(w->f->code, i->argument) : 0;

	if (first == NO_VARIABLE && attribute == 0)
		return;
	for (size_t n = w->count; n > 0; n--) {
		const struct receiver *of = &w->of[n - 1];

		if ((first != NO_VARIABLE && (of->variable == first || of->variable == second)) ||
			(attribute != 0 && of->attribute == attribute))
			remove_at(w, n - 1);
	}
}

/* Between the call and the end of its `await`: whether this instruction may stand there, or is that end. */
static void follow_await(struct walk *w, const struct instruction *i, size_t next)
{
	(void)next;
	switch (i->opcode) {
	case GET_AWAITABLE:
	case LOAD_CONST:
#if PY_VERSION_HEX >= 0x030F0000
	/* 3.15: a place for the iterator's index; and None is a constant that all code has. */
	case PUSH_NULL:
	case LOAD_COMMON_CONSTANT:
#endif
		return;
#if PY_VERSION_HEX >= 0x030B0000
	case SEND: /* 3.11: it jumps to behind the `await` when that is over */
		if (jump_target(i, next) <= (size_t)w->f->offset)
			add(w, &w->pending, w->pending_at);
		break;
#else
	case YIELD_FROM: /* who is suspended here is at the instruction before it */
		add(w, &w->pending, w->pending_at);
		break;
#endif
	default:
		break;
	}
	w->pending.object = 0;
}

static void called(struct walk *w, const struct receiver *of, int32_t at)
{
	if (w->awaited) {
		w->pending = *of;
		w->pending_at = at;
	} else {
		add(w, of, at);
	}
}

size_t acquires_of(struct objects *o, const struct blocks_frame *f, int awaited, struct acquire out[static ACQUIRES_MAX])
{
	uintptr_t acquire = objects_word(WORD_ACQUIRE), release = objects_word(WORD_RELEASE), method = 0;
	struct span code = code_of(f->code);
	struct walk w = {.f = f, .awaited = awaited, .out = out};
	struct receiver of = {0, NO_VARIABLE, 0};
	struct recent before = {.count = 0};
	struct instruction i;
	size_t at = 0;

	if (f->at == 0 || f->offset < 0 || code.len > INSTRUCTIONS_MAX * UNIT)
		return 0;
	while (next_instruction(code, &at, &i)) {
		size_t target = jump_target(&i, at);

		if (i.at >= f->offset)
			return w.count;
		if (w.pending.object != 0)
			follow_await(&w, &i, at);
		/* A jump to behind the frame's instruction was not made, or it would not be there. */
		if (target > w.passed && target <= (size_t)f->offset)
			w.passed = target;
		if (method == acquire && is_call_without_arguments(&i))
			called(&w, &of, i.at);
		forget_stored(&w, &i);
		if (!is_filler(&i)) {
			method = attribute_of(f->code, &i);
			of.object = 0;
			if (method == acquire || method == release)
				of = resolve(o, f, &before);
			if (method == release)
				take_away(&w, of.object);
			push(&before, &i);
		}
	}
	return 0;
}
