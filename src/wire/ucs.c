/*
 * ucs.c: characters as UTF-8, whatever number they are said to be.
 */
#include "ucs.h"

#define UCS_LAST 0x10FFFFu
#define UCS_UNKNOWN 0xFFFDu

static size_t spell_out(char out[static UCS_UTF8_MAX], uint32_t c)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'u';
	for (int i = 0; i < 4; i++)
		out[2 + i] = hex[c >> (12 - 4 * i) & 0xF];
	return 6;
}

size_t ucs_utf8(char out[static UCS_UTF8_MAX], uint32_t c)
{
	uint8_t *o = (uint8_t *)out;

	if (c < 0x80) {
		o[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		o[0] = (uint8_t)(0xC0 | c >> 6);
		o[1] = (uint8_t)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c >= 0xD800 && c < 0xE000)
		return spell_out(out, c);
	if (c > UCS_LAST)
		c = UCS_UNKNOWN;
	if (c < 0x10000) {
		o[0] = (uint8_t)(0xE0 | c >> 12);
		o[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
		o[2] = (uint8_t)(0x80 | (c & 0x3F));
		return 3;
	}
	o[0] = (uint8_t)(0xF0 | c >> 18);
	o[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
	o[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
	o[3] = (uint8_t)(0x80 | (c & 0x3F));
	return 4;
}
