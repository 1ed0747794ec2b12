/*
 * fuzz_profile.c: answers to many dumps, added up, printed, and written as a file of each format: what comes out has no control byte
 * but newlines, brackets and tags are closed in the order in which they were opened, and none of them comes from a name.
 * SOURCES: src/client/profile.c src/client/profile_sums.c src/client/sample.c src/client/sample_print.c src/client/export.c
 * SOURCES: src/client/speedscope.c src/client/flame.c src/client/flame_script.c src/client/page.c src/client/markup.c
 * SOURCES: src/client/stack_text.c src/client/waits_graph.c src/client/dump.c src/client/dump_await.c src/client/print.c src/client/cut.c src/client/out.c src/client/view.c
 * SOURCES: src/client/gone.c src/client/handshake.c src/client/procs.c src/client/signals.c src/client/connect.c src/client/waits.c
 * SOURCES: src/client/report.c src/client/deadlock.c src/client/moved.c src/client/dump_tasks.c src/client/tasks.c src/client/loops.c src/client/task_tree.c
 * SOURCES: src/client/task_graph.c src/client/dump_suspended.c src/client/greenlets.c
 * SOURCES: src/client/natives.c src/client/interpreters.c src/client/range.c
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../../src/client/export.h"
#include "../../src/client/flame.h"
#include "../../src/client/page.h"
#include "../../src/client/sample.h"
#include "../../src/client/sample_print.h"
#include "../../src/client/speedscope.h"
#include "msg.h"

#define DEPTH_MAX 4096
#define TAG_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int truth)
{
	if (!truth)
		__builtin_trap();
}

/* --- what is text, JSON, markup --- */

static void check_text(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		must((s.data[i] >= 0x20 && s.data[i] != 0x7f) || s.data[i] == '\n' || s.data[i] == '\t');
}

/* Brackets in their order, strings that end, no escape that JSON has not. */
static void check_json(struct span s)
{
	static char open[DEPTH_MAX];
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = (char)s.data[i];

		if (c == '[' || c == '{') {
			must(depth < DEPTH_MAX);
			open[depth++] = c == '[' ? ']' : '}';
		} else if (c == ']' || c == '}') {
			must(depth > 0 && open[--depth] == c);
		} else if (c == '"') {
			for (i++; i < s.len && s.data[i] != '"'; i++)
				if (s.data[i] == '\\')
					must(++i < s.len && strchr("\"\\/bfnrtu", s.data[i]) != NULL);
			must(i < s.len);
		}
	}
	must(depth == 0);
}

/* The name of a tag that begins here; 0: none does. */
static size_t tag_name(struct span s, size_t at, char name[static TAG_MAX])
{
	size_t len = 0;

	while (at + len < s.len && len + 1 < TAG_MAX && strchr(" >/\n", s.data[at + len]) == NULL) {
		name[len] = (char)s.data[at + len];
		len++;
	}
	name[len] = '\0';
	return len;
}

static int is_void(const char *name)
{
	return strcmp(name, "meta") == 0 || strcmp(name, "br") == 0;
}

static size_t end_of_tag(struct span s, size_t at, int *closes)
{
	char quote = '\0';

	for (; at < s.len && (quote != '\0' || s.data[at] != '>'); at++) {
		must(quote != '\0' || s.data[at] != '<');
		if (quote == '\0' && s.data[at] == '"')
			quote = '"';
		else if (quote != '\0' && s.data[at] == (uint8_t)quote)
			quote = '\0';
	}
	must(at < s.len);
	*closes = s.data[at - 1] == '/';
	return at;
}

static void check_markup(struct span s, size_t scripts)
{
	static char open[DEPTH_MAX][TAG_MAX];
	char name[TAG_MAX];
	size_t depth = 0, found = 0;
	int closes;

	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] != '<')
			continue;
		must(i + 1 < s.len);
		if (s.data[i + 1] == '?' || s.data[i + 1] == '!') {
			must(i < 64);
			i = end_of_tag(s, i + 1, &closes);
		} else if (s.data[i + 1] == '/') {
			must(tag_name(s, i + 2, name) > 0 && depth > 0 && strcmp(open[--depth], name) == 0);
			i = end_of_tag(s, i + 2, &closes);
		} else {
			must(tag_name(s, i + 1, name) > 0 && depth < DEPTH_MAX);
			found += strcmp(name, "script") == 0;
			i = end_of_tag(s, i + 1, &closes);
			if (!closes && !is_void(name))
				memcpy(open[depth++], name, TAG_MAX);
		}
	}
	must(depth == 0 && found == scripts);
}

/* --- all formats --- */

/* What has been written so far, checked; too much is left alone. */
static int take(struct out *o, struct span *s)
{
	if (o->error != 0)
		return 0;
	*s = buf_span(&o->buf);
	check_text(*s);
	return 1;
}

static void show(const struct sample *s, const struct dump *dump)
{
	static const uint8_t command[] = "python\0<x.py>\0";
	const struct msg_welcome peer = {.pid = 1, .command = {command, sizeof command - 1}, .python = span_text("3.<b>")};
	struct span text;
	struct out o;

	for (int i = 0; i < 5; i++) {
		out_init(&o, -1);
		if (i == 0)
			sample_print(&o, s, 0);
		else if (i == 1)
			export_collapsed(&o, s);
		else if (i == 2)
			speedscope_write(&o, s, &peer);
		else if (i == 3)
			flame_write(&o, s);
		else
			page_write(&o, s, &peer, dump);
		if (take(&o, &text) && i == 2)
			check_json(text);
		else if (o.error == 0 && i > 2)
			check_markup(text, 1);
		out_free(&o);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sample s = {.rate = 100, .elapsed_ms = 12345};
	struct span rest = {data, size}, one;
	struct dump dump;
	struct msg m;
	int rc = 0;

	profile_init(&s.profile);
	dump_init(&dump);
	/* Each a u32 length and that many bytes, as on the wire. */
	while (rc == 0 && span_get_string(&rest, &one) == 0 && msg_decode(&m, one) == 0) {
		if (dump.complete) {
			dump_free(&dump);
			dump_init(&dump);
		}
		rc = dump_accept(&dump, &m);
		if (rc == 1)
			rc = profile_add(&s.profile, &dump);
	}
	show(&s, dump.complete ? &dump : NULL);
	dump_free(&dump);
	sample_free(&s);
	return 0;
}
