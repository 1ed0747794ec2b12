/*
 * saved_value.c: from text to numbers. Which member means what is saved.c's.
 */
#include "saved_value.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "buf.h"

#define TIME_MAX 40

uint64_t saved_number(const struct jsonread *json, enum jsonread_token token)
{
	return token == JSONREAD_NUMBER ? jsonread_number(json) : 0;
}

uint32_t saved_number32(const struct jsonread *json, enum jsonread_token token)
{
	uint64_t v = saved_number(json, token);

	return v <= UINT32_MAX ? (uint32_t)v : 0;
}

uint64_t saved_microseconds(const struct jsonread *json, enum jsonread_token token)
{
	struct span s = jsonread_text(json);
	uint64_t v = 0, scale = 0;

	if (token != JSONREAD_NUMBER)
		return 0;
	for (size_t i = 0; i < s.len && scale < 6; i++) {
		if (s.data[i] == '.' && scale == 0 && i + 1 < s.len)
			continue;
		if (s.data[i] < '0' || s.data[i] > '9' || v > UINT64_MAX / 100)
			return 0;
		v = v * 10 + (uint64_t)(s.data[i] - '0');
		scale += memchr(s.data, '.', i) != NULL;
	}
	for (; scale < 6; scale++)
		v = v > UINT64_MAX / 10 ? 0 : v * 10;
	return v;
}

uint64_t saved_time_ns(const struct jsonread *json, enum jsonread_token token)
{
	struct span s = jsonread_text(json);
	char text[TIME_MAX];
	struct tm tm = {0};

	if (token != JSONREAD_STRING || s.len >= sizeof text)
		return 0;
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t seconds = rest != NULL ? timegm(&tm) : 0;
	if (rest == NULL || *rest != '.' || seconds < 0)
		return 0;
	return (uint64_t)seconds * 1000000000u + strtoull(rest + 1, NULL, 10) % 1000000 * 1000;
}

uint8_t saved_named(const struct jsonread *json, enum jsonread_token token, const char *(*name)(int), int last)
{
	for (int i = 1; token == JSONREAD_STRING && i <= last; i++)
		if (span_equals(jsonread_text(json), name(i)))
			return (uint8_t)i;
	return 0;
}

uint64_t saved_address(const struct jsonread *json)
{
	struct span s = jsonread_text(json);
	uint64_t v = 0;

	for (size_t i = 2; i < s.len && i < 18; i++)
		v = v << 4 | (uint64_t)(s.data[i] <= '9' ? s.data[i] - '0' : (s.data[i] | 0x20) - 'a' + 10);
	return v;
}
