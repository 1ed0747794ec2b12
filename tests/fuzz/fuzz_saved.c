/*
 * fuzz_saved.c: any file as saved dumps: read, merged, printed and written as JSON, and read as one dump. The same bytes give the same
 * with and without short cuts, and what is printed has no control byte but newlines.
 * SOURCES: src/client/jsonread.c src/client/jsonescape.c src/client/saved.c src/client/saved_reader.c src/client/saved_thread.c src/client/saved_frames.c
 * SOURCES: src/client/saved_value.c src/client/intern.c src/client/merge.c src/client/merge_print.c src/client/waits.c
 * SOURCES: src/client/dump_tasks.c src/client/dump_suspended.c src/client/redump.c src/client/dump.c src/client/out.c src/client/signals.c src/client/connect.c
 * SOURCES: src/client/gone.c src/client/handshake.c src/client/procs.c
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/client/merge.h"
#include "../../src/client/redump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

static void must_be_text(const struct out *o)
{
	struct span text = buf_span(&o->buf);

	for (size_t i = 0; i < text.len; i++)
		must((text.data[i] >= 0x20 && text.data[i] != 0x7f) || text.data[i] == '\n');
}

/* What comes out of a file as text; `o` is new. */
static void merged(struct out *o, struct jsonread *json, int fd, int cached)
{
	struct merge m;
	struct diag d = {0};
	size_t dumps = 0;
	struct out as_json;

	must(lseek(fd, 0, SEEK_SET) == 0 && merge_open(&m) == 0);
	if (!cached) {
		saved_cache_free(m.cache);
		m.cache = NULL;
	}
	jsonread_open(json, fd);
	(void)merge_file(&m, json, "a file", &dumps, &d);
	must(dumps == m.dumps);
	merge_sort(&m);
	out_init(o, -1);
	out_init(&as_json, -1);
	(void)merge_print(o, &m, 0);
	(void)merge_json(&as_json, &m, 0);
	must_be_text(o);
	must_be_text(&as_json);
	out_free(&as_json);
	merge_close(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jsonread *json;
	static int fd = -1;
	struct out with, without;
	struct redump one;
	struct diag d = {0};

	if (fd < 0)
		fd = memfd_create("saved", MFD_CLOEXEC);
	if (json == NULL)
		json = jsonread_new();
	must(fd >= 0 && json != NULL && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	merged(&with, json, fd, 1);
	merged(&without, json, fd, 0);
	must(buf_len(&with.buf) == buf_len(&without.buf) && memcmp(buf_bytes(&with.buf), buf_bytes(&without.buf), buf_len(&with.buf)) == 0);
	out_free(&with);
	out_free(&without);
	must(lseek(fd, 0, SEEK_SET) == 0);
	(void)redump_read(&one, fd, &d);
	dump_free(&one.dump);
	return 0;
}
