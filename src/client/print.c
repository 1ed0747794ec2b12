/*
 * print.c: a dump as text. Each distinct place of the source is made into text once; a thread is
 * then a run of copies, since a big program has fifty thousand frames at a few hundred places.
 */
#include "print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cut.h"
#include "greenlets.h"
#include "interpreters.h"
#include "loops.h"
#include "natives.h"
#include "range.h"
#include "report.h"
#include "tasks.h"
#include "waits.h"

#define PRINT_CACHE_MAX (512u << 20) /* bytes: DUMP_BYTES_MAX, as far as it is text, escaped */
#define FRAME_MARK "> "              /* in the place of the indentation of a frame that is somewhere else than it was */
#define PRINT_LINE 80                /* columns that a list of threads is broken at */

struct palette {
	const char *thread, *state, *file, *line, *function, *source, *name, *faint, *off;
};

static const struct palette plain = {"", "", "", "", "", "", "", "", ""};
static const struct palette colored = {
	.thread = "\033[1m",
	.state = "\033[33m",
	.file = "\033[36m",
	.line = "\033[32m",
	.function = "\033[34m",
	.source = "",
	.name = "\033[35m",
	.faint = "\033[2m",
	.off = "\033[0m",
};

struct piece {
	size_t at, len;    /* len 0: not made yet */
	size_t first_line; /* length of its first line */
};

struct printer {
	struct out *o;
	const struct dump *dump;
	const struct print_options *po;
	const struct palette *p;
	struct buf cache;
	struct piece *pieces; /* two for each place: as it is, and faint */
	int error;
};

static void put(struct printer *pr, const char *text)
{
	if (pr->error == 0)
		pr->error = buf_put(&pr->cache, text, strlen(text));
}

static void put_safe(struct printer *pr, const char *color, struct span text)
{
	put(pr, color);
	if (pr->error == 0)
		pr->error = text_append(&pr->cache, text, TEXT_LINE);
	put(pr, *color != '\0' ? pr->p->off : "");
}

static void put_number(struct printer *pr, const char *color, uint64_t v)
{
	char digits[OUT_DIGITS] = "";

	put(pr, color);
	put(pr, out_decimal(digits, v));
	put(pr, *color != '\0' ? pr->p->off : "");
}

/* The two lines of a frame, in the cache. */
static const struct piece *place_text(struct printer *pr, uint32_t index, int faint)
{
	const struct dump_place *place = &pr->dump->places[index];
	const struct dump_code *code = &pr->dump->codes[place->code];
	struct piece *piece = &pr->pieces[(size_t)index * 2 + (faint != 0)];
	const struct palette *p = faint ? &plain : pr->p;
	const char *on = faint ? pr->p->faint : "", *off = faint ? pr->p->off : "";

	if (piece->len != 0)
		return piece;
	piece->at = buf_len(&pr->cache);
	put(pr, on);
	put(pr, "  File \"");
	put_safe(pr, p->file, code->file);
	put(pr, "\"");
	if (place->line != 0) {
		put(pr, ", line ");
		put_number(pr, p->line, place->line);
	}
	put(pr, ", in ");
	put_safe(pr, p->function, code->function);
	put(pr, off);
	put(pr, "\n");
	piece->first_line = buf_len(&pr->cache) - piece->at;
	if (place->source.len > 0) {
		put(pr, on);
		put(pr, "    ");
		put_safe(pr, p->source, place->source);
		put(pr, off);
		put(pr, "\n");
	}
	piece->len = buf_len(&pr->cache) - piece->at;
	return piece;
}

static void print_locals(
	struct printer *pr, const struct dump_thread *t, size_t frame, size_t *next)
{
	for (; *next < t->local_count; (*next)++) {
		const struct dump_local *l = &pr->dump->locals[t->first_local + *next];

		if (l->frame != frame)
			break;
		out_text(pr->o, "      ");
		out_text(pr->o, pr->p->name);
		out_safe(pr->o, l->name, TEXT_LINE);
		out_text(pr->o, pr->p->off);
		out_text(pr->o, " = ");
		out_safe(pr->o, l->value, TEXT_LINE);
		out_text(pr->o, "\n");
	}
}

static void print_state(struct printer *pr, const struct dump_thread *thread)
{
	out_text(pr->o, pr->p->state);
	waits_doing(pr->o, pr->dump, thread);
	out_text(pr->o, pr->p->off);
}

/* How long they have been there, and have worked. */
static void print_times(struct printer *pr, const struct view *v, const struct view_block *b)
{
	struct range waited = {.known = 0}, cpu = {.known = 0};

	for (size_t i = b->first; i < b->first + b->count; i++) {
		const struct msg_dump_wait *w = &pr->dump->threads[v->members[i]].wait;

		range_widen(&waited, w->flags & WAIT_SINCE, w->waited_us);
		range_widen(&cpu, w->flags & WAIT_CPU, w->cpu_us);
	}
	range_print(pr->o, ", for ", &waited);
	range_print(pr->o, ", CPU ", &cpu);
}

/* The thread as its repr() would be; one that threading does not know has no name but the system's. */
static void print_one(struct printer *pr, const struct msg_dump_thread *t)
{
	int known = t->class_name.len > 0;

	out_text(pr->o, "<");
	if (known)
		out_safe(pr->o, t->class_name, TEXT_LINE);
	else
		out_text(pr->o, "thread");
	out_text(pr->o, "(");
	out_safe(pr->o, known ? t->name : t->os_name, TEXT_LINE);
	if (t->ident != 0) {
		out_text(pr->o, t->flags & THREAD_DAEMON ? ", started daemon " : ", started ");
		out_number(pr->o, t->ident);
	}
	out_text(pr->o, ")>");
}

/* Who they are, in lines of their own. */
static void print_members(struct printer *pr, const struct view *v, const struct view_block *b)
{
	size_t column = 0;

	for (size_t i = b->first; i < b->first + b->count; i++) {
		const struct dump_thread *t = &pr->dump->threads[v->members[i]];
		struct span name = waits_thread_name(t);
		char digits[OUT_DIGITS];
		const char *tid = out_decimal(digits, t->head.tid);
		size_t width = name.len + strlen(tid) + sizeof " (tid ),";

		if (i > b->first)
			out_text(pr->o, ",");
		if (i > b->first && column + width > PRINT_LINE)
			out_text(pr->o, "\n");
		if (i == b->first || column + width > PRINT_LINE)
			column = 1;
		out_text(pr->o, column == 1 ? "  " : " ");
		out_safe(pr->o, name, TEXT_LINE);
		out_text(pr->o, " (tid ");
		out_text(pr->o, tid);
		out_text(pr->o, ")");
		column += width;
	}
	out_text(pr->o, "\n");
}

/* What has become of them since the last look; in front, where it is seen. */
static void print_moved(struct printer *pr, const struct view *v, const struct view_block *b)
{
	const struct moved_list *moved = pr->po->view.moved;

	if (moved == NULL)
		return;
	out_text(pr->o, pr->po->color ? moved_color(moved->at[v->members[b->first]].kind) : "");
	moved_words(pr->o, moved, v->members + b->first, b->count);
	out_text(pr->o, pr->p->off);
	out_text(pr->o, "  ");
}

/* What is said of threads that are shown as one, before their frames. */
static void print_head(struct printer *pr, const struct view *v, const struct view_block *b)
{
	const struct dump_thread *thread = &pr->dump->threads[v->members[b->first]];
	const struct msg_dump_thread *t = &thread->head;

	print_moved(pr, v, b);
	out_text(pr->o, pr->p->thread);
	if (b->count > 1) {
		out_text(pr->o, "<");
		out_number(pr->o, b->count);
		out_text(pr->o, " threads>");
	} else {
		print_one(pr, t);
	}
	out_text(pr->o, pr->p->off);
	if (b->count == 1 && t->tid != 0) {
		out_text(pr->o, "  tid ");
		out_number(pr->o, t->tid);
	}
	if (thread->interpreter != 0)
		interpreters_of_thread(pr->o, pr->dump, thread, b->count == 1 && t->tid != 0 ? ", " : "  ");
	if (t->state != STATE_UNKNOWN || t->detail.len > 0) {
		out_text(pr->o, (b->count == 1 && t->tid != 0) || thread->interpreter != 0 ? ", " : "  ");
		print_state(pr, thread);
	}
	print_times(pr, v, b);
	if (b->count == 1)
		greenlets_of_thread(pr->o, pr->dump, thread);
	if (t->flags & THREAD_MOVING)
		out_text(pr->o, "; it ran on while its stack was read, which may be wrong");
	out_text(pr->o, "\n");
	if (b->count > 1)
		print_members(pr, v, b);
}

static void print_omitted(struct printer *pr, const char *indent, uint64_t count, const char *what)
{
	out_text(pr->o, indent);
	out_text(pr->o, pr->p->faint);
	out_text(pr->o, "... ");
	out_number(pr->o, count);
	out_text(pr->o, what);
	out_text(pr->o, count == 1 ? "" : "s");
	out_text(pr->o, " left out");
	out_text(pr->o, pr->p->off);
	out_text(pr->o, "\n");
}

/* --- frames --- */

/* From which frame on there is only how Python's library waits. */
static size_t first_of_waiting(const struct printer *pr, const struct dump_thread *t)
{
	size_t i = t->depth;

	if (t->head.state != STATE_LOCK && t->head.state != STATE_SLEEP && t->head.state != STATE_IO &&
		t->head.state != STATE_CHILD && t->head.state != STATE_IDLE)
		return i;
	while (i > 0 && cut_is_of_python(pr->dump->codes[pr->dump->places[t->places[i - 1]].code].file))
		i--;
	return i;
}

/* From which frame on it is somewhere else than it was. */
static size_t first_that_moved(const struct printer *pr, const struct dump_thread *t)
{
	const struct moved_list *moved = pr->po->view.moved;
	const struct moved *m = moved != NULL ? &moved->at[t - pr->dump->threads] : NULL;

	return m != NULL && m->kind == MOVED_ON ? m->common : t->depth;
}

static void print_frame(struct printer *pr, uint32_t place, int moved, int faint)
{
	const struct piece *piece = place_text(pr, place, faint && !moved); /* what is marked is never faint */
	size_t skip = moved ? sizeof FRAME_MARK - 1 : 0;

	out_text(pr->o, moved ? FRAME_MARK : "");
	if (pr->error == 0)
		out_bytes(pr->o, buf_bytes(&pr->cache) + piece->at + skip, piece->len - skip);
}

static void print_outer(struct printer *pr, struct cut cut, uint32_t omitted)
{
	if (omitted + cut_begin(cut) > 0)
		print_omitted(pr, "  ", omitted + cut_begin(cut), " outer frame");
}

static void print_gap(struct printer *pr, struct cut cut, size_t i)
{
	if (cut_gap(cut, i) > 0)
		print_omitted(pr, "  ", cut_gap(cut, i), " frame");
}

static void print_frames(struct printer *pr, const struct dump_thread *t)
{
	struct cut cut = cut_of(pr->dump, t->places, t->depth, pr->po->view.frames);
	size_t next_local = 0, faint = pr->po->color ? first_of_waiting(pr, t) : t->depth, moved = first_that_moved(pr, t);

	print_outer(pr, cut, t->head.omitted_frames);
	for (size_t i = cut_begin(cut); i < t->depth && pr->error == 0; i = cut_next(cut, i)) {
		while (next_local < t->local_count && pr->dump->locals[t->first_local + next_local].frame < i)
			next_local++;
		print_gap(pr, cut, i);
		print_frame(pr, t->places[i], i >= moved, i >= faint);
		print_locals(pr, t, i, &next_local);
	}
}

void print_stack(struct printer *pr, const uint32_t *places, size_t depth, uint32_t omitted)
{
	struct cut cut = cut_of(pr->dump, places, depth, pr->po->view.frames);

	print_outer(pr, cut, omitted);
	for (size_t i = cut_begin(cut); i < depth && pr->error == 0; i = cut_next(cut, i)) {
		print_gap(pr, cut, i);
		print_frame(pr, places[i], 0, 0);
	}
}

static int printer_open(struct printer *pr, struct out *o, const struct dump *dump, const struct print_options *po)
{
	*pr = (struct printer){.o = o, .dump = dump, .po = po, .p = po->color ? &colored : &plain};
	buf_init(&pr->cache, PRINT_CACHE_MAX);
	pr->pieces = calloc((dump->place_count + 1) * 2, sizeof *pr->pieces);
	return pr->pieces != NULL ? 0 : PYSTUCK_ENOMEM;
}

static int printer_close(struct printer *pr)
{
	int error = pr->error;

	if (pr->dump->end.omitted_threads > 0) {
		out_text(pr->o, "\n");
		print_omitted(pr, "", pr->dump->end.omitted_threads, " thread");
	}
	buf_free(&pr->cache);
	free(pr->pieces);
	return error != 0 ? error : pr->o->error;
}

struct printer *print_open(struct out *o, const struct dump *dump, const struct print_options *po)
{
	struct printer *pr = calloc(1, sizeof *pr);

	if (pr != NULL && printer_open(pr, o, dump, po) != 0) {
		free(pr);
		pr = NULL;
	}
	return pr;
}

int print_close(struct printer *pr)
{
	int rc = printer_close(pr);

	free(pr);
	return rc;
}

/* What is to be known before any stack is read. */
static void print_report(struct printer *pr, const struct report *r)
{
	out_text(pr->o, pr->p->faint);
	report_summary(pr->o, r);
	out_text(pr->o, "\n");
	interpreters_print(pr->o, r->dump);
	out_text(pr->o, pr->p->off);
	out_text(pr->o, pr->p->state);
	report_deadlocks(pr->o, r);
	loops_print_blocked(pr->o, r->dump);
	if (pr->error == 0)
		pr->error = tasks_print_circles(pr->o, r->dump);
	out_text(pr->o, pr->p->off);
}

static void print_whole(struct printer *pr, const struct report *r, const struct view *v)
{
	print_report(pr, r);
	for (size_t i = 0; pr->error == 0 && i < v->block_count; i++) {
		out_text(pr->o, "\n");
		print_head(pr, v, &v->blocks[i]);
		print_frames(pr, &pr->dump->threads[v->members[v->blocks[i].first]]);
	}
	if (pr->error == 0)
		pr->error = natives_print(pr->o, pr->dump, pr->po);
	if (pr->error == 0)
		pr->error = tasks_print_short(pr->o, pr->dump, pr->po);
}

static void print_short(struct printer *pr, const struct report *r, const struct view *v)
{
	(void)r;
	for (size_t i = 0; pr->error == 0 && i < v->shown; i++) {
		const struct dump_thread *t = &pr->dump->threads[v->members[i]];

		print_head(pr, v, &(struct view_block){i, 1});
		if (t->depth == 0)
			continue;
		const struct piece *piece = place_text(pr, t->places[t->depth - 1], 0);
		if (pr->error == 0)
			out_bytes(pr->o, buf_bytes(&pr->cache) + piece->at, piece->first_line);
	}
}

static int print_by(struct out *o, const struct dump *dump, const struct print_options *po,
	void (*print)(struct printer *, const struct report *, const struct view *))
{
	struct printer pr;
	struct report r;
	struct view v = {.members = NULL};
	int rc = printer_open(&pr, o, dump, po);

	if (rc != 0)
		return rc;
	rc = report_open(&r, dump);
	if (rc == 0)
		rc = view_open(&v, &r, &po->view);
	if (rc == 0)
		print(&pr, &r, &v);
	view_close(&v);
	report_close(&r);
	pr.error = rc != 0 ? rc : pr.error;
	return printer_close(&pr);
}

int print_dump(struct out *o, const struct dump *dump, const struct print_options *po)
{
	int rc = print_by(o, dump, po, print_whole);

	return rc == 0 ? greenlets_print(o, dump, po) : rc;
}

int print_threads(struct out *o, const struct dump *dump, const struct print_options *po)
{
	return print_by(o, dump, po, print_short);
}
