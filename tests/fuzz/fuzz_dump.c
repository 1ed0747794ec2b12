/*
 * fuzz_dump.c: a stream of messages as the answer to a dump, collected, printed and written as JSON
 * by the client. What comes out has no control byte but newlines, whatever came in.
 * SOURCES: src/client/dump_tasks.c src/client/tasks.c src/client/loops.c src/client/task_tree.c src/client/task_graph.c src/client/json_tasks.c
 * SOURCES: src/client/dump.c src/client/print.c src/client/cut.c src/client/json.c src/client/out.c
 * SOURCES: src/client/view.c src/client/locks.c src/client/moved.c
 * SOURCES: src/client/dump_suspended.c src/client/greenlets.c src/client/json_greenlets.c
 * SOURCES: src/client/gone.c src/client/handshake.c src/client/procs.c
 * SOURCES: src/client/signals.c src/client/connect.c src/client/waits.c src/client/report.c src/client/deadlock.c
 * SOURCES: src/client/natives.c src/client/interpreters.c src/client/range.c
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/client/dump.h"
#include "../../src/client/json.h"
#include "../../src/client/locks.h"
#include "../../src/client/print.h"
#include "../../src/client/tasks.h"
#include "msg.h"

#define SHOWN (1u << 20) /* bytes of output that are looked at */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* The output so far is text and no more; the file is empty again. */
static void check(struct out *o)
{
	static uint8_t shown[SHOWN];
	ssize_t n;

	must(out_flush(o) == 0);
	n = pread(o->fd, shown, sizeof shown, 0);
	must(n >= 0);
	for (ssize_t i = 0; i < n; i++)
		must((shown[i] >= 0x20 && shown[i] != 0x7f) || shown[i] == '\n');
	must(ftruncate(o->fd, 0) == 0 && lseek(o->fd, 0, SEEK_SET) == 0);
}

static void show(struct out *o, const struct dump *dump)
{
	static const struct msg_welcome nobody;

	static const char *const words[] = {"worker-*", "1"};
	const struct print_options all = {.color = 0};
	const struct print_options some = {.view = {.threads = words, .thread_count = 2, .frames = 2, .no_group = 1}};

	must(print_dump(o, dump, &all) == 0);
	check(o);
	must(print_dump(o, dump, &some) == 0);
	check(o);
	must(print_threads(o, dump, &all) == 0);
	check(o);
	must(locks_print(o, dump, &all) == 0);
	check(o);
	must(tasks_print(o, dump, &all) == 0);
	check(o);
	must(tasks_print(o, dump, &some) == 0);
	check(o);
	must(json_dump(o, &nobody, dump, 1, 0) == 0);
	check(o);
	must(json_dump(o, &nobody, dump, 0, 1) == 0);
	check(o);
	(void)dump_is_degraded(dump, DUMP_RAW);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct span rest = {data, size}, one;
	struct dump dump;
	struct out o;
	struct msg m;
	int rc = 0;

	if (fd < 0)
		fd = memfd_create("out", MFD_CLOEXEC);
	must(fd >= 0);
	out_init(&o, fd);
	dump_init(&dump);
	/* Each a u32 length and that many bytes, as on the wire. */
	while (rc == 0 && span_get_string(&rest, &one) == 0) {
		if (msg_decode(&m, one) != 0)
			break;
		rc = dump_accept(&dump, &m);
	}
	if (rc == 1)
		show(&o, &dump);
	dump_free(&dump);
	out_free(&o);
	return 0;
}
