/*
 * fuzz_keyfile.c: any bytes as the text of a key file. What is taken must be what the format says,
 * and written out again it must be taken again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "keyfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* The ring as the text of a key file; returns its length. */
static size_t write_out(const struct keyring *ring, char *out, size_t size)
{
	char base64[64];
	size_t i, n = 0;

	for (i = 0; i < keyring_count(ring); i++) {
		sodium_bin2base64(base64, sizeof base64, keyring_key(ring, i), NOISE_KEY,
			sodium_base64_VARIANT_ORIGINAL);
		n += (size_t)snprintf(
			out + n, size - n, "pystuck-key-1 %s %s role=%s\n", keyring_name(ring, i), base64,
			role_name((int)keyring_role(ring, i)));
	}
	return n;
}

static void check_ring(const struct keyring *ring)
{
	char text[KEYFILE_MAX + 1];
	struct keyring *again;
	size_t i, n = keyring_count(ring);

	must(n >= 1 && n <= KEYRING_MAX);
	for (i = 0; i < n; i++) {
		must(strlen(keyring_name(ring, i)) >= 1 &&
			strlen(keyring_name(ring, i)) <= KEY_NAME_MAX);
		must(!sodium_is_zero(keyring_key(ring, i), NOISE_KEY));
	}
	again = keyfile_parse(
		(struct span){(const uint8_t *)text, write_out(ring, text, sizeof text)}, "again",
		NULL);
	must(again != NULL && keyring_count(again) == n);
	for (i = 0; i < n; i++) {
		must(strcmp(keyring_name(again, i), keyring_name(ring, i)) == 0);
		must(keyring_role(again, i) == keyring_role(ring, i));
		must(memcmp(keyring_key(again, i), keyring_key(ring, i), NOISE_KEY) == 0);
	}
	keyring_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag d = {.code = 0};
	struct keyring *ring = keyfile_parse((struct span){data, size}, "fuzz", &d);

	if (ring)
		check_ring(ring);
	else
		must(d.code < 0 && d.text[0] != '\0');
	keyring_free(ring);
	return 0;
}
