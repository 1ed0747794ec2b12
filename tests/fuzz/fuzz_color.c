/*
 * fuzz_color.c: any bytes as a value and as a traceback, in colour. Without the colours it is the text as text.c makes it
 * safe; and the colours are ours, whole, and switched off again.
 * SOURCES: src/client/color.c
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/client/color.h"
#include "text.h"

#define LIMIT (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* One sequence, of the base colours but black (30) and white (37); behind it. *on: it began a colour. */
static const uint8_t *check_sequence(const uint8_t *at, const uint8_t *end, int *on)
{
	must(end - at >= 4 && at[1] == '[');
	at += 2;
	if (*at == '0') {
		must(*on && at[1] == 'm');
		*on = 0;
		return at + 2;
	}
	must(!*on);
	*on = 1;
	if (*at == '1') {
		must(at[1] == ';');
		at += 2;
	}
	must(end - at >= 3 && at[0] == '3' && at[1] >= '1' && at[1] <= '6' && at[2] == 'm');
	return at + 3;
}

static void check(struct span in, const struct buf *safe, int (*color)(struct buf *, struct span))
{
	struct buf colored, rest;
	const uint8_t *at, *end;
	int on = 0;

	buf_init(&colored, LIMIT);
	buf_init(&rest, LIMIT);
	must(color(&colored, in) == 0);
	at = buf_bytes(&colored);
	end = at + buf_len(&colored);
	while (at < end) {
		if (*at == 0x1b)
			at = check_sequence(at, end, &on);
		else
			must(buf_put(&rest, at++, 1) == 0);
	}
	must(!on);
	must(buf_len(&rest) == buf_len(safe) && memcmp(buf_bytes(&rest), buf_bytes(safe), buf_len(safe)) == 0);
	buf_free(&colored);
	buf_free(&rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = {data, size};
	struct buf safe;

	buf_init(&safe, LIMIT);
	must(text_append(&safe, in, TEXT_BLOCK) == 0);
	check(in, &safe, color_value);
	check(in, &safe, color_traceback);
	buf_free(&safe);
	return 0;
}
