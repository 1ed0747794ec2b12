/*
 * stack_encoder.c: encodes stacks. What else is said of who has them: answer.c for threads.
 */
#include <Python.h>

#include "stack_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "error.h"
#include "msg.h"

#define NOT_SENT UINT32_MAX
#define NUMBERS 64u /* bytes of a message beside its texts, at most */

static uint32_t longest_stack(const struct frames *f)
{
	uint32_t longest = 1;

	for (uint32_t i = 0; i < f->thread_count; i++)
		if (f->threads[i].count > longest)
			longest = f->threads[i].count;
	return longest;
}

int stack_encoder_open(struct stack_encoder *e, struct buf *out, const struct frames *frames, const struct lines *lines)
{
	*e = (struct stack_encoder){.out = out, .frames = frames, .lines = lines};
	e->wire_codes = malloc((frames->code_count > 0 ? frames->code_count : 1) * sizeof *e->wire_codes);
	e->source_sent = malloc(lines->spot_count > 0 ? lines->spot_count : 1);
	e->room = longest_stack(frames);
	e->bytes = malloc((size_t)e->room * FRAME_BYTES);
	if (e->wire_codes == NULL || e->source_sent == NULL || e->bytes == NULL)
		return PYSTUCK_ENOMEM;
	stack_encoder_again(e);
	return 0;
}

void stack_encoder_again(struct stack_encoder *e)
{
	for (uint32_t i = 0; i < e->frames->code_count; i++)
		e->wire_codes[i] = NOT_SENT;
	memset(e->source_sent, 0, e->lines->spot_count);
	e->next_code = 0;
}

static int send_code(struct stack_encoder *e, uint32_t code)
{
	const struct frames *f = e->frames;
	struct msg m = {.type = MSG_DUMP_CODE,
		.dump_code = {
			.code = e->next_code,
			.file = pytext_span(&f->text, f->codes[code].file),
			.function = pytext_span(&f->text, f->codes[code].function),
		}};

	e->wire_codes[code] = e->next_code++;
	return channel_frame(e->out, &m);
}

static int send_source(struct stack_encoder *e, const struct lines_spot *spot)
{
	struct msg m = {.type = MSG_DUMP_SOURCE,
		.dump_source = {
			.code = e->wire_codes[spot->code],
			.line = spot->line,
			.text = pytext_span(&e->lines->text, spot->source),
		}};

	e->source_sent[spot->twin] = 1;
	return channel_frame(e->out, &m);
}

size_t stack_encoder_size(const struct stack_encoder *e, const struct frames_thread *t)
{
	const struct frames *f = e->frames;
	size_t bytes = (size_t)t->count * FRAME_BYTES;

	for (uint32_t i = 0; i < t->count; i++) {
		const struct frames_frame *frame = &f->frames[t->first + i];
		const struct lines_spot *spot = &e->lines->spots[frame->offset];

		if (e->wire_codes[frame->code] == NOT_SENT)
			bytes += NUMBERS + f->codes[frame->code].file.len + f->codes[frame->code].function.len;
		if (spot->source.len > 0 && !e->source_sent[spot->twin])
			bytes += NUMBERS + spot->source.len;
	}
	return bytes;
}

/* Stacks that are no thread's may be longer than all that were known at first. */
static int make_room(struct stack_encoder *e, uint32_t frames)
{
	uint8_t *bytes = frames > e->room ? realloc(e->bytes, (size_t)frames * FRAME_BYTES) : e->bytes;

	if (bytes == NULL)
		return PYSTUCK_ENOMEM;
	e->bytes = bytes;
	e->room = frames > e->room ? frames : e->room;
	return 0;
}

int stack_encoder_put(struct stack_encoder *e, const struct frames_thread *t, struct span *frames)
{
	if (make_room(e, t->count) != 0)
		return PYSTUCK_ENOMEM;
	for (uint32_t i = 0; i < t->count; i++) {
		const struct frames_frame *frame = &e->frames->frames[t->first + t->count - 1 - i];
		const struct lines_spot *spot = &e->lines->spots[frame->offset];
		int rc = 0;

		if (e->wire_codes[frame->code] == NOT_SENT)
			rc = send_code(e, frame->code);
		if (rc == 0 && spot->source.len > 0 && !e->source_sent[spot->twin])
			rc = send_source(e, spot);
		if (rc != 0)
			return rc;
		be32_put(e->bytes + (size_t)i * FRAME_BYTES, e->wire_codes[frame->code]);
		be32_put(e->bytes + (size_t)i * FRAME_BYTES + 4, spot->line);
	}
	*frames = (struct span){e->bytes, (size_t)t->count * FRAME_BYTES};
	return 0;
}

void stack_encoder_close(struct stack_encoder *e)
{
	free(e->wire_codes);
	free(e->source_sent);
	free(e->bytes);
	memset(e, 0, sizeof *e);
}
