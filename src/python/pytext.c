/*
 * pytext.c: str objects as UTF-8 in one growing block. Knows nothing of frames; what a text means
 * is its caller's.
 */
#include "pytext.h"

#include <stdlib.h>
#include <string.h>

#include "compat.h"
#include "error.h"
#include "ucs.h"

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
		chars <= most / UCS_UTF8_MAX ? chars * UCS_UTF8_MAX : most + UCS_UTF8_MAX);
	if (rc != 0)
		return rc;
	kind = (unsigned)PyUnicode_KIND(str);
	end = start;
	for (size_t i = 0; i < chars; i++) {
		size_t n = ucs_utf8(t->data + end,
			PyUnicode_READ((int)kind, PyUnicode_DATA(str), (Py_ssize_t)i));

		if (end - start + n > most)
			break;
		end += n;
	}
	*ref = (struct pytext_ref){(uint32_t)start, (uint32_t)(end - start)};
	t->used = end;
	return 0;
}
