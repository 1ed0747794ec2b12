/*
 * natives.c: sorts threads without frames by what would be said of them, and says it once.
 */
#include "natives.h"

#include <stdlib.h>
#include <string.h>

#include "range.h"
#include "view.h"
#include "waits.h"

#define TIDS_SHOWN 8 /* of threads that are shown as one; further ones are counted */
#define FAINT "\033[2m"
#define BOLD "\033[1m"
#define YELLOW "\033[33m"
#define OFF "\033[0m"

struct line {
	const struct dump_thread *t;
	size_t at, len; /* what it does, in the text of all lines */
};

struct lines {
	struct line *at;
	size_t count;
	struct out text;
};

/* --- which ones --- */

static void add(struct lines *l, const struct dump *dump, const struct dump_thread *t, const struct view_options *vo)
{
	struct line *line = &l->at[l->count];

	if (!view_is_chosen(vo, t))
		return;
	*line = (struct line){.t = t, .at = buf_len(&l->text.buf)};
	waits_doing(&l->text, dump, t);
	line->len = buf_len(&l->text.buf) - line->at;
	l->count++;
}

static struct span doing(const struct lines *l, const struct line *line)
{
	return (struct span){buf_bytes(&l->text.buf) + line->at, line->len};
}

static int by_text(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.data, b.data, len) : 0;

	return order != 0 ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int by_words(const void *a, const void *b, void *lines)
{
	const struct line *x = a, *y = b;
	int order = by_text(x->t->head.os_name, y->t->head.os_name);

	if (order == 0)
		order = by_text(doing(lines, x), doing(lines, y));
	if (order == 0)
		order = x->t->head.tid < y->t->head.tid ? -1 : x->t->head.tid > y->t->head.tid;
	return order;
}

static int open_lines(struct lines *l, const struct dump *dump, const struct view_options *vo)
{
	l->at = calloc(dump->native_count + dump->thread_count + 1, sizeof *l->at);
	if (l->at == NULL)
		return PYSTUCK_ENOMEM;
	for (size_t i = 0; i < dump->thread_count; i++)
		if (view_is_native(dump, &dump->threads[i]))
			add(l, dump, &dump->threads[i], vo);
	for (size_t i = 0; i < dump->native_count; i++)
		add(l, dump, &dump->natives[i], vo);
	qsort_r(l->at, l->count, sizeof *l->at, by_words, l);
	return l->text.error;
}

/* --- how they look --- */

static void print_tids(struct out *o, const struct line *first, size_t count)
{
	out_text(o, ", tid ");
	for (size_t i = 0; i < count && i < TIDS_SHOWN; i++) {
		out_text(o, i > 0 ? ", " : "");
		out_number(o, first[i].t->head.tid);
	}
	if (count <= TIDS_SHOWN)
		return;
	out_text(o, " and ");
	out_number(o, count - TIDS_SHOWN);
	out_text(o, " more");
}

/* Threads from `first` on that are the same but for their times. */
static void print_same(struct out *o, const struct lines *l, size_t first, size_t count, int color)
{
	struct range waited = {.known = 0}, cpu = {.known = 0};
	struct span words = doing(l, &l->at[first]);

	for (size_t i = first; i < first + count; i++) {
		const struct msg_dump_wait *w = &l->at[i].t->wait;

		range_widen(&waited, w->flags & WAIT_SINCE, w->waited_us);
		range_widen(&cpu, w->flags & WAIT_CPU, w->cpu_us);
	}
	out_text(o, color ? "  " BOLD "<" : "  <");
	if (count > 1) {
		out_number(o, count);
		out_text(o, " ");
	}
	out_text(o, count > 1 ? "threads(" : "thread(");
	out_safe(o, l->at[first].t->head.os_name, TEXT_LINE);
	out_text(o, color ? ")>" OFF "  " YELLOW : ")>  ");
	if (words.len > 0)
		out_bytes(o, words.data, words.len);
	else
		out_text(o, waits_state(STATE_UNKNOWN));
	out_text(o, color ? OFF : "");
	range_print(o, ", for ", &waited);
	range_print(o, ", CPU ", &cpu);
	print_tids(o, &l->at[first], count);
	out_text(o, "\n");
}

static void print_all(struct out *o, const struct lines *l, uint32_t omitted, int color)
{
	size_t total = l->count + omitted, count;

	out_text(o, "\n");
	out_number(o, total);
	out_text(o, total == 1 ? " thread is not in Python\n" : " threads are not in Python\n");
	for (size_t i = 0; i < l->count; i += count) {
		count = 1;
		while (i + count < l->count && by_text(l->at[i].t->head.os_name, l->at[i + count].t->head.os_name) == 0 &&
			by_text(doing(l, &l->at[i]), doing(l, &l->at[i + count])) == 0)
			count++;
		print_same(o, l, i, count, color);
	}
	if (omitted == 0)
		return;
	out_text(o, color ? "  " FAINT "... " : "  ... ");
	out_number(o, omitted);
	out_text(o, omitted == 1 ? " that was not looked at" : " that were not looked at");
	out_text(o, color ? OFF "\n" : "\n");
}

int natives_print(struct out *o, const struct dump *dump, const struct print_options *po)
{
	/* Who names threads does not ask for those that nobody knows. */
	uint32_t omitted = po->view.thread_count == 0 ? dump->natives_head.omitted : 0;
	struct lines l = {.at = NULL};
	int rc;

	out_init(&l.text, -1);
	rc = open_lines(&l, dump, &po->view);
	if (rc == 0 && l.count + omitted > 0)
		print_all(o, &l, omitted, po->color);
	free(l.at);
	out_free(&l.text);
	return rc;
}
