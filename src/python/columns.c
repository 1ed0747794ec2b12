/*
 * columns.c: the columns of a location table (3.11). Lines are lines.c's.
 */
#include <Python.h>

#include "columns.h"

#include <opcode.h>

#include "compat.h"
#include "expression.h"

#if PY_VERSION_HEX >= 0x030B0000
#define CODE_NONE 15
#define CODE_LONG 14
#define CODE_NO_COLUMNS 13
#define CODE_ONE_LINE 10

struct place {
	int64_t lines; /* how many line ends are inside */
	int64_t first, end; /* columns in bytes, from 0; -1: not known */
};

/* Six bits a byte, lowest first, 0x40 when more follow. */
static uint32_t read_unsigned(const uint8_t **at, const uint8_t *end)
{
	uint32_t value = 0;

	for (unsigned shift = 0; *at < end && shift <= 30; shift += 6) {
		uint8_t byte = *(*at)++;

		value |= (uint32_t)(byte & 0x3F) << shift;
		if (!(byte & 0x40))
			break;
	}
	return value;
}

static uint8_t read_byte(const uint8_t **at, const uint8_t *end)
{
	return *at < end ? *(*at)++ : 0;
}

/* What follows the first byte of an entry. */
static struct place read_place(int code, const uint8_t **at, const uint8_t *end)
{
	struct place p = {0, -1, -1};

	if (code == CODE_LONG) {
		(void)read_unsigned(at, end);
		p.lines = read_unsigned(at, end);
		p.first = (int64_t)read_unsigned(at, end) - 1;
		p.end = (int64_t)read_unsigned(at, end) - 1;
	} else if (code >= CODE_ONE_LINE && code < CODE_NO_COLUMNS) {
		p.first = read_byte(at, end);
		p.end = read_byte(at, end);
	} else if (code < CODE_ONE_LINE) {
		uint8_t both = read_byte(at, end);

		p.first = (code << 3) | (both >> 4);
		p.end = p.first + (both & 15);
	}
	return p;
}

static struct place find_place(const PyCodeObject *code, int32_t offset)
{
	PyObject *table = code->co_linetable;
	struct place none = {0, -1, -1};
	const uint8_t *at, *end;
	int64_t reached = 0;

	if (table == NULL || !PyBytes_Check(table) || offset < 0)
		return none;
	at = (const uint8_t *)PyBytes_AS_STRING(table);
	end = at + PyBytes_GET_SIZE(table);
	while (at < end) {
		uint8_t head = *at++;
		struct place p = read_place(head >> 3 & 15, &at, end);

		reached += ((head & 7) + 1) * (int64_t)sizeof(_Py_CODEUNIT);
		if (offset < reached)
			return p;
		while (at < end && !(*at & 0x80))
			at++;
	}
	return none;
}

static int opcode_at(const PyCodeObject *code, int32_t offset)
{
	const uint8_t *instructions = (const uint8_t *)code->co_code_adaptive;

	return offset >= 0 && offset / (int32_t)sizeof(_Py_CODEUNIT) < Py_SIZE(code) ? instructions[offset] : -1;
}

struct span columns_object(const PyCodeObject *code, int32_t offset, struct span line, uint32_t indent)
{
	const int32_t step = (int32_t)sizeof(_Py_CODEUNIT);
	struct span none = {(const uint8_t *)"", 0};
	struct place p;
	int entered = 0;

#if PY_VERSION_HEX >= 0x030E0000
	/* 3.14: a special method is looked up and then called like any other. */
	entered = opcode_at(code, offset - step) == LOAD_SPECIAL;
#else
	/* Up to 3.13 the instruction stands for the whole statement; the one before has loaded the object. */
	entered = opcode_at(code, offset) == BEFORE_WITH;
	offset -= entered ? step : 0;
#endif
	p = find_place(code, offset);
	if (p.lines != 0 || p.first < (int64_t)indent || p.end <= p.first || p.end - (int64_t)indent > (int64_t)line.len)
		return none;
	line = (struct span){line.data + (p.first - indent), (size_t)(p.end - p.first)};
	return expression_object(line, entered);
}
#else
struct span columns_object(const PyCodeObject *code, int32_t offset, struct span line, uint32_t indent)
{
	(void)code;
	(void)offset;
	(void)indent;
	return expression_in_line(line);
}
#endif
