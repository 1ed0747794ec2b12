/*
 * prompt.c: tells what was typed apart, and has one function for each command. Answers are output of the evaluation.
 */
#include <Python.h>

#include "prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"
#include "help.h"
#include "indent.h"
#include "prompt_frame.h"
#include "prompt_loop.h"
#include "stream_type.h"
#include "tee.h"

#define WIDTH_LEAST 20
#define WIDTH_MOST 1000
#define NAMES_SHOWN 1000

/* --- output --------------------------------------------------------------- */

static int say(int which, struct span text)
{
	struct stream_sink *sink = stream_sink_own();

	return sink != NULL ? stream_send(sink, which, text) : 0;
}

int prompt_say(const char *text)
{
	return say(0, span_text(text));
}

int prompt_say_error(const char *text)
{
	return say(1, span_text(text));
}

static int say_buf(int which, struct buf *text)
{
	int rc = say(which, buf_span(text));

	buf_free(text);
	return rc;
}

int prompt_complain(const char *words, struct span text)
{
	struct buf line;

	buf_init(&line, 4096);
	(void)buf_put(&line, words, strlen(words));
	(void)buf_put(&line, text.data, text.len < 200 ? text.len : 200);
	(void)buf_put(&line, "\n", 1);
	return say_buf(1, &line);
}

/* --- texts ---------------------------------------------------------------- */

static int is_white(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct span trimmed(struct span s)
{
	while (s.len > 0 && is_white(s.data[0]))
		s = (struct span){s.data + 1, s.len - 1};
	while (s.len > 0 && is_white(s.data[s.len - 1]))
		s.len--;
	return s;
}

/* The first word; *rest is what stands behind it. */
static struct span first_word(struct span s, struct span *rest)
{
	size_t n = 0;

	while (n < s.len && !is_white(s.data[n]))
		n++;
	*rest = trimmed((struct span){s.data + n, s.len - n});
	return (struct span){s.data, n};
}

/* --- object? -------------------------------------------------------------- */

/* Nothing but a row of names and keys. */
static int is_row(struct span s)
{
	const char *at = (const char *)s.data, *end = at + s.len;
	struct context_step step;
	int rc = context_step(&step, &at, end, 1);

	while (rc == 1)
		rc = context_step(&step, &at, end, 0);
	return rc == 0 && s.len > 0;
}

/* "os.path?", "?os.path", "os.path??": 1 and what is asked about, and how much of it. */
static int is_question(struct span s, struct span *row, int *source)
{
	size_t before = 0, behind = 0;

	while (before < 2 && before < s.len && s.data[before] == '?')
		before++;
	*row = (struct span){s.data + before, s.len - before};
	while (behind < 2 && behind < row->len && row->data[row->len - 1 - behind] == '?')
		behind++;
	row->len -= behind;
	*row = trimmed(*row);
	*source = before + behind > 1;
	return before + behind > 0 && memchr(s.data, '\n', s.len) == NULL;
}

static int answer_question(const struct prompt *p, struct span row, int source)
{
	PyObject *object;
	struct buf text;
	int bound, unasked = 0, rc;

	if (!is_row(row))
		return prompt_complain("? tells what names, attributes and keys stand for (os.path, d['key']), not ", row);
	object = look_row(&p->spaces, row, &bound, &unasked);
	if (object == NULL && unasked)
		return prompt_complain("it would take running the program's code to find it; x = ... first, then x?: ", row);
	if (object == NULL)
		return prompt_complain("nothing here has the name ", row);
	buf_init(&text, 2 * HELP_BYTES_MAX);
	help_put(&text, object, row, bound, source, p->cells);
	Py_DECREF(object);
	rc = help_show(buf_span(&text));
	buf_free(&text);
	return rc;
}

/* --- commands ------------------------------------------------------------- */

int prompt_is_ours(PyObject *name)
{
	static const char *const ours[] = {"modules", "Out", "In", "help", "exit", "quit"};

	if (!PyUnicode_Check(name) || PyUnicode_GetLength(name) == 0 || PyUnicode_ReadChar(name, 0) == '_')
		return 1;
	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
		if (PyUnicode_CompareWithASCIIString(name, ours[i]) == 0)
			return 1;
	return 0;
}

/* The user's names, a new list; NULL with an exception. */
static PyObject *own_names(const struct prompt *p)
{
	PyObject *list = PyList_New(0), *name, *value;
	Py_ssize_t at = 0;
	int rc = list != NULL ? 0 : -1;

	while (rc == 0 && PyDict_Next(p->names, &at, &name, &value))
		if (PyUnicode_CheckExact(name) && !prompt_is_ours(name))
			rc = PyList_Append(list, name);
	if (rc == 0)
		rc = PyList_Sort(list);
	if (rc != 0)
		Py_CLEAR(list);
	return list;
}

static int run_who(const struct prompt *p, struct span arguments)
{
	PyObject *list = own_names(p), *name, *value;
	struct buf text;

	(void)arguments;
	if (list == NULL)
		return -1;
	buf_init(&text, HELP_BYTES_MAX);
	for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list) && i < NAMES_SHOWN; i++) {
		name = PyList_GET_ITEM(list, i);
		value = PyDict_GetItemWithError(p->names, name);
		(void)look_text(&text, name);
		for (Py_ssize_t n = PyUnicode_GetLength(name); n < 20; n++)
			(void)buf_put(&text, " ", 1);
		(void)buf_put(&text, "  ", 2);
		if (value != NULL)
			(void)buf_put(&text, Py_TYPE(value)->tp_name, strlen(Py_TYPE(value)->tp_name));
		(void)buf_put(&text, "\n", 1);
	}
	if (PyList_GET_SIZE(list) == 0)
		(void)buf_put(&text, "no names of yours yet\n", 22);
	Py_DECREF(list);
	return say_buf(0, &text);
}

static int run_reset(const struct prompt *p, struct span arguments)
{
	PyObject *list = own_names(p), *name;
	int rc = 0;

	(void)arguments;
	if (list == NULL)
		return -1;
	for (Py_ssize_t i = 0; rc == 0 && i < PyList_GET_SIZE(list); i++) {
		name = PyList_GET_ITEM(list, i);
		/* What is dropped may run code that takes others away. */
		if (PyDict_Contains(p->names, name) == 1)
			rc = PyDict_DelItem(p->names, name);
	}
	Py_DECREF(list);
	return rc == 0 ? say(0, span_text("your names are gone; what the program has is as it was\n")) : -1;
}

/* Said by the client, not by its user. */
static int run_columns(const struct prompt *p, struct span arguments)
{
	char text[16] = "";
	unsigned long n;

	memcpy(text, arguments.data, arguments.len < sizeof text - 1 ? arguments.len : sizeof text - 1);
	n = strtoul(text, NULL, 10);
	*p->width = n < WIDTH_LEAST ? WIDTH_LEAST : n > WIDTH_MOST ? WIDTH_MOST : n;
	return 0;
}

/* "%tee stdout", "%tee stderr off", "%tee off": what the program prints from here on, as output of this request. */
static int run_tee(const struct prompt *p, struct span arguments)
{
	struct stream_sink *sink = stream_sink_own();
	struct span rest, stream = first_word(arguments, &rest);
	int which = span_equals(stream, "stdout") ? 0 : span_equals(stream, "stderr") ? 1 : TEE_BOTH;
	int off = which == TEE_BOTH ? span_equals(stream, "off") : span_equals(rest, "off");

	(void)p;
	if (sink == NULL || sink->port == NULL)
		return 0;
	if (off)
		tee_stop(sink->port, which);
	else if (which == TEE_BOTH || rest.len > 0)
		return prompt_complain("%tee stdout, %tee stderr, each with off behind it, or %tee off; not ", arguments);
	else
		return tee_start(sink->port, sink->id, which);
	return 0;
}

static int run_pinfo(const struct prompt *p, struct span arguments)
{
	return answer_question(p, arguments, 0);
}

static int run_pinfo2(const struct prompt *p, struct span arguments)
{
	return answer_question(p, arguments, 1);
}

static const struct command {
	const char *name;
	int (*run)(const struct prompt *p, struct span arguments);
} commands[] = {
	{"%who", run_who},
	{"%whos", run_who},
	{"%reset", run_reset},
	{"%columns", run_columns},
	{"%tee", run_tee},
	{"%pinfo", run_pinfo},
	{"%pinfo2", run_pinfo2},
	{"%locals", prompt_frame_locals},
	{"%frame", prompt_frame_enter},
	{"%up", prompt_frame_up},
	{"%down", prompt_frame_down},
	{"%debug", prompt_frame_debug},
	{"%loop", prompt_loop},
};

/* Commands that say how the Python behind them is to be run. */
static const struct way {
	const char *name;
	enum prompt_way way;
	const char *option;    /* with a number behind it; NULL: none */
	unsigned scale;        /* ms in its unit */
	unsigned ms, most;
} ways[] = {
	{"%time", PROMPT_TIMED, NULL, 1, 0, 0},
	{"%atomic", PROMPT_ATOMIC, "--ms", 1, PROMPT_ATOMIC_MS, PROMPT_ATOMIC_MS_MAX},
	{"%main", PROMPT_MAIN, "--timeout", 1000, PROMPT_MAIN_MS, PROMPT_MAIN_MS_MAX},
};

/* A number of the option's unit, as ms; 0: it is none. */
static unsigned option_ms(const struct way *way, struct span number)
{
	char text[16] = "", *end;
	double value;

	if (number.len == 0 || number.len >= sizeof text || memchr(number.data, 'e', number.len) != NULL)
		return 0;
	memcpy(text, number.data, number.len);
	/* Not strtod: the decimal point is the locale's. */
	value = PyOS_string_to_double(text, &end, NULL);
	if (PyErr_Occurred() || *end != '\0') {
		PyErr_Clear();
		return 0;
	}
	value *= way->scale;
	return value >= 1 && value <= way->most ? (unsigned)value : 0;
}

/* 0: *cell says it; 1: the user has been told what was wrong; -1 with an exception. */
static int take_way(const struct way *way, struct span rest, struct prompt_cell *cell)
{
	struct span behind, number, word = first_word(rest, &behind);
	char usage[120];

	cell->way = way->way;
	cell->ms = way->ms;
	cell->source = rest;
	if (way->option != NULL && span_equals(word, way->option)) {
		number = first_word(behind, &cell->source);
		cell->ms = option_ms(way, number);
	}
	if (cell->source.len > 0 && (cell->ms > 0 || way->option == NULL))
		return 0;
	snprintf(usage, sizeof usage, "%s [%s N] CODE, with at most %s %u; not ", way->name, way->option != NULL ? way->option : "",
		way->option != NULL ? way->option : "", way->most / way->scale);
	if (way->option == NULL)
		snprintf(usage, sizeof usage, "%s CODE", way->name);
	return prompt_complain(usage, rest) == 0 ? 1 : -1;
}

static int run_command(const struct prompt *p, struct span text, struct prompt_cell *cell)
{
	struct span rest, name = first_word(text, &rest);

	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
		if (span_equals(name, ways[i].name))
			return take_way(&ways[i], rest, cell);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (span_equals(name, commands[i].name))
			return commands[i].run(p, rest) == 0 ? 1 : -1;
	return prompt_complain("%help lists the commands; there is none named ", name) == 0 ? 1 : -1;
}

int prompt_take(const struct prompt *p, struct span source, struct prompt_cell *cell)
{
	struct span text = trimmed(source), row;
	struct indent end;
	int all;

	*cell = (struct prompt_cell){.source = source};
	if (text.len > 0 && text.data[0] == '%') {
		int rc = run_command(p, text, cell);

		if (rc != 0)
			return rc;
		/* What is behind it counts: an empty line ends a block. */
		cell->source.len = (size_t)(source.data + source.len - cell->source.data);
	} else if (text.len > 0 && is_question(text, &row, &all)) {
		/* "x = '?" is an unfinished string, and "# why?" a comment. */
		indent_scan(&end, (const char *)text.data, text.len);
		if (text.data[0] == '?' || end.last == '?')
			return answer_question(p, row, all) == 0 ? 1 : -1;
	}
	text = trimmed(cell->source);
	indent_scan(&end, (const char *)text.data, text.len);
	cell->quiet = end.last == ';' && !end.in_string;
	return 0;
}
