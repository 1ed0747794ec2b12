/*
 * prompt_frame.h: the commands of the prompt that are about frames: %locals, %frame, %up, %down, %debug. As those of prompt.c.
 */
#ifndef PYSTUCK_PYTHON_PROMPT_FRAME_H
#define PYSTUCK_PYTHON_PROMPT_FRAME_H

#include <Python.h>

#include "prompt.h"

/* 0, or -1 with an exception. */
int prompt_frame_locals(const struct prompt *p, struct span arguments);
int prompt_frame_enter(const struct prompt *p, struct span arguments);
int prompt_frame_up(const struct prompt *p, struct span arguments);
int prompt_frame_down(const struct prompt *p, struct span arguments);
int prompt_frame_debug(const struct prompt *p, struct span arguments);

/* 1 when the frame that names mean has ended; prompt_frame_over then says so, and names mean the session's own. */
int prompt_frame_is_over(const struct space *s);
int prompt_frame_over(struct space *s);

#endif
