/*
 * blocks.c: exception tables (3.11) and stacks of blocks (3.10), which say what has to be done when a `with` is left, and so which
 * object is in it. Which of them is a lock, and who waits for it, is lock_holders.c's.
 */
#include <Python.h>

#include "blocks.h"

#include <opcode.h>
#include <string.h>

#include "compat.h"
#include "lines.h"

#define VARIABLES_MAX 64u

static struct span bytes_of(PyObject *bytes)
{
	if (bytes == NULL || !PyBytes_Check(bytes))
		return (struct span){NULL, 0};
	return (struct span){(const uint8_t *)PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)};
}

uint32_t blocks_line(const PyCodeObject *code, int32_t offset)
{
	return lines_decode(bytes_of(code->co_linetable), code->co_firstlineno, offset);
}

/* --- variables --- */

static uintptr_t variables_at(const struct blocks_frame *f)
{
#if PY_VERSION_HEX >= 0x030B0000
	return f->at + offsetof(compat_frame, localsplus);
#else
	return f->at + offsetof(PyFrameObject, f_localsplus);
#endif
}

uintptr_t blocks_untag(uintptr_t word)
{
#if PY_VERSION_HEX >= 0x030E0000
	return (word & 3) == 3 ? 0 : word & ~(uintptr_t)3;
#else
	return word;
#endif
}

/* In a cell, what the cell has. */
static uintptr_t value_of(struct objects *o, uintptr_t word)
{
	uintptr_t object = blocks_untag(word), type = 0;

	if (object == 0 || (object & 7) != 0 || !raw_mem_word(o->mem, object + offsetof(PyObject, ob_type), &type))
		return 0;
	if (type == (uintptr_t)&PyCell_Type && !raw_mem_word(o->mem, object + offsetof(PyCellObject, ob_ref), &object))
		return 0;
	return object;
}

uintptr_t blocks_variable(struct objects *o, const struct blocks_frame *f, uint32_t i)
{
	uintptr_t word = 0;

	if (f->at == 0 || (Py_ssize_t)i >= compat_slots(f->code) ||
		!raw_mem_word(o->mem, variables_at(f) + i * sizeof(uintptr_t), &word))
		return 0;
	return value_of(o, word);
}

uintptr_t blocks_variables(const struct blocks_frame *f, size_t *count)
{
	*count = compat_slots(f->code) > 0 ? (size_t)compat_slots(f->code) : 0;
	return variables_at(f);
}

/* 3.10: cells come after the variables, also that of a parameter. */
static PyObject *name_of(const PyCodeObject *code, Py_ssize_t i)
{
#if PY_VERSION_HEX >= 0x030B0000
	return PyTuple_GET_ITEM(code->co_localsplusnames, i);
#else
	Py_ssize_t cells = PyTuple_GET_SIZE(code->co_cellvars);

	if (i < code->co_nlocals)
		return PyTuple_GET_ITEM(code->co_varnames, i);
	i -= code->co_nlocals;
	return i < cells ? PyTuple_GET_ITEM(code->co_cellvars, i) : PyTuple_GET_ITEM(code->co_freevars, i - cells);
#endif
}

static int is_name(PyObject *str, const char *name)
{
	size_t len = strlen(name);

	return PyUnicode_IS_COMPACT_ASCII(str) && (size_t)PyUnicode_GET_LENGTH(str) == len &&
	       memcmp(PyUnicode_DATA(str), name, len) == 0;
}

uint32_t blocks_number(const PyCodeObject *code, const char *name)
{
	for (Py_ssize_t i = 0; i < compat_slots(code); i++)
		if (is_name(name_of(code, i), name))
			return (uint32_t)i;
	return UINT32_MAX;
}

uintptr_t blocks_named(struct objects *o, const struct blocks_frame *f, const char *name)
{
	for (Py_ssize_t i = 0; i < compat_slots(f->code); i++) {
		uintptr_t value;

		if (!is_name(name_of(f->code, i), name))
			continue;
		value = blocks_variable(o, f, (uint32_t)i);
		if (value != 0)
			return value;
	}
	return 0;
}

int blocks_has_variable(struct objects *o, const struct blocks_frame *f, uintptr_t object)
{
	uintptr_t words[VARIABLES_MAX] = {0};
	size_t n;
	uintptr_t at = blocks_variables(f, &n);

	n = n < VARIABLES_MAX ? n : VARIABLES_MAX;
	if (f->at == 0 || object == 0 || !raw_mem_read(o->mem, at, words, n * sizeof *words))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (blocks_untag(words[i]) == object)
			return 1;
	/* Only then those in cells, for which each has to be looked at. */
	for (size_t i = 0; i < n; i++)
		if (value_of(o, words[i]) == object)
			return 1;
	return 0;
}

/* --- withs --- */

/*
 * What lies where a `with` has put what must be called at its end. Up to 3.13 the bound __exit__; from 3.14 on the object, and
 * below it the function, which is a bound method when the object's slot is empty.
 */
static uintptr_t manager_at(struct objects *o, uintptr_t slot)
{
	uintptr_t word = 0;

	if (!raw_mem_word(o->mem, slot, &word))
		return 0;
#if PY_VERSION_HEX >= 0x030E0000
	if (blocks_untag(word) != 0)
		return blocks_untag(word);
	if (!raw_mem_word(o->mem, slot - sizeof(uintptr_t), &word))
		return 0;
#endif
	return objects_self(o, blocks_untag(word));
}

#if PY_VERSION_HEX >= 0x030B0000
/* An entry of an exception table: instructions first <= i < end go to `target`, with `depth` words left on the stack. */
struct entry {
	uint32_t first, end, target, depth;
};

/* Six bits a byte, highest first, 0x40 when more follow. */
static int read_number(const uint8_t **at, const uint8_t *end, uint32_t *value)
{
	*value = 0;
	for (int i = 0; i < 5 && *at < end; i++) {
		uint8_t byte = *(*at)++;

		*value = *value << 6 | (byte & 0x3F);
		if (!(byte & 0x40))
			return 1;
	}
	return 0;
}

static int read_entry(const uint8_t **at, const uint8_t *end, struct entry *e)
{
	uint32_t length, depth;

	if (!read_number(at, end, &e->first) || !read_number(at, end, &length) || !read_number(at, end, &e->target) ||
		!read_number(at, end, &depth))
		return 0;
	e->end = e->first + length;
	e->depth = depth >> 1;
	return 1;
}

/* The one that covers instruction i. */
static int find_entry(const PyCodeObject *code, uint32_t i, struct entry *e)
{
	struct span table = bytes_of(code->co_exceptiontable);
	const uint8_t *at = table.data, *end = table.data + table.len;

	while (at < end && read_entry(&at, end, e))
		if (i >= e->first && i < e->end)
			return 1;
	return 0;
}

/* Where the first instruction is that goes to this target: just behind the `with` itself. */
static uint32_t begin_of(const PyCodeObject *code, uint32_t target)
{
	struct span table = bytes_of(code->co_exceptiontable);
	const uint8_t *at = table.data, *end = table.data + table.len;
	struct entry e;

	while (at < end && read_entry(&at, end, &e))
		if (e.target == target)
			return e.first;
	return 0;
}

/* The second instruction tells a `with` from other handlers; the first may be replaced by one that is traced. */
static int is_with(const PyCodeObject *code, uint32_t target)
{
	const uint8_t *instructions = (const uint8_t *)code->co_code_adaptive;

	return (Py_ssize_t)target + 1 < Py_SIZE(code) && instructions[(target + 1) * sizeof(_Py_CODEUNIT)] == WITH_EXCEPT_START;
}

int blocks_has_with(const PyCodeObject *code)
{
	struct span table = bytes_of(code->co_exceptiontable);
	const uint8_t *at = table.data, *end = table.data + table.len;
	struct entry e;

	while (at < end && read_entry(&at, end, &e))
		if (is_with(code, e.target))
			return 1;
	return 0;
}

size_t blocks_withs(struct objects *o, const struct blocks_frame *f, struct blocks_with out[static BLOCKS_MAX])
{
	uintptr_t stack = variables_at(f) + (uintptr_t)compat_slots(f->code) * sizeof(uintptr_t);
	uint32_t i = f->offset >= 0 ? (uint32_t)f->offset / (uint32_t)sizeof(_Py_CODEUNIT) : 0;
	struct entry e;
	size_t n = 0;

	/* A handler is itself inside of the blocks around it. */
	for (unsigned guard = 0; f->at != 0 && n < BLOCKS_MAX && guard < 64 && find_entry(f->code, i, &e); guard++) {
		if (e.depth >= 1 && is_with(f->code, e.target)) {
			uint32_t begin = begin_of(f->code, e.target);

			out[n].manager = manager_at(o, stack + (e.depth - 1) * sizeof(uintptr_t));
			out[n].line = blocks_line(f->code, begin > 0 ? (int32_t)((begin - 1) * sizeof(_Py_CODEUNIT)) : 0);
			n += out[n].manager != 0;
		}
		i = e.target;
	}
	return n;
}
#else
/* 3.10: the frame has a stack of blocks, and their handlers begin with this instruction. */
static int is_with(struct span code, int handler)
{
	return handler >= 0 && (size_t)handler * 2 < code.len && code.data[handler * 2] == WITH_EXCEPT_START;
}

int blocks_has_with(const PyCodeObject *code)
{
	struct span instructions = bytes_of(code->co_code);

	for (size_t i = 0; i + 1 < instructions.len; i += 2)
		if (instructions.data[i] == WITH_EXCEPT_START)
			return 1;
	return 0;
}

/* The line of the instruction that made the block: the last one before its handler that names it. */
static uint32_t line_of_setup(const PyCodeObject *code, struct span instructions, int handler)
{
	for (int i = handler - 1; i >= 0; i--) {
		uint8_t op = instructions.data[i * 2];
		int argument = instructions.data[i * 2 + 1];

		if (i > 0 && instructions.data[i * 2 - 2] == EXTENDED_ARG)
			argument |= instructions.data[i * 2 - 1] << 8;
		if ((op == SETUP_WITH || op == SETUP_ASYNC_WITH) && i + 1 + argument == handler)
			return blocks_line(code, i * 2);
	}
	return 0;
}

size_t blocks_withs(struct objects *o, const struct blocks_frame *f, struct blocks_with out[static BLOCKS_MAX])
{
	struct span instructions = bytes_of(f->code->co_code);
	PyFrameObject frame;
	size_t n = 0;

	if (f->at == 0 || !raw_mem_read(o->mem, f->at, &frame, offsetof(PyFrameObject, f_localsplus)) ||
		frame.f_iblock < 0 || frame.f_iblock > CO_MAXBLOCKS)
		return 0;
	for (int i = frame.f_iblock - 1; i >= 0 && n < BLOCKS_MAX; i--) {
		const PyTryBlock *b = &frame.f_blockstack[i];

		if (b->b_type != SETUP_FINALLY || b->b_level < 1 || !is_with(instructions, b->b_handler))
			continue;
		out[n].manager = manager_at(o, (uintptr_t)frame.f_valuestack + (uintptr_t)(b->b_level - 1) * sizeof(uintptr_t));
		out[n].line = line_of_setup(f->code, instructions, b->b_handler);
		n += out[n].manager != 0;
	}
	return n;
}
#endif
