/*
 * watch.c: takes a look each so many seconds, and reacts to keys and signals in between, also while an answer is waited for. How
 * it looks on a terminal is watch_screen.c's.
 */
#include "watch_private.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "print.h"
#include "signals.h"
#include "status.h"
#include "suspended.h"
#include "tasks.h"
#include "terminal.h"

#define TIME_TEXT 32

/* --- what the user does --- */

static void take_signal(struct watch *w, int sig)
{
	if (signals_are_fatal(sig)) {
		w->sig = sig;
		w->done = 1;
	} else if (sig == SIGINT) {
		w->done = 1;
	} else if (sig == SIGTSTP) {
		terminal_stop();
		/* What stood still meanwhile is not only the screen. */
		w->want_look = !w->paused && !w->lost;
	}
	/* SIGWINCH: drawn anew in any case. */
}

/* Something has been typed, or a signal has come. */
static void react(struct watch *w)
{
	struct pollfd typed = {.fd = STDIN_FILENO, .events = POLLIN};
	int sig;

	while ((sig = signals_take()) != 0)
		take_signal(w, sig);
	if (!w->done && poll(&typed, 1, 0) > 0)
		watch_screen_keys(w);
	if (!w->done)
		watch_screen_draw(w);
}

/* Keys and signals as one fd. -1 when that cannot be had. */
static int both_fds(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN};

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, STDIN_FILENO, &e) != 0 || epoll_ctl(fd, EPOLL_CTL_ADD, signals_fd(), &e) != 0) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* --- one look --- */

static void lose(struct watch *w, const struct diag *d)
{
	w->lost = 1;
	w->status = status_of(d->code);
	text_copy(w->notice, sizeof w->notice, span_text(d->text), TEXT_LINE);
}

/* Variables are more than some may see: without them, then. */
static int denied_locals(struct watch *w, const struct diag *d)
{
	if (!(w->flags & DUMP_LOCALS) || d->code != PYSTUCK_EPERM)
		return 0;
	w->flags &= (uint8_t)~DUMP_LOCALS;
	text_copy(w->notice, sizeof w->notice, span_text(d->text), TEXT_LINE);
	w->denied = w->want_look = 1;
	return 1;
}

/* The new one takes the place of the old one. */
static void keep(struct watch *w, struct dump *dump)
{
	struct look next = {.dump = *dump, .at_ms = connect_clock(), .number = w->look.number + 1};
	struct moved_list *known = w->look.compared ? &w->look.moved : NULL;

	dump_init(dump);
	if (w->look.number > 0)
		next.compared = moved_compare(&next.moved, &w->look.dump, known, &next.dump,
					(uint64_t)(next.at_ms - w->look.at_ms) * 1000, MOVED_BY_NUMBER) == 0;
	moved_free(&w->look.moved);
	dump_free(&w->look.dump);
	w->look = next;
	if (!w->denied)
		print_caveat(w->notice, &w->look.dump);
}

/* What is only asked for when the threads are known: greenlets, generators. What cannot be had is said in *why. */
static int look_further(struct watch *w, uint32_t id, struct dump *dump, int64_t deadline, int stop_fd, struct diag *why)
{
	uint8_t wanted = suspended_wanted(dump, &w->w->o->suspended);
	int pending = 0, rc = 0;

	if (wanted == 0)
		return 0;
	while ((rc = suspended_try(w->c, id, dump, wanted, &pending, deadline, stop_fd, why)) == DUMP_STOPPED) {
		react(w);
		if (w->done)
			return DUMP_STOPPED;
	}
	return 0;
}

/* Asks, and waits for the answer or the user's end. 1: there is a new look. */
static int look(struct watch *w, int stop_fd)
{
	int64_t deadline = connect_clock() + w->w->o->timeout_ms;
	uint32_t id = 2 * (uint32_t)w->look.number + 1; /* and the next one, for look_further */
	struct diag d = {0}, why = {0};
	struct dump dump;
	int rc;

	dump_init(&dump);
	rc = dump_ask(w->c, id, w->flags, &d);
	while (rc == 0 && (rc = dump_await(w->c, id, &dump, deadline, stop_fd, &d)) == DUMP_STOPPED) {
		react(w);
		rc = w->done ? DUMP_STOPPED : 0;
	}
	if (rc == 0)
		rc = look_further(w, id + 1, &dump, deadline, stop_fd, &why);
	if (rc == 0)
		keep(w, &dump);
	if (rc == 0 && why.text[0] != '\0')
		text_copy(w->notice, sizeof w->notice, span_text(why.text), TEXT_LINE);
	else if (rc < 0 && !denied_locals(w, &d))
		lose(w, &d);
	dump_free(&dump);
	return rc == 0;
}

/* --- on a terminal --- */

/* Waits until the next look is due. */
static void wait_between(struct watch *w, int64_t due, int stop_fd)
{
	struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
	struct diag d = {0};
	struct msg m;

	while (!w->done && !w->want_look) {
		int rc = w->lost ? 0 : connect_wait(w->c, &stop, 1, w->paused ? CONNECT_NEVER : due, &d);

		if (w->lost && poll(&stop, 1, -1) < 0 && errno != EINTR)
			w->done = 1;
		if (rc == PYSTUCK_ETIME)
			return;
		if (rc > 0)
			rc = connect_next(w->c, &m, &d);
		if (rc < 0) {
			lose(w, &d);
			watch_screen_draw(w);
		}
		if (stop.revents != 0 || signals_pending())
			react(w);
	}
}

static int in_place(struct watch *w, struct diag *d)
{
	int64_t due = connect_clock(), every = w->w->o->watch_ms;
	int fd, rc = signals_catch(1);

	if (rc == 0)
		rc = terminal_open(d);
	else
		diag_set(d, rc, errno, "signals can't be caught");
	if (rc != 0)
		return rc;
	fd = both_fds();
	if (fd < 0) {
		terminal_close();
		return diag_set(d, PYSTUCK_ESYS, errno, "the terminal can't be waited for");
	}
	while (!w->done) {
		w->want_look = 0;
		if (look(w, fd))
			watch_screen_take(w);
		if (!w->done)
			watch_screen_draw(w);
		/* The interval is from look to look; what was missed is not made up for. */
		due += every;
		if (due < connect_clock())
			due = connect_clock();
		wait_between(w, due, fd);
		if (w->want_look)
			due = connect_clock();
	}
	close(fd);
	terminal_close();
	if (w->lost)
		out_notice("%s", w->notice);
	return 0;
}

/* --- elsewhere --- */

int watch_print(struct watch *w, struct out *o)
{
	const struct options *from = w->w->o;
	const struct print_options po = {.color = w->w->color,
		.view = {.threads = from->threads, .thread_count = from->thread_count, .frames = from->frames, .no_group = from->no_group,
			.moved = w->look.compared ? &w->look.moved : NULL}};

	return from->tasks ? tasks_print(o, &w->look.dump, &po) : print_dump(o, &w->look.dump, &po);
}

/* "--- 2026-01-31 12:00:00.5, look 2: 1 moved, 3 still" */
static void heading(struct watch *w, struct out *o)
{
	uint64_t ns = w->look.dump.begin.time_ns;
	time_t s = (time_t)(ns / 1000000000u);
	char text[TIME_TEXT];
	struct tm tm;

	if (localtime_r(&s, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	size_t len = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(text + len, sizeof text - len, ".%u", (unsigned)(ns / 100000000u % 10));
	out_text(o, w->look.number > 1 ? "\n--- " : "--- ");
	out_text(o, text);
	out_text(o, ", look ");
	out_number(o, w->look.number);
	if (w->look.compared) {
		out_text(o, ": ");
		moved_summary(o, &w->look.moved);
	}
	out_text(o, "\n");
}

static int print_look(struct watch *w)
{
	const struct options *o = w->w->o;
	int rc;

	if (w->notice[0] != '\0')
		out_notice("%s", w->notice);
	if (o->json) {
		rc = json_dump(w->w->out, connect_peer(w->c), &w->look.dump, o->locals, 0);
	} else {
		heading(w, w->w->out);
		rc = watch_print(w, w->w->out);
	}
	return rc != 0 ? rc : out_flush(w->w->out);
}

/* One look below the other, until the program or the reader goes. */
static void in_a_row(struct watch *w)
{
	int64_t due = connect_clock();
	struct diag d = {0};
	struct msg m;

	while (look(w, -1) && print_look(w) == 0) {
		int rc = 0;

		due += w->w->o->watch_ms;
		while (rc >= 0)
			rc = connect_wait(w->c, NULL, 0, due, &d) == PYSTUCK_ETIME ? PYSTUCK_ETIME : connect_next(w->c, &m, &d);
		if (rc != PYSTUCK_ETIME) {
			lose(w, &d);
			break;
		}
	}
	if (w->lost)
		out_notice("%s", w->notice);
}

int watch_run(struct connection *c, const struct watch_options *options, int *sig)
{
	struct watch w = {.c = c, .w = options, .flags = options->flags};
	struct diag d = {0};

	dump_init(&w.look.dump);
	if (!options->in_place)
		in_a_row(&w);
	else if (in_place(&w, &d) != 0)
		w.status = status_fail(&d, 0);
	*sig = w.sig;
	moved_free(&w.look.moved);
	dump_free(&w.look.dump);
	watch_screen_free(&w);
	return w.status;
}
