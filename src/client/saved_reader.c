/*
 * saved_reader.c: members, texts and errors of a saved dump that is being read. What they mean is saved.c's, saved_thread.c's and
 * saved_frames.c's.
 */
#include "saved_reader.h"

#include <string.h>

int saved_fail(struct saved_reader *r, int code)
{
	r->error = r->error != 0 ? r->error : code;
	return -1;
}

int saved_wrong(struct saved_reader *r, const char *what)
{
	r->wrong = r->wrong != NULL ? r->wrong : what;
	return -1;
}

enum jsonread_token saved_member(struct saved_reader *r, char name[static SAVED_NAME])
{
	enum jsonread_token token = jsonread_next(r->json);
	struct span text = jsonread_text(r->json);
	size_t len = text.len < SAVED_NAME ? text.len : 0;

	if (token != JSONREAD_KEY)
		return token == JSONREAD_OBJECT_END ? token : JSONREAD_ERROR;
	memcpy(name, text.data, len);
	name[len] = '\0';
	return jsonread_next(r->json);
}

int saved_members(struct saved_reader *r, int (*member)(struct saved_reader *, struct span name, enum jsonread_token value))
{
	char name[SAVED_NAME];

	for (;;) {
		enum jsonread_token value = saved_member(r, name);

		if (value == JSONREAD_OBJECT_END)
			return 0;
		if (value == JSONREAD_ERROR || member(r, span_text(name), value) != 0 || r->error != 0)
			return -1;
	}
}

void saved_note(struct saved_reader *r, struct buf *texts, struct span *s, enum jsonread_token value)
{
	struct span text = jsonread_text(r->json);

	*s = (struct span){NULL, 0};
	if (value != JSONREAD_STRING || text.len == 0)
		return;
	*s = (struct span){(const uint8_t *)(uintptr_t)buf_len(texts), text.len};
	int rc = buf_put(texts, text.data, text.len);
	if (rc != 0)
		(void)saved_fail(r, rc);
}

void saved_settle(const struct buf *texts, struct span *s)
{
	s->data = s->len > 0 ? buf_bytes(texts) + (uintptr_t)s->data : (const uint8_t *)"";
}

struct span *saved_text_field(void *object, const struct saved_text *texts, size_t count, struct span name)
{
	for (size_t i = 0; i < count; i++)
		if (span_equals(name, texts[i].name))
			return (struct span *)(void *)((char *)object + texts[i].offset);
	return NULL;
}
