/*
 * print.c: a dump as text. Each distinct place of the source is made into text once; a thread is
 * then a run of copies, since a big program has fifty thousand frames at a few hundred places.
 */
#include "print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "report.h"
#include "waits.h"

#define PRINT_CACHE_MAX (512u << 20) /* bytes: DUMP_BYTES_MAX, as far as it is text, escaped */
#define PRINT_MOMENT_US 1000000u
#define PRINT_COMMAND 70             /* bytes of a command line in the first line */

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
	const struct palette *p;
	struct buf cache;
	struct piece *pieces; /* one for each place */
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
static const struct piece *place_text(struct printer *pr, uint32_t index)
{
	const struct dump_place *place = &pr->dump->places[index];
	const struct dump_code *code = &pr->dump->codes[place->code];
	struct piece *piece = &pr->pieces[index];

	if (piece->len != 0)
		return piece;
	piece->at = buf_len(&pr->cache);
	put(pr, "  File \"");
	put_safe(pr, pr->p->file, code->file);
	put(pr, "\"");
	if (place->line != 0) {
		put(pr, ", line ");
		put_number(pr, pr->p->line, place->line);
	}
	put(pr, ", in ");
	put_safe(pr, pr->p->function, code->function);
	put(pr, "\n");
	piece->first_line = buf_len(&pr->cache) - piece->at;
	if (place->source.len > 0) {
		put(pr, "    ");
		put_safe(pr, pr->p->source, place->source);
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

/*
 * What the thread is doing, in words. `detail` is the server's more exact word where there is one.
 */
static void print_state(struct printer *pr, const struct dump_thread *thread)
{
	const struct msg_dump_thread *t = &thread->head;
	static const char *const words[] = {
		[STATE_UNKNOWN] = "",
		[STATE_CPU] = "on CPU",
		[STATE_GIL] = "waiting for the GIL",
		[STATE_LOCK] = "waiting for lock",
		[STATE_SLEEP] = "sleeping",
		[STATE_IO] = "in I/O",
		[STATE_CHILD] = "waiting for a child process",
		[STATE_C] = "in C code",
		[STATE_GC] = "collecting garbage",
		[STATE_IDLE] = "idle",
	};
	int own = t->state == STATE_UNKNOWN || t->state == STATE_IO || t->state == STATE_C;
	const char *word = t->state < sizeof words / sizeof words[0] ? words[t->state] : "";

	out_text(pr->o, pr->p->state);
	if (waits_print(pr->o, pr->dump, thread)) {
		/* It has said all there is. */
	} else if (own && t->detail.len > 0)
		out_safe(pr->o, t->detail, TEXT_LINE);
	else
		out_text(pr->o, word);
	out_text(pr->o, pr->p->off);
}

/* How long it has been there, and has worked: what is less than a moment is not worth the room. */
static void print_times(struct printer *pr, const struct msg_dump_wait *w)
{
	if ((w->flags & WAIT_SINCE) && w->waited_us >= PRINT_MOMENT_US) {
		out_text(pr->o, ", for ");
		waits_duration(pr->o, w->waited_us);
	}
	if ((w->flags & WAIT_CPU) && w->cpu_us >= PRINT_MOMENT_US) {
		out_text(pr->o, ", CPU ");
		waits_duration(pr->o, w->cpu_us);
	}
}

/*
 * The thread as its repr() would be; one that threading does not know has no name but the system's.
 */
static void print_head(struct printer *pr, const struct dump_thread *thread)
{
	const struct msg_dump_thread *t = &thread->head;
	int known = t->class_name.len > 0;

	out_text(pr->o, pr->p->thread);
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
	out_text(pr->o, pr->p->off);
	if (t->tid != 0) {
		out_text(pr->o, "  tid ");
		out_number(pr->o, t->tid);
	}
	if (t->state != STATE_UNKNOWN || t->detail.len > 0) {
		out_text(pr->o, t->tid != 0 ? ", " : "  ");
		print_state(pr, thread);
	}
	print_times(pr, &thread->wait);
	if (t->flags & THREAD_MOVING)
		out_text(pr->o, "; it ran on while its stack was read, which may be wrong");
	out_text(pr->o, "\n");
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

static void print_frames(struct printer *pr, const struct dump_thread *t)
{
	size_t next_local = 0;

	if (t->head.omitted_frames > 0)
		print_omitted(pr, "  ", t->head.omitted_frames, " outer frame");
	for (size_t i = 0; i < t->depth && pr->error == 0; i++) {
		const struct piece *piece = place_text(pr, t->places[i]);

		if (pr->error == 0)
			out_bytes(pr->o, buf_bytes(&pr->cache) + piece->at, piece->len);
		print_locals(pr, t, i, &next_local);
	}
}

static int printer_open(struct printer *pr, struct out *o, const struct dump *dump, int color)
{
	*pr = (struct printer){.o = o, .dump = dump, .p = color ? &colored : &plain};
	buf_init(&pr->cache, PRINT_CACHE_MAX);
	pr->pieces = calloc(dump->place_count + 1, sizeof *pr->pieces);
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

/* What is to be known before any stack is read. */
static int print_report(struct printer *pr)
{
	struct report r;
	int rc = report_open(&r, pr->dump);

	if (rc == 0) {
		out_text(pr->o, pr->p->faint);
		report_summary(pr->o, &r);
		out_text(pr->o, pr->p->off);
		out_text(pr->o, "\n");
		out_text(pr->o, pr->p->state);
		report_deadlocks(pr->o, &r);
		out_text(pr->o, pr->p->off);
	}
	report_close(&r);
	return rc;
}

int print_dump(struct out *o, const struct dump *dump, int color)
{
	struct printer pr;
	int rc = printer_open(&pr, o, dump, color);

	if (rc != 0)
		return rc;
	rc = print_report(&pr);
	for (size_t i = 0; rc == 0 && i < dump->thread_count; i++) {
		out_text(o, "\n");
		print_head(&pr, &dump->threads[i]);
		print_frames(&pr, &dump->threads[i]);
	}
	if (rc != 0)
		pr.error = rc;
	return printer_close(&pr);
}

int print_threads(struct out *o, const struct dump *dump, int color)
{
	struct printer pr;
	int rc = printer_open(&pr, o, dump, color);

	if (rc != 0)
		return rc;
	for (size_t i = 0; i < dump->thread_count && pr.error == 0; i++) {
		const struct dump_thread *t = &dump->threads[i];

		print_head(&pr, t);
		if (t->depth == 0)
			continue;
		const struct piece *piece = place_text(&pr, t->places[t->depth - 1]);
		if (pr.error == 0)
			out_bytes(o, buf_bytes(&pr.cache) + piece->at, piece->first_line);
	}
	return printer_close(&pr);
}

void print_caveats(const struct dump *dump)
{
	char note[300];

	text_copy(note, sizeof note, dump->begin.note, TEXT_LINE);
	/* The server's own sentence where it has one: it knows more. */
	if (dump->begin.how == DUMP_HOW_GIL && *note == '\0')
		return;
	if (*note == '\0')
		snprintf(note, sizeof note, "the GIL could not be had in %llu ms",
			(unsigned long long)dump->begin.gil_wait_us / 1000);
	if (dump->begin.how == DUMP_HOW_OS)
		out_notice("%s; this is what the operating system knows of the threads", note);
	else if (dump->begin.how == DUMP_HOW_RAW && !dump->begin.settled)
		out_notice("%s; not settled: threads were running, and this is not one moment", note);
	else
		out_notice("%s", note);
}

char *print_command(char *text, size_t size, struct span command)
{
	uint8_t spaced[MSG_COMMAND_MAX];
	char whole[MSG_COMMAND_MAX * 6 + 1];
	size_t len = 0;

	while (command.len > 0 && command.data[command.len - 1] == '\0')
		command.len--;
	for (; len < command.len && len < sizeof spaced; len++)
		spaced[len] = command.data[len] != '\0' ? command.data[len] : ' ';
	text_copy(whole, sizeof whole, (struct span){spaced, len}, TEXT_LINE);
	len = strlen(whole);
	if (len < size) {
		memcpy(text, whole, len + 1);
		return text;
	}
	/* What is in `whole` is safe already: only its characters must stay whole. */
	len = text_whole(span_text(whole), size - sizeof "...");
	memcpy(text, whole, len);
	memcpy(text + len, "...", sizeof "...");
	return text;
}

char *print_age(char text[static PRINT_AGE], uint64_t since_ns)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	unsigned long long s = since_ns < now_ns ? (now_ns - since_ns) / 1000000000u : 0;

	if (s < 60)
		snprintf(text, PRINT_AGE, "%llu s", s);
	else if (s < 3600)
		snprintf(text, PRINT_AGE, "%llu min", s / 60);
	else if (s < 86400)
		snprintf(text, PRINT_AGE, "%llu h %llu min", s / 3600, s / 60 % 60);
	else
		snprintf(text, PRINT_AGE, "%llu d %llu h", s / 86400, s / 3600 % 24);
	return text;
}

void print_server(struct out *o, const struct msg_welcome *w, int color)
{
	const struct palette *p = color ? &colored : &plain;
	char command[PRINT_COMMAND], age[PRINT_AGE];

	out_text(o, p->faint);
	out_text(o, "pystuck: pid ");
	out_number(o, w->pid);
	out_text(o, " (");
	out_text(o, print_command(command, sizeof command, w->command));
	out_text(o, "), Python ");
	out_safe(o, w->python, TEXT_LINE);
	out_text(o, ", up ");
	out_text(o, print_age(age, w->started_ns));
	out_text(o, p->off);
	out_text(o, "\n");
}
