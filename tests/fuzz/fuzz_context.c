/*
 * fuzz_context.c: any bytes as what was typed before Tab. Parts lie inside the text, and the steps of a row come to an end.
 * The file under test is included whole: the python room is not linked with the fuzzers.
 */
#include <stdint.h>
#include <stdlib.h>

#include "../../src/python/context.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int what)
{
	if (!what)
		abort();
}

static void walk(const char *text, size_t size, struct context_part part)
{
	const char *at = text + part.at, *end = at + part.len;
	struct context_step step;
	int first = 1;

	require(part.at <= size && part.len <= size - part.at);
	for (size_t steps = 0; context_step(&step, &at, end, first) == 1; first = 0) {
		require(at <= end && ++steps <= part.len);
		require(step.kind == CONTEXT_STEP_INDEX || (step.text >= text && step.len <= (size_t)(end - step.text)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size > 0 ? size : 1);
	struct context c;

	if (text == NULL)
		return 0;
	if (size > 0)
		memcpy(text, data, size);
	context_find(&c, text, size);
	require(c.from <= size);
	if (c.kind == CONTEXT_ATTRIBUTE || c.kind == CONTEXT_KEY || c.kind == CONTEXT_FROM || c.kind == CONTEXT_ARGUMENT)
		walk(text, size, c.object);
	if (c.has_call)
		walk(text, size, c.callee);
	free(text);
	return 0;
}
