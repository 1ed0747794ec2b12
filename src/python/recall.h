/*
 * recall.h: what threads are called, kept from one sample to the next: to read it costs more than to read where they are. On LANE_RAW
 * alone, without the GIL.
 */
#ifndef PYSTUCK_PYTHON_RECALL_H
#define PYSTUCK_PYTHON_RECALL_H

#include "frames.h"

/* 1: all threads are those that were kept a moment ago, and have their names from there; 0: nothing is changed. */
int recall_names(struct frames *f);
/* After they have been read. Without memory for it they are read again the next time. */
void recall_keep(const struct frames *f);
void recall_forget(void);

#endif
