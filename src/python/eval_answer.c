/*
 * eval_answer.c: what an evaluation and a completion came to, as messages to their client. Not locked, no GIL.
 */
#include <Python.h>

#include "eval_private.h"

#include "complete.h"
#include "error.h"
#include "text.h"

void eval_refuse(struct port *port, uint32_t id, int reason, const char *text)
{
	struct msg m = {.type = MSG_ERROR,
		.error = {.id = id, .reason = (uint8_t)reason, .text = span_text(text)}};

	port_answer(port, &m);
}

static void answer_raised(struct port *port, uint32_t id, const struct run_result *result)
{
	struct msg m = {.type = MSG_RAISED,
		.raised = {.id = id,
			.type = span_text(result->type),
			.message = span_text(result->message != NULL ? result->message : "")}};

	(void)port_answer(port, &m);
}

void eval_answer(
	struct port *port, uint32_t id, const struct run_result *result, uint64_t duration_us)
{
	struct span text = {(const uint8_t *)result->text, result->len};
	struct msg m;
	int rc;

	if (result->vetoed) {
		text.len = text_whole(text, MSG_SENTENCE_MAX);
		port_veto(port, PORT_EVAL, id, text);
		m = (struct msg){.type = MSG_ERROR,
			.error = {.id = id, .reason = REASON_VETO, .text = text}};
	} else {
		if (result->type != NULL)
			answer_raised(port, id, result);
		m = (struct msg){.type = MSG_RESULT,
			.result = {.id = id,
				.status = (uint8_t)result->status,
				.duration_us = duration_us,
				.total = result->total,
				.text = text}};
	}
	rc = port_answer(port, &m);
	if (rc != 0 && rc != PYSTUCK_ECLOSED)
		eval_refuse(port, id, REASON_LIMIT,
			"it was evaluated, but there is no memory for the answer");
}

void eval_answer_complete(struct port *port, uint32_t id, const struct complete *c)
{
	struct msg m = {.type = MSG_MATCHES,
		.matches = {.id = id,
			.flags = c->flags,
			.from = c->from,
			.total = c->total,
			.signature = buf_span(&c->signature),
			.matches = buf_span(&c->matches)}};
	int rc = port_answer(port, &m);

	if (rc != 0 && rc != PYSTUCK_ECLOSED)
		eval_refuse(port, id, REASON_LIMIT, "no memory for the answer");
}
