/*
 * acctmsg.c: the request and the answer of an account check as bytes. Who sends them, and what is
 * done about them, stands in auth/account.c and pam/pystuck-pam.c.
 */
#include "acctmsg.h"

#include <string.h>

#include "error.h"
#include "text.h"

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define FROM_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:%-"

static int is_of(const char *text, const char *chars)
{
	return text[strspn(text, chars)] == '\0';
}

/* A name that no PAM module and no program that one starts takes for a path, a list or an option. */
static int is_name(const char *name)
{
	return name[0] != '\0' && name[0] != '-' && is_of(name, NAME_CHARS);
}

static int is_sound(const struct acctmsg_request *r)
{
	if (!is_of(r->from, FROM_CHARS))
		return 0;
	switch (r->by) {
	case ACCTMSG_UID:
		return r->uid != UINT32_MAX && r->name[0] == '\0';
	case ACCTMSG_NAME:
		return r->uid == UINT32_MAX && is_name(r->name);
	default:
		return 0;
	}
}

int acctmsg_put_request(struct buf *b, const struct acctmsg_request *r)
{
	int rc = is_sound(r) ? 0 : PYSTUCK_EINVAL;

	if (rc == 0)
		rc = buf_put_u8(b, ACCTMSG_VERSION);
	if (rc == 0)
		rc = buf_put_u8(b, r->by);
	if (rc == 0)
		rc = buf_put_u32(b, r->uid);
	if (rc == 0)
		rc = buf_put_string(b, span_text(r->name));
	if (rc == 0)
		rc = buf_put_string(b, span_text(r->from));
	return rc;
}

int acctmsg_put_answer(struct buf *b, const struct acctmsg_answer *a)
{
	struct span text = span_text(a->text);
	int rc = buf_put_u8(b, ACCTMSG_VERSION);

	text.len = text_whole(text, ACCTMSG_TEXT_MAX);
	if (rc == 0)
		rc = buf_put_u32(b, a->code);
	if (rc == 0)
		rc = buf_put_string(b, text);
	return rc;
}

static int get_version(struct span *s)
{
	uint8_t version = 0;
	int rc = span_get_u8(s, &version);

	return rc == 0 && version != ACCTMSG_VERSION ? PYSTUCK_EFORMAT : rc;
}

/* A string without a NUL in it, at most size - 1 bytes. */
static int get_text(struct span *s, char *out, size_t size)
{
	struct span text = {NULL, 0};
	int rc = span_get_string(s, &text);

	if (rc != 0)
		return rc;
	if (text.len >= size || memchr(text.data, '\0', text.len) != NULL)
		return PYSTUCK_EFORMAT;
	memcpy(out, text.data, text.len);
	out[text.len] = '\0';
	return 0;
}

int acctmsg_get_request(struct acctmsg_request *r, struct span bytes)
{
	int rc;

	memset(r, 0, sizeof(*r));
	rc = get_version(&bytes);
	if (rc == 0)
		rc = span_get_u8(&bytes, &r->by);
	if (rc == 0)
		rc = span_get_u32(&bytes, &r->uid);
	if (rc == 0)
		rc = get_text(&bytes, r->name, sizeof(r->name));
	if (rc == 0)
		rc = get_text(&bytes, r->from, sizeof(r->from));
	if (rc == 0 && (bytes.len != 0 || !is_sound(r)))
		rc = PYSTUCK_EFORMAT;
	if (rc != 0)
		memset(r, 0, sizeof(*r));
	return rc;
}

int acctmsg_get_answer(struct acctmsg_answer *a, struct span bytes)
{
	char raw[ACCTMSG_TEXT_MAX + 1];
	int rc;

	memset(a, 0, sizeof(*a));
	rc = get_version(&bytes);
	if (rc == 0)
		rc = span_get_u32(&bytes, &a->code);
	if (rc == 0)
		rc = get_text(&bytes, raw, sizeof(raw));
	if (rc == 0 && bytes.len != 0)
		rc = PYSTUCK_EFORMAT;
	if (rc == 0)
		text_copy(a->text, sizeof(a->text), span_text(raw), TEXT_LINE);
	else
		memset(a, 0, sizeof(*a));
	return rc;
}
