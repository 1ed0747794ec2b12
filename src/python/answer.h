/*
 * answer.h: a collected dump as the frames of the messages that answer MSG_DUMP. No GIL; no Python
 * object is touched.
 */
#ifndef PYSTUCK_PYTHON_ANSWER_H
#define PYSTUCK_PYTHON_ANSWER_H

#include <Python.h>

#include "buf.h"
#include "frames.h"
#include "lines.h"
#include "locals.h"
#include "msg.h"
#include "port.h"
#include "tasks.h"
#include "wait.h"
#include "waits.h"

/* Threads and tasks that do not fit any more are counted. */
#define ANSWER_BYTES_MAX PORT_ANSWER_MAX

struct answer {
	struct msg_dump_begin begin; /* `threads` is filled in */
	const struct frames *frames;
	const struct lines *lines;
	const struct locals *locals;    /* NULL: none were asked for */
	const struct waits_view *views; /* one for each of frames->threads */
	const struct wait_list *waits;  /* the same */
	uint8_t has;                    /* DUMP_HAS_* */
	const struct tasks *tasks;      /* NULL: none were asked for */
};

/*
 * Sets the limit of *out, which the caller gives as {0} and frees. 0, PYSTUCK_ENOMEM,
 * PYSTUCK_ETOOBIG.
 */
int answer_encode(struct buf *out, const struct answer *a);

#endif
