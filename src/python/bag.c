/*
 * bag.c: the names that a completion has found: which of them are wanted, and the answer made of them, sorted, none twice. Where
 * they come from is complete.c's.
 */
#include <Python.h>

#include "bag.h"

#include <stdlib.h>
#include <string.h>

#include "gil.h"
#include "msg.h"

#define NAMES_MAX 50000      /* looked at and kept before they are sorted */
#define TEXT_MAX (4u << 20)  /* bytes of them */
#define CLOCK_EVERY 256      /* names between two looks at the clock */

static int enough(struct bag *b)
{
	b->c->flags |= MATCHES_CUT;
	return 1;
}

static int is_late(struct bag *b)
{
	return b->seen++ % CLOCK_EVERY == 0 && gil_now_ns() > b->until;
}

static int make_room(struct bag *b)
{
	size_t room = b->room > 0 ? 2 * b->room : 256;
	struct pytext_ref *refs;

	if (b->count < b->room)
		return 1;
	refs = b->room < NAMES_MAX ? realloc(b->refs, room * sizeof *refs) : NULL;
	if (refs == NULL)
		return 0;
	b->refs = refs;
	b->room = room;
	return 1;
}

int bag_add(struct bag *b, const char *name, size_t len)
{
	struct pytext_ref ref;
	size_t suffix = strlen(b->suffix);

	if (is_late(b))
		return enough(b);
	if (len < b->prefix_len || memcmp(name, b->prefix, b->prefix_len) != 0 || len == 0 ||
		len > BAG_NAME_MAX || memchr(name, '\0', len) != NULL || (b->hide && *name == '_'))
		return 0;
	if (!make_room(b) || pytext_bytes(&b->text, name, len, &ref) != 0)
		return enough(b);
	if (suffix > 0) {
		struct pytext_ref more;

		if (pytext_bytes(&b->text, b->suffix, suffix, &more) != 0)
			return enough(b);
		ref.len += more.len;
	}
	b->refs[b->count++] = ref;
	return 0;
}

int bag_add_str(void *context, PyObject *name)
{
	struct bag *b = context;
	struct buf text;
	int rc = 0;

	if (!pytext_readable(name) || PyUnicode_GET_LENGTH(name) > BAG_NAME_MAX)
		return 0;
	if (PyUnicode_IS_ASCII(name))
		return bag_add(b, PyUnicode_DATA(name), (size_t)PyUnicode_GET_LENGTH(name));
	buf_init(&text, 4 * BAG_NAME_MAX);
	if (look_text(&text, name) == 0)
		rc = bag_add(b, (const char *)buf_bytes(&text), buf_len(&text));
	buf_free(&text);
	return rc;
}

/* --- the answer ----------------------------------------------------------- */

static int compare(const void *left, const void *right, void *text)
{
	const struct pytext_ref *a = left, *b = right;
	const char *data = text;
	size_t n = a->len < b->len ? a->len : b->len;
	int order = memcmp(data + a->at, data + b->at, n);

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int same(const struct bag *b, size_t i)
{
	return compare(&b->refs[i - 1], &b->refs[i], b->text.data) == 0;
}

void bag_put(struct bag *b)
{
	struct complete *c = b->c;
	uint32_t put = 0;

	if (b->count > 1)
		qsort_r(b->refs, b->count, sizeof *b->refs, compare, b->text.data);
	for (size_t i = 0; i < b->count; i++) {
		struct span name = pytext_span(&b->text, b->refs[i]);

		if (i > 0 && same(b, i))
			continue;
		c->total++;
		if (put == COMPLETE_MATCHES_MAX || buf_len(&c->matches) + name.len + 1 > MSG_COMPLETE_MAX ||
			buf_put(&c->matches, name.data, name.len) != 0)
			continue;
		(void)buf_put_u8(&c->matches, 0);
		put++;
	}
	if (put < c->total)
		c->flags |= MATCHES_CUT;
}

void bag_init(struct bag *b)
{
	pytext_init(&b->text, TEXT_MAX);
}

void bag_free(struct bag *b)
{
	pytext_free(&b->text);
	free(b->refs);
}
