/*
 * fuzz_audit.c: an event whose every field is the input's: neither the fields of the journal nor the
 * line of syslog may be anything but one event.
 *
 * The input: one byte for the action, one for the role, then for each text two bytes of length and
 * that many bytes, as far as they go.
 */
#include <stdlib.h>
#include <string.h>

#include "../../src/auth/audit_private.h"
#include "../unit/journal_fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS 32
#define NAME_LEN 1024

static void require(int what)
{
	if (!what)
		abort();
}

static struct span take(struct span *in)
{
	struct span text = {in->data, 0};
	size_t len;

	if (in->len < 2)
		return text;
	len = be16_get(in->data);
	in->data += 2;
	in->len -= 2;
	text.data = in->data;
	text.len = len < in->len ? len : in->len;
	in->data += text.len;
	in->len -= text.len;
	return text;
}

static const char *take_name(struct span *in, char out[NAME_LEN])
{
	struct span text = take(in);
	size_t len = text.len < NAME_LEN ? text.len : NAME_LEN - 1;

	if (len > 0)
		memcpy(out, text.data, len);
	out[len] = '\0';
	return out;
}

static void check_journal(const struct audit_event *e, size_t source_max)
{
	struct journal_field fields[FIELDS];
	struct span uid, action;
	struct buf b;
	int n;

	buf_init(&b, AUDIT_DATAGRAM_MAX);
	require(audit_text_journal(&b, e, source_max) == 0);
	n = journal_fields(buf_span(&b), fields, FIELDS);
	require(n > 0);
	for (int i = 0; i < n; i++)
		require(journal_is_safe(
			fields[i].value, span_equals(fields[i].name, "PYSTUCK_SOURCE")));
	uid = journal_value(fields, n, "PYSTUCK_UID");
	action = journal_value(fields, n, "PYSTUCK_ACTION");
	require(uid.data != NULL && span_equals(uid, "1000"));
	require(action.data != NULL && span_equals(action, audit_action_name(e->action)));
	buf_free(&b);
}

static void check_line(const struct audit_event *e)
{
	struct buf b;

	buf_init(&b, AUDIT_DATAGRAM_MAX);
	require(audit_text_syslog(&b, e, 77) == 0);
	require(journal_is_safe(buf_span(&b), 0));
	require(memcmp(buf_bytes(&b) + 4, "pystuck[77]: ", 13) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char key[NAME_LEN], address[NAME_LEN], listener[NAME_LEN];
	struct span in = {data, size};
	struct audit_event e = {.uid = 1000, .pid = 4242, .session = 7};

	audit_text_init();
	if (size < 2)
		return 0;
	e.action = (enum audit_action)(data[0] % AUDIT_ACTIONS);
	e.role = (enum role)(data[1] % (ROLE_EVAL + 1));
	in.data += 2;
	in.len -= 2;
	e.reason = take(&in);
	e.source = take(&in);
	e.key = take_name(&in, key);
	e.address = take_name(&in, address);
	e.listener = take_name(&in, listener);
	check_journal(&e, AUDIT_SOURCE_MAX);
	check_journal(&e, 0);
	check_line(&e);
	return 0;
}
