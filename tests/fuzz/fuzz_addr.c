/*
 * fuzz_addr.c: any text as a Unix path, a host and a port of wire/addr.c. The first two bytes are
 * the port; names are not looked up.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void check_text(const char *text, size_t limit)
{
	size_t i, n = strlen(text);

	must(n < limit);
	for (i = 0; i < n; i++)
		must((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
}

/* After a call: either an address that prints and resolves in bounds, or a sentence. */
static void check(const struct addr *a, int r, const struct diag *d)
{
	struct sockaddr_storage ss;
	char text[ADDR_TEXT];
	struct diag other;
	socklen_t len;

	if (r) {
		must(a->kind == ADDR_NONE && d->code == r && d->text[0] != '\0');
		check_text(d->text, sizeof d->text);
		return;
	}
	check_text(addr_format(a, text), sizeof text);
	r = addr_resolve(a, 1, &ss, &len, &other);
	must(r == 0 || a->kind == ADDR_TCP);
	if (r)
		check_text(other.text, sizeof other.text);
	else
		must(len <= sizeof ss);
	if (a->kind == ADDR_UNIX)
		must(a->path[0] == '/' && memchr(a->path, '\0', sizeof a->path) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag d;
	struct addr a;
	uint16_t port;
	char *text;
	int r;

	if (size < 2)
		return 0;
	text = calloc(1, size - 1);
	if (!text)
		return 0;
	memcpy(text, data + 2, size - 2);
	r = addr_unix(&a, text, &d);
	check(&a, r, &d);
	r = addr_tcp(&a, text, data[0] << 8 | data[1], &d);
	check(&a, r, &d);
	r = addr_parse_port(text, &port, &d);
	must(r == 0 ? port > 0 && strspn(text, "0123456789") == strlen(text) : d.text[0] != '\0');
	free(text);
	return 0;
}
