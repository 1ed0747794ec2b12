/*
 * journal_fields.h: reads a datagram of the journal's native protocol as the journal does, strictly.
 * For the test and the fuzzer of audit_text.c.
 */
#ifndef TEST_JOURNAL_FIELDS_H
#define TEST_JOURNAL_FIELDS_H

#include <stdint.h>
#include <string.h>

#include "buf.h"

struct journal_field {
	struct span name, value;
};

/* A name as the journal takes it: A-Z, 0-9 and _, no digit or _ in front. */
static inline int journal_name_is_right(struct span name)
{
	if (name.len == 0 || name.len > 64 || name.data[0] < 'A' || name.data[0] > 'Z')
		return 0;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
			return 0;
	}
	return 1;
}

/* How many fields there are, at most `most`; -1: it is not of that form. */
static inline int journal_fields(struct span all, struct journal_field *fields, int most)
{
	int n = 0;

	while (all.len > 0) {
		const uint8_t *end = memchr(all.data, '\n', all.len);
		const uint8_t *equals;
		uint64_t length = 0;
		size_t line;

		if (end == NULL || n == most)
			return -1;
		line = (size_t)(end - all.data);
		equals = memchr(all.data, '=', line);
		fields[n].name.data = all.data;
		if (equals != NULL) {
			fields[n].name.len = (size_t)(equals - all.data);
			fields[n].value = (struct span){equals + 1, (size_t)(end - equals - 1)};
			all.data += line + 1;
			all.len -= line + 1;
		} else {
			fields[n].name.len = line;
			all.data += line + 1;
			all.len -= line + 1;
			if (all.len < 8)
				return -1;
			for (int i = 7; i >= 0; i--)
				length = length << 8 | all.data[i];
			if (length >= all.len - 8 || all.data[8 + length] != '\n')
				return -1;
			fields[n].value = (struct span){all.data + 8, (size_t)length};
			all.data += 9 + length;
			all.len -= 9 + (size_t)length;
		}
		if (!journal_name_is_right(fields[n].name))
			return -1;
		n++;
	}
	return n;
}

/* The value; data NULL when it is not there exactly once. */
static inline struct span journal_value(const struct journal_field *fields, int n, const char *name)
{
	struct span found = {NULL, 0};
	int times = 0;

	for (int i = 0; i < n; i++)
		if (span_equals(fields[i].name, name)) {
			found = fields[i].value;
			times++;
		}
	return times == 1 ? found : (struct span){NULL, 0};
}

/* No byte that a terminal would obey, and no newline unless `block`. */
static inline int journal_is_safe(struct span text, int block)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.data[i];

		if (c == 0x7f || (c < 0x20 && !(block && (c == '\n' || c == '\t'))))
			return 0;
	}
	return 1;
}

#endif
