/*
 * cut.c: tells code of the program itself from that of libraries, by where its file is. How frames are printed is print.c's.
 */
#include "cut.h"

#include <string.h>

int cut_is_of_python(struct span file)
{
	static const char dir[] = "/python3.", frozen[] = "<frozen ";
	const uint8_t *end = file.data + file.len, *at = memmem(file.data, file.len, dir, sizeof dir - 1);

	if (at == NULL)
		return file.len > sizeof frozen && memcmp(file.data, frozen, sizeof frozen - 1) == 0;
	at += sizeof dir - 1;
	while (at < end && ((*at >= '0' && *at <= '9') || *at == 't'))
		at++;
	struct span rest = {at, (size_t)(end - at)};
	return at < end && *at == '/' && memmem(rest.data, rest.len, "-packages/", 10) == NULL;
}

/* Debian has dist-packages, the others site-packages. */
static int is_of_a_library(struct span file)
{
	return cut_is_of_python(file) || memmem(file.data, file.len, "-packages/", 10) != NULL;
}

struct cut cut_of(const struct dump *dump, const uint32_t *places, size_t depth, uint32_t most)
{
	struct cut cut = {.first = most != 0 && depth > most ? depth - most : 0, .own = CUT_NONE};
	size_t i = cut.first > 0 ? depth : 0;

	while (i > 0 && is_of_a_library(dump->codes[dump->places[places[i - 1]].code].file))
		i--;
	if (i > 0 && i <= cut.first)
		cut.own = i - 1;
	return cut;
}

size_t cut_begin(struct cut cut)
{
	return cut.own != CUT_NONE ? cut.own : cut.first;
}

size_t cut_next(struct cut cut, size_t i)
{
	return i < cut.first ? cut.first : i + 1;
}

size_t cut_gap(struct cut cut, size_t i)
{
	return cut.own != CUT_NONE && i == cut.first ? cut.first - cut.own - 1 : 0;
}
