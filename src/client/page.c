/*
 * page.c: the frame of the page and its plain parts. The flame graph is flame.c's, the picture of who waits for whom waits_graph.c's.
 */
#include "page.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "error.h"
#include "flame.h"
#include "markup.h"
#include "print.h"
#include "sample_print.h"
#include "stack_text.h"
#include "tasks.h"
#include "version.h"
#include "waits_graph.h"

#define NONCE 33 /* characters, with the NUL */
#define ROWS 25
#define THREADS_MAX 500

static const char style[] =
	"body { font: 14px sans-serif; color: #111; background: #fff; margin: 1.5em auto; max-width: 1240px; padding: 0 1em; }\n"
	"h1 { font-size: 1.4em; } h2 { font-size: 1.15em; margin-top: 1.8em; border-bottom: 1px solid #bbb; }\n"
	"table { border-collapse: collapse; } td, th { padding: 0.15em 0.8em; text-align: left; }\n"
	"th { border-bottom: 1px solid #bbb; } td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }\n"
	"td { font-family: monospace; } pre { overflow-x: auto; background: #f6f6f6; padding: 0.8em; }\n"
	"nav a { margin-right: 1em; }\n";

/* --- pieces --- */

static void put_section(struct out *o, const char *id, const char *title)
{
	out_text(o, "<h2 id=\"");
	out_text(o, id);
	out_text(o, "\">");
	out_text(o, title);
	out_text(o, "</h2>\n");
}

static void put_time(struct out *o, const struct sample *s, uint64_t count)
{
	out_text(o, "<td class=\"n\">");
	sample_print_time(o, s, count, 0);
	out_text(o, "</td>");
}

/*
 * Only what bears this word may run, or say how something looks. Nobody could know it when a program's names were made, so that these
 * could not even if they were not escaped.
 */
static int make_nonce(char nonce[static NONCE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t bytes[NONCE / 2];

	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		return PYSTUCK_ESYS;
	for (size_t i = 0; i < sizeof bytes; i++) {
		nonce[2 * i] = digits[bytes[i] >> 4];
		nonce[2 * i + 1] = digits[bytes[i] & 15];
	}
	nonce[NONCE - 1] = '\0';
	return 0;
}

static void put_head(struct out *o, const struct msg_welcome *peer, const char *nonce)
{
	out_text(o, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'nonce-");
	out_text(o, nonce);
	out_text(o, "'; style-src 'nonce-");
	out_text(o, nonce);
	out_text(o, "'\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<title>pystuck: pid ");
	out_number(o, peer->pid);
	out_text(o, "</title>\n<style nonce=\"");
	out_text(o, nonce);
	out_text(o, "\">");
	out_text(o, style);
	out_text(o, flame_style());
	out_text(o, "</style>\n</head>\n<body>\n");
}

/* --- what was sampled --- */

/* The command line: arguments with a NUL behind each. */
static void put_command(struct out *o, struct span command)
{
	struct span at = command;

	while (at.len > 0) {
		const uint8_t *nul = memchr(at.data, '\0', at.len);
		size_t len = nul != NULL ? (size_t)(nul - at.data) : at.len;

		markup_safe(o, (struct span){at.data, len}, TEXT_LINE);
		out_text(o, " ");
		len += nul != NULL;
		at.data += len;
		at.len -= len;
	}
}

static void put_summary(struct out *o, const struct sample *s, const struct msg_welcome *peer)
{
	out_text(o, "<h1>pystuck: pid ");
	out_number(o, peer->pid);
	out_text(o, "</h1>\n<p><code>");
	put_command(o, peer->command);
	out_text(o, "</code><br>Python ");
	markup_safe(o, peer->python, TEXT_LINE);
	out_text(o, ", pystuck " PYSTUCK_VERSION "</p>\n<p>");
	sample_print_facts(o, s);
	out_text(o, "</p>\n");
}

static void put_threads(struct out *o, const struct sample *s, const uint32_t *order, struct stack_text *text)
{
	uint32_t count = s->profile.thread_count;

	put_section(o, "time", "Where the time went");
	out_text(o, "<table>\n<tr><th class=\"n\">on CPU</th><th class=\"n\">waiting</th><th>thread</th><th>mostly</th></tr>\n");
	for (uint32_t i = 0; i < count && i < THREADS_MAX; i++) {
		const struct profile_thread *t = &s->profile.threads[order[i]];
		const char *waiting = sample_waiting(t);

		out_text(o, "<tr>");
		put_time(o, s, t->total.cpu);
		put_time(o, s, t->total.wait);
		out_text(o, "<td>");
		markup_text(o, stack_text_thread(text, order[i]));
		out_text(o, "</td><td>");
		out_text(o, t->total.cpu >= t->total.wait ? "on CPU" : waiting != NULL ? waiting : "");
		out_text(o, "</td></tr>\n");
	}
	out_text(o, "</table>\n");
	if (count > THREADS_MAX) {
		out_text(o, "<p>... ");
		out_number(o, count - THREADS_MAX);
		out_text(o, " more</p>\n");
	}
}

static void put_rows(struct out *o, const struct sample *s, struct stack_text *text, int lines, int wait)
{
	size_t count = 0;
	struct profile_row *rows = lines ? profile_lines(&s->profile, PROFILE_NONE, wait, &count)
					 : profile_functions(&s->profile, PROFILE_NONE, wait, &count);

	out_text(o, "<h3>");
	out_text(o, wait ? "Waiting" : "On CPU");
	out_text(o, lines ? ", by line" : ", by function");
	out_text(o, "</h3>\n<table>\n<tr><th class=\"n\">self</th><th class=\"n\">total</th><th></th></tr>\n");
	for (size_t i = 0; rows != NULL && i < count && i < ROWS; i++) {
		uint64_t total = wait ? rows[i].total.wait : rows[i].total.cpu;

		if (total == 0)
			break;
		out_text(o, "<tr>");
		put_time(o, s, wait ? rows[i].self.wait : rows[i].self.cpu);
		put_time(o, s, total);
		out_text(o, "<td>");
		markup_text(o, lines ? stack_text_place(text, rows[i].place) : stack_text_function(text, rows[i].place));
		out_text(o, "</td></tr>\n");
	}
	out_text(o, "</table>\n");
	free(rows);
}

static void put_tables(struct out *o, const struct sample *s)
{
	uint32_t *order = sample_threads(s);
	struct stack_text text;

	stack_text_open(&text, &s->profile);
	if (order != NULL)
		put_threads(o, s, order, &text);
	for (int wait = 0; wait < 2; wait++)
		for (int lines = 0; lines < 2; lines++)
			put_rows(o, s, &text, lines, wait);
	stack_text_close(&text);
	free(order);
}

/* --- one moment --- */

/* What is printed at a terminal, as it is. */
static void put_printed(
	struct out *o, const struct dump *dump, int (*print)(struct out *, const struct dump *, const struct print_options *))
{
	const struct print_options po = {.color = 0};
	struct out text;

	out_init(&text, -1);
	if (print(&text, dump, &po) == 0) {
		out_text(o, "<pre>");
		markup_text(o, buf_span(&text.buf));
		out_text(o, "</pre>\n");
	} else {
		out_text(o, "<p>They are too many to be shown here.</p>\n");
	}
	out_free(&text);
}

static int has_tasks(const struct dump *dump)
{
	return dump != NULL && dump->task_count > 0;
}

static void put_dump(struct out *o, const struct dump *dump)
{
	put_section(o, "waits", "Who waits for whom");
	waits_graph_write(o, dump);
	put_section(o, "threads", "The threads at the end");
	put_printed(o, dump, print_dump);
	if (has_tasks(dump)) {
		put_section(o, "tasks", "The tasks of asyncio");
		put_printed(o, dump, tasks_print);
	}
}

void page_write(struct out *o, const struct sample *s, const struct msg_welcome *peer, const struct dump *dump)
{
	char nonce[NONCE] = "";
	int rc = make_nonce(nonce);

	if (rc != 0 && o->error == 0)
		o->error = rc;
	put_head(o, peer, nonce);
	put_summary(o, s, peer);
	out_text(o, "<nav>");
	out_text(o, dump != NULL ? "<a href=\"#waits\">Waits</a><a href=\"#threads\">Threads</a>" : "");
	out_text(o, has_tasks(dump) ? "<a href=\"#tasks\">Tasks</a>" : "");
	out_text(o, "<a href=\"#time\">Time</a><a href=\"#graph\">Flame graph</a></nav>\n");
	if (dump != NULL)
		put_dump(o, dump);
	put_tables(o, s);
	put_section(o, "graph", "Flame graph");
	flame_picture(o, s);
	out_text(o, "<script nonce=\"");
	out_text(o, nonce);
	out_text(o, "\">");
	out_text(o, flame_script());
	out_text(o, "</script>\n</body>\n</html>\n");
}
