/*
 * speedscope.h: a profile in the file format of speedscope: two profiles for each thread, on CPU and waiting.
 */
#ifndef PYSTUCK_CLIENT_SPEEDSCOPE_H
#define PYSTUCK_CLIENT_SPEEDSCOPE_H

#include "out.h"
#include "sample.h"

/* `peer` is who the profile is of. Errors stay in *o. */
void speedscope_write(struct out *o, const struct sample *s, const struct msg_welcome *peer);

#endif
