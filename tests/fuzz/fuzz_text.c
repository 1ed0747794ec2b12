/*
 * fuzz_text.c: any bytes through wire/text.c. The first byte chooses the mode, the second a size;
 * the rest is the text. What comes out must hold nothing that a terminal obeys, and all ways of
 * asking must give the same.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "text.h"

#define LIMIT (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void check_safe(struct span s, enum text_mode mode)
{
	size_t i;

	for (i = 0; i < s.len; i++) {
		uint8_t c = s.data[i];

		must(c >= 0x20 || (mode == TEXT_BLOCK && (c == '\n' || c == '\t')));
		must(c != 0x7f);
		/* C1, two bytes in UTF-8; the first one of the two begins nothing else. */
		must(c != 0xc2 || (i + 1 < s.len && s.data[i + 1] >= 0xa0));
		must(mode != TEXT_JSON || c != '"' || (i > 0 && s.data[i - 1] == '\\'));
	}
	must(text_whole(s, s.len) == s.len);
}

static void check_copy(struct span in, struct span all, enum text_mode mode, size_t room)
{
	char out[256];
	size_t len;

	text_copy(out, room, in, mode);
	if (room == 0)
		return;
	len = strlen(out);
	must(len < room);
	must(len <= all.len && memcmp(out, all.data, len) == 0);
	must(all.len >= room || len == all.len);
	check_safe(span_text(out), mode);
}

/* A text that is shown in two parts looks as it does in one. */
static void check_whole(struct span in, struct span all, enum text_mode mode, size_t most)
{
	size_t n = text_whole(in, most);
	struct buf parts;

	must(n <= most && n <= in.len);
	buf_init(&parts, LIMIT);
	must(text_append(&parts, (struct span){in.data, n}, mode) == 0);
	must(text_append(&parts, (struct span){in.data + n, in.len - n}, mode) == 0);
	must(buf_len(&parts) == all.len);
	must(memcmp(buf_bytes(&parts), all.data, all.len) == 0);
	buf_free(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum text_mode mode;
	struct span in, all;
	struct buf b;

	if (size < 2)
		return 0;
	mode = (enum text_mode)(data[0] % 3);
	in = (struct span){data + 2, size - 2};
	buf_init(&b, LIMIT);
	if (text_append(&b, in, mode)) {
		must(6 * in.len > LIMIT);
		buf_free(&b);
		return 0;
	}
	all = buf_span(&b);
	must(all.len <= 6 * in.len);
	check_safe(all, mode);
	check_copy(in, all, mode, data[1]);
	check_whole(in, all, mode, data[1]);
	buf_free(&b);
	return 0;
}
