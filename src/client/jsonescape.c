/*
 * jsonescape.c: the escapes of JSON's strings (RFC 8259, section 7), taken out where they stand.
 */
#include "jsonescape.h"

#include <string.h>

#include "ucs.h"

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The number of \uNNNN at these bytes, which are five and a NUL at least; -1: it is none. */
static int32_t code_unit(const uint8_t *at)
{
	int32_t v = 0;

	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

/* Takes what stands behind "\u" at *at; two of them above U+FFFF. Half of a pair becomes U+FFFD. 0 or -1. */
static int unescape_unicode(const uint8_t **at, uint8_t **to)
{
	int32_t unit = code_unit(*at), low;
	uint32_t c = (uint32_t)unit;

	if (unit < 0)
		return -1;
	*at += 4;
	if (unit >= 0xd800 && unit < 0xdc00 && (*at)[0] == '\\' && (*at)[1] == 'u' && (low = code_unit(*at + 2)) >= 0xdc00 && low < 0xe000) {
		c = 0x10000 + (((uint32_t)unit & 0x3ff) << 10 | ((uint32_t)low & 0x3ff));
		*at += 6;
	} else if (unit >= 0xd800 && unit < 0xe000) {
		c = 0xfffd;
	}
	*to += ucs_utf8((char *)*to, c);
	return 0;
}

uint8_t *jsonescape_take_out(uint8_t *text, const uint8_t *end)
{
	static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
	const uint8_t *at = text;
	uint8_t *to = text;

	while (at < end) {
		const char *known;

		if (*at != '\\') {
			*to++ = *at++;
			continue;
		}
		at++;
		if (*at == 'u') {
			at++;
			if (unescape_unicode(&at, &to) != 0)
				return NULL;
			continue;
		}
		known = strchr(from, *at);
		if (known == NULL || *known == '\0')
			return NULL;
		*to++ = (uint8_t)into[known - from];
		at++;
	}
	return to;
}
