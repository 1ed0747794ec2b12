/*
 * batch.c: one evaluation without a prompt. On standard output there is the code's own output and
 * the value of its last expression, and nothing of ours.
 */
#include "batch.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval.h"
#include "json.h"
#include "signals.h"
#include "status.h"

#define BATCH_OUTPUT_MAX (64u << 20) /* bytes of output kept for the JSON object */

struct sink {
	struct batch *b;
	struct out err;
	struct buf kept[2]; /* with json: stdout, stderr, raw */
	struct buf type, message; /* with json: of the exception */
	int cut;
};

static int keep_output(void *context, int stream, struct span text)
{
	struct sink *s = context;

	if (buf_put(&s->kept[stream == 2], text.data, text.len) != 0)
		s->cut = 1;
	return 0;
}

static void keep_raised(void *context, const struct msg_raised *m)
{
	struct sink *s = context;

	(void)buf_put(&s->type, m->type.data, m->type.len);
	(void)buf_put(&s->message, m->message.data, m->message.len);
}

/*
 * Each stream is flushed before the other is used: on a terminal the order is what the code meant.
 */
static int pass_output(void *context, int stream, struct span text)
{
	struct sink *s = context;
	struct out *to = stream == 2 ? &s->err : s->b->out;

	out_flush(stream == 2 ? s->b->out : &s->err);
	out_safe(to, text, TEXT_BLOCK);
	return s->b->out->error;
}

static int flush_output(void *context)
{
	struct sink *s = context;

	out_flush(&s->err);
	return out_flush(s->b->out);
}

static const char *status_name(const struct eval *e, int end)
{
	if (end == EVAL_TIMED_OUT)
		return "timeout";
	switch (e->result.status) {
	case RESULT_VALUE:
		return "value";
	case RESULT_RAISED:
		return "raised";
	case RESULT_INTERRUPTED:
		return "interrupted";
	case RESULT_EXIT:
		return "exit";
	default:
		return "none";
	}
}

static int is_cut(const struct msg_result *r)
{
	return r->total > r->text.len;
}

static int has_raised(const struct msg_result *r)
{
	return r->status == RESULT_RAISED || r->status == RESULT_INTERRUPTED || r->status == RESULT_EXIT;
}

static void show_json(struct sink *s, const struct eval *e, int end)
{
	struct json_result r = {
		.status = status_name(e, end),
		.has_value = e->result.status == RESULT_VALUE,
		.repr = e->result.text,
		.has_exception = has_raised(&e->result) && e->result.text.len > 0,
		.type = buf_span(&s->type),
		.message = buf_span(&s->message),
		.traceback = e->result.text,
		.out = buf_span(&s->kept[0]),
		.err = buf_span(&s->kept[1]),
		.cut = s->cut || is_cut(&e->result),
		.duration_us = e->result.duration_us,
	};

	json_result(s->b->out, &r, s->b->pretty);
}

static void show_text(struct sink *s, const struct eval *e)
{
	const struct msg_result *r = &e->result;
	struct out *to = r->status == RESULT_VALUE ? s->b->out : &s->err;

	if (to == &s->err)
		out_flush(s->b->out);
	if (r->text.len > 0) {
		if (to == &s->err)
			out_end_line(to);
		out_safe(to, r->text, TEXT_BLOCK);
		if (to == s->b->out)
			out_text(to, "\n");
		else
			out_end_line(to);
	}
	flush_output(s);
	if (is_cut(r))
		out_notice("the text was cut: %zu of %llu bytes", r->text.len,
			(unsigned long long)r->total);
}

static int result_status(const struct sink *s, const struct eval *e)
{
	if (has_raised(&e->result))
		return STATUS_RAISED;
	return s->cut || is_cut(&e->result) ? STATUS_PARTIAL : STATUS_DONE;
}

/* The evaluation has ended, or its time has. */
static int show_end(struct sink *s, const struct eval *e, int end)
{
	if (s->b->json)
		show_json(s, e, end);
	else
		show_text(s, e);
	if (end != EVAL_TIMED_OUT)
		return result_status(s, e);
	out_flush(s->b->out);
	out_notice(e->result.text.len > 0
			   ? "the evaluation took too long and was interrupted (see --timeout)"
			   : "the evaluation took too long and can't be interrupted: it goes on in "
			     "the program (see --timeout)");
	return STATUS_LOST;
}

int batch_await(struct batch *b)
{
	struct sink s = {.b = b};
	struct eval e = {.id = b->id,
		.deadline = b->deadline,
		.context = &s,
		.output = pass_output,
		.idle = flush_output};
	struct diag d = {0};
	int status;

	out_init(&s.err, STDERR_FILENO);
	buf_init(&s.kept[0], BATCH_OUTPUT_MAX);
	buf_init(&s.kept[1], BATCH_OUTPUT_MAX);
	buf_init(&s.type, MSG_NAME_MAX);
	buf_init(&s.message, MSG_VALUE_MAX);
	if (b->json) {
		e.output = keep_output;
		e.raised = keep_raised;
	}
	signals_catch(0);
	int end = eval_await(b->c, &e, &d);
	switch (end) {
	case EVAL_ENDED:
	case EVAL_TIMED_OUT:
		status = show_end(&s, &e, end);
		break;
	case EVAL_SIGNAL:
		status = STATUS_SIGINT;
		break;
	case EVAL_UNREAD:
		status = signals_want_end() ? STATUS_SIGINT : STATUS_DONE;
		break;
	default:
		flush_output(&s);
		status = status_fail(&d, 0);
		break;
	}
	out_free(&s.err);
	buf_free(&s.kept[0]);
	buf_free(&s.kept[1]);
	buf_free(&s.type);
	buf_free(&s.message);
	return status;
}

static int is_blank(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isspace(s.data[i]))
			return 0;
	return 1;
}

int batch_read(int fd, struct buf *script, struct diag *d)
{
	uint8_t *where = NULL;

	for (;;) {
		size_t room = MSG_TEXT_MAX + 1 - buf_len(script);
		size_t want = room < 65536 ? room : 65536;

		if (want == 0)
			return diag_set(d, PYSTUCK_EINVAL, 0,
				"the script on standard input is too long: at most %u bytes",
				MSG_TEXT_MAX);
		if (buf_reserve(script, want, &where) != 0)
			return diag_set(d, PYSTUCK_ENOMEM, 0, "%s", error_text(PYSTUCK_ENOMEM));
		ssize_t n = read(fd, where, want);
		if (n < 0 && errno == EINTR)
			continue;
		/* A standard input that is closed or no file is as good as an empty one. */
		if (n <= 0)
			return !is_blank(buf_span(script));
		buf_added(script, (size_t)n);
	}
}
