/*
 * fuzz_acctmsg.c: any bytes as the request and as the answer of an account check: what is understood
 * is sound and goes back into the same meaning, the rest leaves nothing behind.
 */
#include <stdlib.h>
#include <string.h>

#include "acctmsg.h"
#include "error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int what)
{
	if (!what)
		abort();
}

static void require_zero(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		require(((const uint8_t *)bytes)[i] == 0);
}

static void try_request(struct span in)
{
	struct acctmsg_request r;
	struct buf b;

	if (acctmsg_get_request(&r, in) != 0) {
		require_zero(&r, sizeof(r));
		return;
	}
	require(in.len <= ACCTMSG_REQUEST_MAX);
	require(r.name[0] != '-' && strpbrk(r.name, " /:\t\n\"'$\\") == NULL);
	require((r.by == ACCTMSG_UID) == (r.uid != UINT32_MAX) &&
		(r.by == ACCTMSG_NAME) == (r.name[0] != '\0'));
	/* There is one way to write it. */
	buf_init(&b, ACCTMSG_REQUEST_MAX);
	require(acctmsg_put_request(&b, &r) == 0);
	require(buf_len(&b) == in.len && memcmp(buf_bytes(&b), in.data, in.len) == 0);
	buf_free(&b);
}

static void try_answer(struct span in)
{
	struct acctmsg_answer a, again;
	struct buf b;

	if (acctmsg_get_answer(&a, in) != 0) {
		require_zero(&a, sizeof(a));
		return;
	}
	require(in.len <= ACCTMSG_ANSWER_MAX);
	for (const char *c = a.text; *c != '\0'; c++)
		require((uint8_t)*c >= 0x20 && *c != 0x7f);
	buf_init(&b, ACCTMSG_ANSWER_MAX);
	require(acctmsg_put_answer(&b, &a) == 0);
	require(acctmsg_get_answer(&again, buf_span(&b)) == 0);
	require(again.code == a.code && strcmp(again.text, a.text) == 0);
	buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_request((struct span){data, size});
	try_answer((struct span){data, size});
	return 0;
}
