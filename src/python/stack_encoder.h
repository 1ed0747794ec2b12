/*
 * stack_encoder.h: stacks as messages refer to them: each frame is the number of a code and a line. Codes and source lines are sent
 * once, before the first stack that needs them. No GIL; no Python object is touched.
 */
#ifndef PYSTUCK_PYTHON_STACK_ENCODER_H
#define PYSTUCK_PYTHON_STACK_ENCODER_H

#include <Python.h>

#include "buf.h"
#include "frames.h"
#include "lines.h"

struct stack_encoder {
	struct buf *out;
	const struct frames *frames;
	const struct lines *lines;
	uint32_t *wire_codes; /* for each code the number under which it was sent */
	uint32_t next_code;
	uint8_t *source_sent; /* for each spot */
	uint8_t *bytes;	      /* of one stack */
	uint32_t room;	      /* for so many frames */
};

/* After lines_find. 0 or PYSTUCK_ENOMEM; stack_encoder_close in any case. */
int stack_encoder_open(struct stack_encoder *e, struct buf *out, const struct frames *frames, const struct lines *lines);
/* What has been sent is forgotten: the whole answer is encoded once more. */
void stack_encoder_again(struct stack_encoder *e);
/*
 * Appends the codes and source lines that are new to *out, and says the stack's frames as a message has them (msg.h: FRAME_BYTES),
 * outermost first; valid until the next call. 0, PYSTUCK_ENOMEM, PYSTUCK_ETOOBIG.
 */
int stack_encoder_put(struct stack_encoder *e, const struct frames_thread *t, struct span *frames);
/* How many bytes that appends at most, with the message's own frames. */
size_t stack_encoder_size(const struct stack_encoder *e, const struct frames_thread *t);
void stack_encoder_close(struct stack_encoder *e);

#endif
