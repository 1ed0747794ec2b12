/*
 * watch_screen.c: a look on the screen: a line about the program, as much of the stacks as there is room for, and a line of keys.
 */
#include "watch_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "about.h"
#include "terminal.h"

#define AROUND 2     /* rows that are not the stacks': the first and the last */
#define SIDEWAYS 8   /* columns that an arrow moves by */
#define COMMAND 40
#define CLOCK 16
#define FRAME_MAX (1u << 20)

/* --- the lines of the stacks --- */

static int add_line(struct watch *w, struct watch_line line)
{
	if (w->line_count == w->line_room) {
		size_t room = w->line_room > 0 ? 2 * w->line_room : 256;
		struct watch_line *more = realloc(w->lines, room * sizeof *more);

		if (more == NULL)
			return PYSTUCK_ENOMEM;
		w->lines = more;
		w->line_room = room;
	}
	w->lines[w->line_count++] = line;
	return 0;
}

/* The colour that is on at the end of a line, when the one of its beginning was on before it. */
static void follow_color(struct watch_line *next, const uint8_t *text, size_t at, size_t len)
{
	for (size_t end = at + len; at < end; at++) {
		size_t from = at;

		if (text[at] != '\033')
			continue;
		while (at < end && text[at] != 'm')
			at++;
		next->color_at = from;
		next->color_len = at - from == 3 && text[from + 2] == '0' ? 0 : at - from + 1;
	}
}

static void find_lines(struct watch *w)
{
	const uint8_t *text = buf_bytes(&w->text.buf);
	size_t len = buf_len(&w->text.buf), at = 0;
	struct watch_line line = {.at = 0};

	w->line_count = 0;
	while (at < len) {
		const uint8_t *end = memchr(text + at, '\n', len - at);

		line.at = at;
		line.len = (end != NULL ? (size_t)(end - text) : len) - at;
		if (add_line(w, line) != 0)
			return;
		follow_color(&line, text, line.at, line.len);
		at += line.len + 1;
	}
}

void watch_screen_take(struct watch *w)
{
	out_free(&w->text);
	out_init(&w->text, -1);
	if (watch_print(w, &w->text) != 0)
		snprintf(w->notice, sizeof w->notice, "there is more than can be shown; --thread and --frames say less");
	find_lines(w);
}

void watch_screen_free(struct watch *w)
{
	free(w->lines);
	out_free(&w->text);
}

/* --- the screen --- */

static void line_end(struct buf *frame)
{
	(void)buf_put(frame, "\n", 1);
}

static void clock_text(char text[static CLOCK], uint64_t ns)
{
	time_t s = (time_t)(ns / 1000000000u);
	struct tm tm;

	if (localtime_r(&s, &tm) == NULL)
		memset(&tm, 0, sizeof tm);
	strftime(text, CLOCK, "%H:%M:%S", &tm);
}

/* The first line: what changes stands in front. */
static void head(const struct watch *w, struct out *text, size_t rows)
{
	const struct msg_welcome *peer = connect_peer(w->c);
	char command[COMMAND], clock[CLOCK];

	(void)rows;
	out_text(text, w->lost ? "GONE  " : w->paused ? "PAUSED  " : "");
	if (w->look.number > 0) {
		clock_text(clock, w->look.dump.begin.time_ns);
		out_text(text, "look ");
		out_number(text, w->look.number);
		out_text(text, " at ");
		out_text(text, clock);
		out_text(text, w->look.compared ? ": " : "");
	}
	if (w->look.compared)
		moved_summary(text, &w->look.moved);
	out_text(text, w->look.number > 0 ? "   pid " : "pid ");
	out_number(text, peer->pid);
	out_text(text, " (");
	out_text(text, about_command(command, sizeof command, peer->command));
	out_text(text, ")");
}

/* The keys, or what there is to be said. */
static void foot(const struct watch *w, struct out *text, size_t rows)
{
	size_t last = w->top + rows < w->line_count ? w->top + rows : w->line_count;

	if (w->notice[0] != '\0') {
		out_text(text, w->notice);
		out_text(text, w->lost ? "; q: quit" : "");
		return;
	}
	out_text(text, "q quit  space ");
	out_text(text, w->paused ? "go on " : "pause ");
	out_text(text, w->flags & DUMP_LOCALS ? " l no locals" : " l locals");
	out_text(text, "  arrows PgUp PgDn scroll   lines ");
	out_number(text, w->line_count > 0 ? w->top + 1 : 0);
	out_text(text, "-");
	out_number(text, last);
	out_text(text, " of ");
	out_number(text, w->line_count);
}

static void bar(const struct watch *w, struct buf *frame, size_t columns, size_t rows, void (*say)(const struct watch *, struct out *, size_t))
{
	struct out text;
	struct buf clipped;

	out_init(&text, -1);
	buf_init(&clipped, FRAME_MAX);
	say(w, &text, rows);
	out_pad(&text, columns);
	terminal_clip(&clipped, buf_span(&text.buf), 0, columns);
	terminal_reverse(frame, buf_span(&clipped));
	buf_free(&clipped);
	out_free(&text);
}

/* One line of the stacks, with the colour that has come with it. */
static void put_line(const struct watch *w, struct buf *frame, size_t number, size_t columns)
{
	const uint8_t *text = buf_bytes(&w->text.buf);
	const struct watch_line *line = &w->lines[number];
	struct buf whole;

	buf_init(&whole, FRAME_MAX);
	(void)buf_put(&whole, text + line->color_at, line->color_len);
	/* A line longer than any screen is wide is cut before it is looked at. */
	(void)buf_put(&whole, text + line->at, line->len < FRAME_MAX / 2 ? line->len : FRAME_MAX / 2);
	terminal_clip(frame, buf_span(&whole), w->left, columns);
	buf_free(&whole);
}

void watch_screen_draw(struct watch *w)
{
	int rows, columns;
	struct buf frame;

	terminal_size(&rows, &columns);
	size_t wide = columns > 1 ? (size_t)columns - 1 : 1; /* in the last column a terminal may wait to wrap */
	size_t high = rows > AROUND ? (size_t)rows - AROUND : 0;
	size_t most = w->line_count > high ? w->line_count - high : 0;

	w->top = w->top < most ? w->top : most;
	buf_init(&frame, FRAME_MAX);
	bar(w, &frame, wide, high, head);
	line_end(&frame);
	for (size_t i = w->top; i < w->top + high; i++) {
		if (i < w->line_count)
			put_line(w, &frame, i, wide);
		line_end(&frame);
	}
	bar(w, &frame, wide, high, foot);
	if (terminal_draw(buf_span(&frame)) != 0)
		w->done = 1;
	buf_free(&frame);
}

/* --- keys --- */

static void scroll(struct watch *w, int64_t by)
{
	int64_t top = (int64_t)w->top + by;

	w->top = top > 0 ? (size_t)top : 0; /* not below the end: watch_screen_draw */
}

static void pause_or_go_on(struct watch *w)
{
	if (w->lost)
		return;
	w->paused = !w->paused;
	w->want_look = !w->paused;
}

static void locals_or_not(struct watch *w)
{
	if (w->lost)
		return;
	w->flags ^= DUMP_LOCALS;
	w->want_look = 1;
}

static void on_key(struct watch *w, int key)
{
	int rows, columns;

	if (w->denied)
		w->notice[0] = '\0';
	w->denied = 0;
	terminal_size(&rows, &columns);
	switch (key) {
	case 'q':
	case 'Q':
	case TERMINAL_GONE:
		w->done = 1;
		break;
	case ' ':
		pause_or_go_on(w);
		break;
	case 'l':
		locals_or_not(w);
		break;
	case TERMINAL_UP:
	case 'k':
		scroll(w, -1);
		break;
	case TERMINAL_DOWN:
	case 'j':
		scroll(w, 1);
		break;
	case TERMINAL_PAGE_UP:
		scroll(w, AROUND - rows);
		break;
	case TERMINAL_PAGE_DOWN:
		scroll(w, rows - AROUND);
		break;
	case TERMINAL_HOME:
	case 'g':
		w->top = w->left = 0;
		break;
	case TERMINAL_END:
	case 'G':
		w->top = w->line_count;
		break;
	case TERMINAL_LEFT:
		w->left = w->left > SIDEWAYS ? w->left - SIDEWAYS : 0;
		break;
	case TERMINAL_RIGHT:
		w->left += SIDEWAYS;
		break;
	default:
		break;
	}
}

void watch_screen_keys(struct watch *w)
{
	int key;

	terminal_feed();
	while (!w->done && (key = terminal_key()) != TERMINAL_NONE)
		on_key(w, key);
}
