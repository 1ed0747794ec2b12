/*
 * pytext.c: str objects as UTF-8 in one growing block. Knows nothing of frames; what a text means
 * is its caller's.
 */
#include "pytext.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "error.h"

#define PYTEXT_FIRST 4096 /* bytes of the first allocation */

void pytext_init(struct pytext *t, size_t limit)
{
	*t = (struct pytext){.limit = limit <= UINT32_MAX ? limit : UINT32_MAX};
}

void pytext_free(struct pytext *t)
{
	if (t == NULL)
		return;
	free(t->data);
	pytext_init(t, t->limit);
}

struct span pytext_span(const struct pytext *t, struct pytext_ref ref)
{
	struct span s = {NULL, 0};

	if (ref.len > 0 && t->data != NULL) {
		s.data = (const uint8_t *)t->data + ref.at;
		s.len = ref.len;
	}
	return s;
}

/* Room for n more bytes. */
static int reserve(struct pytext *t, size_t n)
{
	size_t capacity = t->capacity > 0 ? t->capacity : PYTEXT_FIRST;
	char *data;

	if (n > t->limit - t->used)
		return PYSTUCK_ETOOBIG;
	if (n <= t->capacity - t->used)
		return 0;
	while (capacity - t->used < n)
		capacity = capacity <= t->limit / 2 ? capacity * 2 : t->limit;
	data = realloc(t->data, capacity);
	if (data == NULL)
		return PYSTUCK_ENOMEM;
	t->data = data;
	t->capacity = capacity;
	return 0;
}

int pytext_bytes(struct pytext *t, const void *bytes, size_t len, struct pytext_ref *ref)
{
	int rc;

	*ref = (struct pytext_ref){0, 0};
	if (len == 0)
		return 0;
	rc = reserve(t, len);
	if (rc != 0)
		return rc;
	memcpy(t->data + t->used, bytes, len);
	*ref = (struct pytext_ref){(uint32_t)t->used, (uint32_t)len};
	t->used += len;
	return 0;
}

size_t pytext_char(char out[static PYTEXT_CHAR_MAX], Py_UCS4 c)
{
	static const char hex[] = "0123456789abcdef";
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
	if (c >= 0xD800 && c < 0xE000) {
		o[0] = '\\';
		o[1] = 'u';
		for (int i = 0; i < 4; i++)
			o[2 + i] = (uint8_t)hex[c >> (12 - 4 * i) & 0xF];
		return 6;
	}
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

int pytext_readable(PyObject *v)
{
	return v != NULL && PyUnicode_Check(v) && compat_str_ready(v);
}

int pytext_str(struct pytext *t, PyObject *str, size_t most, struct pytext_ref *ref)
{
	size_t chars, start = t->used, end;
	unsigned kind;
	int rc;

	*ref = (struct pytext_ref){0, 0};
	if (!pytext_readable(str))
		return 0;
	chars = (size_t)PyUnicode_GET_LENGTH(str);
	if (PyUnicode_IS_ASCII(str))
		return pytext_bytes(t, PyUnicode_DATA(str), chars < most ? chars : most, ref);
	if (chars > most)
		chars = most;
	rc = reserve(t,
		chars <= most / PYTEXT_CHAR_MAX ? chars * PYTEXT_CHAR_MAX : most + PYTEXT_CHAR_MAX);
	if (rc != 0)
		return rc;
	kind = (unsigned)PyUnicode_KIND(str);
	end = start;
	for (size_t i = 0; i < chars; i++) {
		size_t n = pytext_char(t->data + end,
			PyUnicode_READ((int)kind, PyUnicode_DATA(str), (Py_ssize_t)i));

		if (end - start + n > most)
			break;
		end += n;
	}
	*ref = (struct pytext_ref){(uint32_t)start, (uint32_t)(end - start)};
	t->used = end;
	return 0;
}
