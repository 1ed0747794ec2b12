/*
 * sample.c: asks for one dump at each moment, one after the other. A moment that comes while the answer to an earlier one is still
 * waited for is passed over, and counted.
 */
#include "sample.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "out.h"
#include "signals.h"

#define PROGRESS_MS 250
#define BLIND_MAX 3   /* so many answers without stacks from the first on, and the GIL is asked for */
#define NO_MEMORY "no memory for more samples"

struct sampler {
	struct sample *s;
	struct connection *c;
	const struct sample_request *r;
	struct diag *d;
	int64_t start, shown; /* by connect_clock */
	uint64_t moment;      /* the next one's number */
	uint8_t flags;
};

static const uint8_t without_gil = DUMP_SAMPLE | DUMP_RAW;

/* --- time --- */

static int64_t moment_ms(const struct sampler *m, uint64_t moment)
{
	return m->start + (int64_t)(moment * 1000 / m->r->rate);
}

/*
 * When the dump of a moment is asked for: up to half the time to the next one later, by the golden ratio, which spreads evenly. A
 * program that wakes up a hundred times a second would else be seen at the same point of its work each time.
 */
static int64_t due_ms(const struct sampler *m)
{
	uint64_t spread = m->moment * 618034 % 1000000;

	return moment_ms(m, m->moment) + (int64_t)(spread * 500 / m->r->rate / 1000000);
}

/* The next moment is the first that has not begun; those before it are missed. */
static void next_moment(struct sampler *m)
{
	uint64_t next = (uint64_t)(connect_clock() - m->start) * m->r->rate / 1000;

	m->moment++;
	if (next > m->moment) {
		m->s->missed += next - m->moment;
		m->moment = next;
	}
}

/* --- signals, progress --- */

static void show_progress(struct sampler *m)
{
	int64_t now = connect_clock();
	char line[160];
	int n;

	if (!m->r->progress || now - m->shown < PROGRESS_MS)
		return;
	m->shown = now;
	n = snprintf(line, sizeof line, "\r\033[K%lld of %lld s, %llu samples; Ctrl-C ends it now", (long long)(now - m->start) / 1000,
		(long long)m->r->duration_ms / 1000, (unsigned long long)m->s->profile.samples);
	/* A terminal that is gone is noticed when the result is written. */
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		m->shown = INT64_MAX - PROGRESS_MS;
}

static void hide_progress(const struct sampler *m)
{
	static const char clear[] = "\r\033[K";

	if (m->shown != m->start && write(STDERR_FILENO, clear, sizeof clear - 1) < 0)
		return;
}

/* Signals that came meanwhile. 1: that is the end. */
static int on_signals(struct sampler *m)
{
	int sig;

	while ((sig = signals_take()) != 0) {
		if (signals_are_fatal(sig))
			m->s->sig = sig;
		if (sig == SIGINT)
			m->s->interrupted = 1;
		if (sig == SIGTSTP)
			signals_stop();
	}
	return m->s->sig != 0 || m->s->interrupted;
}

/* --- dumps --- */

/* Waits for the moment. 0; 1: that is the end; or an error of the connection. */
static int wait_until(struct sampler *m, int64_t due)
{
	struct pollfd stop = {.fd = signals_fd(), .events = POLLIN};
	struct msg other;
	int rc;

	while (connect_clock() < due) {
		rc = connect_wait(m->c, &stop, 1, due, m->d);
		if (rc < 0 && rc != PYSTUCK_ETIME)
			return rc;
		if (stop.revents != 0 && on_signals(m))
			return 1;
		/* Nothing is owed: what comes is that the server goes. */
		if (rc == 1 && (rc = connect_next(m->c, &other, m->d)) < 0)
			return rc;
	}
	return 0;
}

/* DUMP_STOPPED: that is the end, and nobody waits for the answer any more. */
static int await(struct sampler *m, struct dump *dump)
{
	int64_t deadline = connect_clock() + m->r->timeout_ms;

	for (;;) {
		int rc = dump_await(m->c, m->r->id, dump, deadline, signals_fd(), m->d);

		if (rc != DUMP_STOPPED)
			return rc;
		if (on_signals(m)) {
			(void)connect_abandon(m->c, m->r->id);
			return DUMP_STOPPED;
		}
	}
}

/* An answer without stacks. The first ones mean that the server cannot have them without the GIL. */
static void take_blind(struct sampler *m, const struct dump *dump)
{
	struct sample *s = m->s;

	s->blind++;
	if (m->flags != without_gil || s->profile.samples > 0 || s->blind < BLIND_MAX)
		return;
	m->flags = DUMP_SAMPLE;
	s->with_gil = 1;
	s->blind = 0;
	text_copy(s->note, sizeof s->note, dump->begin.note, TEXT_LINE);
}

static int take_one(struct sampler *m)
{
	struct msg ask = {.type = MSG_DUMP, .dump = {.id = m->r->id, .flags = m->flags, .max_frames = SAMPLE_FRAMES_MAX}};
	struct dump dump;
	int rc = connect_queue(m->c, &ask, m->d);

	dump_init(&dump);
	if (rc == 0)
		rc = await(m, &dump);
	if (rc == 0 && dump.begin.how == DUMP_HOW_OS) {
		take_blind(m, &dump);
	} else if (rc == 0) {
		if (m->s->time_ns == 0)
			m->s->time_ns = dump.begin.time_ns;
		rc = profile_add(&m->s->profile, &dump);
		if (rc != 0)
			rc = diag_set(m->d, rc, 0, NO_MEMORY);
	}
	dump_free(&dump);
	return rc;
}

int sample_take(struct sample *s, struct connection *c, const struct sample_request *r, struct diag *d)
{
	struct sampler m = {.s = s, .c = c, .r = r, .d = d, .flags = without_gil};
	int64_t end;
	int rc = 0;

	*s = (struct sample){.rate = r->rate};
	profile_init(&s->profile);
	m.start = m.shown = connect_clock();
	end = m.start + r->duration_ms;
	while (rc == 0 && due_ms(&m) < end) {
		show_progress(&m);
		rc = wait_until(&m, due_ms(&m));
		if (rc == 0)
			rc = take_one(&m);
		next_moment(&m);
	}
	/* The last sample stands for the time to the end, too. */
	if (rc == 0 && wait_until(&m, end) < 0)
		d->text[0] = '\0';
	s->elapsed_ms = connect_clock() - m.start;
	hide_progress(&m);
	return rc < 0 ? rc : 0;
}

void sample_free(struct sample *s)
{
	profile_free(&s->profile);
}

uint64_t sample_us(const struct sample *s, uint64_t count)
{
	uint64_t samples = s->profile.samples;

	return samples > 0 ? count * (uint64_t)s->elapsed_ms * 1000 / samples : 0;
}
