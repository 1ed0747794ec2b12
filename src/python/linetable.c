/*
 * linetable.c: decodes the line tables of code objects, in both forms. Where a table is found is its callers' business.
 */
#include "linetable.h"

#include <stddef.h>

/*
 * 3.11: a location table. Each entry begins with a byte whose highest bit is set: four bits of a
 * code, three of a length in instructions, less one. Codes 10 to 12 say the line's difference
 * themselves, 13 and 14 in a number that follows, 15 says that there is no line, the short forms 0
 * to 9 that the line is the same.
 */
#define INSTRUCTION_BYTES 2
#define CODE_NONE 15
#define CODE_LONG 14
#define CODE_NO_COLUMNS 13
#define CODE_ONE_LINE 10

/* Six bits a byte, lowest first, 0x40 when more follow; the lowest bit of the number is its sign.
 */
static int64_t read_signed(const uint8_t **at, const uint8_t *end)
{
	uint32_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		if (*at >= end || shift > 30)
			return 0;
		byte = *(*at)++;
		value |= (uint32_t)(byte & 0x3F) << shift;
		shift += 6;
	} while (byte & 0x40);
	return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

uint32_t linetable_locations(struct span table, int first_line, int32_t offset)
{
	const uint8_t *at = table.data, *end;
	int64_t reached = 0, line = first_line;

	if (offset < 0)
		return line > 0 ? (uint32_t)line : 0;
	if (table.len == 0)
		return 0;
	end = at + table.len;
	while (at < end) {
		uint8_t head = *at++;
		int code = head >> 3 & 15;

		reached += ((head & 7) + 1) * INSTRUCTION_BYTES;
		if (code == CODE_LONG || code == CODE_NO_COLUMNS)
			line += read_signed(&at, end);
		else if (code >= CODE_ONE_LINE && code != CODE_NONE)
			line += code - CODE_ONE_LINE;
		if (offset < reached)
			return code != CODE_NONE && line > 0 ? (uint32_t)line : 0;
		while (at < end && !(*at & 0x80))
			at++;
	}
	return 0;
}
/*
 * 3.10: pairs of a length in bytes and a signed difference of the line, which counts before the
 * length is passed; -128 says that the range has no line.
 */
#define NO_LINE (-128)

uint32_t linetable_pairs(struct span table, int first_line, int32_t offset)
{
	int64_t reached = 0, line = first_line;

	if (offset < 0)
		return line > 0 ? (uint32_t)line : 0;
	for (size_t i = 0; i + 1 < table.len; i += 2) {
		int difference = table.data[i + 1] < 0x80 ? table.data[i + 1] : table.data[i + 1] - 0x100;

		reached += table.data[i];
		if (difference != NO_LINE)
			line += difference;
		if (offset < reached)
			return difference != NO_LINE && line > 0 ? (uint32_t)line : 0;
	}
	return 0;
}
