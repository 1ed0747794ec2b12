/*
 * sample_print.c: the tables that --sample prints. What is in them is added up by profile_sums.c.
 */
#include "sample_print.h"

#include <stdlib.h>

#include "waits.h"

#define THREADS_SHOWN 20   /* in the list of all */
#define THREADS_DETAILED 6 /* with tables of their own, on CPU and waiting each */
#define ROWS_CPU 10
#define ROWS_WAIT 4
#define TIME_WIDTH 10
#define PERCENT_WIDTH 4
#define LEAST 20 /* one in so many samples: who did so less often has no table */

/* --- pieces --- */

static void right(struct out *o, const char *text, size_t width)
{
	size_t len = strlen(text);

	out_pad(o, len < width ? width - len : 0);
	out_text(o, text);
}

void sample_print_time(struct out *o, const struct sample *s, uint64_t count, size_t width)
{
	uint64_t hundredths = (sample_us(s, count) + 5000) / 10000;
	char digits[OUT_DIGITS] = "", after[4] = {'.', (char)('0' + hundredths / 10 % 10), (char)('0' + hundredths % 10), '\0'};

	right(o, out_decimal(digits, hundredths / 100), width > 5 ? width - 5 : 0);
	out_text(o, after);
	out_text(o, " s");
}

static void print_percent(struct out *o, uint64_t part, uint64_t whole)
{
	char digits[OUT_DIGITS] = "";

	right(o, out_decimal(digits, whole > 0 ? (part * 100 + whole / 2) / whole : 0), PERCENT_WIDTH);
	out_text(o, "%");
}

void sample_print_thread(struct out *o, const struct profile_thread *t)
{
	if (t->name.len == 0) {
		out_text(o, "(other threads)");
		return;
	}
	out_safe(o, t->name, TEXT_LINE);
	if (t->tid != 0) {
		out_text(o, " (tid ");
		out_number(o, t->tid);
		out_text(o, ")");
	}
}

const char *sample_waiting(const struct profile_thread *t)
{
	static const char *const words[PROFILE_STATES] = {
		[STATE_UNKNOWN] = "state not known",
		[STATE_GIL] = "waiting for the GIL",
		[STATE_LOCK] = "waiting for locks",
		[STATE_SLEEP] = "sleeping",
		[STATE_IO] = "in I/O",
		[STATE_CHILD] = "waiting for child processes",
		[STATE_C] = "in C code",
		[STATE_IDLE] = "idle",
	};
	uint64_t most = 0;
	const char *word = NULL;

	for (int state = 0; state < PROFILE_STATES; state++)
		if (!profile_is_cpu(state) && t->states[state] > most) {
			most = t->states[state];
			word = words[state];
		}
	return word;
}

static void print_count(struct out *o, uint64_t n, const char *what)
{
	out_number(o, n);
	out_text(o, what);
	out_text(o, n == 1 ? "" : "s");
}

void sample_print_facts(struct out *o, const struct sample *s)
{
	print_count(o, s->profile.samples, " sample");
	out_text(o, " in ");
	waits_duration(o, (uint64_t)s->elapsed_ms * 1000);
	out_text(o, s->with_gil ? ", each with the GIL held" : ", without the GIL");
	if (s->missed > 0) {
		out_text(o, "; ");
		print_count(o, s->missed, " moment");
		out_text(o, " missed: the answer before was late");
	}
	if (s->blind > 0) {
		out_text(o, "; ");
		print_count(o, s->blind, " answer");
		out_text(o, " without stacks");
	}
}

/* --- threads --- */

static int compare(uint64_t a, uint64_t b)
{
	return a > b ? -1 : a < b;
}

static int by_use(const void *a, const void *b, void *sample)
{
	const struct profile_thread *threads = ((const struct sample *)sample)->profile.threads;
	const struct profile_thread *x = &threads[*(const uint32_t *)a], *y = &threads[*(const uint32_t *)b];
	int order = compare(x->total.cpu, y->total.cpu);

	order = order != 0 ? order : compare(x->total.wait, y->total.wait);
	return order != 0 ? order : x < y ? -1 : 1;
}

uint32_t *sample_threads(const struct sample *s)
{
	uint32_t *order = malloc(((size_t)s->profile.thread_count + 1) * sizeof *order);

	for (uint32_t i = 0; order != NULL && i < s->profile.thread_count; i++)
		order[i] = i;
	if (order != NULL && s->profile.thread_count > 0)
		qsort_r(order, s->profile.thread_count, sizeof *order, by_use, (void *)(uintptr_t)s);
	return order;
}

static void print_threads(struct out *o, const struct sample *s, const uint32_t *order)
{
	uint32_t count = s->profile.thread_count;

	right(o, "on CPU", TIME_WIDTH);
	right(o, "waiting", TIME_WIDTH);
	out_text(o, "  thread\n");
	for (uint32_t i = 0; i < count && i < THREADS_SHOWN; i++) {
		const struct profile_thread *t = &s->profile.threads[order[i]];
		const char *waiting = sample_waiting(t);

		sample_print_time(o, s, t->total.cpu, TIME_WIDTH);
		sample_print_time(o, s, t->total.wait, TIME_WIDTH);
		out_text(o, "  ");
		sample_print_thread(o, t);
		if (waiting != NULL) {
			out_text(o, ", ");
			out_text(o, waiting);
		}
		if (t->moving > 0) {
			out_text(o, ";");
			print_percent(o, t->moving, t->total.cpu + t->total.wait);
			out_text(o, " ran on while its stack was read");
		}
		out_text(o, "\n");
	}
	if (count > THREADS_SHOWN) {
		out_text(o, "  ... ");
		print_count(o, count - THREADS_SHOWN, " more thread");
		out_text(o, "\n");
	}
}

/* --- tables --- */

struct table {
	struct out *o;
	const struct sample *s;
	const struct profile_thread *thread;
	int wait;
	uint32_t like_it; /* so many threads did the same */
	const char *strong, *faint, *off;
};

static uint64_t part(const struct table *t, struct profile_count c)
{
	return t->wait ? c.wait : c.cpu;
}

static void print_row(const struct table *t, const struct profile_row *r, int lines)
{
	const struct profile_place *place = &t->s->profile.places[r->place];
	const struct profile_code *code = &t->s->profile.codes[place->code];
	uint64_t whole = part(t, t->thread->total);

	sample_print_time(t->o, t->s, part(t, r->self), TIME_WIDTH);
	print_percent(t->o, part(t, r->self), whole);
	sample_print_time(t->o, t->s, part(t, r->total), TIME_WIDTH);
	print_percent(t->o, part(t, r->total), whole);
	out_text(t->o, "  ");
	out_safe(t->o, code->function, TEXT_LINE);
	if (code->file.len > 0) {
		out_text(t->o, t->faint);
		out_text(t->o, "  ");
		out_safe(t->o, code->file, TEXT_LINE);
		if (lines && place->line != 0) {
			out_text(t->o, ":");
			out_number(t->o, place->line);
		}
		out_text(t->o, t->off);
	}
	out_text(t->o, "\n");
}

static void print_rows(const struct table *t, const struct profile_row *rows, size_t count, int lines)
{
	size_t most = t->wait ? ROWS_WAIT : ROWS_CPU, shown = 0;

	right(t->o, "self", TIME_WIDTH + PERCENT_WIDTH + 1);
	right(t->o, "total", TIME_WIDTH + PERCENT_WIDTH + 1);
	out_text(t->o, lines ? "  line\n" : "  function\n");
	for (size_t i = 0; rows != NULL && i < count && shown < most && part(t, rows[i].total) > 0; i++, shown++)
		print_row(t, &rows[i], lines);
}

static void print_table(const struct table *t, uint32_t index)
{
	size_t functions, lines;
	struct profile_row *by_function = profile_functions(&t->s->profile, index, t->wait, &functions);
	struct profile_row *by_line = profile_lines(&t->s->profile, index, t->wait, &lines);

	out_text(t->o, "\n");
	out_text(t->o, t->strong);
	sample_print_thread(t->o, t->thread);
	out_text(t->o, t->off);
	if (t->like_it > 0) {
		out_text(t->o, " and ");
		out_number(t->o, t->like_it);
		out_text(t->o, " more in the same place");
	}
	out_text(t->o, t->wait ? ", waiting " : ", on CPU ");
	sample_print_time(t->o, t->s, part(t, t->thread->total), 0);
	out_text(t->o, "\n");
	print_rows(t, by_function, functions, 0);
	print_rows(t, by_line, lines, 1);
	free(by_function);
	free(by_line);
}

/* How many threads behind this one waited where it did; each is done with then. */
static uint32_t take_alike(const struct sample *s, const uint32_t *order, uint32_t from, uint64_t *places)
{
	uint64_t place = places[order[from]];
	uint32_t count = 0;

	for (uint32_t i = from + 1; place != 0 && i < s->profile.thread_count; i++)
		if (places[order[i]] == place) {
			places[order[i]] = 0;
			count++;
		}
	return count;
}

/*
 * One table for each of the threads that did so most; the others are in the list. Those that waited at the same place (`places`, NULL on
 * CPU) have one together.
 */
static void print_tables(struct table *t, const uint32_t *order, uint64_t *places)
{
	uint32_t shown = 0;

	t->wait = places != NULL;
	for (uint32_t i = 0; i < t->s->profile.thread_count && shown < THREADS_DETAILED; i++) {
		t->thread = &t->s->profile.threads[order[i]];
		if (part(t, t->thread->total) * LEAST <= t->s->profile.samples || (places != NULL && places[order[i]] == 0))
			continue;
		t->like_it = places != NULL ? take_alike(t->s, order, i, places) : 0;
		print_table(t, order[i]);
		shown++;
	}
}

void sample_print(struct out *o, const struct sample *s, int color)
{
	struct table t = {.o = o, .s = s, .strong = color ? "\033[1m" : "", .faint = color ? "\033[2m" : "", .off = color ? "\033[0m" : ""};
	uint32_t *order = sample_threads(s);
	uint64_t *places = profile_wait_places(&s->profile);

	sample_print_facts(o, s);
	out_text(o, "\n\n");
	if (order != NULL) {
		print_threads(o, s, order);
		print_tables(&t, order, NULL);
	}
	if (order != NULL && places != NULL)
		print_tables(&t, order, places);
	free(order);
	free(places);
}
